//! From the names on the command line to a stream of documents.

use super::{Format, Item, Options, Raw, Records, id_text, jsonl, table, text};
use crate::error::{Error, Result};
use serde_json::Value;
use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

/// Looks at the inputs before anything expensive happens: they exist, are files, and tables have their column.
///
/// Pipes are left alone: they can be read only once.
pub fn check(inputs: &[String], options: &Options) -> Result<()> {
    if inputs.iter().filter(|i| *i == "-").count() > 1 {
        return Err(Error::usage("standard input can be read only once").hint("give `-` once"));
    }
    for name in inputs.iter().filter(|i| *i != "-") {
        if file(name)?.is_file() {
            let file = File::open(name).map_err(|e| unreadable(name, &e))?;
            match options.format.of(name) {
                Format::Csv => drop(table::Table::new(file, b',', options).map_err(|e| e.at(format!("`{name}`")))?),
                Format::Tsv => drop(table::Table::new(file, b'\t', options).map_err(|e| e.at(format!("`{name}`")))?),
                _ => {}
            }
        }
    }
    Ok(())
}

/// What is known of the input `name`, which is there and no directory.
pub(crate) fn file(name: &str) -> Result<std::fs::Metadata> {
    let meta = std::fs::metadata(name).map_err(|e| unreadable(name, &e))?;
    if meta.is_dir() {
        return Err(Error::new(format!("`{name}` is a directory")).hint(format!("name the files in it, for instance `{name}/*.txt`")));
    }
    Ok(meta)
}

pub(crate) fn unreadable(name: &str, e: &std::io::Error) -> Error {
    let error = Error::new(format!("cannot read {}: {}", place(name, None), crate::output::reason(e)));
    match e.kind() {
        std::io::ErrorKind::NotFound => error.hint("check the path; `-` reads standard input"),
        _ => error,
    }
}

/// The documents of all inputs, in order, with ids that differ.
pub struct Documents {
    inputs: std::vec::IntoIter<String>,
    options: Options,
    current: Option<(String, Records)>,
    ids: HashSet<String>,
    given: usize,
    /// Bytes of the inputs that are finished, and of the current one.
    finished: u64,
    read: u64,
}

impl Documents {
    /// The documents of `inputs`; none at all means standard input.
    pub fn open(inputs: &[String], options: Options) -> Self {
        let inputs = if inputs.is_empty() { vec!["-".to_owned()] } else { inputs.to_vec() };
        Self { inputs: inputs.into_iter(), options, current: None, ids: HashSet::new(), given: 0, finished: 0, read: 0 }
    }

    /// The next record of whichever input has one, with the input's name.
    fn raw(&mut self) -> Option<Result<(String, Raw)>> {
        loop {
            if let Some((name, records)) = &mut self.current {
                if let Some(record) = records.next() {
                    let name = name.clone();
                    return Some(record.map_err(|e| e.at(format!("`{name}`"))).map(|r| (name, r)));
                }
                self.finished += std::mem::take(&mut self.read);
                self.current = None;
            }
            let name = self.inputs.next()?;
            match open(&name, &self.options) {
                Ok(records) => self.current = Some((name, records)),
                Err(e) => return Some(Err(e)),
            }
        }
    }

    fn item(&mut self, input: &str, raw: Raw) -> Item {
        self.read = raw.read;
        let place = place(input, raw.line);
        let wanted = raw.id.unwrap_or_else(|| Value::String(fallback(input, raw.line)));
        let (id, renamed) = self.distinct(wanted);
        let text = raw.text.map_err(|e| e.at(&place));
        Item { id, renamed, place, text, fields: raw.fields, read: self.finished + self.read }
    }

    /// An id that no earlier document has, and the one it replaces.
    fn distinct(&mut self, wanted: Value) -> (Value, Option<String>) {
        let name = id_text(&wanted);
        if self.ids.insert(name.clone()) {
            return (wanted, None);
        }
        let free = (2..).map(|n: usize| format!("{name}#{n}")).find(|id| self.ids.insert(id.clone()));
        (Value::String(free.unwrap_or_default()), Some(name))
    }
}

impl Iterator for Documents {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.options.limit.is_some_and(|limit| self.given >= limit) {
            return None;
        }
        let raw = self.raw()?;
        self.given += 1;
        Some(raw.map(|(input, raw)| self.item(&input, raw)))
    }
}

fn open(name: &str, options: &Options) -> Result<Records> {
    let format = options.format.of(name);
    if name == "-" {
        return cut(std::io::stdin(), format, options).map_err(|e| e.at("standard input"));
    }
    let file = File::open(name).map_err(|e| unreadable(name, &e))?;
    cut(file, format, options).map_err(|e| e.at(format!("`{name}`")))
}

fn cut(input: impl std::io::Read + 'static, format: Format, options: &Options) -> Result<Records> {
    match format {
        Format::Jsonl => Ok(jsonl::records(input, options)),
        Format::Csv => table::records(input, b',', options),
        Format::Tsv => table::records(input, b'\t', options),
        Format::Text | Format::Auto => Ok(text::records(input)),
    }
}

/// A line of the input `name`, or all of it, for messages.
pub(crate) fn place(name: &str, line: Option<u64>) -> String {
    match (name, line) {
        ("-", None) => "standard input".to_owned(),
        ("-", Some(line)) => format!("standard input:{line}"),
        (_, None) => format!("`{name}`"),
        (_, Some(line)) => format!("`{name}:{line}`"),
    }
}

/// The id of a document that brings none: the file's stem, or `name:line`.
fn fallback(input: &str, line: Option<u64>) -> String {
    let path = Path::new(input);
    let part = |p: Option<&std::ffi::OsStr>| p.map_or(input.to_owned(), |s| s.to_string_lossy().into_owned());
    match (input, line) {
        ("-", None) => "stdin".to_owned(),
        ("-", Some(line)) => format!("stdin:{line}"),
        (_, None) => part(path.file_stem()),
        (_, Some(line)) => format!("{}:{line}", part(path.file_name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, bytes: &[u8]) -> String {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    }

    #[test]
    fn several_inputs_with_distinct_ids() {
        let dir = tempfile::tempdir().unwrap();
        let inputs = [
            write(dir.path(), "a.txt", b"one"),
            write(dir.path(), "b.jsonl", b"{\"id\":\"a\",\"text\":\"two\"}\n{\"text\":\"three\"}\n{\"id\":4,\"text\":\"four\"}\n"),
            write(dir.path(), "c.tsv", b"id\ttext\na\tfive\n"),
        ];
        let options = Options { limit: Some(5), ..Options::default() };
        check(&inputs, &options).unwrap();
        let got: Vec<Item> = Documents::open(&inputs, options.clone()).map(|i| i.unwrap()).collect();
        let names: Vec<String> = got.iter().map(Item::name).collect();
        assert_eq!(names, ["a", "a#2", "b.jsonl:2", "4", "a#3"]);
        assert_eq!(got[1].renamed.as_deref(), Some("a"));
        assert!(got[3].id.is_number() && got[3].renamed.is_none());
        let texts: Vec<&str> = got.iter().map(|i| i.text.as_deref().unwrap()).collect();
        assert_eq!(texts, ["one", "two", "three", "four", "five"]);
        assert!(got.windows(2).all(|w| w[0].read < w[1].read));
        let two = Documents::open(&inputs, Options { limit: Some(2), ..options }).count();
        assert_eq!(two, 2);
    }

    #[test]
    fn what_is_not_there_is_said_at_once() {
        let error = check(&["no/such.txt".into()], &Options::default()).unwrap_err();
        assert_eq!(error.message(), "cannot read `no/such.txt`: no such file or directory");
        assert_eq!(check(&["-".into(), "-".into()], &Options::default()).unwrap_err().exit_code(), 2);
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().to_string_lossy().into_owned();
        assert_eq!(check(std::slice::from_ref(&name), &Options::default()).unwrap_err().message(), format!("`{name}` is a directory"));
    }
}
