//! LongT5's attentions (Guo et al. 2021, <https://arxiv.org/abs/2112.07916>, section 3.1), for encoders: a window around each token, and beside it, in the
//! second of them, slots that each sum up a block of tokens and are made anew in every layer.
//!
//! With r the radius, k the tokens of a block, x the hidden states that come in and F = ⌊n / k⌋ the blocks that a document of n tokens fills:
//!
//! ```text
//! p(i)  = min(⌊i / k⌋, F − 1)                              the block of token i: what is left at the end joins the last full block
//! g(s)  = RMSNorm(Σ_{i : p(i) = s} x(i))    s < F          a slot; a document of fewer than k tokens has none
//! out(i) = softmax over { j : |i − j| ≤ r } and all s of   q(i) · k(j) + b(j − i)   and   q(i) · k(g(s)) + c(s − p(i))
//! ```
//!
//! Slots go through the projections of keys and values that tokens do. b and c are a number a head and bucket of distances ([`DistanceBuckets`](super::DistanceBuckets)),
//! and belong to all layers. Scores are divided by nothing.
//!
//! | here | paper |
//! |---|---|
//! | `reach` | r, local radius |
//! | `each` | k, global block size |
//! | slots | transient global tokens |
//! | `local`, `Slots::biases` | relative position biases |
//!
//! Loads: `LocalSelfAttention` and `TransientGlobalSelfAttention` of LongT5 (transformers:src/transformers/models/longt5/modeling_longt5.py). Differs from the
//! reference in memory: it pads nothing, copies no blocks of keys and stores no scores. And in rounding: the reference finds the block of a token with
//! a running sum of 1/k in f32, which for a few k that are no power of two is a token late now and then (k = 25 first at token 425); here ⌊i / k⌋ is exact.

use super::{Documents, Growth, Reader, Spec};
use crate::block::{Dense, Heads, LayerNorm, Projections};
use crate::error::{Error, Result};
use crate::kernel::attention::{Bias, Biases, Job, Span, Visible, attend};
use crate::kernel::elementwise::add;
use crate::kernel::keys::Keys;
use crate::kernel::precision::Precision;
use crate::kernel::{slice, tensor};
use candle_core::Tensor;
use std::ops::Range;
use std::sync::Arc;

const PAPER: &str = "LongT5: Efficient Text-To-Text Transformer for Long Sequences, arXiv 2112.07916";

pub(super) const LOCAL: Spec = Spec {
    name: "longt5_local",
    paper: PAPER,
    state: Growth::None,
    causal: false,
    bidirectional: true,
    mixer: None,
    reader: None,
    tiny: &[],
};

pub(super) const TRANSIENT_GLOBAL: Spec = Spec { name: "longt5_transient_global", ..LOCAL };

/// Attention through a window, and over slots where there are some.
pub struct LongT5 {
    heads: Heads,
    projections: Projections,
    /// Tokens seen on each side; none: all of them.
    reach: Option<usize>,
    local: Arc<Biases>,
    slots: Option<Slots>,
}

/// What stands for blocks of tokens.
pub struct Slots {
    each: usize,
    norm: LayerNorm,
    biases: Arc<Biases>,
    name: String,
}

impl Slots {
    /// Of blocks of `each` tokens, one at least; `norm` is `global_input_layer_norm`, `biases` are of distances in blocks, and `name` what
    /// [`Reader::ran`] says before it counts the slots.
    pub fn new(each: usize, norm: LayerNorm, biases: Arc<Biases>, name: String) -> Self {
        Self { each: each.max(1), norm, biases, name }
    }

    /// Slots of a document of n tokens.
    fn count(&self, n: usize) -> usize {
        n / self.each
    }

    /// The sums of a document's blocks, (F, d), of its hidden states (n, d): in the order of the tokens.
    fn sums(&self, x: &[f32], d: usize) -> Vec<f32> {
        let full = self.count(x.len() / d);
        let mut sums = vec![0.0; full * d];
        if full > 0 {
            for (i, row) in x.chunks_exact(d).enumerate() {
                let slot = (i / self.each).min(full - 1);
                add(&mut sums[slot * d..(slot + 1) * d], row);
            }
        }
        sums
    }

    /// How a document of n tokens sees its slots.
    fn span<'a>(&'a self, keys: &'a Keys) -> Span<'a> {
        let bias = Bias { table: &self.biases, first: 0, each: self.each, last: keys.len().saturating_sub(1) };
        Span { keys, visible: Visible::All, hidden: &[], bias: Some(bias) }
    }
}

impl LongT5 {
    /// Local attention: `local` are the numbers of distances between tokens, `reach` the tokens seen on each side if not all are.
    pub fn new(heads: Heads, projections: Projections, reach: Option<usize>, local: Arc<Biases>) -> Self {
        Self { heads, projections, reach, local, slots: None }
    }

    /// The same with slots beside it.
    pub fn with_slots(self, slots: Slots) -> Self {
        Self { slots: Some(slots), ..self }
    }

    /// Keys and values of each document by itself, from those of all of them one after the other.
    fn keys(&self, [k, v]: [&[f32]; 2], ranges: impl Iterator<Item = Range<usize>>) -> Vec<Keys> {
        let inner = self.heads.count * self.heads.width;
        let of = |r: Range<usize>| {
            let mut keys = Keys::new(self.heads.count, self.heads.width, Precision::F32);
            keys.append(&k[r.start * inner..r.end * inner], &v[r.start * inner..r.end * inner]);
            keys
        };
        ranges.map(of).collect()
    }

    /// The slots of every document, of the hidden states (Σ n, d) of all.
    fn slots(&self, x: &[f32], documents: &Documents) -> Result<Vec<Keys>> {
        let Some(slots) = &self.slots else { return Ok(Vec::new()) };
        let (_, d) = self.projections.k.shape();
        let sums: Vec<f32> = documents.ranges().flat_map(|r| slots.sums(&x[r.start * d..r.end * d], d)).collect();
        let counts = Documents::new(documents.lengths().iter().map(|n| slots.count(*n)).collect(), Vec::new())?;
        let rows = sums.len() / d;
        if rows == 0 {
            return Ok(self.keys([&[], &[]], counts.ranges()));
        }
        let normed = slots.norm.forward(&tensor(sums, (rows, d))?)?;
        let [k, v] = slice(&normed, |x| Dense::all([&self.projections.k, &self.projections.v], x))?;
        Ok(self.keys([&k, &v], counts.ranges()))
    }

    /// What comes out of the heads, (Σ n, h w).
    fn attend(&self, q: &[f32], keys: &[Keys], slots: &[Keys], documents: &Documents) -> Vec<f32> {
        let inner = self.heads.count * self.heads.width;
        let visible = self.reach.map_or(Visible::All, |reach| Visible::Band { reach });
        let mut jobs = Vec::with_capacity(keys.len());
        for (i, (r, keys)) in documents.ranges().zip(keys).enumerate() {
            let mut spans = vec![Span { keys, visible, hidden: &[], bias: Some(Bias::of(&self.local, 0)) }];
            spans.extend(self.slots.iter().zip(slots.get(i)).filter(|(_, keys)| !keys.is_empty()).map(|(s, keys)| s.span(keys)));
            jobs.push(Job { q: &q[r.start * inner..r.end * inner], spans });
        }
        attend(&jobs, self.heads.count, self.heads.width, self.heads.scale)
    }
}

impl Reader for LongT5 {
    fn bytes(&self) -> usize {
        let slots = self.slots.as_ref().map_or(0, |s| s.norm.bytes() + s.biases.bytes());
        self.projections.bytes() + self.local.bytes() + slots
    }

    /// The window's, and of each slot the sum, its norm, keys and values, and these in blocks.
    fn work_bytes(&self, n: usize) -> usize {
        let (inner, d) = self.projections.k.shape();
        let slots = self.slots.as_ref().map_or(0, |s| s.count(n));
        self.projections.work_bytes(n) + slots * (2 * d + 4 * inner) * size_of::<f32>()
    }

    fn ran(&self, n: usize) -> Option<String> {
        self.slots.as_ref().map(|s| format!("{}: {}", s.name, s.count(n)))
    }

    fn read(&self, xs: &Tensor, documents: &Documents) -> Result<Tensor> {
        let Projections { q, k, v, out } = &self.projections;
        let mixed = slice(xs, |x| {
            let slots = self.slots(x, documents)?;
            let [q, k, v] = Dense::all([q, k, v], x); // (Σ n, h w)
            let keys = self.keys([&k, &v], documents.ranges());
            drop((k, v));
            Ok::<_, Error>(out.apply(&self.attend(&q, &keys, &slots, documents)))
        })??;
        tensor(mixed, xs.shape())
    }
}

#[cfg(test)]
mod tests;
