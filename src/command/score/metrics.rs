//! The options of the metrics, from the arguments.

use super::args::{Definition, ScoreArgs};
use super::options::RougeReferences;
use crate::error::Result;
use crate::metric::bleu::BleuOptions;
use crate::metric::chrf::ChrfOptions;
use crate::metric::registry::Options;
use crate::metric::rouge::{Aggregation, Punkt, RougeOptions, Split};
use crate::metric::ter::TerOptions;
use std::path::Path;
use std::sync::Arc;

/// What the arguments say of each metric.
pub fn options(args: &ScoreArgs) -> Result<Options> {
    let (bleu, chrf, ter, rouge) = (&args.bleu, &args.chrf, &args.ter, &args.rouge);
    Ok(Options {
        bleu: BleuOptions {
            tokenizer: bleu.tokenize,
            smoothing: bleu.smooth_method,
            smooth_value: bleu.smooth_value,
            lowercase: bleu.lowercase,
            effective_order: bleu.effective_order || args.sentence_level,
            ..BleuOptions::default()
        },
        chrf: ChrfOptions {
            char_order: chrf.chrf_char_order,
            word_order: chrf.chrf_word_order,
            beta: chrf.chrf_beta,
            lowercase: chrf.chrf_lowercase,
            whitespace: chrf.chrf_whitespace,
            eps_smoothing: chrf.chrf_eps_smoothing,
        },
        ter: TerOptions {
            normalized: ter.ter_normalized,
            no_punct: ter.ter_no_punct,
            asian_support: ter.ter_asian_support,
            case_sensitive: ter.ter_case_sensitive,
        },
        rouge: RougeOptions {
            use_stemmer: rouge.use_stemmer,
            unicode: rouge.unicode,
            split: match rouge.split_summaries.as_deref() {
                None => Split::Newline,
                Some(rule) if rule == Path::new("rule") => Split::Rule,
                Some(dir) => Split::Punkt(Arc::new(Punkt::open(dir)?)),
            },
            references: match rouge.rouge_references {
                RougeReferences::Best => Aggregation::Best,
                RougeReferences::Average => Aggregation::Average,
            },
            ..RougeOptions::default()
        },
        strabel: (args.definition == Definition::Strabel).then(|| bleu.weights.clone()),
    })
}
