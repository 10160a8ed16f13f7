//! Longformer's attention: a sliding window, and a few tokens that see and are seen by all (Beltagy et al. 2020,
//! <https://arxiv.org/abs/2004.05150>), as LED's encoder has it (transformers:src/transformers/models/led/modeling_led.py).
//!
//! With G the global positions and w the window, query i sees G and { j ∉ G : |i − j| ≤ w/2 } in one softmax; a query i ∈ G sees all
//! positions, through projections of its own.
//!
//! | here | paper |
//! |---|---|
//! | `reach` | w/2, one side of the window |
//! | `local`, `global` | Q_s, K_s, V_s and Q_g, K_g, V_g |
//!
//! Loads: `longformer_self_attn` of LED. Differs from the reference in nothing but memory: it pads no document and keeps one tile of scores
//! at a time.

use super::{Documents, Growth, Reader, Spec};
use crate::block::{Heads, Linear};
use crate::error::{Error, Result};
use crate::kernel::attention::{Job, Span, Visible, attend};
use crate::kernel::keys::Keys;
use crate::kernel::precision::Precision;
use crate::kernel::{slice, tensor};
use crate::weights::Weights;
use candle_core::{Device, Tensor};

pub(super) const SPEC: Spec = Spec {
    name: "longformer",
    paper: "Longformer: The Long-Document Transformer, arXiv 2004.05150",
    state: Growth::None,
    causal: false,
    bidirectional: true,
    mixer: None,
    reader: None,
    tiny: &[],
};

/// Sliding-window attention with global tokens, for encoders.
pub struct Longformer {
    heads: Heads,
    reach: usize,
    local: [Linear; 3],
    global: [Linear; 3],
    out: Linear,
}

impl Longformer {
    /// `longformer_self_attn.{query,key,value}[_global]` and `output` below `w`, each (d, d) with bias; `window` is w, even.
    pub fn load(w: &Weights, heads: Heads, window: usize) -> Result<Self> {
        if window == 0 || !window.is_multiple_of(2) {
            return Err(Error::new(format!("config.json: `attention_window` must be even and above 0, not {window}")));
        }
        let d = heads.count * heads.width;
        let inner = w.pp("longformer_self_attn");
        let three = |suffix: &str| -> Result<[Linear; 3]> {
            let one = |name: &str| Linear::load(&inner.pp(format!("{name}{suffix}")), (d, d));
            Ok([one("query")?, one("key")?, one("value")?])
        };
        Ok(Self { heads, reach: window / 2, local: three("")?, global: three("_global")?, out: Linear::load(&w.pp("output"), (d, d))? })
    }

    /// The same with a window over every document whole.
    pub fn over_everything(self) -> Self {
        Self { reach: usize::MAX, ..self }
    }

    fn attend(&self, jobs: &[Job]) -> Vec<f32> {
        attend(jobs, self.heads.count, self.heads.width, self.heads.scale)
    }

    fn keys(&self, k: &[f32], v: &[f32]) -> Keys {
        let mut keys = Keys::new(self.heads.count, self.heads.width, Precision::F32);
        keys.append(k, v);
        keys
    }

    /// One document, xs (n, d): (n, d) before the output projection.
    fn document(&self, xs: &Tensor, global: &[usize]) -> Result<Vec<f32>> {
        let d = self.heads.count * self.heads.width;
        let [q, k, v] = &self.local;
        let [q, k, v] = Linear::all([q, k, v], xs)?;
        let pick = |x: &[f32]| -> Vec<f32> { global.iter().flat_map(|g| &x[g * d..(g + 1) * d]).copied().collect() };
        let (keys, seen_by_all) = slice(&k, |k| slice(&v, |v| (self.keys(k, v), self.keys(&pick(k), &pick(v)))))??;
        let mut spans = vec![Span { keys: &keys, visible: Visible::Band { reach: self.reach }, hidden: global, bias: None }];
        if !seen_by_all.is_empty() {
            spans.insert(0, Span { keys: &seen_by_all, visible: Visible::All, hidden: &[], bias: None });
        }
        let mut mixed = slice(&q, |q| self.attend(&[Job { q, spans }]))?;
        if !global.is_empty() {
            let rows = self.see_all(xs, global)?;
            for (g, row) in global.iter().zip(rows.chunks_exact(d)) {
                mixed[g * d..(g + 1) * d].copy_from_slice(row);
            }
        }
        Ok(mixed)
    }

    /// The rows of the global positions: attention over the whole document.
    fn see_all(&self, xs: &Tensor, global: &[usize]) -> Result<Vec<f32>> {
        let [q, k, v] = &self.global;
        let ids: Vec<u32> = global.iter().map(|&g| g as u32).collect();
        let picked = xs.index_select(&Tensor::new(ids, &Device::Cpu)?, 0)?; // (g, d)
        let (q, [k, v]) = (q.forward(&picked)?, Linear::all([k, v], xs)?);
        let keys = slice(&k, |k| slice(&v, |v| self.keys(k, v)))??;
        slice(&q, |q| self.attend(&[Job { q, spans: vec![Span { keys: &keys, visible: Visible::All, hidden: &[], bias: None }] }]))
    }
}

impl Reader for Longformer {
    fn bytes(&self) -> usize {
        self.local.iter().chain(&self.global).map(Linear::bytes).sum::<usize>() + self.out.bytes()
    }

    /// Both sets of keys and values, plain and in blocks, the queries, and what comes out of the heads.
    fn work_bytes(&self, n: usize) -> usize {
        10 * n * self.heads.count * self.heads.width * size_of::<f32>()
    }

    fn read(&self, xs: &Tensor, documents: &Documents) -> Result<Tensor> {
        let shape = xs.dims2()?;
        let mut mixed = Vec::with_capacity(shape.0 * shape.1);
        for (range, global) in documents.ranges().zip(documents.global()) {
            mixed.extend(self.document(&xs.narrow(0, range.start, range.len())?, global)?);
        }
        self.out.forward(&tensor(mixed, shape)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Projections;
    use crate::kernel::linear::{Layout, Packed};
    use crate::kernel::testing::noise;
    use crate::mixer::Softmax;
    use std::sync::Arc;

    fn linear(d: usize, seed: u64) -> Linear {
        Linear::from_packed(Arc::new(Packed::new(&noise(d * d, seed), (d, d), Layout::OutIn, Some(noise(d, seed + 1)))))
    }

    #[test]
    fn a_window_over_everything_is_full_attention() -> Result<()> {
        let (d, n) = (24, 41);
        let heads = Heads::new(d, 3)?;
        let all: Vec<Linear> = (0..7).map(|i| linear(d, 10 * i)).collect();
        let [q, k, v, out, gq, gk, gv] = <[Linear; 7]>::try_from(all).map_err(|_| Error::new("seven"))?;
        let xs = tensor(noise(n * d, 99), (n, d))?;
        let documents = Documents::new(vec![30, 11], vec![])?;
        let full =
            Softmax::new(heads, Projections { q: q.clone().into(), k: k.clone().into(), v: v.clone().into(), out: out.clone().into() });
        let window = |reach| Longformer {
            heads,
            reach,
            local: [q.clone(), k.clone(), v.clone()],
            global: [gq.clone(), gk.clone(), gv.clone()],
            out: out.clone(),
        };
        let (a, b) = (full.read(&xs, &documents)?.to_vec2::<f32>()?, window(30).read(&xs, &documents)?.to_vec2::<f32>()?);
        assert_eq!(a, b);
        assert_ne!(a, window(3).read(&xs, &documents)?.to_vec2::<f32>()?);
        Ok(())
    }
}
