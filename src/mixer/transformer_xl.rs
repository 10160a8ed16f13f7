//! Attention with memories of earlier segments and relative positions: Transformer-XL (Dai et al. 2019, <https://arxiv.org/abs/1901.02860>, section 3).
//!
//! With h the layer's inputs, SG(h) those of earlier segments and δ = i − j ≥ 0 the distance of a key from its query (sections 3.2 and 3.3):
//!
//! k, v = W_k [SG(h) ; h], W_v [SG(h) ; h]; q = W_q h
//!
//! A(i, j) = ((q_i + u) · k_j + (q_i + v) · r_δ) / √d_k, r_δ = W_r [sin ; cos](δ f), f_l = 10000^(−2 l / d)
//!
//! Memories are the inputs of layers, without positions, so keys and values of a token stay what they were: they are remembered in place of the inputs, and no
//! step projects the memory again. r_δ does not depend on the text: its rows are worked out once, and again when a longer distance comes up.
//!
//! | here | paper |
//! |---|---|
//! | `biases` | u, v |
//! | `distances` | W_r R |
//! | `memory` | M, memory length |
//! | [`Segment::Sliding`] | attention to M tokens, the same for every query (`same_length` of the code) |
//! | [`Segment::Fixed`] | L, segment length: queries see their segment so far and M positions before it |
//!
//! Loads: `transfo-xl` of transformers; `effattn_lm`. With zeros before the text (`init_mem`), as transformers has it, rows of zeros stand before it as far as the
//! memory reaches, and are attended to: a score from the distance alone. One block of such rows serves all of them.
//!
//! Departs from the reference: angles of distances are worked out in f64 and rounded once. Those of the reference, in f32, make sines and cosines off by up to 8e-5
//! at distances up to 1,000. And what a query sees never depends on how a text was cut into calls, unless [`Segment::Call`] asks for that.

use super::{Growth, Mixer, Place, Spec, options};
use crate::block::{Dense, Heads, Projections};
use crate::error::{Error, Result};
use crate::kernel::attention::{Job, Relative, Span, Visible, attend_relative};
use crate::kernel::keys::Keys;
use crate::kernel::precision::Precision;
use crate::kernel::{slice, tensor};
use crate::memory::ByRow;
use candle_core::Tensor;
use distances::Rows;
use past::Call;
use serde::Deserialize;
use serde_json::Value;
use std::sync::OnceLock;

mod distances;
mod past;
mod reach;

pub use past::Past;
pub use reach::{Reach, Segment};

pub(super) const SPEC: Spec = Spec {
    name: "transformer_xl",
    paper: "Transformer-XL: Attentive Language Models beyond a Fixed-Length Context, arXiv 1901.02860",
    state: Growth::Bounded,
    causal: true,
    bidirectional: false,
    mixer: Some(|entry, place| Ok(Box::new(load(entry, place)?))),
    reader: None,
    tiny: &[
        r#"{"name": "transformer_xl", "memory": 16}"#,
        r#"{"name": "transformer_xl", "memory": 9, "clamp": 5, "init_mem": "zeros"}"#,
        r#"{"name": "transformer_xl", "memory": 6, "segment": 10}"#,
        r#"{"name": "transformer_xl", "memory": 40, "segment": 7, "clamp": 12, "init_mem": "zeros"}"#,
        r#"{"name": "transformer_xl", "memory": 0, "segment": 9, "sum_of_norms": true}"#,
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    memory: usize,
    #[serde(default)]
    segment: usize,
    #[serde(default = "none")]
    clamp: i64,
    #[serde(default)]
    init_mem: Start,
}

fn none() -> i64 {
    -1
}

/// What stands before the text.
#[derive(Deserialize, Default, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Nothing.
    #[default]
    Empty,
    /// Rows of zeros, as many as the memory holds.
    Zeros,
}

impl Start {
    /// What `asked` names, else `otherwise`.
    pub fn of(asked: Option<&str>, otherwise: Self) -> Result<Self> {
        match asked {
            None => Ok(otherwise),
            Some("empty") => Ok(Start::Empty),
            Some("zeros") => Ok(Start::Zeros),
            Some(other) => Err(Error::new(format!("config.json: `init_mem` is \"{other}\"")).hint("it is \"empty\" or \"zeros\"")),
        }
    }
}

fn load(entry: &Value, place: &Place) -> Result<TransformerXl> {
    let o: Options = options(entry)?;
    let inner = place.heads.count * place.heads.width;
    let reach = Reach {
        memory: o.memory,
        segment: if o.segment == 0 { Segment::Sliding } else { Segment::Fixed(o.segment) },
        clamp: usize::try_from(o.clamp).ok().filter(|c| *c > 0),
    };
    reach.check(("memory", "segment"))?;
    let bias = |name: &str| place.w.get(name, &[place.heads.count, place.heads.width]);
    let biases = [bias("content_bias")?, bias("position_bias")?];
    let position = place.linear("position", (inner, place.d), false)?;
    let mixer = TransformerXl::new(place.heads, place.projections()?, (position, biases), reach)?.with_cache(place.w.cache());
    let mixer = match Start::of(place.init_mem, o.init_mem)? {
        Start::Empty => mixer,
        Start::Zeros => mixer.after(vec![0.0; place.d]),
    };
    place.w.holds(mixer.made());
    Ok(mixer)
}

/// Attention over a segment and the memory before it.
pub struct TransformerXl {
    heads: Heads,
    projections: Projections,
    /// u and v, (h, w).
    biases: [Vec<f32>; 2],
    reach: Reach,
    distances: Rows,
    cache: Precision,
    before: Option<Before>,
}

/// The input that stands at every position before the text, and a block of its keys and values.
struct Before {
    input: Vec<f32>,
    block: OnceLock<Keys>,
}

/// Rows of a block before the text: a whole chunk, so that they are met in the same order whatever else is.
const BLOCK: usize = 128;

impl TransformerXl {
    /// Of its projections; `far` are W_r (h w, d) and the biases u and v. Remembers in f32, and nothing stands before the text. Fails if d is odd.
    pub fn new(heads: Heads, projections: Projections, far: (Dense, [Vec<f32>; 2]), reach: Reach) -> Result<Self> {
        let (position, biases) = far;
        let distances = Rows::new(position, heads)?;
        Ok(Self { heads, projections, biases, reach, distances, cache: Precision::F32, before: None })
    }

    /// The same, remembering keys and values in `cache`: f32 or bf16.
    pub fn with_cache(self, cache: Precision) -> Self {
        Self { cache, ..self }
    }

    /// The same where positions before the text hold the input `input` (d), as many as the memory has room for.
    pub fn after(self, input: Vec<f32>) -> Self {
        Self { before: Some(Before { input, block: OnceLock::new() }), ..self }
    }

    fn inner(&self) -> usize {
        self.heads.count * self.heads.width
    }

    /// Numbers that are made of the weights and held: rows for distances, the block before the text.
    pub fn made(&self) -> usize {
        let rows = self.reach.most().min(self.reach.distances());
        self.inner() * (rows + if self.before.is_some() { 2 * BLOCK } else { 0 })
    }

    /// The block before the text.
    fn block(&self) -> Option<&Keys> {
        let Before { input, block } = self.before.as_ref()?;
        Some(block.get_or_init(|| {
            let (k, v) = (self.projections.k.apply(input), self.projections.v.apply(input));
            let mut keys = Keys::new(self.heads.count, self.heads.width, self.cache);
            keys.append(&k.repeat(BLOCK), &v.repeat(BLOCK));
            keys
        }))
    }

    /// What rows from position `first` on look at; `start` is where their segment began, for segments that are calls.
    fn spans<'a>(&self, keys: &'a Keys, block: Option<&'a Keys>, first: usize, start: usize) -> Vec<Span<'a>> {
        let (segment, memory) = self.reach.sizes();
        let call = self.reach.segment == Segment::Call;
        let visible = |origin: isize| match call {
            // seen from where the segment began, all of it is the first
            true => Visible::Segments { first: first - start, origin: origin - start as isize, segment: usize::MAX, memory },
            false => Visible::Segments { first, origin, segment, memory },
        };
        let begins = if call { start } else { first / segment * segment };
        let blocks = memory.saturating_sub(begins).div_ceil(BLOCK);
        let before = block.iter().flat_map(|keys| (1..=blocks).rev().map(|b| (*keys, -((b * BLOCK) as isize))));
        before.chain([(keys, 0)]).map(|(keys, origin)| Span { keys, visible: visible(origin), hidden: &[], bias: None }).collect()
    }

    /// The runs of t rows that begin at position `seen` and belong to one segment, where calls are segments: rows, and where their segment began.
    fn parts(&self, call: Call, seen: usize, t: usize) -> Vec<(std::ops::Range<usize>, usize)> {
        match self.reach.segment {
            Segment::Call if call.open && t > 1 => vec![(0..1, call.start), (1..t, seen + 1)],
            Segment::Call if call.open => vec![(0..t, call.start)],
            _ => vec![(0..t, seen)],
        }
    }
}

impl Mixer for TransformerXl {
    type Memory = Past;

    fn memory(&self, rows: usize) -> Result<Past> {
        let keys = (0..rows).map(|_| Keys::new(self.heads.count, self.heads.width, self.cache)).collect();
        Ok(Past { kv: ByRow(keys), calls: vec![Call::default(); rows], most: self.reach.most() })
    }

    fn bytes_at(&self, positions: usize) -> usize {
        let stored = Keys::stored_at(positions, self.reach.lowest(positions));
        Keys::bytes_at(self.heads.count, self.heads.width, stored, self.cache)
    }

    fn weight_bytes(&self) -> usize {
        let rows = self.reach.most().min(self.reach.distances());
        self.projections.bytes() + self.inner() * (rows + 2) * size_of::<f32>()
    }

    fn work_bytes(&self, t: usize) -> usize {
        self.projections.work_bytes(t) + 2 * t * self.inner() * size_of::<f32>()
    }

    fn forward(&self, xs: &Tensor, memory: &mut Past) -> Result<Tensor> {
        let Projections { q, k, v, out } = &self.projections;
        let [q, k, v] = slice(xs, |x| Dense::all([q, k, v], x))?; // (b t, h w)
        let d = self.inner();
        let t = q.len() / d / memory.calls.len().max(1);
        let seen: Vec<usize> = memory.kv.0.iter().map(Keys::len).collect();
        for (i, (keys, call)) in memory.kv.0.iter_mut().zip(&memory.calls).enumerate() {
            if self.reach.segment == Segment::Call {
                let start = if call.open { call.start } else { keys.len() };
                keys.forget(start.saturating_sub(self.reach.memory));
            }
            keys.append(&k[i * t * d..(i + 1) * t * d], &v[i * t * d..(i + 1) * t * d]);
        }
        let with = |bias: &[f32]| -> Vec<f32> { q.chunks_exact(d).flat_map(|q| q.iter().zip(bias).map(|(q, b)| q + b)).collect() };
        let [content, position] = self.biases.each_ref().map(|bias| with(bias));
        // as far back as any row sees
        let longest = |(seen, call): (&usize, &Call)| {
            let end = seen + t + if self.before.is_some() { self.reach.memory } else { 0 };
            match self.reach.segment {
                Segment::Call => end.min(seen + t - if call.open { call.start } else { *seen } + self.reach.memory),
                _ => end.min(self.reach.most()),
            }
        };
        let far = seen.iter().zip(&memory.calls).map(longest).max().unwrap_or(0);
        let table = self.distances.up_to(far, self.reach.distances())?;
        let (mut jobs, mut relative) = (Vec::new(), Vec::new());
        let block = self.block();
        for (i, (keys, call)) in memory.kv.0.iter().zip(&mut memory.calls).enumerate() {
            for (rows, start) in self.parts(*call, seen[i], t) {
                let at = (i * t + rows.start) * d..(i * t + rows.end) * d;
                jobs.push(Job { q: &content[at.clone()], spans: self.spans(keys, block, seen[i] + rows.start, start) });
                relative.push(Relative { q: &position[at], table: &table, own: table.len() - 1 });
                *call = Call { start, open: false };
            }
        }
        let mixed = out.apply(&attend_relative(&jobs, &relative, (self.heads.count, self.heads.width), self.heads.scale));
        if self.reach.segment != Segment::Call {
            memory.kv.0.iter_mut().for_each(|keys| keys.forget(self.reach.lowest(keys.len())));
        }
        tensor(mixed, xs.shape())
    }
}

#[cfg(test)]
mod tests;
