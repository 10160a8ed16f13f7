//! What a case will need of the memory, told before anything of it is built.

use super::case::Case;
use super::work::together;
use crate::checkpoint::Outline;
use crate::report::bytes;

/// What the program itself takes, its default model included.
const PROGRAM: usize = 48 << 20;

/// Bytes that a case will need at its peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// Weights in memory, all of them, as the model holds them.
    pub weights: usize,
    /// State, activations and logits of all its rows.
    pub work: usize,
}

impl Forecast {
    /// Of a case.
    pub fn of(outline: &Outline, case: &Case) -> Self {
        let (model, source, target) = (&outline.model, case.test.source(), case.test.target());
        let encoder = model.info().encoder_decoder;
        let read = if encoder { source } else { 0 };
        // what documents share and what every row has for itself
        let shared = model.state_bytes(read, 0);
        let own = model.state_bytes(read, target).saturating_sub(shared);
        // logits, a copy to choose from, and the processed scores
        let logits = 3 * model.info().vocab_size * size_of::<f32>();
        let decoding = case.batch.saturating_mul(shared).saturating_add(case.rows().saturating_mul(own.saturating_add(logits)));
        let vocabulary = model.info().vocab_size;
        let forced = if encoder { case.test.depth().min(together(case.batch, vocabulary)) } else { 0 };
        let beginning = forced.saturating_mul(case.batch).saturating_mul(vocabulary * size_of::<f32>());
        let encoding = case.batch.saturating_mul(model.encode_bytes(source));
        Self {
            weights: outline.bytes,
            work: encoding.max(decoding.saturating_add(beginning)),
        }
    }

    /// Everything together.
    pub fn total(self) -> usize {
        PROGRAM.saturating_add(self.weights).saturating_add(self.work)
    }

    /// Why it does not fit into what is available, if it does not.
    pub fn refusal(self, available: Option<usize>) -> Option<String> {
        let available = available.filter(|a| self.total() > *a)?;
        let (total, weights, work) = (bytes(self.total()), bytes(self.weights), bytes(self.work));
        Some(format!("needs about {total} (weights {weights}, state and activations {work}), {} are available", bytes(available)))
    }
}
