//! Comma- or tab-separated values with a header line.

use super::{DOCUMENT, Options, Raw, Records, filled, utf8};
use crate::error::{Error, Result};
use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::{Map, Value};
use std::io::Read;

/// A table whose header was read.
pub(super) struct Table<R> {
    reader: Reader<R>,
    header: Vec<String>,
    text: usize,
}

impl<R: Read> Table<R> {
    /// Reads the header; fails when it lacks the document's column.
    pub(super) fn new(input: R, delimiter: u8, options: &Options) -> Result<Self> {
        let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(input);
        let header = reader.byte_headers().map_err(broken)?.clone();
        let mut header = header.iter().map(|f| utf8(f.to_vec())).collect::<Result<Vec<String>>>().map_err(|e| e.at("header"))?;
        if let Some(first) = header.first_mut() {
            *first = first.trim_start_matches('\u{feff}').to_owned();
        }
        let find = |name: &str| header.iter().position(|h| h == name);
        let wanted = options.text_column.as_deref();
        let text = DOCUMENT.find(wanted, |c| find(c).is_some()).and_then(find);
        let text = text.ok_or_else(|| DOCUMENT.lacking(wanted, header.iter().map(String::as_str)))?;
        Ok(Self { reader, header, text })
    }

    fn next(&mut self, options: &Options) -> Option<Result<Raw>> {
        let mut row = ByteRecord::new();
        let outcome = self.reader.read_byte_record(&mut row);
        let read = self.reader.position().byte();
        match outcome {
            Ok(false) => None,
            Ok(true) => Some(Ok(self.record(&row, read, options))),
            Err(e) => match e.kind() {
                csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                    let line = pos.as_ref().map(csv::Position::line);
                    Some(Ok(Raw::failed(line, unequal(*len, *expected_len), read)))
                }
                _ => Some(Err(broken(e))),
            },
        }
    }

    fn record(&self, row: &ByteRecord, read: u64, options: &Options) -> Raw {
        let line = row.position().map(csv::Position::line);
        let cells = row.iter().map(|f| utf8(f.to_vec())).collect::<Result<Vec<String>>>();
        let cells = match cells {
            Ok(cells) => cells,
            Err(error) => return Raw::failed(line, error, read),
        };
        let fields: Map<String, Value> = self.header.iter().cloned().zip(cells.iter().map(|c| Value::String(c.clone()))).collect();
        let id = fields.get("id").filter(|v| v.as_str() != Some("")).cloned();
        let text = filled(cells.get(self.text).cloned().unwrap_or_default());
        Raw { line, id, text, fields: options.keep.of(fields), read }
    }
}

/// Reads the rows of `input`.
pub(super) fn records(input: impl Read + 'static, delimiter: u8, options: &Options) -> Result<Records> {
    let (mut table, options) = (Table::new(input, delimiter, options)?, options.clone());
    Ok(Box::new(std::iter::from_fn(move || table.next(&options))))
}

/// The error of a row that does not fit its header.
pub(crate) fn unequal(fields: u64, header: u64) -> Error {
    let noun = if fields == 1 { "field" } else { "fields" };
    Error::new(format!("{fields} {noun} where the header has {header}")).hint("put quotes round fields with delimiters or line breaks")
}

pub(crate) fn broken(e: csv::Error) -> Error {
    Error::new(format!("cannot read the table: {e}"))
}

#[cfg(test)]
mod tests {
    use super::super::Keep;
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_with_line_breaks_and_faults() {
        let input = &b"\xef\xbb\xbfid,text,n\na,\"x\ny, z\",1\nb,too,many,fields\n,last,2\nc,\xff,3\nd,,4\n"[..];
        let options = Options { keep: Keep::All, ..Options::default() };
        let got: Vec<Raw> = records(input, b',', &options).unwrap().map(|r| r.unwrap()).collect();
        let seen: Vec<_> = got.iter().map(|r| (r.line, r.id.clone(), r.text.is_ok())).collect();
        let id = |s: &str| Some(json!(s));
        assert_eq!(
            seen,
            [(Some(2), id("a"), true), (Some(4), None, false), (Some(5), None, true), (Some(6), None, false), (Some(7), id("d"), false)]
        );
        assert_eq!(got[0].text.as_deref().unwrap(), "x\ny, z");
        assert_eq!(got[1].text.as_ref().unwrap_err().message(), "4 fields where the header has 3");
        assert_eq!(Value::Object(got[2].fields.clone()), json!({"id": "", "text": "last", "n": "2"}));
    }

    #[test]
    fn a_header_without_the_column() {
        let error = records(&b"a\tb\n1\t2\n"[..], b'\t', &Options::default()).err().unwrap();
        assert_eq!(error.remedy(), Some("name the document's column with `--text-column`; there is `a`, `b`"));
    }
}
