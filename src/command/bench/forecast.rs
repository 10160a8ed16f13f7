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
        Self { weights: outline.bytes, work: encoding.max(decoding.saturating_add(beginning)) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::REGISTRY;
    use crate::checkpoint::{Checkpoint, Options, Outline};
    use crate::command::bench::case::Test;
    use crate::kernel::precision::Precision;
    use crate::suite::Strategy;

    /// Padding, factors of int8, tables by rows: what a forecast says of the weights is what a loaded model holds.
    #[test]
    fn weights_are_what_a_loaded_model_holds() {
        for arch in REGISTRY {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("config.json"), arch.tiny).unwrap();
            for dtype in [Precision::F32, Precision::Bf16, Precision::Int8] {
                let options = Options { random_weights: Some(0), weights: Some(dtype), ..Options::default() };
                let outline = Checkpoint::outline(dir.path(), &options).unwrap();
                let held = Checkpoint::open(dir.path(), &options).unwrap().store.bytes_in_memory();
                let test = Test::Generate { depth: 0, new: 1 };
                let case = Case { model: 0, test, batch: 1, threads: 1, dtype, strategy: Strategy::Greedy };
                let forecast = |outline: &Outline| Forecast::of(outline, &case).weights;
                assert_eq!(forecast(&outline), held, "{} {dtype:?}", arch.model_type);
                assert_ne!(held, outline.parameters * dtype.bytes(), "{} {dtype:?}: nothing is filled up", arch.model_type);
            }
        }
    }
}
