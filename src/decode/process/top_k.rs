//! `top_k` (Fan et al. 2018, arXiv 1805.04833): removes every score below the k-th largest; equals of the k-th stay.

use super::{Made, Processor, Row, keep_at_least, kth_largest};
use crate::decode::settings::Generation;

struct TopK(usize);

pub(super) fn make(settings: &Generation) -> Made {
    (settings.top_k > 0).then(|| Box::new(TopK(settings.top_k.max(keep_at_least(settings)))) as _)
}

impl Processor for TopK {
    fn apply(&self, _: &Row, scores: &mut [f32]) {
        let least = kth_largest(scores, self.0);
        scores.iter_mut().filter(|s| **s < least).for_each(|s| *s = f32::NEG_INFINITY);
    }
}
