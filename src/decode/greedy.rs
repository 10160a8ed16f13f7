//! Greedy search: the token with the highest score; of equals the lowest id.

use super::rows::Pick;
use crate::error::Result;

pub(super) struct Greedy;

impl Pick for Greedy {
    fn pick(&mut self, scores: &[f32]) -> Result<u32> {
        let mut best = 0;
        for (token, score) in scores.iter().enumerate() {
            if *score > scores[best] {
                best = token;
            }
        }
        Ok(best as u32)
    }
}
