//! Comma- or tab-separated values with a header line.

use super::columns::Want;
use super::file::{Kind, Records};
use super::texts::Column;
use crate::document::{place, table};
use crate::error::{Error, Result};
use csv::{ErrorKind, Position, ReaderBuilder, StringRecord};
use serde_json::Value;
use std::io::Read;

/// The wanted columns of `text`.
pub(super) fn read(name: &str, text: &str, delimiter: u8, wants: &[Want]) -> Result<(Vec<Column>, Kind)> {
    let mut columns = vec![Column::default(); wants.len()];
    let mut records = Records::default();
    let mut lines = Lines { text, at: 0, line: 1 };
    let mut last = lines.of(0);
    let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| table::broken(e).at(place(name, None)))?.clone();
    if reader.position().byte() as usize >= text.len() {
        closed(text, delimiter).map_err(|e| e.at(place(name, Some(last))))?;
    }
    let find = |column: &str| header.iter().position(|h| h == column);
    let choose = |want: &Want| want.choose(header.iter()).map(|c| find(c).unwrap_or_default());
    let chosen = wants.iter().map(choose).collect::<Result<Vec<usize>>>().map_err(|e| e.at(place(name, Some(last))))?;
    let id = find("id");
    let (mut row, mut start) = (StringRecord::new(), 0);
    while reader.read_record(&mut row).map_err(|e| broken(name, &mut lines, delimiter, e))? {
        start = row.position().map_or(0, Position::byte) as usize;
        last = lines.of(start);
        for (column, &at) in columns.iter_mut().zip(&chosen) {
            column.push(row.get(at));
        }
        records.ids.push(id.and_then(|at| row.get(at)).filter(|id| !id.is_empty()).map(Value::from));
        records.lines.push(last);
    }
    closed(text.get(start..).unwrap_or_default(), delimiter).map_err(|e| e.at(place(name, Some(last))))?;
    Ok((columns, Kind::Records(records)))
}

/// Fails when the last row of a table, `row`, opens a quote that never closes: such a field swallows all rows after it.
fn closed(row: &str, delimiter: u8) -> Result<()> {
    let another = row.as_bytes().chain(&b"\nx"[..]);
    let rows = ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(another).into_byte_records().count();
    if rows > 1 || !row.contains('"') {
        return Ok(());
    }
    Err(Error::new("a quote opens in this row and never closes").hint("close it; a quote inside quotes is written twice"))
}

fn broken(name: &str, lines: &mut Lines, delimiter: u8, e: csv::Error) -> Error {
    let ErrorKind::UnequalLengths { pos: Some(start), expected_len, len } = e.kind() else {
        return table::broken(e).at(place(name, None));
    };
    let start = start.byte() as usize;
    let unclosed = closed(lines.text.get(start..).unwrap_or_default(), delimiter).err();
    unclosed.unwrap_or_else(|| table::unequal(*len, *expected_len)).at(place(name, Some(lines.of(start))))
}

/// Counts lines up to places that never go back: the reader's own count falls behind at blank lines.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the first character from `byte` on that is no line end.
    fn of(&mut self, byte: usize) -> u64 {
        let rest = self.text.as_bytes().get(byte..).unwrap_or_default();
        let to = byte + rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let passed = self.text.as_bytes().get(self.at..to).unwrap_or_default();
        self.line += passed.iter().filter(|&&b| b == b'\n').count() as u64;
        self.at = to.max(self.at);
        self.line
    }
}
