//! `no_repeat_ngram_size` n (Paulus et al. 2017, arXiv 1705.04304, as in fairseq): removes every token that followed an earlier
//! occurrence of the row's last n − 1 tokens. With n = 1 that is every token of the row.

use super::{Made, Processor, Row, remove};
use crate::decode::settings::Generation;

struct NoRepeat(usize);

pub(super) fn make(settings: &Generation) -> Made {
    (settings.no_repeat_ngram_size > 0).then(|| Box::new(NoRepeat(settings.no_repeat_ngram_size)) as _)
}

impl Processor for NoRepeat {
    fn apply(&self, row: &Row, scores: &mut [f32]) {
        let Some(start) = (row.tokens.len() + 1).checked_sub(self.0) else { return };
        let tail = &row.tokens[start..];
        for window in row.tokens.windows(self.0) {
            let (last, head) = (window[self.0 - 1], &window[..self.0 - 1]);
            if head == tail {
                remove(scores, &[last]);
            }
        }
    }
}
