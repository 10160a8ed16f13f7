//! What can be asked for beside the facts, and what cannot go together.

use crate::cli::{Dtype, KvDtype, WeightArgs, at_least_one};
use crate::document::Options;
use crate::error::{Error, Result};
use clap::Args;

/// Documents that are compared, where nobody says how many.
const DOCUMENTS: usize = 8;

/// `--compare-dtypes` and over what.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Comparison")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct CompareArgs {
    /// Load the model in f32, bf16 and int8, one after the other, and show what that changes: bytes, logits, greedy tokens, perplexity
    #[arg(long)]
    pub compare_dtypes: bool,
    /// Compare over these documents: text, JSONL, CSV or TSV by the file's name, `-` for standard input [default: made-up tokens]
    #[arg(long, value_name = "FILE")]
    pub documents: Option<String>,
    /// Take the first N documents [default: 8]
    #[arg(short = 'n', long, value_name = "N", value_parser = at_least_one)]
    pub limit: Option<usize>,
    /// Column or key of the document [default: the first of document, article, text, input]
    #[arg(long, value_name = "NAME")]
    pub text_column: Option<String>,
}

impl CompareArgs {
    /// Refuses what cannot go together, before anything is read.
    pub fn check(&self, weights: &WeightArgs) -> Result<()> {
        let given =
            [("--documents", self.documents.is_some()), ("--limit", self.limit.is_some()), ("--text-column", self.text_column.is_some())];
        let first = |from: usize| given[from..].iter().find(|(_, given)| *given).map(|(name, _)| *name);
        match (self.compare_dtypes, first(0), first(1)) {
            (false, Some(name), _) => Err(Error::usage(format!("`{name}` says what `--compare-dtypes` compares over"))
                .hint(format!("add `--compare-dtypes`, or leave out `{name}`"))),
            (true, _, Some(name)) if self.documents.is_none() => {
                Err(Error::usage(format!("`{name}` needs a file of documents")).hint("name it with `--documents FILE`"))
            }
            (true, ..) if weights.dtype != Dtype::Auto => {
                Err(Error::usage("`--compare-dtypes` loads the weights in every type, `--dtype` names one").hint("leave out one of them"))
            }
            (true, ..) if weights.kv_dtype != KvDtype::F32 => {
                Err(Error::usage("`--compare-dtypes` compares weights, keys and values stay in f32").hint("leave out `--kv-dtype`"))
            }
            _ => Ok(()),
        }
    }

    /// How to read the documents.
    pub fn reading(&self) -> Options {
        Options { text_column: self.text_column.clone(), limit: Some(self.limit.unwrap_or(DOCUMENTS)), ..Options::default() }
    }
}
