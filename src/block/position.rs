//! Absolute positions, added to the embeddings.

use crate::error::{Error, Result};
use crate::kernel::elementwise::add;
use crate::kernel::tensor;
use crate::weights::Weights;
use candle_core::Tensor;

/// A table (positions, d).
#[derive(Debug, Clone)]
pub struct Positions {
    table: Vec<f32>,
    rows: usize,
    d: usize,
    offset: usize,
}

impl Positions {
    /// A learned table with `n` usable rows; position p is row p + `offset` of `weight` below `w` (BART: 2, LED and GPT-2: 0).
    pub fn learned(w: &Weights, (n, d): (usize, usize), offset: usize) -> Result<Self> {
        Ok(Self { table: w.get("weight", &[n + offset, d])?, rows: n + offset, d, offset })
    }

    /// Sines in the first half of the features, cosines in the second: angle p / 10000^(2j/d)
    /// (transformers:src/transformers/models/pegasus/modeling_pegasus.py). A table stored in the checkpoint is used as it is.
    pub fn sinusoidal(w: &Weights, (n, d): (usize, usize)) -> Result<Self> {
        if w.has("weight") {
            return Self::learned(w, (n, d), 0);
        }
        let half = d.div_ceil(2);
        let angle = |p: usize, j: usize| p as f64 / 10_000f64.powf(2.0 * j as f64 / d as f64);
        let table = (0..n).flat_map(|p| (0..d).map(move |f| if f < half { angle(p, f).sin() } else { angle(p, f - half).cos() } as f32));
        Ok(Self { table: table.collect(), rows: n, d, offset: 0 })
    }

    /// How many positions there are.
    pub fn len(&self) -> usize {
        self.rows - self.offset
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.d * size_of::<f32>()
    }

    /// The rows of these positions, (positions, d).
    pub fn forward(&self, positions: impl ExactSizeIterator<Item = usize>) -> Result<Tensor> {
        let n = positions.len();
        let mut out = Vec::with_capacity(n * self.d);
        for p in positions {
            out.extend_from_slice(self.row(p)?);
        }
        tensor(out, (n, self.d))
    }

    /// Adds the rows of these positions to `out`, (positions, d).
    pub fn add_to(&self, out: &mut [f32], positions: impl ExactSizeIterator<Item = usize>) -> Result<()> {
        if positions.len() * self.d != out.len() {
            return Err(Error::new(format!("{} positions for {} rows", positions.len(), out.len() / self.d.max(1))));
        }
        for (p, row) in positions.zip(out.chunks_exact_mut(self.d)) {
            add(row, self.row(p)?);
        }
        Ok(())
    }

    fn row(&self, p: usize) -> Result<&[f32]> {
        if p >= self.len() {
            return Err(Error::new(format!("position {p} is beyond the {} positions of this model", self.len()))
                .hint("shorten the input or the output (`--on-overflow`, `--max-new-tokens`)"));
        }
        Ok(&self.table[(p + self.offset) * self.d..][..self.d])
    }
}
