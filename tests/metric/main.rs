//! Metrics against sacreBLEU, rouge_score and numpy: every number of `fixtures/text/expected`.

mod bleu;
mod chrf;
mod punkt;
mod rouge;
mod significance;
mod support;
mod ter;
