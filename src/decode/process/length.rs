//! `min_length` and `min_new_tokens`: removes every end token while the row is shorter than its least length.
//!
//! transformers has a rule for each; there as here `min_new_tokens` replaces `min_length`, so one suffices.

use super::{Made, Processor, Row, remove};
use crate::decode::settings::Generation;

struct MinLength(Vec<u32>);

pub(super) fn make(settings: &Generation) -> Made {
    let asked = settings.min_length > 0 || settings.min_new_tokens.is_some_and(|n| n > 0);
    (asked && !settings.eos.is_empty()).then(|| Box::new(MinLength(settings.eos.clone())) as _)
}

impl Processor for MinLength {
    fn apply(&self, row: &Row, scores: &mut [f32]) {
        if row.tokens.len() < row.lengths.min {
            remove(scores, &self.0);
        }
    }
}
