//! `effattn score`: what comes in, which metrics, what goes out.

mod args;
mod evaluate;
mod metrics;
mod options;
mod perplexity;
mod records;
mod report;
mod sentence;
mod unused;
mod warn;

pub use args::ScoreArgs;

use super::Exit;
use crate::cli::CommonArgs;
use crate::error::{Error, Result};
use crate::metric::registry::{Selection, is_name, select};
use crate::metric::signature::References;
use crate::metric::{Compare, Metric, count::count};
use crate::output::Target;
use crate::segments::{self, Corpus, Request};
use evaluate::{Counts, Test, evaluate, seed};
use report::Style;
use std::io::Write;
use std::path::Path;

/// Scores systems against references, or texts by a model.
pub fn run(args: &ScoreArgs, common: &CommonArgs, out: &mut dyn Write) -> Result<Exit> {
    args.check()?;
    let drawn = args.perplexity.weights.random_weights || args.significance.confidence || args.systems().len() > 1;
    let seed = if drawn { seed(args, common.quiet)? } else { 0 };
    let selection = select(&args.names(), &metrics::options(args)?)?;
    if let Some(path) = args.path().filter(|p| !Target::is_device(p)) {
        crate::output::check(path, false)?;
    }
    let model = args.perplexes().then(|| perplexity::Scorer::open(args, seed, common.quiet)).transpose()?;
    let corpus = load(args, model.as_ref())?;
    if !common.quiet {
        warn::of(args, &corpus);
    }
    // before anything is counted: a model may take minutes
    let test = if args.sentence_level { Test::None } else { Test::asked(args, corpus.systems.len(), corpus.segments)? };
    let counts = Counts {
        metrics: objects(&selection, model.as_ref()),
        columns: selection.columns.clone(),
        systems: counted(&selection, model.as_ref(), &corpus, common.quiet)?,
        references: references(args, &corpus),
    };
    let width = args.output.width.map(usize::from);
    let style = Style { format: args.output.format, width, score_only: args.output.score_only, explain: args.output.explain };
    let text = if args.sentence_level {
        sentence::report(&counts, corpus.ids.as_deref(), &style)
    } else {
        report::report(&evaluate(&counts, test, seed), &style)
    };
    crate::output::whole(args.path(), &text, out)?;
    Ok(Exit::Success)
}

/// The metrics in the order of the selection, perplexity last.
fn objects<'m>(selection: &'m Selection, model: Option<&'m perplexity::Scorer>) -> Vec<&'m dyn Metric> {
    let compare = selection.metrics.iter().map(|m| -> &dyn Metric { m.as_ref() });
    compare.chain(model.map(|m| m.metric())).collect()
}

/// Name and rows of every system.
fn counted(
    selection: &Selection,
    model: Option<&perplexity::Scorer>,
    corpus: &Corpus,
    quiet: bool,
) -> Result<Vec<(String, Vec<Vec<f64>>)>> {
    let metrics: Vec<&dyn Compare> = selection.metrics.iter().map(AsRef::as_ref).collect();
    let mut systems = Vec::new();
    for system in &corpus.systems {
        let mut rows = count(&metrics, corpus.segments, |segment, references| {
            corpus.references.segment(segment, references);
            system.texts.get(segment)
        });
        if let Some(model) = model {
            rows.push(model.rows(&system.texts, corpus, quiet)?);
        }
        systems.push((system.name.clone(), rows));
    }
    Ok(systems)
}

fn references(args: &ScoreArgs, corpus: &Corpus) -> References {
    match corpus.references.count() {
        _ if !args.compares() => References::None,
        Some(n) => References::Each(n),
        None => References::Varying,
    }
}

/// Reads the texts.
fn load(args: &ScoreArgs, model: Option<&perplexity::Scorer>) -> Result<Corpus> {
    let texts_only = args.input.is_empty() && !args.compares();
    let references = if texts_only { Vec::new() } else { args.references.clone() };
    let mut systems = args.systems().to_vec();
    if let Some(name) = references.iter().chain(&systems).find(|name| is_name(name) && !Path::new(name).exists()) {
        return Err(Error::usage(format!("`{name}` is a metric, not a file")).hint(format!("separate metrics by commas: `-m …,{name}`")));
    }
    if systems.is_empty() {
        systems.push("-".to_owned());
    }
    let request = Request {
        references,
        systems,
        source: args.perplexity.source.clone(),
        references_optional: !args.compares(),
        texts_only,
        whole_files: args.whole_files() && model.is_some_and(|m| !m.needs_source()),
    };
    let options = segments::Options {
        format: args.columns.input_format,
        ref_column: args.columns.ref_column.clone(),
        hyp_column: args.columns.hyp_column.clone(),
        source_column: args.perplexity.source_column.clone(),
    };
    segments::load(&request, &options)
}
