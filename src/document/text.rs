//! A whole input as one document.

use super::{Raw, Records, filled, utf8};
use crate::error::Result;
use serde_json::Map;
use std::io::Read;

/// Reads all of `input`; the line end that closes the text, and a byte order mark, are no part of the document.
pub(super) fn records(mut input: impl Read + 'static) -> Records {
    Box::new(std::iter::once_with(move || {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        let read = bytes.len() as u64;
        Ok(Raw { line: None, id: None, text: document(bytes), fields: Map::new(), read })
    }))
}

fn document(bytes: Vec<u8>) -> Result<String> {
    let mut text = utf8(bytes)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    filled(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &'static [u8]) -> Result<String> {
        records(bytes).next().unwrap().unwrap().text
    }

    #[test]
    fn only_the_closing_line_end_goes() {
        assert_eq!(read(b"a\n\nb \n").unwrap(), "a\n\nb ");
        assert_eq!(read(b"a\n\n").unwrap(), "a\n");
        assert_eq!(read(b"\xef\xbb\xbfa\r\n").unwrap(), "a");
    }

    #[test]
    fn nothing_to_read_is_an_error() {
        for empty in [&b""[..], b"\n", b" \t\r\n \n"] {
            assert_eq!(read(empty).unwrap_err().message(), "the document is empty");
        }
        assert_eq!(read(b"ab\xffc").unwrap_err().message(), "invalid UTF-8 (byte 0xff at offset 2)");
    }
}
