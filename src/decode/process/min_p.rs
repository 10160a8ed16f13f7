//! `min_p` m (Nguyen et al. 2024, arXiv 2407.01082): removes tokens with a probability below m times the best one's.

use super::normalize::{finite, softmax_of};
use super::{Made, Processor, Row, keep_at_least};
use crate::decode::settings::Generation;

struct MinP {
    share: f32,
    keep: usize,
}

pub(super) fn make(settings: &Generation) -> Made {
    let (share, keep) = (settings.min_p as f32, keep_at_least(settings));
    (settings.min_p > 0.0).then(|| Box::new(MinP { share, keep }) as _)
}

impl Processor for MinP {
    fn apply(&self, _: &Row, scores: &mut [f32]) {
        let mut order = finite(scores);
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let probabilities = softmax_of(&order, scores);
        let least = self.share * probabilities.first().copied().unwrap_or(0.0);
        for (&token, p) in order.iter().zip(&probabilities).skip(self.keep) {
            if *p < least {
                scores[token] = f32::NEG_INFINITY;
            }
        }
    }
}
