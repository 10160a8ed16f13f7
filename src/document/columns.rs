//! Which field of a record holds a text, and what is said when none does.

use super::TEXT_COLUMNS;
use crate::error::Error;
use serde_json::Value;

/// A kind of text that records hold: where it is looked for, and how messages speak of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// What the text is.
    pub noun: &'static str,
    /// The option that names its column.
    pub option: &'static str,
    /// Where it is looked for when nobody names a column, in order of preference.
    pub defaults: &'static [&'static str],
}

/// The document to decode.
pub(crate) const DOCUMENT: Columns = Columns { noun: "document", option: "--text-column", defaults: &TEXT_COLUMNS };

impl Columns {
    /// The column to read, of those that a record `has`: the `wanted` one, else the first of the defaults.
    pub(crate) fn find<'a>(&self, wanted: Option<&'a str>, has: impl Fn(&str) -> bool) -> Option<&'a str> {
        match wanted {
            Some(name) => has(name).then_some(name),
            None => self.defaults.iter().copied().find(|c| has(c)),
        }
    }

    /// The error of a record or header without the column; `present` are the ones it has.
    pub(crate) fn lacking<'a>(&self, wanted: Option<&str>, present: impl Iterator<Item = &'a str>) -> Error {
        let lacks = match wanted {
            Some(name) => format!("no column `{name}`"),
            None => format!("none of the columns {}", quoted(self.defaults.iter().copied())),
        };
        Error::new(lacks).hint(format!("name the {}'s column with `{}`; there is {}", self.noun, self.option, some(present)))
    }

    /// The error of a record whose `column` holds something else than a text.
    pub(crate) fn not_text<'a>(&self, column: &str, value: &Value, present: impl Iterator<Item = &'a str>) -> Error {
        Error::new(format!("`{column}` is {}, not a string", kind(value))).hint(format!(
            "put the text of the {} there, or name another column with `{}`; there is {}",
            self.noun,
            self.option,
            some(present)
        ))
    }
}

/// What a JSON value is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

/// The names that fit into a message; a record of `decode` with a few fields of its input does.
fn some<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.len() {
        0 => "no field".to_owned(),
        n if n <= 24 => quoted(names.into_iter()),
        n => format!("{} and {} more", quoted(names.into_iter().take(24)), n - 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_are_there() {
        let names: Vec<String> = (0..26).map(|i| format!("c{i}")).collect();
        let hint = |n: usize| DOCUMENT.lacking(Some("x"), names[..n].iter().map(String::as_str)).remedy().unwrap().to_owned();
        assert_eq!(hint(0), "name the document's column with `--text-column`; there is no field");
        assert!(hint(24).ends_with("there is `c0`, `c1`, `c2`, `c3`, `c4`, `c5`, `c6`, `c7`, `c8`, `c9`, `c10`, `c11`, `c12`, `c13`, `c14`, `c15`, `c16`, `c17`, `c18`, `c19`, `c20`, `c21`, `c22`, `c23`"));
        assert!(hint(26).ends_with("`c23` and 2 more"));
    }
}
