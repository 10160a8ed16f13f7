//! `forced_bos_token_id`: after one token, that token follows. `forced_eos_token_id`: at the last position, one of these stands.
//! All other tokens are removed and the forced ones score 0.
//!
//! Later rules may still change that: `suppress_tokens` removes a forced token, too.

use super::{Made, Processor, Row};
use crate::decode::settings::Generation;

struct Bos(u32);
struct Eos(Vec<u32>);

pub(super) fn bos(settings: &Generation) -> Made {
    settings.forced_bos.map(|token| Box::new(Bos(token)) as _)
}

pub(super) fn eos(settings: &Generation) -> Made {
    (!settings.forced_eos.is_empty()).then(|| Box::new(Eos(settings.forced_eos.clone())) as _)
}

fn force(scores: &mut [f32], tokens: &[u32]) {
    scores.fill(f32::NEG_INFINITY);
    for &token in tokens {
        if let Some(score) = scores.get_mut(token as usize) {
            *score = 0.0;
        }
    }
}

impl Processor for Bos {
    fn apply(&self, row: &Row, scores: &mut [f32]) {
        if row.tokens.len() == 1 {
            force(scores, &[self.0]);
        }
    }
}

impl Processor for Eos {
    fn apply(&self, row: &Row, scores: &mut [f32]) {
        if row.tokens.len() + 1 == row.lengths.max {
            force(scores, &self.0);
        }
    }
}
