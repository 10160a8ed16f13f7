//! Options of metrics that nobody asked for: a user who gives one expects it to change something.

use super::args::{Definition, ScoreArgs};
use super::options::{Bos, RougeReferences};
use crate::error::{Error, Result};
use crate::metric::bleu::Smoothing;
use crate::metric::tokenize::Tokenizer;

/// Refuses the first option that would change nothing.
pub(super) fn check(args: &ScoreArgs) -> Result<()> {
    let names: Vec<String> = args.names().iter().map(|n| n.trim().to_ascii_lowercase()).collect();
    let standard = args.definition == Definition::Standard;
    let asked = |prefix: &str| names.iter().any(|n| n.starts_with(prefix));
    let families = [
        (asked("bleu") && standard, "bleu", bleu(args)),
        (asked("bleu") && !standard, "bleu with `--definition strabel`", vec![(args.bleu.weights.is_some(), "weights")]),
        (asked("chrf"), "chrf", chrf(args)),
        (asked("ter"), "ter", ter(args)),
        (asked("rouge") && standard, "rouge1 … rouge9, rougeL, rougeLsum", rouge(args)),
        (names.iter().any(|n| n == "rougelsum"), "rougeLsum", vec![(args.rouge.split_summaries.is_some(), "split-summaries")]),
        (args.perplexes(), "ppl", perplexity(args)),
    ];
    for (used, family, options) in families {
        if let Some((_, option)) = options.iter().find(|(given, _)| *given && !used) {
            return Err(Error::usage(format!("`--{option}` belongs to {family}, which nobody asked for"))
                .hint(format!("leave it out, or name the metric with `-m`; asked for: {}", args.names().join(","))));
        }
    }
    let takes_value = matches!(args.bleu.smooth_method, Smoothing::Floor | Smoothing::AddK);
    if args.bleu.smooth_value.is_some() && !takes_value {
        return Err(Error::usage(format!("`--smooth-method {}` takes no value", args.bleu.smooth_method.name()))
            .hint("leave out `--smooth-value`, or smooth by floor or add-k"));
    }
    Ok(())
}

type Given = Vec<(bool, &'static str)>;

fn bleu(args: &ScoreArgs) -> Given {
    let own = &args.bleu;
    vec![
        (own.tokenize != Tokenizer::default(), "tokenize"),
        (own.smooth_method != Smoothing::default(), "smooth-method"),
        (own.smooth_value.is_some(), "smooth-value"),
        (own.lowercase, "lowercase"),
        (own.effective_order, "effective-order"),
    ]
}

fn chrf(args: &ScoreArgs) -> Given {
    let own = &args.chrf;
    vec![
        (own.chrf_char_order != 6, "chrf-char-order"),
        (own.chrf_word_order != 0, "chrf-word-order"),
        (own.chrf_beta != 2, "chrf-beta"),
        (own.chrf_whitespace, "chrf-whitespace"),
        (own.chrf_lowercase, "chrf-lowercase"),
        (own.chrf_eps_smoothing, "chrf-eps-smoothing"),
    ]
}

fn ter(args: &ScoreArgs) -> Given {
    let own = &args.ter;
    vec![
        (own.ter_case_sensitive, "ter-case-sensitive"),
        (own.ter_asian_support, "ter-asian-support"),
        (own.ter_no_punct, "ter-no-punct"),
        (own.ter_normalized, "ter-normalized"),
    ]
}

fn rouge(args: &ScoreArgs) -> Given {
    let own = &args.rouge;
    vec![(own.use_stemmer, "use-stemmer"), (own.rouge_references != RougeReferences::Best, "rouge-references"), (own.unicode, "unicode")]
}

fn perplexity(args: &ScoreArgs) -> Given {
    let own = &args.perplexity;
    vec![
        (own.model.is_some(), "model"),
        (own.hub.revision.is_some(), "revision"),
        (own.hub.download, "download"),
        (own.weights.random_weights, "random-weights"),
        (own.source.is_some(), "source"),
        (own.source_column.is_some(), "source-column"),
        (own.source_prefix.is_some(), "source-prefix"),
        (own.context.is_some(), "context"),
        (own.stride.is_some(), "stride"),
        (own.rolling, "rolling"),
        (own.carry, "carry"),
        (own.segment.is_some(), "segment"),
        (own.bos != Bos::First, "bos"),
        (own.hf_weighting, "hf-weighting"),
    ]
}
