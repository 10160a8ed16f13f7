//! Segments to score: hypotheses, references and sources of the same documents, from lines of text or from records.
//!
//! Plain text is read as sacreBLEU reads it: a line ends at a line feed only, and loses the white space at its end. One
//! thing differs: a byte order mark is no part of the first line. Fields of records stay as they are.
//!
//! Files of records that all have an `id` are joined by it, in the order of the first system; all else is joined by place.

mod bytes;
pub(crate) mod columns;
mod file;
mod join;
mod jsonl;
mod plan;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod texts;

pub use texts::{References, Texts};

use crate::document::{self, Format};
use crate::error::Result;
use columns::Role;
use file::File;
use plan::Input;
use serde_json::Value;

/// How to read the inputs.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What the files hold; [`Format::Auto`] goes by their names, plain text being one segment a line.
    pub format: Format,
    /// The column of the references; none: the first of reference, references, summary, target, highlights, abstract, summaries.
    pub ref_column: Option<String>,
    /// The column of the hypotheses; none: the first of summary_text, hypothesis, prediction, output.
    pub hyp_column: Option<String>,
    /// The column of the sources; none: the first of [`document::TEXT_COLUMNS`].
    pub source_column: Option<String>,
}

/// What to read. Inputs are paths, or `-` for standard input.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Files of references; none: a column of the first system's records.
    pub references: Vec<String>,
    /// Files of hypotheses, one a system.
    pub systems: Vec<String>,
    /// The file of the sources; none: with [`Options::source_column`] a column of the first file of records, without it
    /// there are no sources.
    pub source: Option<String>,
    /// Whether references can be done without: they are then read only if a file or [`Options::ref_column`] names them.
    pub references_optional: bool,
    /// Whether the systems are texts that a model is asked for: their column is [`Options::ref_column`].
    pub texts_only: bool,
    /// Whether a file of plain text is one segment.
    pub whole_files: bool,
}

/// The hypotheses of one system.
#[derive(Debug, Clone)]
pub struct System {
    /// The file's name as given.
    pub name: String,
    /// One text a segment.
    pub texts: Texts,
}

/// All texts, by segment: each part has the same number of segments, in the same order.
#[derive(Debug, Clone)]
pub struct Corpus {
    /// The systems in the order of [`Request::systems`].
    pub systems: Vec<System>,
    /// The references of each segment.
    pub references: References,
    /// The source of each segment.
    pub sources: Option<Texts>,
    /// The id of each segment, if all records of some file have one.
    pub ids: Option<Vec<Value>>,
    /// Number of segments, at least 1.
    pub segments: usize,
}

/// Reads and joins the files of `request`.
///
/// Fails when a file cannot be read, is empty, or has a segment without its text, and when the segments of two files do not
/// belong together; usage errors are combinations of names and columns that no file could satisfy.
pub fn load(request: &Request, options: &Options) -> Result<Corpus> {
    let inputs = plan::inputs(request, options)?;
    for input in inputs.iter().filter(|i| i.name != "-") {
        document::file(input.name)?;
    }
    let read = |input: &Input| File::read(input.name, options.format, request.whole_files, &input.wants);
    let mut files = inputs.iter().map(read).collect::<Result<Vec<File>>>()?;
    join::join(&mut files)?;
    Ok(Corpus::of(&inputs, files))
}

impl Corpus {
    /// The texts of `files`, which are joined and were read as `inputs` say.
    fn of(inputs: &[Input], files: Vec<File>) -> Self {
        let segments = files.first().map_or(0, File::len);
        let (mut systems, mut references, mut sources, mut ids) = (Vec::new(), Vec::new(), None, None);
        for (input, file) in inputs.iter().zip(files) {
            ids = ids.or(file.kind.ids());
            for (want, column) in input.wants.iter().zip(file.columns) {
                match want.role {
                    Role::Hypothesis | Role::Text => systems.push(System { name: input.name.to_owned(), texts: column.into_texts() }),
                    Role::Reference => references.push(column),
                    Role::Source => sources = Some(column.into_texts()),
                }
            }
        }
        Self { systems, references: References::of(references), sources, ids, segments }
    }
}
