//! `top_p` p, nucleus sampling (Holtzman et al. 2019, arXiv 1904.09751): with probabilities summed from the smallest up, removes the
//! tokens whose sum is at most 1 − p.
//!
//! Tokens that are removed already have no probability and stay removed: only the others are sorted.

use super::normalize::{finite, softmax_of};
use super::{Made, Processor, Row, keep_at_least};
use crate::decode::settings::Generation;

struct TopP {
    rest: f32,
    keep: usize,
}

pub(super) fn make(settings: &Generation) -> Made {
    let (rest, keep) = ((1.0 - settings.top_p) as f32, keep_at_least(settings));
    (settings.top_p < 1.0).then(|| Box::new(TopP { rest, keep }) as _)
}

impl Processor for TopP {
    fn apply(&self, _: &Row, scores: &mut [f32]) {
        let mut order = finite(scores);
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let probabilities = softmax_of(&order, scores);
        let mut sum = 0f64; // torch sums f32 in f64 and rounds each partial sum
        for (&token, p) in order.iter().zip(probabilities).take(order.len().saturating_sub(self.keep)) {
            sum += f64::from(p);
            if sum as f32 <= self.rest {
                scores[token] = f32::NEG_INFINITY;
            }
        }
    }
}
