//! Softmax and log-softmax in f32 with the largest score subtracted, and the two rules about the scores' form:
//! `remove_invalid_values` (infinities become the largest numbers) and `renormalize_logits` (log-softmax after all else).
//!
//! transformers' `remove_invalid_values` also turns "not a number" into 0; here that never comes so far, see [`crate::decode::search`].
//! Powers and sums of the log-softmax run in f64: torch sums f32 in lanes, whose order no other program can repeat, and both stay within
//! one unit of the truth.

use super::{Made, Processor, Row};
use crate::decode::settings::Generation;
use crate::kernel::elementwise::log_sum_exp;

struct RemoveInvalid;
struct Renormalize;

pub(super) fn remove_invalid(settings: &Generation) -> Made {
    settings.remove_invalid_values.then(|| Box::new(RemoveInvalid) as _)
}

pub(super) fn renormalize(settings: &Generation) -> Made {
    settings.renormalize_logits.then(|| Box::new(Renormalize) as _)
}

impl Processor for RemoveInvalid {
    fn apply(&self, _: &Row, scores: &mut [f32]) {
        scores.iter_mut().for_each(|s| *s = s.clamp(f32::MIN, f32::MAX));
    }
}

impl Processor for Renormalize {
    fn apply(&self, _: &Row, scores: &mut [f32]) {
        log_softmax(scores);
    }
}

fn largest(scores: impl Iterator<Item = f32>) -> f32 {
    scores.fold(f32::NEG_INFINITY, f32::max)
}

/// log softmax: s − max − log Σ exp(s − max). Rows without any finite score stay as they are.
pub(crate) fn log_softmax(scores: &mut [f32]) {
    let (max, sum) = log_sum_exp(scores);
    if max == f32::NEG_INFINITY {
        return;
    }
    let log = (sum as f32).ln();
    scores.iter_mut().for_each(|s| *s = *s - max - log);
}

/// The tokens that are not removed, ascending.
pub(super) fn finite(scores: &[f32]) -> Vec<usize> {
    (0..scores.len()).filter(|&t| scores[t] > f32::NEG_INFINITY).collect()
}

/// The log-probabilities of `tokens`, which are all that are not removed.
pub(super) fn log_softmax_of(tokens: &[usize], scores: &[f32]) -> Vec<f32> {
    let mut some: Vec<f32> = tokens.iter().map(|&t| scores[t]).collect();
    log_softmax(&mut some);
    some
}

/// The probabilities of `tokens`, which are all that are not removed.
pub(super) fn softmax_of(tokens: &[usize], scores: &[f32]) -> Vec<f32> {
    let max = largest(tokens.iter().map(|&t| scores[t]));
    let some: Vec<f32> = tokens.iter().map(|&t| (scores[t] - max).exp()).collect();
    let sum = some.iter().map(|p| f64::from(*p)).sum::<f64>() as f32;
    some.into_iter().map(|p| p / sum).collect()
}
