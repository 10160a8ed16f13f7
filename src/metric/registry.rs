//! Which metrics there are: one line each. The command line, `effattn list` and the documentation are driven by it.

use super::bleu::{Bleu, BleuOptions};
use super::chrf::{Chrf, ChrfOptions};
use super::rouge::{Rouge, RougeOptions, RougeType};
use super::strabel::{StrabelBleu, StrabelRouge};
use super::ter::{Ter, TerOptions};
use super::{Compare, perplexity};
use crate::error::{Error, Result};

/// A metric as the command line names it.
pub struct Entry {
    /// Its names; those of one entry are computed together.
    pub names: &'static [&'static str],
    /// What it measures.
    pub summary: &'static str,
    /// Whose numbers it gives.
    pub equals: &'static str,
    /// Makes one object for those of its names that are asked for; `None` where a model makes the numbers.
    pub build: Option<Build>,
}

type Build = fn(&[&str], &Options) -> Result<Box<dyn Compare>>;

/// All metrics.
pub const REGISTRY: &[Entry] = &[
    Entry { names: &["bleu"], summary: "precision of word n-grams, 0–100", equals: "sacreBLEU 2.6.0", build: Some(bleu) },
    Entry { names: &["chrf"], summary: "F of character n-grams, 0–100", equals: "sacreBLEU 2.6.0", build: Some(chrf) },
    Entry { names: &["chrf++"], summary: "chrF with word bigrams, 0–100", equals: "sacreBLEU 2.6.0", build: Some(chrf_plus) },
    Entry { names: &["ter"], summary: "edits and shifts a reference word, %", equals: "sacreBLEU 2.6.0", build: Some(ter) },
    Entry { names: ROUGE, summary: "F of word n-grams or common subsequences, 0–100", equals: "rouge_score 0.1.2", build: Some(rouge) },
    Entry { names: &["ppl"], summary: "perplexity of a model, a token, word and byte", equals: perplexity::EQUALS, build: None },
];

const ROUGE: &[&str] = &["rouge1", "rouge2", "rouge3", "rouge4", "rouge5", "rouge6", "rouge7", "rouge8", "rouge9", "rougeL", "rougeLsum"];

/// How the metrics are to be computed.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// BLEU.
    pub bleu: BleuOptions,
    /// chrF; chrF++ has its own word order.
    pub chrf: ChrfOptions,
    /// TER.
    pub ter: TerOptions,
    /// ROUGE; its types come from the names.
    pub rouge: RougeOptions,
    /// Strabel's definitions instead, with these weights of BLEU if any are given.
    pub strabel: Option<Option<Vec<f64>>>,
}

/// What was asked for: objects, and the scores in the order of their names.
pub struct Selection {
    /// The metrics that compare texts.
    pub metrics: Vec<Box<dyn Compare>>,
    /// (metric, score of it), one a name; the index after the last metric stands for perplexity.
    pub columns: Vec<(usize, usize)>,
}

/// Makes the metrics of these names. Fails on a name that is none, or that stands twice.
pub fn select(names: &[String], options: &Options) -> Result<Selection> {
    let found = names.iter().map(|n| find(n)).collect::<Result<Vec<_>>>()?;
    if let Some((i, (_, name))) = found.iter().enumerate().find(|(i, f)| found[..*i].iter().any(|g| g.1 == f.1)) {
        return Err(Error::usage(format!("the metric `{name}` stands twice")).hint(format!("leave out `{}`", names[i])));
    }
    let mut metrics: Vec<Box<dyn Compare>> = Vec::new();
    let mut place = Vec::new(); // (entry, metric)
    let mut columns = vec![None; found.len()];
    for (e, entry) in REGISTRY.iter().enumerate() {
        let own: Vec<&str> = found.iter().filter(|f| f.0 == e).map(|f| f.1).collect();
        if own.is_empty() {
            continue;
        }
        let Some(build) = entry.build else {
            undefined(own[0], options)?;
            continue;
        };
        metrics.push(build(&own, options)?);
        place.push((e, metrics.len() - 1));
    }
    for (column, (e, name)) in columns.iter_mut().zip(&found) {
        let metric = place.iter().find(|p| p.0 == *e).map_or(metrics.len(), |p| p.1);
        let before = found.iter().filter(|f| f.0 == *e).position(|f| f.1 == *name);
        *column = Some((metric, before.unwrap_or(0)));
    }
    let titles: Vec<String> = metrics.iter().flat_map(|m| m.titles()).collect();
    if let Some((_, title)) = titles.iter().enumerate().find(|(i, title)| titles[..*i].contains(title)) {
        return Err(Error::usage(format!("two of the metrics are `{title}`")).hint("leave out one of them"));
    }
    Ok(Selection { metrics, columns: columns.into_iter().flatten().collect() })
}

/// The entry and its own spelling of a name.
fn find(name: &str) -> Result<(usize, &'static str)> {
    let spelled = |e: &Entry| e.names.iter().find(|n| n.eq_ignore_ascii_case(name.trim())).copied();
    REGISTRY
        .iter()
        .enumerate()
        .find_map(|(i, e)| spelled(e).map(|n| (i, n)))
        .ok_or_else(|| Error::usage(format!("there is no metric `{name}`")).hint(format!("there are {}", every_name().join(", "))))
}

/// Whether `text` is the name of a metric.
pub fn is_name(text: &str) -> bool {
    find(text).is_ok()
}

fn every_name() -> Vec<&'static str> {
    REGISTRY.iter().flat_map(|e| e.names).copied().collect()
}

fn bleu(_: &[&str], options: &Options) -> Result<Box<dyn Compare>> {
    Ok(match &options.strabel {
        Some(None) => Box::new(StrabelBleu::default()),
        Some(Some(weights)) => Box::new(StrabelBleu::new(weights.clone())?),
        None => Box::new(Bleu::new(options.bleu.clone())?),
    })
}

fn chrf(_: &[&str], options: &Options) -> Result<Box<dyn Compare>> {
    undefined("chrf", options)?;
    Ok(Box::new(Chrf::new(options.chrf.clone())?))
}

fn chrf_plus(_: &[&str], options: &Options) -> Result<Box<dyn Compare>> {
    undefined("chrf++", options)?;
    Ok(Box::new(Chrf::new(ChrfOptions { word_order: 2, ..options.chrf.clone() })?))
}

fn ter(_: &[&str], options: &Options) -> Result<Box<dyn Compare>> {
    undefined("ter", options)?;
    Ok(Box::new(Ter::new(options.ter)))
}

fn rouge(names: &[&str], options: &Options) -> Result<Box<dyn Compare>> {
    if options.strabel.is_none() {
        let types = names.iter().map(|n| n.parse::<RougeType>()).collect::<Result<_>>()?;
        return Ok(Box::new(Rouge::new(RougeOptions { types, ..options.rouge.clone() })?));
    }
    let order = |name: &&str| name.trim_start_matches("rouge").parse().map_err(|_| undefined_error(name));
    Ok(Box::new(StrabelRouge::new(names.iter().map(order).collect::<Result<_>>()?)))
}

fn undefined(name: &str, options: &Options) -> Result<()> {
    if options.strabel.is_some() { Err(undefined_error(name)) } else { Ok(()) }
}

fn undefined_error(name: &str) -> Error {
    Error::usage(format!("`--definition strabel` knows no `{name}`")).hint("it defines bleu and rouge1 … rouge9: name them with `-m`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<(usize, usize)> {
        select(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(), &Options::default()).unwrap().columns
    }

    #[test]
    fn one_object_for_all_types_of_rouge_and_the_order_asked_for() {
        assert_eq!(columns(&["rouge2", "bleu", "rougelsum", "ROUGE1"]), [(1, 0), (0, 0), (1, 1), (1, 2)]);
        assert_eq!(columns(&["ppl", "ter"]), [(1, 0), (0, 0)]);
    }

    #[test]
    fn wrong_names_are_refused() {
        let error = |names: &[&str], options: Options| {
            select(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(), &options).err().map(|e| e.message().to_owned())
        };
        assert_eq!(error(&["blue"], Options::default()).as_deref(), Some("there is no metric `blue`"));
        assert_eq!(error(&["bleu", "BLEU"], Options::default()).as_deref(), Some("the metric `bleu` stands twice"));
        let strabel = || Options { strabel: Some(None), ..Options::default() };
        assert_eq!(error(&["ter"], strabel()).as_deref(), Some("`--definition strabel` knows no `ter`"));
        assert_eq!(error(&["rougeL"], strabel()).as_deref(), Some("`--definition strabel` knows no `rougeL`"));
        assert_eq!(error(&["ppl"], strabel()).as_deref(), Some("`--definition strabel` knows no `ppl`"));
        assert_eq!(error(&["bleu", "rouge2"], strabel()), None);
        let twice = Options { chrf: ChrfOptions { word_order: 2, ..ChrfOptions::default() }, ..Options::default() };
        assert_eq!(error(&["chrf", "chrf++"], twice).as_deref(), Some("two of the metrics are `chrF2++`"));
    }
}
