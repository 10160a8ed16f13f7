//! The bytes of an input as text.

use crate::document::{place, unreadable};
use crate::error::{Error, Result};
use std::io::Read;
use std::string::FromUtf8Error;

/// Reads all of the input `name`, without a byte order mark.
pub(super) fn read(name: &str) -> Result<String> {
    let bytes = match name {
        "-" => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
        }
        _ => std::fs::read(name),
    };
    text(name, bytes.map_err(|e| unreadable(name, &e))?)
}

/// The bytes of the input `name` as text.
pub(super) fn text(name: &str, bytes: Vec<u8>) -> Result<String> {
    if bytes.starts_with(b"\x1f\x8b") {
        let remedy =
            if name == "-" { "put `gunzip` before it in the pipe".to_owned() } else { format!("unpack it first: `gunzip {name}`") };
        return Err(Error::new(format!("{} is compressed", place(name, None))).hint(remedy));
    }
    let mut text = String::from_utf8(bytes).map_err(|e| invalid(name, &e))?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// Where bytes stop being text: line, place in the line from 0, and the byte.
fn invalid(name: &str, e: &FromUtf8Error) -> Error {
    let (bytes, at) = (e.as_bytes(), e.utf8_error().valid_up_to());
    let before = &bytes[..at];
    let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
    let offset = at - before.iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
    let wide = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    let from = if wide { "utf-16" } else { "latin1" };
    Error::new(format!("invalid UTF-8 (byte 0x{:02x} at offset {offset} of the line)", bytes[at]))
        .at(place(name, Some(line as u64)))
        .hint(format!("convert it first, for instance `iconv -f {from} -t utf-8 FILE`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> (String, String) {
        let error = text("a.txt", bytes.to_vec()).unwrap_err();
        (error.message().to_owned(), error.remedy().unwrap().to_owned())
    }

    #[test]
    fn the_mark_goes_once() {
        assert_eq!(text("a.txt", b"\xef\xbb\xbfa\n".to_vec()).unwrap(), "a\n");
        assert_eq!(text("a.txt", b"\xef\xbb\xbf\xef\xbb\xbfa".to_vec()).unwrap(), "\u{feff}a");
        assert_eq!(text("a.txt", b"\xef\xbb\xbf".to_vec()).unwrap(), "");
    }

    #[test]
    fn bytes_that_are_no_text() {
        let latin1 = "convert it first, for instance `iconv -f latin1 -t utf-8 FILE`";
        let place = |p: &str| (format!("`a.txt:{p} of the line)"), latin1.to_owned());
        assert_eq!(told(b"a\n\nb\xe9c\n"), place("3`: invalid UTF-8 (byte 0xe9 at offset 1"));
        assert_eq!(told(b"\xff"), place("1`: invalid UTF-8 (byte 0xff at offset 0"));
        assert_eq!(told("a\né".as_bytes().split_last().unwrap().1), place("2`: invalid UTF-8 (byte 0xc3 at offset 0"));
        assert!(told(b"\xff\xfea\0\n\0").1.contains("iconv -f utf-16 "));
        assert_eq!(told(b"\x1f\x8b\x08\0"), ("`a.txt` is compressed".to_owned(), "unpack it first: `gunzip a.txt`".to_owned()));
    }
}
