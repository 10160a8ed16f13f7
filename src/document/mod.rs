//! Documents to decode: files, or standard input, as a stream of [`Item`]s with ids.
//!
//! A record that cannot be read is an item too, with its error, so that the others still run.

mod columns;
pub(crate) mod jsonl;
mod open;
pub(crate) mod table;
mod text;

pub(crate) use columns::{Columns, DOCUMENT, kind};
pub use open::{Documents, check};
pub(crate) use open::{file, place, unreadable};

use crate::error::{Error, Result};
use serde_json::{Map, Value};

/// Columns that hold the document where nobody names one, in order of preference.
pub const TEXT_COLUMNS: [&str; 4] = ["document", "article", "text", "input"];

/// How an input is cut into documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// By the file's name: `.jsonl`, `.ndjson`, `.csv` and `.tsv` hold records, everything else and standard input plain text
    #[default]
    Auto,
    /// Plain text
    Text,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// Tab-separated values with a header
    Tsv,
}

impl Format {
    /// The format of the input `name`, never [`Format::Auto`].
    pub fn of(self, name: &str) -> Format {
        let extension = std::path::Path::new(name).extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        match (self, extension.as_deref()) {
            (Format::Auto, Some("jsonl" | "ndjson")) => Format::Jsonl,
            (Format::Auto, Some("csv")) => Format::Csv,
            (Format::Auto, Some("tsv")) => Format::Tsv,
            (Format::Auto, _) => Format::Text,
            (given, _) => given,
        }
    }
}

/// Which input fields go on into the output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Keep {
    /// None.
    #[default]
    None,
    /// Every one.
    All,
    /// Those of the list, `null` where a record lacks one.
    These(Vec<String>),
}

impl Keep {
    /// Reads `all` or a list separated by commas.
    pub fn parse(list: Option<&str>) -> Keep {
        match list {
            None => Keep::None,
            Some("all") => Keep::All,
            Some(list) => Keep::These(list.split(',').map(|c| c.trim().to_owned()).filter(|c| !c.is_empty()).collect()),
        }
    }

    fn of(&self, mut fields: Map<String, Value>) -> Map<String, Value> {
        match self {
            Keep::None => Map::new(),
            Keep::All => fields,
            Keep::These(list) => list.iter().map(|c| (c.clone(), fields.swap_remove(c).unwrap_or(Value::Null))).collect(),
        }
    }
}

/// How to read the inputs.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How inputs are cut into documents.
    pub format: Format,
    /// The column or key of the document; none: the first of [`TEXT_COLUMNS`].
    pub text_column: Option<String>,
    /// Fields to pass through.
    pub keep: Keep,
    /// At most so many documents.
    pub limit: Option<usize>,
}

/// One document, or why there is none.
#[derive(Debug, Clone)]
pub struct Item {
    /// The record's `id`, as it stood there; else the file's stem or `name:line`.
    pub id: Value,
    /// The id that the record asked for, when an earlier document had it.
    pub renamed: Option<String>,
    /// File and line, for messages.
    pub place: String,
    /// The document's text.
    pub text: Result<String>,
    /// Fields to pass through.
    pub fields: Map<String, Value>,
    /// Bytes of all inputs read so far.
    pub read: u64,
}

impl Item {
    /// The id as text.
    pub fn name(&self) -> String {
        id_text(&self.id)
    }
}

/// An id as text: what seeds are derived from.
pub fn id_text(id: &Value) -> String {
    match id {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// What a reader of one input finds.
struct Raw {
    line: Option<u64>,
    id: Option<Value>,
    text: Result<String>,
    fields: Map<String, Value>,
    /// Bytes of this input read so far.
    read: u64,
}

impl Raw {
    fn failed(line: Option<u64>, error: Error, read: u64) -> Self {
        Self { line, id: None, text: Err(error), fields: Map::new(), read }
    }
}

/// One input, cut into documents; an outer error ends the run.
type Records = Box<dyn Iterator<Item = Result<Raw>>>;

/// Bytes as text, or where they stop being any.
fn utf8(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::new(format!("invalid UTF-8 (byte 0x{:02x} at offset {at})", e.as_bytes()[at]))
            .hint("convert it first, for instance `iconv -f latin1 -t utf-8 FILE`")
    })
}

/// The text unless there is nothing to read in it.
fn filled(text: String) -> Result<String> {
    if text.trim().is_empty() {
        return Err(Error::new("the document is empty").hint("give a text with at least one word"));
    }
    Ok(text)
}
