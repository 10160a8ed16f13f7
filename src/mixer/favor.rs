//! Linear attention with ReLU features: trax's `CausalFavor` (trax:trax/layers/research/sparsity.py), the simplest of the Performer family
//! (Choromanski et al. 2020, <https://arxiv.org/abs/2009.14794>).
//!
//! With φ(x) = max(0, x) + ε in each head, and no scaling:
//!
//! S_t = S_{t−1} + φ(k_t) v_tᵀ; z_t = z_{t−1} + φ(k_t); out_t = φ(q_t)ᵀ S_t / (φ(q_t) · z_t)
//!
//! The reference keeps no state in its predict mode, so its step-by-step numbers are those of single tokens; here a step goes on from the state, and any
//! cut of a sequence gives the numbers of its whole.

use super::{Growth, Mixer, Spec};
use crate::block::{Dense, Heads, Projections};
use crate::error::Result;
use crate::kernel::{slice, tensor};
use crate::memory::Memory;
use candle_core::Tensor;

pub(super) const SPEC: Spec = Spec {
    name: "favor",
    paper: "Rethinking Attention with Performers, arXiv 2009.14794 (ReLU features)",
    state: Growth::Constant,
    causal: true,
    bidirectional: false,
};

/// The attention.
pub struct Favor {
    heads: Heads,
    projections: Projections,
    stabiliser: f32,
}

/// S and z of all heads, one list a row: for each head w rows of w numbers, then w.
#[derive(Debug, Clone)]
pub struct Sums(Vec<Vec<f32>>);

impl Memory for Sums {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.0 = rows.iter().map(|&r| self.0[r].clone()).collect();
        Ok(())
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        self.0.extend(others.into_iter().flat_map(|o| o.0));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|s| size_of_val(&s[..])).sum()
    }
}

impl Favor {
    /// Of its projections; `stabiliser` is ε.
    pub fn new(heads: Heads, projections: Projections, stabiliser: f32) -> Self {
        Self { heads, projections, stabiliser }
    }

    /// One row of the batch: out (t, h w).
    fn row(&self, [q, k, v]: [&[f32]; 3], sums: &mut [f32]) -> Vec<f32> {
        let (w, d) = (self.heads.width, self.heads.count * self.heads.width);
        // not `max`, which would drop a NaN
        let feature = |x: f32| (if x <= 0.0 { 0.0 } else { x }) + self.stabiliser;
        let mut out = vec![0.0; q.len()];
        for (at, out) in out.chunks_exact_mut(d).enumerate() {
            let here = at * d..(at + 1) * d;
            let heads = q[here.clone()].chunks_exact(w).zip(k[here.clone()].chunks_exact(w)).zip(v[here].chunks_exact(w));
            for (((q, k), v), (out, sums)) in heads.zip(out.chunks_exact_mut(w).zip(sums.chunks_exact_mut(w * (w + 1)))) {
                let (s, z) = sums.split_at_mut(w * w);
                let mut norm = 0.0;
                for (((s, z), k), q) in s.chunks_exact_mut(w).zip(z).zip(k).zip(q) {
                    let (k, q) = (feature(*k), feature(*q));
                    *z += k;
                    norm += q * *z;
                    for ((s, v), out) in s.iter_mut().zip(v).zip(out.iter_mut()) {
                        *s += k * v;
                        *out += q * *s;
                    }
                }
                out.iter_mut().for_each(|out| *out /= norm);
            }
        }
        out
    }
}

impl Mixer for Favor {
    type Memory = Sums;

    fn memory(&self, rows: usize) -> Result<Sums> {
        Ok(Sums(vec![vec![0.0; self.bytes_at(0) / size_of::<f32>()]; rows]))
    }

    fn bytes_at(&self, _positions: usize) -> usize {
        self.heads.count * self.heads.width * (self.heads.width + 1) * size_of::<f32>()
    }

    fn weight_bytes(&self) -> usize {
        self.projections.bytes()
    }

    fn work_bytes(&self, t: usize) -> usize {
        self.projections.work_bytes(t)
    }

    fn forward(&self, xs: &Tensor, memory: &mut Sums) -> Result<Tensor> {
        let Projections { q, k, v, out } = &self.projections;
        let mixed = slice(xs, |x| {
            let [q, k, v] = Dense::all([q, k, v], x);
            let share = (q.len() / memory.0.len().max(1)).max(1);
            let rows = q.chunks(share).zip(k.chunks(share)).zip(v.chunks(share)).zip(&mut memory.0);
            out.apply(&rows.flat_map(|(((q, k), v), sums)| self.row([q, k, v], sums)).collect::<Vec<f32>>())
        })?;
        tensor(mixed, xs.shape())
    }
}
