//! Linear attention with ReLU features: trax's `CausalFavor` (trax:trax/layers/research/sparsity.py), the simplest of the Performer family
//! (Choromanski et al. 2020, <https://arxiv.org/abs/2009.14794>).
//!
//! With φ(x) = max(0, x) + ε in each head, and no scaling:
//!
//! S_t = S_{t−1} + φ(k_t) v_tᵀ; z_t = z_{t−1} + φ(k_t); out_t = φ(q_t)ᵀ S_t / (φ(q_t) · z_t)
//!
//! An encoder sums over the whole document before it multiplies.
//!
//! The reference keeps no state in its predict mode, so its step-by-step numbers are those of single tokens; here a step goes on from the state, and any
//! cut of a sequence gives the numbers of its whole.

use super::{Documents, Growth, Mixer, Reader, Spec};
use crate::block::{Dense, Heads, Projections};
use crate::error::Result;
use crate::kernel::{slice, tensor};
use crate::memory::Lists;
use candle_core::Tensor;

pub(super) const SPEC: Spec = Spec {
    name: "favor",
    paper: "Rethinking Attention with Performers, arXiv 2009.14794 (ReLU features)",
    state: Growth::Constant,
    causal: true,
    bidirectional: true,
    mixer: None,
    reader: None,
    tiny: &[],
};

/// The attention.
pub struct Favor {
    heads: Heads,
    projections: Projections,
    stabiliser: f32,
}

/// S and z of all heads, one list a row: for each head w rows of w numbers, then w.
pub type Sums = Lists;

impl Favor {
    /// Of its projections; `stabiliser` is ε.
    pub fn new(heads: Heads, projections: Projections, stabiliser: f32) -> Self {
        Self { heads, projections, stabiliser }
    }

    /// φ: not with `max`, which would drop a NaN.
    fn feature(&self, x: f32) -> f32 {
        (if x <= 0.0 { 0.0 } else { x }) + self.stabiliser
    }

    /// One row of the batch: out (t, h w).
    fn row(&self, [q, k, v]: [&[f32]; 3], sums: &mut [f32]) -> Vec<f32> {
        let (w, d) = (self.heads.width, self.heads.count * self.heads.width);
        let mut out = vec![0.0; q.len()];
        for (at, out) in out.chunks_exact_mut(d).enumerate() {
            let here = at * d..(at + 1) * d;
            let heads = q[here.clone()].chunks_exact(w).zip(k[here.clone()].chunks_exact(w)).zip(v[here].chunks_exact(w));
            for (((q, k), v), (out, sums)) in heads.zip(out.chunks_exact_mut(w).zip(sums.chunks_exact_mut(w * (w + 1)))) {
                let (s, z) = sums.split_at_mut(w * w);
                let mut norm = 0.0;
                for (((s, z), k), q) in s.chunks_exact_mut(w).zip(z).zip(k).zip(q) {
                    let (k, q) = (self.feature(*k), self.feature(*q));
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
        Ok(Lists::zeros(rows, self.bytes_at(0) / size_of::<f32>()))
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

impl Reader for Favor {
    fn bytes(&self) -> usize {
        self.projections.bytes()
    }

    fn work_bytes(&self, n: usize) -> usize {
        self.projections.work_bytes(n)
    }

    fn read(&self, xs: &Tensor, documents: &Documents) -> Result<Tensor> {
        let (w, d) = (self.heads.width, self.heads.count * self.heads.width);
        let Projections { q, k, v, out } = &self.projections;
        let mixed = slice(xs, |x| {
            let [q, k, v] = Dense::all([q, k, v], x);
            let mut all = vec![0.0; q.len()];
            for r in documents.ranges() {
                let r = r.start * d..r.end * d;
                // the last position of the causal form has seen the whole document: its sums serve all of them
                let mut sums = vec![0.0; Mixer::bytes_at(self, 0) / size_of::<f32>()];
                self.row([&q[r.clone()], &k[r.clone()], &v[r.clone()]], &mut sums);
                for (out, q) in all[r.clone()].chunks_exact_mut(d).zip(q[r].chunks_exact(d)) {
                    for ((out, q), sums) in out.chunks_exact_mut(w).zip(q.chunks_exact(w)).zip(sums.chunks_exact(w * (w + 1))) {
                        let (s, z) = sums.split_at(w * w);
                        let mut norm = 0.0;
                        for ((s, z), q) in s.chunks_exact(w).zip(z).zip(q) {
                            let q = self.feature(*q);
                            norm += q * z;
                            out.iter_mut().zip(s).for_each(|(out, s)| *out += q * s);
                        }
                        out.iter_mut().for_each(|out| *out /= norm);
                    }
                }
            }
            out.apply(&all)
        })?;
        tensor(mixed, xs.shape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Linear;
    use crate::kernel::linear::{Layout, Packed};
    use crate::kernel::testing::noise;
    use std::sync::Arc;

    /// The sums of the module's head in f64, over all that a position sees.
    #[test]
    fn is_its_definition_in_both_directions() {
        let (d, heads, n) = (12, 3, 9);
        let weight = |seed| noise(d * d, seed);
        let one = |seed| Linear::from_packed(Arc::new(Packed::new(&weight(seed), (d, d), Layout::OutIn, None))).into();
        let identity: Vec<f32> = (0..d * d).map(|i| if i % (d + 1) == 0 { 1.0 } else { 0.0 }).collect();
        let out = Linear::from_packed(Arc::new(Packed::new(&identity, (d, d), Layout::OutIn, None))).into();
        let favor = Favor::new(Heads::new(d, heads).unwrap(), Projections { q: one(1), k: one(2), v: one(3), out }, 1e-3);
        let x = noise(n * d, 4);
        let product = |seed| -> Vec<f64> {
            let w = weight(seed);
            let dot = |row: &[f32], o: usize| row.iter().zip(&w[o * d..]).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            x.chunks_exact(d).flat_map(|row| (0..d).map(move |o| dot(row, o)).collect::<Vec<f64>>()).collect()
        };
        let (q, k, v) = (product(1), product(2), product(3));
        let phi = |x: f64| x.max(0.0) + 1e-3;
        let want = |at: usize, seen: usize, f: usize| {
            let head = f / (d / heads) * (d / heads)..(f / (d / heads) + 1) * (d / heads);
            let weigh = |j: usize| head.clone().map(|i| phi(q[at * d + i]) * phi(k[j * d + i])).sum::<f64>();
            (0..seen).map(|j| weigh(j) * v[j * d + f]).sum::<f64>() / (0..seen).map(weigh).sum::<f64>()
        };
        let documents = Documents::new(vec![4, 5], vec![]).unwrap();
        let read = Reader::read(&favor, &tensor(x.clone(), (n, d)).unwrap(), &documents).unwrap().to_vec2::<f32>().unwrap();
        let whole = tensor(x.clone(), (1, n, d)).unwrap();
        let causal = Mixer::forward(&favor, &whole, &mut Mixer::memory(&favor, 1).unwrap()).unwrap().to_vec3::<f32>().unwrap();
        for (at, f) in (0..n).flat_map(|at| (0..d).map(move |f| (at, f))) {
            assert!((f64::from(causal[0][at][f]) - want(at, at + 1, f)).abs() < 1e-5);
        }
        let alone = tensor(x[..4 * d].to_vec(), (4, d)).unwrap();
        let first = Reader::read(&favor, &alone, &Documents::new(vec![4], vec![]).unwrap()).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(first, read[..4]);
        for (at, f) in (0..4).flat_map(|at| (0..d).map(move |f| (at, f))) {
            assert!((f64::from(read[at][f]) - want(at, 4, f)).abs() < 1e-5);
        }
    }
}
