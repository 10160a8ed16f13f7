//! A language model without encoder: everything between config.json and the [`Model`] trait.

use super::{Decoder, Dense, Embedding, Positions, check_ids, prompts};
use crate::error::Result;
use crate::memory::State;
use crate::model::{Info, Model, Source};
use crate::timing::phases::Phase;
use candle_core::Tensor;

/// A decoder over token and position tables.
pub struct DecoderOnly {
    /// Sizes and names.
    pub info: Info,
    /// Token table.
    pub tokens: Embedding,
    /// Positions.
    pub positions: Positions,
    /// The layers.
    pub decoder: Decoder,
    /// Hidden states -> logits.
    pub output: Dense,
}

impl DecoderOnly {
    /// Reads t tokens a row, (b, t, d).
    fn read(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let (b, t) = (tokens.len(), tokens.first().map_or(0, Vec::len));
        let ids = tokens.concat();
        check_ids(&ids, self.info.vocab_size)?;
        let embed = || self.tokens.forward_at(&ids, &self.positions, state.positions(t).into_iter());
        let xs = state.probe.time(Phase::Embed, embed)?; // (b t, d)
        self.decoder.forward(xs.reshape((b, t, ()))?, state)
    }
}

impl Model for DecoderOnly {
    fn info(&self) -> &Info {
        &self.info
    }

    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        let fresh = |rows| self.decoder.state(rows, None, source.probe.clone());
        prompts(&self.info, source, fresh, |tokens, state| self.read(tokens, state))
    }

    fn state_bytes(&self, source: usize, target: usize) -> usize {
        self.decoder.state_bytes(source, target)
    }

    fn state_read_bytes(&self, source: usize, target: usize) -> usize {
        self.decoder.read_bytes(source, target)
    }

    fn step_bytes(&self) -> usize {
        self.tokens.row_bytes() + self.positions.row_bytes() + self.decoder.step_bytes() + self.output.bytes()
    }

    fn encode_bytes(&self, source: usize) -> usize {
        self.decoder.work_bytes(source) + self.state_bytes(0, source)
    }

    fn score(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let xs = self.read(tokens, state)?;
        state.probe.time(Phase::Logits, || self.output.forward(&xs))
    }
}
