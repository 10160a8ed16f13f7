//! A model that reads whole documents and gives logits at every position: everything between config.json and the [`Model`] trait.

use super::{Activation, Dense, Embedding, Encoder, LayerNorm, Positions, check_ids};
use crate::error::{Error, Result};
use crate::memory::State;
use crate::mixer::Documents;
use crate::model::{Info, Model, Source};
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
    /// (Σ n, d), and where the documents lie in it.
    fn read(&self, source: &Source) -> Result<(Tensor, Documents)> {
        let lengths: Vec<usize> = source.rows.iter().map(Vec::len).collect();
        if lengths.contains(&0) {
            return Err(Error::new("a document has no tokens"));
        }
        let ids: Vec<u32> = source.rows.concat();
        check_ids(&ids, self.info.vocab_size)?;
        let documents = Documents::new(lengths, self.info.global(source)?)?;
        let positions: Vec<usize> = documents.lengths().iter().flat_map(|&n| 0..n).collect();
        let embed = || -> Result<Tensor> {
            let xs = self.tokens.forward_at(&ids, &self.positions, positions.into_iter())?;
            self.embedding_norm.as_ref().map_or(Ok(xs.clone()), |norm| norm.forward(&xs))
        };
        let xs = source.probe.time(Phase::Embed, embed)?;
        Ok((self.encoder.forward(xs, &documents, &source.probe)?, documents))
    }

    /// (n, d) -> (n, v).
    fn logits(&self, xs: &Tensor, source: &Source) -> Result<Tensor> {
        source.probe.time(Phase::Logits, || match &self.head {
            Some((dense, activation, norm)) => self.output.forward(&norm.forward(&activation.forward(&dense.forward(xs)?)?)?),
            None => self.output.forward(xs),
        })
    }

    fn head_bytes(&self) -> usize {
        self.head.as_ref().map_or(0, |(dense, _, norm)| dense.bytes() + norm.bytes())
    }
}

impl Model for EncoderOnly {
    fn info(&self) -> &Info {
        &self.info
    }

    /// Reads the documents, for who measures that. Nothing can go on from the state, which is empty.
    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        self.read(source)?;
        let first = source.rows.iter().filter_map(|row| row.first().copied()).collect();
        Ok((State { seen: vec![0; source.rows.len()], layers: Vec::new(), probe: source.probe.clone() }, first))
    }

    fn state_bytes(&self, _source: usize, _target: usize) -> usize {
        0
    }

    fn step_bytes(&self) -> usize {
        self.tokens.row_bytes() + self.positions.row_bytes() + self.encoder.bytes() + self.head_bytes() + self.output.bytes()
    }

    fn encode_bytes(&self, source: usize) -> usize {
        self.encoder.work_bytes(source)
    }

    fn score(&self, _tokens: &[Vec<u32>], _state: &mut State) -> Result<Tensor> {
        self.info.decodes()?;
        Err(Error::new(format!("`{}` reads documents only", self.info.model_type)))
    }

    fn fill(&self, source: &Source) -> Result<Vec<Tensor>> {
        let (xs, documents) = self.read(source)?;
        let logits = self.logits(&xs, source)?;
        documents.ranges().map(|r| Ok(logits.narrow(0, r.start, r.len())?)).collect()
    }

    fn fill_at(&self, source: &Source, at: &[usize]) -> Result<Tensor> {
        let (xs, documents) = self.read(source)?;
        let rows = documents.ranges().zip(at).map(|(r, at)| {
            let inside = *at < r.len();
            inside
                .then(|| xs.narrow(0, r.start + at, 1))
                .ok_or_else(|| Error::new(format!("position {at} of a document of {} tokens", r.len())))?
                .map_err(Error::from)
        });
        self.logits(&Tensor::cat(&rows.collect::<Result<Vec<_>>>()?, 0)?, source)
    }
}
