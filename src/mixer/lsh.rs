//! LSH attention (Kitaev et al. 2020, "Reformer", <https://arxiv.org/abs/2001.04451>, section 2), as Terraformer's long configurations have it.
//!
//! Queries are keys. With k̂ = k / √(mean(k²) + 10⁻⁶), a query sees the keys of its bucket, itself only where nothing else is there:
//!
//! - bucket(x) = argmax [xR ; −xR], R of independent normal numbers, another in every head and round
//! - s(i, j) = q_i · k̂_j / √d_k − 10⁵ [i = j]; lse_r(i) = log Σ_j exp s(i, j) over the j that i sees in round r
//! - out(i) = Σ_r softmax_r(lse_r(i)) Σ_j exp(s(i, j) − lse_r(i)) v_j (the paper's eq. 5 and 6)
//!
//! | here | paper |
//! |---|---|
//! | `Hashing::rounds`, `buckets` | n_rounds, n_buckets; a single bucket is no hashing |
//! | `chunk`, `before`, `after` | the chunk m, and the chunks beside it that it looks at |
//!
//! Reference: trax:trax/layers/research/efficient_attention.py `LSHSelfAttention`, `PureLSHSelfAttentionWrapper`. Loads tensors of both.
//!
//! Departures. R comes from this program's own random numbers and `seed`, not from jax's: a trained model meets other rotations, as it does from call to call in
//! training. An encoder sorts as the reference does; the last chunk may be shorter, and a chunk is looked at once where the neighbours reach round.
//! A decoder does not sort, for a later token would move the borders of the chunks under earlier ones: in each round a query sees itself and the latest
//! chunk · (before + 1) earlier positions of its bucket. Over 512 random positions of 16 features, 2 rounds, 8 buckets and chunks of 32, outputs of the two
//! forms differ by 0.39 of their root mean square.

use super::{Documents, Growth, Mixer, Reader, Spec};
use crate::block::{Dense, Heads, History, Local, factored};
use crate::error::Result;
use crate::kernel::factored::Factored;
use crate::kernel::precision::Precision;
use crate::kernel::{slice, tensor};
use crate::weights::Weights;
use candle_core::Tensor;
use rayon::prelude::*;
use rotations::Rotations;
use seen::Row;

mod buckets;
mod hashing;
mod rotations;
mod seen;
mod sorted;
#[cfg(test)]
mod tests;

pub use buckets::Buckets;
pub use hashing::Hashing;

pub(super) const SPEC: Spec = Spec {
    name: "lsh",
    paper: "Reformer: The Efficient Transformer, arXiv 2001.04451",
    state: Growth::Linear,
    causal: true,
    bidirectional: true,
    mixer: None,
    reader: None,
    tiny: &[],
};

/// Multiplications below which threads cost more than they bring.
const SERIAL: usize = 1 << 16;

/// What makes queries (which are the keys), values, and the output of the heads' results.
enum Inputs {
    /// Of one row at a time. With keys of their own, the mean of both is what is used.
    Dense { q: Dense, k: Option<Dense>, v: Dense, out: Dense },
    /// A multiplicative layer, and convolutions of what it makes; nothing follows the heads.
    Sparse { mult: Box<Factored>, q: Box<Local>, k: Option<Box<Local>>, v: Box<Local> },
}

/// The attention.
pub struct Lsh {
    heads: Heads,
    hashing: Hashing,
    rotations: Rotations,
    inputs: Inputs,
    /// How keys and values are remembered.
    cache: Precision,
}

impl Lsh {
    /// Of dense layers for queries, keys, values and output; keys are missing where they are the queries.
    pub fn dense(heads: Heads, hashing: Hashing, (q, k, v, out): (Dense, Option<Dense>, Dense, Dense)) -> Result<Self> {
        Self::of(heads, hashing, Inputs::Dense { q, k, v, out })
    }

    /// `mult.{gating,proj,bias}` and `{q,k,v}.conv.{kernel,bias}` below `w`, of S modules and F positions under the convolutions, as
    /// [`super::MultConv`] has them; no `k` with `share`.
    ///
    /// Fails if the modules do not divide the features.
    pub fn sparse(w: &Weights, heads: Heads, hashing: Hashing, (s, f): (usize, usize), share: bool) -> Result<Self> {
        let d = heads.count * heads.width;
        let conv = |name: &str, k: usize| Local::load(&w.pp(name), s, (d, d), (k, f)).map(Box::new);
        let mult = factored(&w.pp("mult"), s, (d, d))?;
        let k = if share { None } else { Some(conv("k", 3)?) };
        Self::of(heads, hashing, Inputs::Sparse { mult: Box::new(mult), q: conv("q", 3)?, k, v: conv("v", 1)? })
    }

    fn of(heads: Heads, hashing: Hashing, inputs: Inputs) -> Result<Self> {
        hashing.check()?;
        let hashing = if hashing.buckets == 1 { Hashing { rounds: 1, ..hashing } } else { hashing };
        let rotations = Rotations::drawn(&heads, &hashing);
        Ok(Self { heads, hashing, rotations, inputs, cache: Precision::F32 })
    }

    /// The same, remembering keys and values in `cache`: f32 or bf16. Documents that are read at once are not remembered, and stay in f32.
    pub fn with_cache(self, cache: Precision) -> Self {
        Self { cache, ..self }
    }

    fn features(&self) -> usize {
        self.heads.count * self.heads.width
    }

    /// Queries and values of x (n, d): (n, h w) each. The histories of the convolutions move on.
    fn project(&self, x: &[f32], m: &mut History) -> [Vec<f32>; 2] {
        match &self.inputs {
            Inputs::Dense { q, k: None, v, .. } => Dense::all([q, v], x),
            Inputs::Dense { q, k: Some(k), v, .. } => {
                let [q, k, v] = Dense::all([q, k, v], x);
                [mean(q, &k), v]
            }
            Inputs::Sparse { mult, q, k, v } => {
                let made = mult.apply(x);
                let out = match k {
                    None => Local::all([(&**q, &made[..], &*m), (&**v, &made[..], &*m)]),
                    Some(k) => {
                        let [q, k, v] = Local::all([&**q, k, v].map(|local| (local, &made[..], &*m)));
                        [mean(q, &k), v]
                    }
                };
                m.read(&made);
                out
            }
        }
    }

    /// An empty history of so many rows.
    fn history(&self, rows: usize) -> History {
        match &self.inputs {
            Inputs::Sparse { q, .. } => q.history(rows),
            Inputs::Dense { .. } => History::nothing(rows),
        }
    }

    fn output(&self, mixed: Vec<f32>) -> Vec<f32> {
        match &self.inputs {
            Inputs::Dense { out, .. } => out.apply(&mixed),
            Inputs::Sparse { .. } => mixed,
        }
    }

    /// k̂ / √d_k of queries (n, h w).
    fn keys(&self, q: &[f32]) -> Vec<f32> {
        let width = self.heads.width;
        let one = |q: &[f32]| {
            let mean = q.iter().map(|x| x * x).sum::<f32>() / width as f32;
            self.heads.scale / (mean + 1e-6).sqrt()
        };
        let mut keys = q.to_vec();
        for k in keys.chunks_exact_mut(width) {
            let factor = one(k);
            k.iter_mut().for_each(|k| *k *= factor);
        }
        keys
    }

    /// One row of the batch, t tokens more: queries and values (t, h w) -> (t, h w).
    fn causal(&self, q: &[f32], v: &[f32], row: &mut Row) -> Vec<f32> {
        let (d, width) = (self.features(), self.heads.width);
        let first = row.len();
        row.append((&self.keys(q), v), &self.rotations.buckets(q));
        let row = &*row;
        let token = |t: usize| {
            let mut out = vec![0.0; d];
            for (h, out) in out.chunks_exact_mut(width).enumerate() {
                let at = t * d + h * width;
                row.look(&q[at..at + width], (first + t, h), self.hashing.window(), out);
            }
            out
        };
        let t = q.len() / d.max(1);
        let work = t * d * self.hashing.rounds * self.hashing.window().min(row.len());
        if work < SERIAL { (0..t).flat_map(token).collect() } else { (0..t).into_par_iter().flat_map_iter(token).collect() }
    }

    /// Documents one after the other, each by itself: queries and values (Σ n, h w) -> (Σ n, h w).
    fn documents(&self, [q, v]: [&[f32]; 2], documents: &Documents) -> Vec<f32> {
        let Heads { count, width, .. } = self.heads;
        let (d, rounds) = (self.features(), self.hashing.rounds);
        let (keys, buckets) = (self.keys(q), self.rotations.buckets(q));
        let ranges: Vec<_> = documents.ranges().collect();
        let task = |task: usize| {
            let (positions, h) = (&ranges[task / count], task % count);
            let own = |x: &[f32]| -> Vec<f32> { positions.clone().flat_map(|p| &x[p * d + h * width..][..width]).copied().collect() };
            let buckets = (0..rounds).flat_map(|r| positions.clone().map(move |p| (p * count + h) * rounds + r)).map(|at| buckets[at]);
            let rows = sorted::Rows { q: &own(q), k: own(&keys), v: own(v), buckets: &buckets.collect::<Vec<u32>>() };
            sorted::attend(&self.hashing, rows, width, false)
        };
        let heads: Vec<Vec<f32>> = (0..ranges.len() * count).into_par_iter().map(task).collect();
        let mut out = Vec::with_capacity(q.len());
        for (heads, positions) in heads.chunks(count).zip(ranges) {
            for p in 0..positions.len() {
                heads.iter().for_each(|head| out.extend_from_slice(&head[p * width..(p + 1) * width]));
            }
        }
        out
    }

    /// Bytes while t tokens are read: M, or both of what the queries are the mean of; queries, keys, values, each also by heads; the sorted results of each
    /// round with their places; the windows of the convolutions.
    fn activations(&self, t: usize) -> usize {
        let windows = match &self.inputs {
            Inputs::Sparse { q, .. } => 3 * (1 + q.history_bytes() / (self.features() * size_of::<f32>()).max(1)),
            Inputs::Dense { .. } => 0,
        };
        (9 + self.hashing.rounds + windows) * t * self.features() * size_of::<f32>()
    }
}

impl Mixer for Lsh {
    type Memory = Buckets;

    fn memory(&self, rows: usize) -> Result<Buckets> {
        let row = || Row::new(&self.heads, &self.hashing, self.cache);
        Ok(Buckets { rows: (0..rows).map(|_| row()).collect(), m: self.history(rows) })
    }

    fn bytes_at(&self, positions: usize) -> usize {
        let history = match &self.inputs {
            Inputs::Sparse { q, .. } => q.history_bytes(),
            Inputs::Dense { .. } => 0,
        };
        Row::bytes_at(&self.heads, &self.hashing, self.cache, positions) + history
    }

    fn weight_bytes(&self) -> usize {
        let inputs = match &self.inputs {
            Inputs::Dense { q, k, v, out } => q.bytes() + k.as_ref().map_or(0, Dense::bytes) + v.bytes() + out.bytes(),
            Inputs::Sparse { mult, q, k, v } => mult.bytes() + q.bytes() + k.as_ref().map_or(0, |k| k.bytes()) + v.bytes(),
        };
        inputs + self.rotations.bytes()
    }

    fn work_bytes(&self, t: usize) -> usize {
        self.activations(t)
    }

    fn forward(&self, xs: &Tensor, memory: &mut Buckets) -> Result<Tensor> {
        let mixed = slice(xs, |x| {
            let [q, v] = self.project(x, &mut memory.m); // (b t, h w)
            let share = (q.len() / memory.rows.len().max(1)).max(1);
            let rows = q.chunks(share).zip(v.chunks(share)).zip(&mut memory.rows);
            self.output(rows.flat_map(|((q, v), row)| self.causal(q, v, row)).collect())
        })?;
        tensor(mixed, xs.shape())
    }
}

impl Reader for Lsh {
    fn bytes(&self) -> usize {
        Mixer::weight_bytes(self)
    }

    fn work_bytes(&self, n: usize) -> usize {
        self.activations(n)
    }

    fn read(&self, xs: &Tensor, documents: &Documents) -> Result<Tensor> {
        let mixed = slice(xs, |x| {
            let [q, v] = match &self.inputs {
                Inputs::Dense { .. } => self.project(x, &mut self.history(1)),
                // each document's convolutions start from nothing
                Inputs::Sparse { .. } => {
                    let d = self.features();
                    let parts = documents.ranges().map(|r| self.project(&x[r.start * d..r.end * d], &mut self.history(1)));
                    let (q, v): (Vec<_>, Vec<_>) = parts.map(|[q, v]| (q, v)).unzip();
                    [q.concat(), v.concat()]
                }
            };
            self.output(self.documents([&q, &v], documents))
        })?;
        tensor(mixed, xs.shape())
    }
}

/// (a + b) / 2.
fn mean(mut a: Vec<f32>, b: &[f32]) -> Vec<f32> {
    a.iter_mut().zip(b).for_each(|(a, b)| *a = (*a + b) / 2.0);
    a
}
