//! `typical_p` p, locally typical sampling (Meister et al. 2022, arXiv 2202.00666): with H the entropy, tokens are ordered by
//! |−log q − H|; the first whose probabilities together reach p stay, and so do equals of the last of them.

use super::normalize::{finite, log_softmax_of, softmax_of};
use super::{Made, Processor, Row, keep_at_least};
use crate::decode::settings::Generation;

struct Typical {
    mass: f32,
    keep: usize,
}

pub(super) fn make(settings: &Generation) -> Made {
    let (mass, keep) = (settings.typical_p as f32, keep_at_least(settings));
    (settings.typical_p < 1.0).then(|| Box::new(Typical { mass, keep }) as _)
}

impl Processor for Typical {
    fn apply(&self, _: &Row, scores: &mut [f32]) {
        let alive = finite(scores);
        let logs = log_softmax_of(&alive, scores);
        let entropy = -logs.iter().map(|l| f64::from(l * l.exp())).sum::<f64>() as f32;
        let mut order: Vec<(f32, usize)> = logs.iter().zip(&alive).map(|(l, &t)| ((-l - entropy).abs(), t)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let tokens: Vec<usize> = order.iter().map(|o| o.1).collect();
        let mut sum = 0f64;
        let below = |p: &f32| {
            sum += f64::from(*p);
            (sum as f32) < self.mass
        };
        let last = softmax_of(&tokens, scores).iter().map(below).filter(|b| *b).count();
        let Some(limit) = order.get(last.min(order.len().saturating_sub(1))).map(|o| o.0) else { return };
        for &(distance, token) in order.iter().skip(self.keep) {
            if distance > limit {
                scores[token] = f32::NEG_INFINITY;
            }
        }
    }
}
