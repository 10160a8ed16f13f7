//! Models that read whole documents and give logits at every position: what follows for the [`Model`] trait.

use crate::error::{Error, Result};
use crate::memory::State;
use crate::mixer::Documents;
use crate::model::{Info, Model, Source};
use crate::timing::phases::Phase;
use candle_core::Tensor;

/// A model that reads and does not decode.
pub trait ReadsOnly: Send + Sync {
    /// Sizes and names. [`Info::reads_only`] must say why it does not decode.
    fn info(&self) -> &Info;
    /// What the last layer hands on, (Σ n, d), and where the documents lie in it. Fails if a document cannot be read.
    fn read(&self, source: &Source) -> Result<(Tensor, Documents)>;
    /// The logits of rows of that: (n, d) -> (n, v).
    fn logits(&self, xs: &Tensor) -> Result<Tensor>;
    /// [`Model::step_bytes`].
    fn bytes(&self) -> usize;
    /// [`Model::encode_bytes`]: there is no state.
    fn work_bytes(&self, n: usize) -> usize;
}

impl<M: ReadsOnly> Model for M {
    fn info(&self) -> &Info {
        ReadsOnly::info(self)
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
        self.bytes()
    }

    fn encode_bytes(&self, source: usize) -> usize {
        self.work_bytes(source)
    }

    fn score(&self, _tokens: &[Vec<u32>], _state: &mut State) -> Result<Tensor> {
        let info = ReadsOnly::info(self);
        info.decodes()?;
        Err(Error::new(format!("`{}` reads documents only", info.model_type)))
    }

    fn fill(&self, source: &Source) -> Result<Vec<Tensor>> {
        let (xs, documents) = self.read(source)?;
        let logits = source.probe.time(Phase::Logits, || self.logits(&xs))?;
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
        let xs = Tensor::cat(&rows.collect::<Result<Vec<_>>>()?, 0)?;
        source.probe.time(Phase::Logits, || self.logits(&xs))
    }
}
