//! Greedy search: the token with the highest score; of equals the lowest id.

use super::rows::Pick;
use crate::error::Result;

pub(super) struct Greedy;

impl Pick for Greedy {
    fn pick(&mut self, scores: &[f32]) -> Result<u32> {
        // first the highest score, in lanes that do not wait for each other, then the first that has it
        let (lines, rest) = scores.as_chunks::<32>();
        let mut top = [f32::NEG_INFINITY; 32];
        for line in lines {
            top.iter_mut().zip(line).for_each(|(top, s)| *top = if *s > *top { *s } else { *top });
        }
        let top = top.iter().chain(rest).fold(f32::NEG_INFINITY, |top, s| if *s > top { *s } else { top });
        Ok(scores.iter().position(|s| *s == top).unwrap_or(0) as u32)
    }
}
