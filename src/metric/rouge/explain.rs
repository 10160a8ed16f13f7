//! Which tool's number a score is.

use super::{Aggregation, RougeOptions, RougeType, Split};

const L: &str = "Whole texts, without regard to sentences. Many published figures called ROUGE-L are `rougeLsum`, or ROUGE-1.5.5 with one \
    sentence a line; compare with a paper only once it says which.";

const LSUM: &str = "Sentence by sentence: what many published figures called ROUGE-L are. Texts need one sentence a line, or a splitter: of texts in one line it equals `rougeL`.";

const OTHERS: &str = "Not the `mid` of rouge_score's BootstrapAggregator, the median of means of resamples drawn without a seed (evaluate \
    and older transformers scripts print it). Not ROUGE-1.5.5, nor its wrappers pyrouge and files2rouge: where they stem, they know \
    WordNet's exceptions; they round to five decimals and average over resamples. Not py-rouge, nor the package `rouge`.";

/// What equals the score, and what does not.
pub(super) fn explain(options: &RougeOptions, kind: RougeType) -> String {
    let mut lines = vec![equal(options, kind)];
    lines.extend(differences(options, kind).map(|what| format!("But {what}.")));
    match kind {
        RougeType::N(_) => {}
        RougeType::L => lines.push(L.to_owned()),
        RougeType::Lsum => lines.push(LSUM.to_owned()),
    }
    lines.push(OTHERS.to_owned());
    lines.join("\n")
}

fn equal(options: &RougeOptions, kind: RougeType) -> String {
    let name = kind.name();
    let stem = if options.use_stemmer { "True" } else { "False" };
    let split = match (kind, &options.split) {
        (RougeType::Lsum, Split::Punkt(_)) => ", split_summaries=True",
        _ => "",
    };
    format!(
        "100 times the plain mean over segments of rouge_score 0.1.2: \
         `RougeScorer(['{name}'], use_stemmer={stem}{split}).score_multi(references, hypothesis)['{name}'].fmeasure`."
    )
}

fn differences(options: &RougeOptions, kind: RougeType) -> impl Iterator<Item = &'static str> {
    let rule = kind == RougeType::Lsum && matches!(options.split, Split::Rule);
    [
        (options.unicode, "words are letters of any script, of which rouge_score knows only `a-z0-9`"),
        (rule, "sentences also end where rules of our own say, which are not NLTK's"),
        (
            options.references == Aggregation::Average,
            "matches and counts are summed over the references, as ROUGE-1.5.5's scoring formula A does, without its rounding to five \
             decimals; with one reference that changes nothing",
        ),
    ]
    .into_iter()
    .filter_map(|(differs, what)| differs.then_some(what))
}
