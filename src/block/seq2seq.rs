//! An encoder-decoder of the BART kind: everything between config.json and the [`Model`] trait.

use super::{Decoder, Dense, Embedding, Encoder, LayerNorm, Positions, check_ids, in_a_row};
use crate::error::Result;
use crate::memory::State;
use crate::model::{Info, Model, Source};
use crate::timing::phases::Phase;
use candle_core::Tensor;

/// Token table, positions and, in post-norm stacks, a norm over their sum.
pub struct Input {
    /// Token embeddings.
    pub tokens: Embedding,
    /// Positions.
    pub positions: Positions,
    /// `layernorm_embedding`.
    pub norm: Option<LayerNorm>,
}

impl Input {
    /// Bytes that one token reads: its rows of the tables, and the norm.
    fn row_bytes(&self) -> usize {
        self.tokens.row_bytes() + self.positions.row_bytes() + self.norm.as_ref().map_or(0, LayerNorm::bytes)
    }

    fn forward(&self, ids: &[u32], positions: impl ExactSizeIterator<Item = usize>) -> Result<Tensor> {
        let xs = self.tokens.forward_at(ids, &self.positions, positions)?;
        match &self.norm {
            Some(norm) => norm.forward(&xs),
            None => Ok(xs),
        }
    }
}

/// An encoder-decoder.
pub struct Seq2Seq {
    /// Sizes and names.
    pub info: Info,
    /// `decoder_start_token_id`.
    pub start: u32,
    /// What the encoder reads.
    pub source: Input,
    /// The encoder.
    pub encoder: Encoder,
    /// What the decoder reads.
    pub target: Input,
    /// The decoder.
    pub decoder: Decoder,
    /// Hidden states -> logits.
    pub output: Dense,
    /// What hidden states are multiplied by before that.
    pub output_scale: Option<f32>,
}

impl Model for Seq2Seq {
    fn info(&self) -> &Info {
        &self.info
    }

    fn attention(&self, source: usize) -> String {
        let ran = self.encoder.layers.first().and_then(|l| l.reader.ran(source));
        ran.unwrap_or_else(|| self.info.attention.clone())
    }

    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        let (ids, documents) = in_a_row(&self.info, source)?;
        let xs = source.probe.time(Phase::Embed, || self.source.forward(&ids, documents.positions().into_iter()))?; // (Σ n, d)
        let encoded = self.encoder.forward(xs, &documents, &source.probe)?;
        let state = self.decoder.state(source.rows.len(), Some((&encoded, documents.lengths())), source.probe.clone())?;
        Ok((state, vec![self.start; source.rows.len()]))
    }

    fn state_bytes(&self, source: usize, target: usize) -> usize {
        self.decoder.state_bytes(source, target)
    }

    fn step_bytes(&self) -> usize {
        self.target.row_bytes() + self.decoder.step_bytes() + self.output.bytes()
    }

    fn encode_bytes(&self, source: usize) -> usize {
        let (_, d) = self.output.shape();
        // the encoder's work is over when the keys and values of the decoder's layers are projected, one layer after the other
        let cross = self.decoder.layers.iter().filter_map(|l| l.cross.as_ref()).map(|(c, _)| c.work_bytes(source));
        let state = self.state_bytes(source, 0) + source * d * size_of::<f32>() + cross.max().unwrap_or(0);
        self.encoder.work_bytes(source).max(state)
    }

    fn score(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let (b, t) = (tokens.len(), tokens.first().map_or(0, Vec::len));
        let ids = tokens.concat();
        check_ids(&ids, self.info.vocab_size)?;
        let probe = state.probe.clone();
        let xs = probe.time(Phase::Embed, || self.target.forward(&ids, state.positions(t).into_iter()))?; // (b t, d)
        let xs = self.decoder.forward(xs.reshape((b, t, ()))?, state)?;
        let xs = match self.output_scale {
            Some(factor) => xs.affine(f64::from(factor), 0.0)?,
            None => xs,
        };
        probe.time(Phase::Logits, || self.output.forward(&xs))
    }
}
