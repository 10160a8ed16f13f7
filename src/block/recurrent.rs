//! Simple recurrent units beside a feed-forward layer.
//!
//! Reference: trax:trax/layers/rnn.py `SRU` (Lei et al. 2017, <https://arxiv.org/abs/1709.02755>) and
//! trax:trax/models/research/configurable_transformer.py `FeedForwardWithOptions`. One linear layer of x gives r̃, f̃ and y side by side;
//!
//! c_t = σ(f̃) c_{t−1} + (1 − σ(f̃)) y; h_t = σ(r̃) c_t + (1 − σ(r̃)) √3 x_t

use super::{LayerNorm, Linear};
use crate::error::Result;
use crate::kernel::{slice, tensor};
use crate::memory::Lists;
use crate::mixer::Documents;
use crate::weights::Weights;
use candle_core::Tensor;

/// Layers of simple recurrent units, (…, n) -> (…, n) each.
pub struct Sru(Vec<Linear>);

/// The c of each layer, one list of layers · n numbers a row of the batch.
pub type Cells = Lists;

impl Sru {
    /// Of each layer's linear part, n -> 3n.
    pub fn new(layers: Vec<Linear>) -> Self {
        Self(layers)
    }

    /// Bytes of weights.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Linear::bytes).sum()
    }

    /// Bytes of one row's cells.
    pub fn cell_bytes(&self) -> usize {
        self.0.iter().map(|l| l.shape().1).sum::<usize>() * size_of::<f32>()
    }

    /// Cells of so many rows, all zero.
    pub fn cells(&self, rows: usize) -> Cells {
        Lists::zeros(rows, self.cell_bytes() / size_of::<f32>())
    }

    /// Numbers of the rows of a batch, t each: (b, t, n) -> (b, t, n).
    pub fn apply(&self, mut x: Vec<f32>, cells: &mut Cells) -> Vec<f32> {
        let rows = cells.0.len().max(1);
        for (i, layer) in self.0.iter().enumerate() {
            let n = layer.shape().1;
            let gates = layer.apply(&x); // (b t, 3n)
            let share = x.len() / rows;
            for ((x, gates), cells) in x.chunks_mut(share.max(1)).zip(gates.chunks((3 * share).max(1))).zip(&mut cells.0) {
                let c = &mut cells[i * n..(i + 1) * n];
                for (x, gates) in x.chunks_exact_mut(n).zip(gates.chunks_exact(3 * n)) {
                    for j in 0..n {
                        let (r, f, y) = (sigmoid(gates[j]), sigmoid(gates[n + j]), gates[2 * n + j]);
                        c[j] = f * c[j] + (1.0 - f) * y;
                        x[j] = c[j] * r + x[j] * (1.0 - r) * 3f32.sqrt();
                    }
                }
            }
        }
        x
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The branch beside a feed-forward layer: its own norm, a linear layer to n features, the recurrent layers, a linear layer back.
pub struct Recurrent {
    norm: LayerNorm,
    input: Linear,
    sru: Sru,
    output: Linear,
}

impl Recurrent {
    /// `sru_norm`, `sru_in`, `sru.0` …, `sru_out` below `w`, of `layers` layers with `n` features.
    pub fn load(w: &Weights, norm: LayerNorm, d: usize, (layers, n): (usize, usize)) -> Result<Self> {
        let sru = (0..layers).map(|j| Linear::load_in_out(&w.pp("sru").pp(j), (3 * n, n))).collect::<Result<_>>()?;
        let (input, output) = (Linear::load_in_out(&w.pp("sru_in"), (n, d))?, Linear::load_in_out(&w.pp("sru_out"), (d, n))?);
        Ok(Self { norm, input, sru: Sru(sru), output })
    }

    /// Bytes of weights, all of which a step reads.
    pub fn bytes(&self) -> usize {
        self.norm.bytes() + self.input.bytes() + self.sru.bytes() + self.output.bytes()
    }

    /// Bytes of one row's cells.
    pub fn cell_bytes(&self) -> usize {
        self.sru.cell_bytes()
    }

    /// Cells of so many rows, all zero.
    pub fn cells(&self, rows: usize) -> Cells {
        self.sru.cells(rows)
    }

    /// (b, t, d) -> (b, t, d).
    pub fn forward(&self, xs: &Tensor, cells: &mut Cells) -> Result<Tensor> {
        let normed = self.norm.forward(xs)?;
        let out = slice(&normed, |x| self.output.apply(&self.sru.apply(self.input.apply(x), cells)))?;
        tensor(out, xs.shape())
    }

    /// (Σ n, d) -> (Σ n, d), each document from the start.
    pub fn read(&self, xs: &Tensor, documents: &Documents) -> Result<Tensor> {
        let (_, d) = xs.dims2()?;
        let normed = self.norm.forward(xs)?;
        let out = slice(&normed, |x| {
            let one = |r: std::ops::Range<usize>| self.sru.apply(self.input.apply(&x[r.start * d..r.end * d]), &mut self.cells(1));
            self.output.apply(&documents.ranges().flat_map(one).collect::<Vec<f32>>())
        })?;
        tensor(out, xs.shape())
    }
}
