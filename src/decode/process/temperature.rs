//! `temperature` T: every score is divided by T. 0 never comes here: it means no draw (see [`crate::decode::settings::Overrides`]).

use super::{Made, Processor, Row};
use crate::decode::settings::Generation;

struct Temperature(f32);

pub(super) fn make(settings: &Generation) -> Made {
    (settings.temperature != 1.0).then(|| Box::new(Temperature(settings.temperature as f32)) as _)
}

impl Processor for Temperature {
    fn apply(&self, _: &Row, scores: &mut [f32]) {
        scores.iter_mut().for_each(|s| *s /= self.0);
    }
}
