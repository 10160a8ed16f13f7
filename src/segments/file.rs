//! One input, cut into segments.

use super::columns::Want;
use super::texts::{Column, Texts};
use super::{bytes, jsonl, table, text};
use crate::document::{Format, place};
use crate::error::{Error, Result};
use serde_json::Value;

/// What one input holds.
#[derive(Debug)]
pub(super) struct File {
    /// The input's name, as given.
    pub name: String,
    /// One for each text wanted.
    pub columns: Vec<Column>,
    pub kind: Kind,
}

/// How the segments lie in the file.
#[derive(Debug)]
pub(super) enum Kind {
    /// One segment a line; `closed` when the last line has its line end.
    Lines { closed: bool },
    /// The whole file is one segment.
    Whole,
    /// One segment a record.
    Records(Records),
}

impl Kind {
    /// The ids, if every segment is a record with one.
    pub(super) fn ids(self) -> Option<Vec<Value>> {
        match self {
            Kind::Records(r) => r.ids.into_iter().collect(),
            _ => None,
        }
    }
}

/// What records bring beside their texts.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// The id of each record that has one.
    pub ids: Vec<Option<Value>>,
    /// The line in which each record begins, from 1.
    pub lines: Vec<u64>,
}

impl File {
    /// Reads `name`; `whole` makes plain text one segment.
    pub(super) fn read(name: &str, format: Format, whole: bool, wants: &[Want]) -> Result<Self> {
        Self::cut(name, bytes::read(name)?, format, whole, wants)
    }

    /// Cuts the `text` of the file `name`.
    pub(super) fn cut(name: &str, text: String, format: Format, whole: bool, wants: &[Want]) -> Result<Self> {
        let plain = |texts: Texts, kind| (vec![Column::single(texts)], kind);
        let (columns, kind) = match format.of(name) {
            _ if text.is_empty() => return Err(empty(name, "is empty")),
            Format::Jsonl => jsonl::read(name, &text, wants)?,
            Format::Csv => table::read(name, &text, b',', wants)?,
            Format::Tsv => table::read(name, &text, b'\t', wants)?,
            _ if !whole => {
                let closed = text.ends_with('\n');
                plain(text::lines(text), Kind::Lines { closed })
            }
            _ if text.trim().is_empty() => return Err(empty(name, "is empty")),
            _ => plain(text::whole(text), Kind::Whole),
        };
        let file = Self { name: name.to_owned(), columns, kind };
        if file.len() == 0 { Err(empty(name, "has no records")) } else { Ok(file) }
    }

    /// Number of segments.
    pub(super) fn len(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    /// The id of a segment, if it brings one.
    pub(super) fn id(&self, segment: usize) -> Option<&Value> {
        match &self.kind {
            Kind::Records(r) => r.ids.get(segment)?.as_ref(),
            _ => None,
        }
    }

    /// File and line of a segment, for messages.
    pub(super) fn place(&self, segment: usize) -> String {
        let line = match &self.kind {
            Kind::Records(r) => r.lines.get(segment).copied(),
            Kind::Lines { .. } => Some(segment as u64 + 1),
            Kind::Whole => None,
        };
        place(&self.name, line)
    }

    /// Whether every segment is a record with an id.
    pub(super) fn identified(&self) -> bool {
        matches!(&self.kind, Kind::Records(r) if r.ids.iter().all(Option::is_some))
    }
}

fn empty(name: &str, what: &str) -> Error {
    Error::new(format!("{} {what}", place(name, None))).hint("each file needs at least one segment")
}
