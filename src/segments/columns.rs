//! Which texts are wanted of a file.

use super::texts::Column;
use crate::document::{Columns, TEXT_COLUMNS, jsonl};
use crate::error::{Error, Result};
use serde_json::{Map, Value};

/// Columns of texts that a model is asked for: those of references, then those of documents.
const SCORED_COLUMNS: [&str; 11] =
    ["reference", "references", "summary", "target", "highlights", "abstract", "summaries", "document", "article", "text", "input"];

/// Columns of references.
pub(crate) const REFERENCE_COLUMNS: [&str; 7] = ["reference", "references", "summary", "target", "highlights", "abstract", "summaries"];

/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Reference,
    Hypothesis,
    Source,
    /// A text that a model is asked for, where there are no hypotheses.
    Text,
}

impl Role {
    /// Where records hold such texts.
    pub(super) fn columns(self) -> &'static Columns {
        match self {
            Role::Reference => &Columns { noun: "reference", option: "--ref-column", defaults: &REFERENCE_COLUMNS },
            Role::Hypothesis => {
                &Columns { noun: "hypothesis", option: "--hyp-column", defaults: &["summary_text", "hypothesis", "prediction", "output"] }
            }
            Role::Source => &Columns { noun: "source", option: "--source-column", defaults: &TEXT_COLUMNS },
            Role::Text => &Columns { noun: "text", option: "--ref-column", defaults: &SCORED_COLUMNS },
        }
    }
}

/// A text that is wanted of every segment of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want<'a> {
    pub role: Role,
    /// Its column; none: the first of the role's that the first record has.
    pub column: Option<&'a str>,
}

impl<'a> Want<'a> {
    /// The column of a file whose first record or header `has` these.
    pub(super) fn choose<'n>(&self, has: impl Iterator<Item = &'n str> + Clone) -> Result<&'a str> {
        let columns = self.role.columns();
        columns.find(self.column, |c| has.clone().any(|h| h == c)).ok_or_else(|| columns.lacking(self.column, has))
    }

    /// Adds the text of a record, found under `name`, to `column`.
    pub(super) fn take(&self, name: &str, fields: &Map<String, Value>, column: &mut Column) -> Result<()> {
        let present = || fields.keys().map(String::as_str);
        match fields.get(name) {
            Some(Value::String(text)) => column.push([text.as_str()]),
            Some(Value::Array(list)) if self.role == Role::Reference || (self.role == Role::Text && list.len() == 1) => {
                column.push(strings(name, list)?);
            }
            Some(Value::Null) if self.role == Role::Hypothesis && fields.get("finish_reason").is_some_and(|r| r == "error") => {
                return Err(failed(fields));
            }
            Some(other) => return Err(self.role.columns().not_text(name, other, present())),
            None => return Err(self.role.columns().lacking(Some(name), present())),
        }
        Ok(())
    }
}

fn strings<'v>(name: &str, list: &'v [Value]) -> Result<Vec<&'v str>> {
    let hint = "a list holds the references of its segment, one string or more";
    if list.is_empty() {
        return Err(Error::new(format!("`{name}` is an empty list")).hint(hint));
    }
    let text = |(i, value): (usize, &'v Value)| {
        let wrong = || Error::new(format!("`{name}` has {} at place {}, not a string", crate::document::kind(value), i + 1)).hint(hint);
        value.as_str().ok_or_else(wrong)
    };
    list.iter().enumerate().map(text).collect()
}

/// The error of a document that `decode` could not decode.
fn failed(fields: &Map<String, Value>) -> Error {
    let which = jsonl::id(fields).map_or(String::new(), |id| format!(" `{}`", crate::document::id_text(id)));
    let why = fields.get("error").and_then(Value::as_str).unwrap_or("no reason is given");
    Error::new(format!("document{which} has no text, its decoding failed: {why}"))
        .hint("see to the document and decode it again, or take it out of all files")
}
