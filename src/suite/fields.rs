//! Values of a suite file by key and type, where everything that does not fit is an error with a line and a remedy.

use super::lists::{self, MOST};
use super::sections::Section;
use super::text::{Text, all, shown};
use crate::error::{Error, Result};
use toml::de::{DeTable, DeValue};

/// A table of the file whose keys are all known.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub text: &'a Text<'a>,
    table: &'a DeTable<'a>,
    section: &'static Section,
    at: usize,
}

/// A key with its value, or one element of its array.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    text: &'a Text<'a>,
    key: &'static str,
    example: &'static str,
    value: &'a DeValue<'a>,
    at: usize,
}

impl<'a> Fields<'a> {
    /// Fails on a key that `section` does not have; `at` is where the table begins.
    pub(super) fn new(text: &'a Text<'a>, table: &'a DeTable<'a>, section: &'static Section, at: usize) -> Result<Self> {
        let strangers = table.iter().map(|(k, _)| k).filter(|k| !section.names().any(|known| known == k.get_ref().as_ref()));
        match strangers.min_by_key(|k| k.span().start) {
            None => Ok(Self { text, table, section, at }),
            Some(key) => Err(text
                .error(key.span().start, format!("unknown key {} {}", shown(key.get_ref()), section.place))
                .hint(section.remedy(key.get_ref()))),
        }
    }

    /// The value of `key`, which is one of the section's, if the file gives it.
    pub(super) fn get(&self, key: &'static str) -> Option<Entry<'a>> {
        let (found, value) = self.table.get_key_value(key)?;
        Some(Entry { text: self.text, key, example: self.example(key), value: value.get_ref(), at: found.span().start })
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, key: &'static str) -> Result<Entry<'a>> {
        let missing = || self.error(format!("`{key}` is missing {}", self.section.place));
        self.get(key).ok_or_else(|| missing().hint(format!("for instance `{key} = {}`", self.example(key))))
    }

    /// The tables below `key`: none, the one of `[key]`, or those of `[[key]]`.
    pub(super) fn tables(&self, key: &'static str, section: &'static Section, many: bool) -> Result<Vec<Fields<'a>>> {
        let Some(entry) = self.get(key) else { return Ok(Vec::new()) };
        match entry.value {
            DeValue::Table(table) if !many => Ok(vec![Fields::new(self.text, table, section, entry.at)?]),
            DeValue::Array(array) if many => {
                let each = array.iter().map(|v| match v.get_ref() {
                    DeValue::Table(table) => Fields::new(self.text, table, section, v.span().start),
                    other => Err(self.text.error(v.span().start, format!("`{key}` holds {}, not tables", kind(other)))),
                });
                each.map(|e| e.map_err(|e| if e.remedy().is_some() { e } else { e.hint(format!("write `[[{key}]]`")) })).collect()
            }
            _ if many => Err(entry.wrong("an array of tables").hint(format!("write `[[{key}]]`, once for each"))),
            _ => Err(entry.wrong("a table").hint(format!("write `[{key}]`, once"))),
        }
    }

    /// An error about the table as a whole.
    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        self.text.error(self.at, message)
    }

    /// The line on which the table begins.
    pub(super) fn line(&self) -> usize {
        self.text.line(self.at)
    }

    fn example(&self, key: &str) -> &'static str {
        self.section.keys.iter().find(|(name, _)| *name == key).map_or("", |(_, example)| example)
    }
}

impl<'a> Entry<'a> {
    /// An error about this value.
    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        self.text.error(self.at, message)
    }

    /// The line of this value.
    pub(super) fn line(&self) -> usize {
        self.text.line(self.at)
    }

    fn wrong(&self, wanted: &str) -> Error {
        let error = self.error(format!("`{}` is {}, not {wanted}", self.key, kind(self.value)));
        if self.example.is_empty() { error } else { self.with_example(error) }
    }

    fn with_example(&self, error: Error) -> Error {
        error.hint(format!("for instance `{} = {}`", self.key, self.example))
    }

    /// Text of one line.
    pub(super) fn string(&self) -> Result<&'a str> {
        let DeValue::String(text) = self.value else { return Err(self.wrong("a string")) };
        if text.trim().is_empty() {
            return Err(self.with_example(self.error(format!("`{}` is empty", self.key))));
        }
        match text.chars().find(|c| c.is_control()) {
            Some('\n' | '\r') => Err(self.with_example(self.error(format!("`{}` is more than one line", self.key)))),
            Some(c) => Err(self.with_example(self.error(format!("`{}` holds the control character U+{:04X}", self.key, c as u32)))),
            None => Ok(text),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Result<bool> {
        self.value.as_bool().ok_or_else(|| self.wrong("a boolean"))
    }

    /// A whole number from 0.
    pub(super) fn integer(&self) -> Result<u64> {
        let DeValue::Integer(n) = self.value else { return Err(self.wrong("a whole number")) };
        u64::from_str_radix(n.as_str(), n.radix()).map_err(|_| {
            let what = if n.as_str().starts_with('-') { "is negative" } else { "is too large" };
            self.with_example(self.error(format!("`{}` {what}", self.key)))
        })
    }

    /// A count from 0.
    pub(super) fn count(&self) -> Result<usize> {
        usize::try_from(self.integer()?).map_err(|_| self.with_example(self.error(format!("`{}` is too large", self.key))))
    }

    /// A finite number, whole or not.
    pub(super) fn number(&self) -> Result<f64> {
        let digits = match self.value {
            DeValue::Integer(n) if n.radix() == 10 => n.as_str(),
            DeValue::Integer(_) => return Ok(self.integer()? as f64),
            DeValue::Float(n) => n.as_str(),
            _ => return Err(self.wrong("a number")),
        };
        let number = digits.parse().ok().filter(|n: &f64| n.is_finite());
        number.ok_or_else(|| self.with_example(self.error(format!("`{}` is not finite", self.key))))
    }

    /// A number above 0.
    pub(super) fn above_zero(&self) -> Result<f64> {
        let number = self.number()?;
        if number > 0.0 { Ok(number) } else { Err(self.with_example(self.error(format!("`{}` must be above 0", self.key)))) }
    }

    /// A table as JSON has it. Fails at dates, which it has not.
    pub(super) fn json(&self) -> Result<serde_json::Value> {
        match self.value {
            DeValue::Table(_) => json(self.value).ok_or_else(|| self.wrong("keys and values of config.json, which has no dates")),
            _ => Err(self.wrong("a table of keys of config.json")),
        }
    }

    /// Numbers: one, an array of them, or a string with lists and ranges; each at least `least`.
    pub(super) fn list(&self, least: usize) -> Result<Vec<usize>> {
        let numbers = match self.value {
            DeValue::Integer(_) => vec![self.count()?],
            DeValue::String(text) => lists::list(text).map_err(|e| {
                let hint = "lists and ranges are written `1024,4096`, `1024-16384*2` (times 2), `1-8+1` (plus 1)";
                self.error(format!("`{}`: {e}", self.key)).hint(hint)
            })?,
            DeValue::Array(_) => self.numbers()?,
            _ => return Err(self.wrong("a number, an array of numbers or a string such as `1024-16384*2`")),
        };
        if numbers.iter().any(|n| *n < least) {
            return Err(self.with_example(self.error(format!("`{}` must be at least {least}", self.key))));
        }
        Ok(numbers)
    }

    /// An array of numbers that differ: who writes each one out means each one.
    fn numbers(&self) -> Result<Vec<usize>> {
        let (mut numbers, mut seen) = (Vec::new(), std::collections::HashSet::new());
        for element in self.elements()? {
            let n = element.count()?;
            if !seen.insert(n) {
                return Err(element.error(format!("`{}` lists {n} twice", self.key)).hint("leave one out"));
            }
            if numbers.len() == MOST {
                return Err(element
                    .error(format!("`{}` lists more than {} numbers", self.key, crate::report::grouped(MOST)))
                    .hint("make two cases"));
            }
            numbers.push(n);
        }
        Ok(numbers)
    }

    /// Itself, or the elements of its array, of which there is at least one.
    pub(super) fn elements(&self) -> Result<Vec<Entry<'a>>> {
        let DeValue::Array(array) = self.value else { return Ok(vec![*self]) };
        if array.is_empty() {
            return Err(self.with_example(self.error(format!("`{}` is empty", self.key))));
        }
        Ok(array.iter().map(|v| Entry { value: v.get_ref(), at: v.span().start, ..*self }).collect())
    }

    /// What `read` makes of each element, where no two elements may be the same.
    pub(super) fn each<T: PartialEq>(&self, read: impl Fn(&Entry<'a>) -> Result<T>) -> Result<Vec<T>> {
        let mut values = Vec::new();
        for element in self.elements()? {
            let value = read(&element)?;
            if values.contains(&value) {
                let twice = format!("`{}` lists {} twice", self.key, shown(element.string()?));
                return Err(element.error(twice).hint("leave one out"));
            }
            values.push(value);
        }
        Ok(values)
    }

    /// One of a few names.
    pub(super) fn choice<T: Copy>(&self, known: &[(&'static str, T)]) -> Result<T> {
        let name = self.string()?;
        let found = known.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        found.ok_or_else(|| self.odd(name).hint(format!("it is one of {}", all(known.iter().map(|(n, _)| *n)))))
    }

    /// The error that `name` is nothing this key can be.
    pub(super) fn odd(&self, name: &str) -> Error {
        self.error(format!("`{}` cannot be {}", self.key, shown(name)))
    }
}

/// The value in JSON, if it has one.
fn json(value: &DeValue) -> Option<serde_json::Value> {
    use serde_json::Value;
    Some(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok()?.into(),
        DeValue::Float(x) => x.as_str().parse::<f64>().ok().filter(|x| x.is_finite())?.into(),
        DeValue::Boolean(b) => Value::from(*b),
        DeValue::Datetime(_) => return None,
        DeValue::Array(array) => Value::Array(array.iter().map(|v| json(v.get_ref())).collect::<Option<_>>()?),
        DeValue::Table(table) => {
            let pairs = table.iter().map(|(k, v)| Some((k.get_ref().to_string(), json(v.get_ref())?)));
            Value::Object(pairs.collect::<Option<_>>()?)
        }
    })
}

fn kind(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
