//! The arguments of `effattn decode`, and which of them exclude each other.

use super::batch::BatchSize;
use super::fit::Overflow;
use super::generate::GenerateArgs;
use crate::cli::ModelArgs;
use crate::document::{Format, Keep, Options};
use crate::error::{Error, Result};
use crate::output::Extras;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// What a decoder-only model is asked, where nobody asks otherwise.
pub const TEMPLATE: &str = "{document}\\nTL;DR:";

const EXAMPLES: &str = "\
Examples:
  effattn decode paper.txt
  cat paper.txt | effattn decode --num-beams 1 --stream
  effattn decode -m led-large-16384-arxiv -f jsonl -o out.jsonl --on-overflow chunk papers.jsonl
  effattn decode -m allenai/led-large-16384-arxiv --download paper.txt
  effattn decode -f jsonl -o out.jsonl --resume papers.jsonl
  effattn decode -m gpt2 --template 'Article: {document}\\nSummary:' --do-sample --top-p 0.9 --seed 7 a.txt b.txt

Settings come from the command line, else from generation_config.json, else from config.json (for models with an
encoder its task_specific_params for summarization first), else they are those of transformers. The same documents give the same bytes whatever
`--batch-size` and `--threads` are.

Exit codes: 0 all is well; 1 an error; 2 wrong usage; 3 some documents failed, the rest are
written; 130 interrupted, what was finished is written.";

/// Arguments of `effattn decode`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct DecodeArgs {
    /// Files to read, `-` or nothing for standard input
    #[arg(value_name = "DOCUMENT")]
    pub documents: Vec<String>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub generate: GenerateArgs,
    /// Documents (or pieces) decoded at once: a number, or `auto`, by their length; one at a time with `--timings`
    #[arg(long, value_name = "N|auto", default_value = "auto", help_heading = "Running")]
    pub batch_size: BatchSize,
    /// Seed of all draws; each document's own comes from it and the document's id
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Running")]
    pub seed: u64,
}

/// What is read.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Input")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct InputArgs {
    /// How inputs are cut into documents; a text file's last line end is no part of the document
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub input_format: Format,
    /// Column or key of the document [default: the first of document, article, text, input]
    #[arg(long, value_name = "NAME")]
    pub text_column: Option<String>,
    /// Read at most so many documents
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// What to do with a document that is longer than the model reads
    #[arg(long, value_name = "WHAT", default_value = "error")]
    pub on_overflow: Overflow,
    /// Text before every document, for models trained with one; `''` for none [default: that of summarization in config.json's
    /// task_specific_params, for models with an encoder]
    #[arg(long, value_name = "TEXT")]
    pub source_prefix: Option<String>,
    /// What a decoder-only model is given; `\n`, `\t` and `\\` are read as in C [default: {document}\nTL;DR:]
    #[arg(long, value_name = "TEXT")]
    pub template: Option<String>,
    /// Documents and summaries are token ids separated by white space, special tokens included; no tokenizer is needed
    #[arg(long)]
    pub ids: bool,
    /// Positions with global attention, for models that have it (LED), counted from 0 [default: the first]
    #[arg(long, value_name = "0,5,…", value_delimiter = ',')]
    pub global_tokens: Option<Vec<usize>>,
}

/// What is written.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct OutputArgs {
    /// Output format [default: jsonl if the output's name ends in it, else text]
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<OutputFormat>,
    /// Write to FILE, which is complete or absent: until the end the records are in FILE.partial; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Go on with an interrupted run (or append to a finished file) where it stopped; needs `-o` and `-f jsonl`
    #[arg(long)]
    pub resume: bool,
    /// Input fields that go on into the JSONL record: a list of names, or `all`; one that has the name of a record's own becomes input_NAME
    #[arg(long, value_name = "NAMES|all")]
    pub keep_columns: Option<String>,
    /// Print the text as it grows (greedy search and sampling, one document after the other)
    #[arg(long)]
    pub stream: bool,
    /// Measure times: ttft_ms, tpot_ms, total_ms and token_ms of each record, on standard error for text; else they are null
    #[arg(long)]
    pub timings: bool,
}

/// How summaries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// The summary of one text file or standard input as it is; of several documents or records, each on one line (line breaks become spaces, failed documents empty lines)
    Text,
    /// One JSON record a line; nothing is lost
    Jsonl,
}

impl DecodeArgs {
    /// Refuses what cannot go together, before anything is read.
    pub fn check(&self) -> Result<()> {
        let (jsonl, output, input) = (self.jsonl(), &self.output, &self.input);
        let chunk = input.on_overflow == Overflow::Chunk;
        let refuse = |message: &str, hint: &str| Err(Error::usage(message).hint(hint));
        match () {
            () if output.resume && self.path().is_none() => refuse("`--resume` needs a file to go on with", "name it with `-o FILE`"),
            () if output.resume && !jsonl => refuse("`--resume` needs JSONL, text does not say which documents are done", "add `-f jsonl`"),
            () if output.stream && jsonl => refuse("`--stream` prints text, not JSONL", "leave out `--stream` or `-f jsonl`"),
            () if output.stream && self.path().is_some() => refuse("`--stream` prints on standard output", "leave out `--stream` or `-o`"),
            () if output.stream && self.batch_size.more_than_one() => {
                refuse("`--stream` decodes one document at a time", "leave out `--batch-size`")
            }
            () if output.keep_columns.is_some() && !jsonl => refuse("`--keep-columns` needs JSONL, text has no fields", "add `-f jsonl`"),
            () if input.ids && input.template.is_some() => {
                refuse("`--template` makes no sense with `--ids`", "put the template's ids into the document")
            }
            () if input.ids && input.source_prefix.is_some() => {
                refuse("`--source-prefix` makes no sense with `--ids`", "put the prefix's ids into the document")
            }
            () if chunk && input.global_tokens.is_some() => {
                refuse("`--global-tokens` counts positions of a whole document, `--on-overflow chunk` cuts it", "leave out one of them")
            }
            () => self.template().map(drop),
        }
    }

    /// The output file, if it is not standard output.
    pub fn path(&self) -> Option<&Path> {
        self.output.output.as_deref().filter(|p| !crate::output::is_stdout(p))
    }

    /// Whether records are written rather than text.
    pub fn jsonl(&self) -> bool {
        let named = |p: &Path| p.extension().is_some_and(|e| e == "jsonl" || e == "ndjson");
        match self.output.format {
            Some(format) => format == OutputFormat::Jsonl,
            None => self.path().is_some_and(named),
        }
    }

    /// Whether the input is one plain text: then its failure is the command's.
    pub fn alone(&self) -> bool {
        match self.documents.as_slice() {
            [] => self.input.input_format.of("-") == Format::Text,
            [one] => self.input.input_format.of(one) == Format::Text,
            _ => false,
        }
    }

    /// How to read the inputs.
    pub fn reading(&self) -> Options {
        Options {
            format: self.input.input_format,
            text_column: self.input.text_column.clone(),
            keep: Keep::parse(self.output.keep_columns.as_deref()),
            limit: self.input.limit,
        }
    }

    /// Keys of the records that depend on what was asked for.
    pub fn extras(&self, sequences: usize) -> Extras {
        let chunks = self.input.on_overflow == Overflow::Chunk;
        Extras { timings: self.output.timings, alternatives: sequences > 1, chunks }
    }

    /// What stands before and behind the document in a prompt.
    pub fn template(&self) -> Result<(String, String)> {
        let template = unescape(self.input.template.as_deref().unwrap_or(TEMPLATE));
        match template.split("{document}").collect::<Vec<_>>().as_slice() {
            [before, after] => Ok(((*before).to_owned(), (*after).to_owned())),
            parts => Err(Error::usage(format!("`--template` must contain `{{document}}` once, not {} times", parts.len() - 1))
                .hint(format!("for instance `--template '{TEMPLATE}'`"))),
        }
    }
}

/// Reads `\n`, `\t` and `\\` as a shell's user means them.
fn unescape(text: &str) -> String {
    let (mut out, mut letters) = (String::new(), text.chars());
    while let Some(c) = letters.next() {
        match (c, letters.clone().next()) {
            ('\\', Some(code @ ('n' | 't' | '\\'))) => {
                letters.next();
                out.push(match code {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                });
            }
            _ => out.push(c),
        }
    }
    out
}
