//! Attention of the decoder over the encoder's output.

use super::local::History;
use super::{Dense, Heads, Projections, Stage};
use crate::error::Result;
use crate::kernel::attention::{Job, Span, Visible, attend};
use crate::kernel::keys::Keys;
use crate::kernel::precision::Precision;
use crate::kernel::{slice, tensor};
use crate::memory::Memory;
use candle_core::Tensor;
use std::sync::Arc;

/// Cross-attention: keys and values of a document are projected once and shared by its beams.
pub struct Cross {
    heads: Heads,
    q: Stage,
    k: Dense,
    v: Dense,
    out: Stage,
    cache: Precision,
}

/// The keys of the document that each row decodes, and what convolutions of queries and outputs have read.
#[derive(Debug, Clone)]
pub struct CrossMemory {
    keys: Vec<Arc<Keys>>,
    q: History,
    out: History,
}

impl Memory for CrossMemory {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.keys = rows.iter().map(|&r| self.keys[r].clone()).collect();
        self.q.select(rows)?;
        self.out.select(rows)
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        let (mut q, mut out) = (Vec::new(), Vec::new());
        for other in others {
            self.keys.extend(other.keys);
            q.push(other.q);
            out.push(other.out);
        }
        self.q.join(q)?;
        self.out.join(out)
    }

    fn bytes(&self) -> usize {
        let mut distinct: Vec<&Arc<Keys>> = self.keys.iter().collect();
        distinct.sort_by_key(|k| Arc::as_ptr(k));
        distinct.dedup_by_key(|k| Arc::as_ptr(k));
        distinct.iter().map(|k| k.bytes()).sum::<usize>() + self.q.bytes() + self.out.bytes()
    }
}

impl Cross {
    /// Of its projections; keys and values are kept in f32.
    pub fn new(heads: Heads, projections: Projections) -> Self {
        let Projections { q, k, v, out } = projections;
        Self::of(heads, Stage::Dense(q), (k, v), Stage::Dense(out))
    }

    /// Of stages of queries and outputs that may be sparse, and the projections of keys and values.
    pub fn of(heads: Heads, q: Stage, (k, v): (Dense, Dense), out: Stage) -> Self {
        Self { heads, q, k, v, out, cache: Precision::F32 }
    }

    /// The same, with keys and values kept in `cache`: f32 or bf16.
    pub fn with_cache(self, cache: Precision) -> Self {
        Self { cache, ..self }
    }

    /// Projects the encoder's output, (Σ n, d), once; `lengths` are the documents' n.
    pub fn memory(&self, encoded: &Tensor, lengths: &[usize]) -> Result<CrossMemory> {
        let d = self.heads.count * self.heads.width;
        let [k, v] = slice(encoded, |x| Dense::all([&self.k, &self.v], x))?;
        let mut at = 0;
        let rows = lengths.iter().map(|n| {
            let mut keys = Keys::new(self.heads.count, self.heads.width, self.cache);
            keys.append(&k[at * d..(at + n) * d], &v[at * d..(at + n) * d]);
            at += n;
            Arc::new(keys)
        });
        Ok(CrossMemory { keys: rows.collect(), q: self.q.history(lengths.len()), out: self.out.history(lengths.len()) })
    }

    /// Bytes of activations while n tokens are projected: keys and values.
    pub fn work_bytes(&self, n: usize) -> usize {
        2 * n * self.heads.count * self.heads.width * size_of::<f32>()
    }

    /// Bytes of weights that a step reads: the projections of queries and outputs.
    pub fn step_bytes(&self) -> usize {
        self.q.bytes() + self.out.bytes()
    }

    /// Bytes of the memory of one document of `n` tokens.
    pub fn bytes_at(&self, n: usize) -> usize {
        Keys::bytes_at(self.heads.count, self.heads.width, n, self.cache) + self.q.history_bytes() + self.out.history_bytes()
    }

    /// (b, t, d) -> (b, t, d). Neighbouring rows of one document, its beams, go over its keys together.
    pub fn forward(&self, xs: &Tensor, memory: &mut CrossMemory) -> Result<Tensor> {
        let (b, t, _) = xs.dims3()?;
        let d = self.heads.count * self.heads.width;
        let q = self.q.forward(xs, &mut memory.q)?; // (b, t, h w)
        let out = slice(&q, |q| {
            let mut rest = q;
            let mut jobs = Vec::with_capacity(b);
            for beams in memory.keys.chunk_by(Arc::ptr_eq) {
                let (q, after) = rest.split_at(beams.len() * t * d);
                rest = after;
                jobs.push(Job { q, spans: vec![Span { keys: &beams[0], visible: Visible::All, hidden: &[], bias: None }] });
            }
            attend(&jobs, self.heads.count, self.heads.width, self.heads.scale)
        })?;
        self.out.forward(&tensor(out, (b, t, d))?, &mut memory.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Linear;
    use crate::kernel::linear::{Layout, Packed};
    use crate::kernel::testing::noise;

    fn cross(d: usize) -> Cross {
        let one =
            |seed| Linear::from_packed(Arc::new(Packed::new(&noise(d * d, seed), (d, d), Layout::OutIn, Some(noise(d, seed + 1))))).into();
        Cross::new(Heads::new(d, 3).unwrap(), Projections { q: one(1), k: one(3), v: one(5), out: one(7) })
    }

    /// Beams that stand together go over the keys together; apart or together, a row gives the same bits.
    #[test]
    fn company_changes_no_bits() {
        let d = 24;
        let encoded = tensor(noise(170 * d, 9), (170, d)).unwrap();
        for precision in [Precision::F32, Precision::Bf16] {
            let cross = cross(d).with_cache(precision);
            let documents = cross.memory(&encoded, &[130, 40]).unwrap();
            assert_eq!(documents.bytes(), cross.bytes_at(130) + cross.bytes_at(40));
            let order = [0, 0, 0, 0, 1, 1, 0, 1];
            let mut beams = documents.clone();
            beams.select(&order).unwrap();
            let xs = noise(order.len() * 2 * d, 11);
            let row = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let together = row(&cross.forward(&tensor(xs.clone(), (order.len(), 2, d)).unwrap(), &mut beams).unwrap());
            for (i, of) in order.into_iter().enumerate() {
                let mut alone = documents.clone();
                alone.select(&[of]).unwrap();
                let mine = i * 2 * d..(i + 1) * 2 * d;
                let x = tensor(xs[mine.clone()].to_vec(), (1, 2, d)).unwrap();
                assert_eq!(row(&cross.forward(&x, &mut alone).unwrap()), together[mine], "beam {i}");
            }
        }
    }
}
