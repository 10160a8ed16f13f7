//! `repetition_penalty` p (CTRL, Keskar et al. 2019, arXiv 1909.05858): each distinct token of the row so far has its score s
//! replaced by s·p if s < 0, else s/p.
//!
//! Log-probabilities are never positive, so in beam search this always multiplies.

use super::{Made, Processor, Row};
use crate::decode::settings::Generation;

struct Repetition(f32);

pub(super) fn make(settings: &Generation) -> Made {
    (settings.repetition_penalty != 1.0).then(|| Box::new(Repetition(settings.repetition_penalty as f32)) as _)
}

impl Processor for Repetition {
    fn apply(&self, row: &Row, scores: &mut [f32]) {
        let mut distinct = row.tokens.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        for token in distinct {
            if let Some(score) = scores.get_mut(token as usize) {
                *score = if *score < 0.0 { *score * self.0 } else { *score / self.0 };
            }
        }
    }
}
