//! How good the summaries are whose times stand beside: what `effattn decode` writes for some documents, and what `effattn score` says of it.

use super::entry::{Entry, Origin};
use crate::cli::{Cli, Command};
use crate::error::{Error, Result};
use crate::output::reason;
use crate::report::fixed;
use crate::segments::columns::REFERENCE_COLUMNS;
use clap::Parser;
use serde_json::{Map, Value};
use std::path::Path;

/// Scores of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// F × 100 of ROUGE-1, ROUGE-2 and ROUGE-Lsum, stemmed.
    pub rouge: [Score; 3],
    /// Perplexity of a reference's token, given the document where there is an encoder.
    pub perplexity: Score,
    /// Documents.
    pub documents: usize,
    /// How it was done.
    pub note: String,
}

/// A score and half of its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The score.
    pub value: f64,
    /// Half of its interval.
    pub half_width: f64,
}

/// Which documents.
pub struct Request<'a> {
    /// A JSONL file.
    pub data: &'a Path,
    /// Key of the references.
    pub ref_column: Option<&'a str>,
    /// How many at most.
    pub limit: Option<usize>,
}

/// The part of a data set that is used.
pub struct Data {
    /// Its file.
    name: String,
    /// Its lines.
    text: String,
    /// The same with the first reference of each document alone, for perplexity.
    first: String,
    column: String,
    documents: usize,
}

impl Data {
    /// Reads it, before anything is measured.
    pub fn read(request: &Request) -> Result<Self> {
        let name = request.data.display();
        let text = std::fs::read_to_string(request.data).map_err(|e| Error::new(format!("cannot read `{name}`: {}", reason(&e))))?;
        let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).take(request.limit.unwrap_or(usize::MAX));
        let mut data = Self { name: name.to_string(), text: String::new(), first: String::new(), column: String::new(), documents: 0 };
        for (i, line) in lines {
            let at = |why: String| Error::new(format!("{name}:{}: {why}", i + 1));
            let mut record: Map<String, Value> = serde_json::from_str(line)
                .map_err(|e| at(format!("not a JSON object ({e})")).hint("`--quality` takes JSONL with documents and their summaries"))?;
            if data.documents == 0 {
                let known = || REFERENCE_COLUMNS.into_iter().find(|c| record.contains_key(*c));
                let missing = || at("no reference summary".to_owned()).hint("name its key with `--ref-column`");
                data.column = request.ref_column.or_else(known).ok_or_else(missing)?.to_owned();
            }
            if let Some(Value::Array(references)) = record.get_mut(&data.column) {
                references.truncate(1);
            }
            data.text += &format!("{line}\n");
            data.first += &format!("{}\n", Value::Object(record));
            data.documents += 1;
        }
        match data.documents {
            0 => Err(Error::new(format!("`{name}` has no documents"))),
            1 => Err(Error::new(format!("`{name}` has one document: a score of it has no spread")).hint("take 2 at least, better 100")),
            _ => Ok(data),
        }
    }

    /// The scores of a model: the two commands as a user would type them, in a directory that goes away.
    pub fn score(&self, entry: &Entry) -> Result<Quality> {
        let dir = tempfile::Builder::new().prefix("effattn").tempdir()?;
        self.score_in(dir.path(), entry).map_err(|e| {
            let files = ["data.jsonl", "first.jsonl", "summaries.jsonl"].map(|f| dir.path().join(f).display().to_string());
            // in terms of what the user has given
            let message = files.iter().fold(e.message().to_owned(), |m, f| m.replace(f, &self.name));
            let error = Error::new(message).at(format!("`--quality` of {}", entry.name));
            error.hint("try `effattn decode` and `effattn score` on the same file: they say more, and have more options")
        })
    }

    fn score_in(&self, dir: &Path, entry: &Entry) -> Result<Quality> {
        let [data, first, summaries] = ["data.jsonl", "first.jsonl", "summaries.jsonl"].map(|f| dir.join(f));
        std::fs::write(&data, &self.text)?;
        std::fs::write(&first, &self.first)?;
        let model: Vec<String> = match &entry.origin {
            Origin::Directory(dir) => vec![dir.display().to_string()],
            Origin::Shipped(_) => Vec::new(),
        };
        let words = |words: &[&str], flag: &str| -> Vec<String> {
            let given = words.iter().map(|w| (*w).to_owned());
            given.chain(model.iter().flat_map(|m| [flag.to_owned(), m.clone()])).collect()
        };
        let [data, first, summaries] = [data, first, summaries].map(|f| f.display().to_string());
        let score = |data| ["effattn", "score", "-q", data, "--ref-column", &self.column, "-f", "json"];
        // perplexity first: it is quick, and refuses a reference that is too long
        let source = if entry.outline.model.info().encoder_decoder { vec!["--source", first.as_str()] } else { Vec::new() };
        let perplexity = json(words(&[&score(&first)[..], &["-m", "ppl"], &source].concat(), "--model"))?;
        let decode = ["effattn", "decode", "-q", &data, "-f", "jsonl", "-o", &summaries];
        run(words(&decode, "-m"), &mut std::io::sink())?;
        let rouge = ["-i", &summaries, "-m", "rouge1,rouge2,rougeLsum", "--use-stemmer", "--confidence", "--seed", "12345"];
        let rouge = json([&score(&data)[..], &rouge].concat().into_iter().map(str::to_owned).collect())?;
        let number =
            |v: &Value, key: &str| v[key].as_f64().ok_or_else(|| Error::new(format!("no `{key}` in the scores of `{}`", entry.name)));
        let of = |i: usize| -> Result<Score> {
            Ok(Score { value: number(&rouge[i], "value")?, half_width: number(&rouge[i], "confidence_var")? })
        };
        let perplexity =
            Score { value: number(&perplexity, "token_perplexity")?, half_width: 1.96 * number(&perplexity, "standard_error")? };
        let n = self.documents;
        Ok(Quality {
            rouge: [of(0)?, of(1)?, of(2)?],
            perplexity,
            documents: n,
            note: format!(
                "R: ROUGE F × 100, stemmed, of what `decode` writes for {n} documents with the checkpoint's settings, ± 95 % (bootstrap); ppl: perplexity of a token of the first reference ± 95 %"
            ),
        })
    }
}

impl Quality {
    /// As the table shows it.
    pub fn cells(&self) -> Vec<String> {
        self.rouge.iter().chain([&self.perplexity]).map(|s| format!("{} ± {}", fixed(s.value, 1), fixed(s.half_width, 1))).collect()
    }
}

/// Runs a command of the program on the threads that there are.
fn run(words: Vec<String>, out: &mut dyn std::io::Write) -> Result<()> {
    let cli = Cli::try_parse_from(&words).map_err(|e| Error::new(format!("`{}`: {e}", words.join(" "))))?;
    let exit = match &cli.command {
        Command::Decode(args) => crate::command::decode::run(args, &cli.common, out)?,
        Command::Score(args) => crate::command::score::run(args, &cli.common, out)?,
        _ => return Err(Error::new(format!("`{}` neither decodes nor scores", words.join(" ")))),
    };
    match exit {
        crate::command::Exit::Success => Ok(()),
        _ => Err(Error::new(format!("`{}` did not end well", words.join(" ")))),
    }
}

fn json(words: Vec<String>) -> Result<Value> {
    let mut out = Vec::new();
    run(words, &mut out)?;
    serde_json::from_slice(&out).map_err(|e| Error::new(format!("the scores are no JSON ({e})")))
}
