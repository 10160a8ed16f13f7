//! `exponential_decay_length_penalty` (start, f): when a row has L tokens, more than R = start + prompt, each finite score s of an
//! end token becomes s + |s|·(f^(L − R) − 1).

use super::{Made, Processor, Row};
use crate::decode::settings::Generation;

struct Decay {
    start: usize,
    factor: f64,
    eos: Vec<u32>,
}

pub(super) fn make(settings: &Generation) -> Made {
    let (start, factor) = settings.exponential_decay_length_penalty?;
    Some(Box::new(Decay { start, factor, eos: settings.eos.clone() }))
}

impl Processor for Decay {
    fn apply(&self, row: &Row, scores: &mut [f32]) {
        let start = self.start + row.lengths.prompt;
        if row.tokens.len() <= start {
            return;
        }
        let growth = (self.factor.powf((row.tokens.len() - start) as f64) - 1.0) as f32;
        let mut eos = self.eos.clone();
        eos.sort_unstable();
        eos.dedup();
        for token in eos {
            if let Some(score) = scores.get_mut(token as usize).filter(|s| s.is_finite()) {
                *score += score.abs() * growth;
            }
        }
    }
}
