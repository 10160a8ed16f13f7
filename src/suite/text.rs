//! The text of a suite file: which line a byte is in, and names as messages show them.

use crate::error::Error;

/// A suite file and where its lines begin.
pub(super) struct Text<'a> {
    file: &'a str,
    starts: Vec<usize>,
}

impl<'a> Text<'a> {
    pub(super) fn new(file: &'a str, bytes: &[u8]) -> Self {
        let breaks = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
        Self { file, starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// The line, from 1, of the byte at offset `at`.
    pub(super) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    /// `file:line: message` for what stands at offset `at`.
    pub(super) fn error(&self, at: usize, message: impl std::fmt::Display) -> Error {
        located(self.file, self.line(at), message)
    }
}

/// `file:line: message`.
pub(super) fn located(file: &str, line: usize, message: impl std::fmt::Display) -> Error {
    Error::new(message.to_string()).at(format!("{file}:{line}"))
}

/// Text out of a file in backticks: on one line, without control characters, and cut where it goes on and on.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut out = String::from("`");
    for (i, c) in text.chars().enumerate() {
        match c {
            _ if i == LONGEST => {
                out.push('…');
                break;
            }
            '\'' | '"' | '\\' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out + "`"
}

/// Names in backticks, separated by commas; of many, the first ones.
pub(super) fn all<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    const MOST: usize = 12;
    let mut names = names.into_iter();
    let first: Vec<String> = names.by_ref().take(MOST).map(shown).collect();
    first.join(", ") + if names.next().is_some() { ", …" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_from_one_and_break_after_the_newline() {
        let text = Text::new("f", b"ab\r\n\ncd");
        assert_eq!([0, 3, 4, 5, 6, 7, 99].map(|at| text.line(at)), [1, 1, 2, 3, 3, 3, 3]);
        assert_eq!(text.error(5, "wrong").message(), "f:3: wrong");
    }

    #[test]
    fn names_stay_on_one_line() {
        assert_eq!(shown("it's \"é\""), "`it's \"é\"`");
        assert_eq!(shown("a\n\u{1b}[31m\u{202e}"), "`a\\n\\u{1b}[31m\\u{202e}`");
        assert_eq!(shown(&"x".repeat(60)).len(), 62);
        assert_eq!(shown(&"x".repeat(61)), format!("`{}…`", "x".repeat(60)));
        assert_eq!(all(["a", "b"]), "`a`, `b`");
        assert_eq!(all(["a"; 13]), "`a`, ".repeat(12) + "…");
    }
}
