//! `suppress_tokens`: removed always. `begin_suppress_tokens`: removed at the first position that is not forced.

use super::{Made, Processor, Row, remove};
use crate::decode::settings::Generation;

struct Always(Vec<u32>);
struct AtBegin {
    tokens: Vec<u32>,
    forced_bos: bool,
}

pub(super) fn always(settings: &Generation) -> Made {
    (!settings.suppress_tokens.is_empty()).then(|| Box::new(Always(settings.suppress_tokens.clone())) as _)
}

pub(super) fn at_begin(settings: &Generation) -> Made {
    let tokens = settings.begin_suppress_tokens.clone();
    (!tokens.is_empty()).then(|| Box::new(AtBegin { tokens, forced_bos: settings.forced_bos.is_some() }) as _)
}

impl Processor for Always {
    fn apply(&self, _: &Row, scores: &mut [f32]) {
        remove(scores, &self.0);
    }
}

impl Processor for AtBegin {
    fn apply(&self, row: &Row, scores: &mut [f32]) {
        let prompt = row.lengths.prompt;
        let begin = if prompt == 1 && self.forced_bos { 2 } else { prompt };
        if row.tokens.len() == begin {
            remove(scores, &self.tokens);
        }
    }
}
