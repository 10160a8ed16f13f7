//! `epsilon_cutoff` ε and `eta_cutoff` ε (Hewitt et al. 2022, arXiv 2210.15191): removes tokens with a probability below ε, or below
//! min(ε, √ε·exp(−H)) with H the entropy. The best tokens stay.

use super::normalize::{finite, log_softmax_of, softmax_of};
use super::{Made, Processor, Row, keep_at_least, kth_largest};
use crate::decode::settings::Generation;

struct Epsilon {
    least: f32,
    keep: usize,
}

struct Eta {
    least: f32,
    keep: usize,
}

pub(super) fn epsilon(settings: &Generation) -> Made {
    let (least, keep) = (settings.epsilon_cutoff as f32, keep_at_least(settings));
    (settings.epsilon_cutoff > 0.0).then(|| Box::new(Epsilon { least, keep }) as _)
}

pub(super) fn eta(settings: &Generation) -> Made {
    let (least, keep) = (settings.eta_cutoff as f32, keep_at_least(settings));
    (settings.eta_cutoff > 0.0).then(|| Box::new(Eta { least, keep }) as _)
}

fn cut(scores: &mut [f32], least: f32, keep: usize) {
    let safe = kth_largest(scores, keep);
    let alive = finite(scores);
    for (token, p) in alive.iter().zip(softmax_of(&alive, scores)) {
        if p < least && scores[*token] < safe {
            scores[*token] = f32::NEG_INFINITY;
        }
    }
}

impl Processor for Epsilon {
    fn apply(&self, _: &Row, scores: &mut [f32]) {
        cut(scores, self.least, self.keep);
    }
}

impl Processor for Eta {
    fn apply(&self, _: &Row, scores: &mut [f32]) {
        let logs = log_softmax_of(&finite(scores), scores);
        let entropy = -logs.iter().map(|l| f64::from(l * l.exp())).sum::<f64>() as f32;
        cut(scores, self.least.min(self.least.sqrt() * (-entropy).exp()), self.keep);
    }
}
