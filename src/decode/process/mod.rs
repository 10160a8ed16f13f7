//! What is done to the scores of a row before a token is chosen: a [`Chain`] of rules, one file each.
//!
//! Source: `transformers/generation/logits_process.py` and `_get_logits_processor` in `utils.py`, 5.23. In greedy search and
//! sampling the scores are logits; in beam search they are log-probabilities, which the rules leave unnormalised.
//! "Remove" means a score of minus infinity.

mod bad_words;
mod cutoff;
mod decay;
mod forced;
mod length;
mod min_p;
mod ngram;
mod normalize;
mod repetition;
mod suppress;
mod temperature;
mod top_k;
mod top_p;
mod typical;

use super::settings::Generation;
use super::stop::Lengths;
pub(super) use normalize::log_softmax;

/// What a rule may know of the row whose scores it changes.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The decoder's tokens so far, prompt included.
    pub tokens: &'a [u32],
    /// The row's lengths.
    pub lengths: Lengths,
}

/// One rule.
trait Processor: Send + Sync {
    /// Changes the scores of the next token, one a token of the vocabulary.
    fn apply(&self, row: &Row, scores: &mut [f32]);
}

/// A rule, if the settings ask for it.
type Made = Option<Box<dyn Processor>>;

/// All rules in the order in which they run.
const ORDER: &[fn(&Generation) -> Made] = &[
    repetition::make,
    ngram::make,
    bad_words::make,
    length::make,
    forced::bos,
    forced::eos,
    normalize::remove_invalid,
    decay::make,
    suppress::always,
    suppress::at_begin,
];

/// The rules that run after those, and only where tokens are drawn.
const DRAWN: &[fn(&Generation) -> Made] =
    &[temperature::make, top_k::make, top_p::make, min_p::make, typical::make, cutoff::epsilon, cutoff::eta];

/// The rules that the settings ask for, in order.
pub struct Chain(Vec<Box<dyn Processor>>);

impl Chain {
    /// The chain of these settings.
    pub fn new(settings: &Generation) -> Self {
        let drawn = if settings.do_sample { DRAWN } else { &[] };
        Self(ORDER.iter().chain(drawn).chain(&[normalize::renormalize as fn(&_) -> _]).filter_map(|make| make(settings)).collect())
    }

    /// Changes the scores of `row`'s next token.
    pub fn apply(&self, row: &Row, scores: &mut [f32]) {
        self.0.iter().for_each(|rule| rule.apply(row, scores));
    }
}

/// How many tokens the rules for drawing leave at least: in beam search one that is not an end token.
fn keep_at_least(settings: &Generation) -> usize {
    if settings.num_beams > 1 { settings.eos.len().max(1) + 1 } else { 1 }
}

/// Removes tokens; ids beyond the vocabulary are nobody's.
fn remove(scores: &mut [f32], tokens: &[u32]) {
    for &token in tokens {
        if let Some(score) = scores.get_mut(token as usize) {
            *score = f32::NEG_INFINITY;
        }
    }
}

/// The k-th largest score (k from 1; the smallest if there are fewer).
fn kth_largest(scores: &[f32], k: usize) -> f32 {
    let mut copy = scores.to_vec();
    let k = k.clamp(1, copy.len());
    *copy.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1
}
