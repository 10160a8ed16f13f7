//! One JSON object a line.

use super::columns::Want;
use super::file::{Kind, Records};
use super::texts::Column;
use crate::document::{jsonl, place};
use crate::error::Result;

/// The wanted columns of `text`; blank lines are no records.
pub(super) fn read(name: &str, text: &str, wants: &[Want]) -> Result<(Vec<Column>, Kind)> {
    let mut columns = vec![Column::default(); wants.len()];
    let mut records = Records::default();
    let mut chosen = Vec::new();
    for (line, number) in text.split('\n').zip(1..) {
        if line.bytes().all(|b| b.is_ascii_whitespace()) {
            continue;
        }
        let mut read = || {
            let fields = jsonl::object(line).map_err(|e| e.hint(EXAMPLE))?;
            if records.lines.is_empty() {
                chosen = wants.iter().map(|w| w.choose(fields.keys().map(String::as_str))).collect::<Result<Vec<_>>>()?;
            }
            for ((want, column), texts) in wants.iter().zip(&chosen).zip(&mut columns) {
                want.take(column, &fields, texts)?;
            }
            Ok(jsonl::id(&fields).cloned())
        };
        let id = read().map_err(|e: crate::error::Error| e.at(place(name, Some(number))))?;
        records.ids.push(id);
        records.lines.push(number);
    }
    Ok((columns, Kind::Records(records)))
}

const EXAMPLE: &str = "each line is one object, for instance {\"id\": \"a\", \"summary_text\": \"…\"}";
