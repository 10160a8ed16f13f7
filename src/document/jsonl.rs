//! One JSON object a line.

use super::{DOCUMENT, Keep, Options, Raw, Records, filled, kind, utf8};
use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader, Read};

/// Reads `input` line by line; blank lines are no records.
pub(super) fn records(input: impl Read + 'static, options: &Options) -> Records {
    let (mut input, options) = (BufReader::new(input), options.clone());
    let (mut line, mut read) = (0, 0);
    Box::new(std::iter::from_fn(move || {
        loop {
            let mut bytes = Vec::new();
            match input.read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(n) => read += n as u64,
                Err(e) => return Some(Err(e.into())),
            }
            line += 1;
            if line == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
                bytes.drain(..3);
            }
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                return Some(Ok(record(bytes, line, read, &options)));
            }
        }
    }))
}

fn record(bytes: Vec<u8>, line: u64, read: u64, options: &Options) -> Raw {
    match utf8(bytes).and_then(|line| object(&line)) {
        Ok(mut fields) => {
            let id = id(&fields).cloned();
            let text = document(&mut fields, options);
            Raw { line: Some(line), id, text, fields: options.keep.of(fields), read }
        }
        Err(error) => Raw::failed(Some(line), error, read),
    }
}

/// The id that a record brings: a number, or a string with something in it.
pub(crate) fn id(fields: &Map<String, Value>) -> Option<&Value> {
    fields.get("id").filter(|id| id.is_number() || id.as_str().is_some_and(|s| !s.is_empty()))
}

/// The fields of a line.
pub(crate) fn object(line: &str) -> Result<Map<String, Value>> {
    match serde_json::from_str(line) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(Error::new(format!("not a JSON object but {}", kind(&other)))
            .hint("each line is one object, for instance {\"id\": \"a\", \"document\": \"…\"}")),
        Err(e) => Err(Error::new(format!("no valid JSON (column {}: {})", e.column(), reason(&e)))
            .hint("each line is one object, for instance {\"id\": \"a\", \"document\": \"…\"}")),
    }
}

/// What serde says, without its own idea of the line.
fn reason(e: &serde_json::Error) -> String {
    let text = e.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

fn document(fields: &mut Map<String, Value>, options: &Options) -> Result<String> {
    let wanted = options.text_column.as_deref();
    let Some(column) = DOCUMENT.find(wanted, |c| fields.contains_key(c)) else {
        return Err(DOCUMENT.lacking(wanted, fields.keys().map(String::as_str)));
    };
    let passed_on = match &options.keep {
        Keep::None => false,
        Keep::All => true,
        Keep::These(list) => list.iter().any(|c| c == column),
    };
    match fields.get_mut(column) {
        Some(Value::String(s)) => filled(if passed_on { s.clone() } else { std::mem::take(s) }),
        other => {
            let value = other.map_or(Value::Null, |v| v.clone());
            Err(DOCUMENT.not_text(column, &value, fields.keys().map(String::as_str)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn all(input: &'static [u8], options: Options) -> Vec<Raw> {
        records(input, &options).map(|r| r.unwrap()).collect()
    }

    #[test]
    fn good_and_bad_lines_with_their_numbers() {
        let input = b"{\"id\": 7, \"text\": \"a\"}\n\n{oops\n[1]\n{\"title\": \"t\"}\n{\"text\": 3}\n{\"text\": \" \"}\n{\"text\": \"\xff\"}\n{\"id\":\"z\",\"text\":\"b\"}";
        let got = all(input, Options::default());
        let lines: Vec<_> = got.iter().map(|r| r.line.unwrap()).collect();
        assert_eq!(lines, [1, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(got[0].id, Some(json!(7)));
        let messages: Vec<String> = got.iter().filter_map(|r| r.text.as_ref().err()).map(|e| e.message().to_owned()).collect();
        assert_eq!(
            messages,
            [
                "no valid JSON (column 2: key must be a string)",
                "not a JSON object but a list",
                "none of the columns `document`, `article`, `text`, `input`",
                "`text` is a number, not a string",
                "the document is empty",
                "invalid UTF-8 (byte 0xff at offset 10)",
            ]
        );
        assert_eq!(got[7].text.as_deref().unwrap(), "b");
    }

    #[test]
    fn columns_by_preference_name_and_passed_on() {
        let input = b"{\"text\": \"t\", \"article\": \"a\", \"x\": {\"y\": 1}}";
        assert_eq!(all(input, Options::default())[0].text.as_deref().unwrap(), "a");
        let keep = Keep::parse(Some("x,text,none"));
        let got = all(input, Options { text_column: Some("text".into()), keep, ..Options::default() });
        assert_eq!(got[0].text.as_deref().unwrap(), "t");
        assert_eq!(Value::Object(got[0].fields.clone()), json!({"x": {"y": 1}, "text": "t", "none": null}));
        let got = all(input, Options { text_column: Some("body".into()), ..Options::default() });
        let error = got[0].text.clone().unwrap_err();
        assert_eq!(error.message(), "no column `body`");
        assert_eq!(error.remedy(), Some("name the document's column with `--text-column`; there is `text`, `article`, `x`"));
    }
}
