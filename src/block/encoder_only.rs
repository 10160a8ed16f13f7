//! A model that reads whole documents and gives logits at every position: an encoder between token table and output.

use super::{Activation, Dense, Embedding, Encoder, LayerNorm, Positions, ReadsOnly, in_a_row};
use crate::error::Result;
use crate::mixer::Documents;
use crate::model::{Info, Source};
use crate::timing::phases::Phase;
use candle_core::Tensor;

/// An encoder over token and position tables, with an output at every position. [`Info::reads_only`] must say why it does not decode.
pub struct EncoderOnly {
    /// Sizes and names.
    pub info: Info,
    /// Token table.
    pub tokens: Embedding,
    /// Positions.
    pub positions: Positions,
    /// The norm of the embeddings, if there is one.
    pub embedding_norm: Option<LayerNorm>,
    /// The layers.
    pub encoder: Encoder,
    /// What stands between the last layer and the output, if anything: norm(f(W x + b)).
    pub head: Option<(Dense, Activation, LayerNorm)>,
    /// Features -> logits.
    pub output: Dense,
}

impl EncoderOnly {
    fn head_bytes(&self) -> usize {
        self.head.as_ref().map_or(0, |(dense, _, norm)| dense.bytes() + norm.bytes())
    }
}

impl ReadsOnly for EncoderOnly {
    fn info(&self) -> &Info {
        &self.info
    }

    fn read(&self, source: &Source) -> Result<(Tensor, Documents)> {
        let (ids, documents) = in_a_row(&self.info, source)?;
        let embed = || -> Result<Tensor> {
            let xs = self.tokens.forward_at(&ids, &self.positions, documents.positions().into_iter())?;
            self.embedding_norm.as_ref().map_or(Ok(xs.clone()), |norm| norm.forward(&xs))
        };
        let xs = source.probe.time(Phase::Embed, embed)?;
        Ok((self.encoder.forward(xs, &documents, &source.probe)?, documents))
    }

    fn logits(&self, xs: &Tensor) -> Result<Tensor> {
        match &self.head {
            Some((dense, activation, norm)) => self.output.forward(&norm.forward(&activation.forward(&dense.forward(xs)?)?)?),
            None => self.output.forward(xs),
        }
    }

    fn bytes(&self) -> usize {
        self.tokens.row_bytes() + self.positions.row_bytes() + self.encoder.bytes() + self.head_bytes() + self.output.bytes()
    }

    fn work_bytes(&self, n: usize) -> usize {
        self.encoder.work_bytes(n)
    }
}
