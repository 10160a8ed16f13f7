//! Softmax attention (Vaswani et al. 2017, <https://arxiv.org/abs/1706.03762>, eq. 1).
//!
//! Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V in each of h heads, then the output projection.
//!
//! | here | paper |
//! |---|---|
//! | `heads.count`, `heads.width` | h, d_k = d_v |
//! | `heads.scale` | 1/√d_k (GPT-2 may divide by the layer's number too) |
//!
//! Loads: self-attention of BART, Pegasus, LED's decoder, GPT-2.

use super::{Documents, Growth, Mixer, Reader, Spec};
use crate::block::{Heads, Projections};
use crate::error::Result;
use crate::kernel::attention::{Job, Span, Visible, attend};
use crate::kernel::keys::Keys;
use crate::kernel::{slice, tensor};
use crate::memory::Memory;
use candle_core::Tensor;

pub(super) const SPEC: Spec = Spec {
    name: "softmax",
    paper: "Attention Is All You Need, arXiv 1706.03762",
    state: Growth::Linear,
    causal: true,
    bidirectional: true,
};

/// Full attention, causal or bidirectional.
pub struct Softmax {
    heads: Heads,
    projections: Projections,
}

impl Softmax {
    /// Of its projections.
    pub fn new(heads: Heads, projections: Projections) -> Self {
        Self { heads, projections }
    }
}

/// Keys and values of all tokens read, one [`Keys`] a row.
#[derive(Debug, Clone)]
pub struct Kv(Vec<Keys>);

impl Memory for Kv {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        let mut last = vec![None; self.0.len()];
        for (i, &r) in rows.iter().enumerate() {
            last[r] = Some(i);
        }
        let mut old: Vec<Option<Keys>> = std::mem::take(&mut self.0).into_iter().map(Some).collect();
        // the last use of a row takes it, those before copy
        self.0 = rows.iter().enumerate().filter_map(|(i, &r)| if last[r] == Some(i) { old[r].take() } else { old[r].clone() }).collect();
        Ok(())
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        self.0.extend(others.into_iter().flat_map(|o| o.0));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(Keys::bytes).sum()
    }

    fn reserve(&mut self, positions: usize) {
        self.0.iter_mut().for_each(|k| k.reserve(positions));
    }
}

impl Mixer for Softmax {
    type Memory = Kv;

    fn memory(&self, rows: usize) -> Result<Kv> {
        Ok(Kv((0..rows).map(|_| Keys::new(self.heads.count, self.heads.width)).collect()))
    }

    fn bytes_at(&self, positions: usize) -> usize {
        Keys::bytes_at(self.heads.count, self.heads.width, positions)
    }

    fn weight_bytes(&self) -> usize {
        self.projections.bytes()
    }

    fn work_bytes(&self, t: usize) -> usize {
        self.projections.work_bytes(t)
    }

    fn forward(&self, xs: &Tensor, memory: &mut Kv) -> Result<Tensor> {
        let (b, t, d) = xs.dims3()?;
        let Projections { q, k, v, out } = &self.projections;
        let (q, k, v) = (q.forward(xs)?, k.forward(xs)?, v.forward(xs)?); // (b, t, d)
        slice(&k, |k| {
            slice(&v, |v| {
                for (i, keys) in memory.0.iter_mut().enumerate() {
                    keys.append(&k[i * t * d..(i + 1) * t * d], &v[i * t * d..(i + 1) * t * d]);
                }
            })
        })??;
        let mixed = slice(&q, |q| {
            let jobs: Vec<Job> = q
                .chunks_exact(t * d)
                .zip(&memory.0)
                .map(|(q, keys)| Job { q, spans: vec![Span { keys, visible: Visible::Causal { first: keys.len() - t }, hidden: &[] }] })
                .collect();
            attend(&jobs, self.heads.count, self.heads.width, self.heads.scale)
        })?;
        out.forward(&tensor(mixed, (b, t, d))?)
    }
}

impl Reader for Softmax {
    fn work_bytes(&self, n: usize) -> usize {
        self.projections.work_bytes(n)
    }

    fn read(&self, xs: &Tensor, documents: &Documents) -> Result<Tensor> {
        let (n, d) = xs.dims2()?;
        let Projections { q, k, v, out } = &self.projections;
        let (q, k, v) = (q.forward(xs)?, k.forward(xs)?, v.forward(xs)?); // (Σ n, d)
        let keys = slice(&k, |k| {
            slice(&v, |v| {
                let of = |r: std::ops::Range<usize>| {
                    let mut keys = Keys::new(self.heads.count, self.heads.width);
                    keys.append(&k[r.start * d..r.end * d], &v[r.start * d..r.end * d]);
                    keys
                };
                documents.ranges().map(of).collect::<Vec<Keys>>()
            })
        })??;
        let mixed = slice(&q, |q| {
            let jobs: Vec<Job> = documents
                .ranges()
                .zip(&keys)
                .map(|(r, keys)| Job { q: &q[r.start * d..r.end * d], spans: vec![Span { keys, visible: Visible::All, hidden: &[] }] })
                .collect();
            attend(&jobs, self.heads.count, self.heads.width, self.heads.scale)
        })?;
        out.forward(&tensor(mixed, (n, d))?)
    }
}
