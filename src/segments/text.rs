//! Plain text: one segment a line, as sacreBLEU reads it.

use super::texts::Texts;
use crate::space::is_space;

/// The lines of a file, each without the white space at its end. What follows the last line end is a line unless it is empty.
pub(super) fn lines(text: String) -> Texts {
    let body = text.strip_suffix('\n').unwrap_or(&text);
    let (mut spans, mut start) = (Vec::new(), 0);
    for line in body.split('\n') {
        spans.push((start, start + line.trim_end_matches(is_space).len()));
        start += line.len() + 1;
    }
    Texts::of(text, spans)
}

/// A whole file as one segment, as it is: a model is asked for its last line end too.
pub(super) fn whole(text: String) -> Texts {
    let spans = vec![(0, text.len())];
    Texts::of(text, spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        lines(text.to_owned()).iter().map(str::to_owned).collect()
    }

    #[test]
    fn lines_end_at_line_feeds_only() {
        assert_eq!(read("a\nb"), ["a", "b"]);
        assert_eq!(read("a\nb\n"), ["a", "b"]);
        assert_eq!(read("a\n\nb\n\n"), ["a", "", "b", ""]);
        assert_eq!(read("\n"), [""]);
        assert_eq!(read(" a\u{2028}b\u{85}c\rd\u{b}e"), [" a\u{2028}b\u{85}c\rd\u{b}e"]);
    }

    #[test]
    fn space_at_the_end_goes() {
        assert_eq!(
            read("a \t\r\n\u{3000} b\u{1f}\u{1c}\u{a0}\u{2028}\n \r\nc\u{200b}\u{180e}\n"),
            ["a", "\u{3000} b", "", "c\u{200b}\u{180e}"]
        );
    }

    /// The list is Python 3.11's `[c for c in range(0x110000) if chr(c).isspace()]`.
    #[test]
    fn space_is_what_python_says() {
        let python = [9, 10, 11, 12, 13, 28, 29, 30, 31, 32, 0x85, 0xa0, 0x1680]
            .into_iter()
            .chain(0x2000..=0x200a)
            .chain([0x2028, 0x2029, 0x202f, 0x205f, 0x3000]);
        let ours = (0..0x11_0000).filter(|&c| char::from_u32(c).is_some_and(is_space));
        assert!(ours.eq(python));
    }

    #[test]
    fn a_whole_file() {
        for text in ["a\nb \n", "a\r\n", " a"] {
            assert_eq!(whole(text.to_owned()).iter().collect::<Vec<_>>(), [text]);
        }
    }
}
