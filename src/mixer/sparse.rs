//! What the two factorisations of Sparse Transformers share (Child et al. 2019, <https://arxiv.org/abs/1904.10509>): a query sees the keys of one of two
//! sets, A¹ and A², or of both, and all that differs is what is stored where.
//!
//! Softmax over a set, 1/√d_k in front of the scores, as in [`super::softmax`]; a step reads the keys of its own set and no others.

use super::{Mixer, Place};
use crate::block::{Dense, Heads, Projections};
use crate::error::{Error, Result};
use crate::kernel::attention::{Job, attend};
use crate::kernel::keys::Keys;
use crate::kernel::precision::Precision;
use crate::kernel::{slice, tensor};
use crate::memory::{self, Memory};
use candle_core::Tensor;
use serde::Deserialize;
use std::borrow::Cow;
use std::ops::Range;

/// Where the two sets stand: option `pattern`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pattern {
    /// Every head sees A¹ ∪ A² (section 4.3 of the paper, "merged").
    #[default]
    Union,
    /// Layers 0, 2, … see A¹, the others A² ("interleaved").
    Alternate,
    /// The first ⌈h/2⌉ heads of a layer see A¹, the others A² ("multi-head").
    Heads,
}

/// Which keys a head sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sets {
    /// A¹.
    First,
    /// A².
    Second,
    /// A¹ ∪ A², each key once.
    Both,
}

impl Pattern {
    /// Heads and their sets, of `heads` heads in layer `layer`.
    pub fn parts(self, heads: usize, layer: usize) -> Vec<(Range<usize>, Sets)> {
        let half = heads.div_ceil(2);
        let parts = match self {
            Pattern::Union => vec![(0..heads, Sets::Both)],
            Pattern::Alternate if layer.is_multiple_of(2) => vec![(0..heads, Sets::First)],
            Pattern::Alternate => vec![(0..heads, Sets::Second)],
            Pattern::Heads => vec![(0..half, Sets::First), (half..heads, Sets::Second)],
        };
        parts.into_iter().filter(|(heads, _)| !heads.is_empty()).collect()
    }
}

/// Greatest stride: beyond it a number is a typing error.
const MOST: usize = 1 << 24;

/// Fails if `n`, the option `key` of the variant `name`, is not from 1 to `most`.
pub(super) fn within(name: &str, key: &str, n: usize, most: usize) -> Result<usize> {
    let most = most.min(MOST);
    if n == 0 || n > most {
        return Err(Error::new(format!("config.json: `mixer` \"{name}\": `{key}` is {n}, not between 1 and {most}"))
            .hint("`stride` is a number of positions, `summary` at most as many: docs/formats.md"));
    }
    Ok(n)
}

/// What the keys of some heads are like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub heads: usize,
    pub width: usize,
    pub precision: Precision,
}

impl Shape {
    pub fn keys(self) -> Keys {
        Keys::new(self.heads, self.width, self.precision)
    }

    /// Bytes of `positions` stored positions.
    pub fn bytes_at(self, positions: usize) -> usize {
        Keys::bytes_at(self.heads, self.width, positions, self.precision)
    }

    /// Features of all heads.
    pub fn features(self) -> usize {
        self.heads * self.width
    }
}

/// A factorisation of attention.
pub(super) trait Scheme: Copy + Send + Sync + 'static {
    /// What it remembers of a row.
    type Past: Past;
    /// Nothing yet, for heads that see `sets`.
    fn past(self, sets: Sets, shape: Shape) -> Self::Past;
    /// Bytes of that after `positions` positions.
    fn bytes_at(self, sets: Sets, shape: Shape, positions: usize) -> usize;
    /// Bytes of it that a step behind so many positions reads.
    fn read_at(self, sets: Sets, shape: Shape, positions: usize) -> usize;
}

/// What some heads remember of one row of a batch.
pub(super) trait Past: Clone + Send + 'static {
    /// The next t queries in the order in which [`Past::jobs`] wants them, if it is not theirs.
    fn order(&self, t: usize) -> Option<Vec<usize>>;
    /// Stores the keys and values of t more positions.
    fn append(&mut self, k: &[f32], v: &[f32]);
    /// What the positions stored last look at: their queries are `q`.
    fn jobs<'a>(&'a self, q: &'a [f32], jobs: &mut Vec<Job<'a>>);
    /// Lets go what no later position sees.
    fn forget(&mut self);
    /// Bytes of what is stored.
    fn bytes(&self) -> usize;
    /// See [`Memory::reserve`].
    fn reserve(&mut self, positions: usize);
}

/// Attention of a [`Scheme`].
pub(super) struct Sparse<S> {
    scheme: S,
    heads: Heads,
    parts: Vec<(Range<usize>, Sets)>,
    cache: Precision,
    projections: Projections,
}

impl<S: Scheme> Sparse<S> {
    /// At `place`.
    pub fn load(scheme: S, pattern: Pattern, place: &Place) -> Result<Self> {
        let parts = pattern.parts(place.heads.count, place.layer);
        Ok(Self { scheme, heads: place.heads, parts, cache: place.w.cache(), projections: place.projections()? })
    }

    fn shape(&self, heads: &Range<usize>) -> Shape {
        Shape { heads: heads.len(), width: self.heads.width, precision: self.cache }
    }

    /// Of all heads: three times (b, t, h w) -> (b, t, h w).
    fn mix(&self, qkv: [&[f32]; 3], memory: &mut Pasts<S::Past>) -> Vec<f32> {
        let (d, width, scale) = (self.heads.count * self.heads.width, self.heads.width, self.heads.scale);
        if let ([(heads, _)], [pasts]) = (&self.parts[..], &mut memory.0[..]) {
            return look(pasts, qkv, self.shape(heads), scale);
        }
        let mut out = vec![0.0; qkv[0].len()];
        for ((heads, _), pasts) in self.parts.iter().zip(&mut memory.0) {
            let columns = heads.start * width..heads.end * width;
            let own = qkv.map(|x| x.chunks_exact(d).flat_map(|row| &row[columns.clone()]).copied().collect::<Vec<f32>>());
            let mixed = look(pasts, own.each_ref().map(|x| &x[..]), self.shape(heads), scale);
            for (out, mixed) in out.chunks_exact_mut(d).zip(mixed.chunks_exact(columns.len())) {
                out[columns.clone()].copy_from_slice(mixed);
            }
        }
        out
    }
}

/// Positions `order` of `x`, `d` numbers each.
pub(super) fn gather<'a>(x: &'a [f32], order: Option<&[usize]>, d: usize) -> Cow<'a, [f32]> {
    match order {
        Some(order) => order.iter().flat_map(|i| &x[i * d..(i + 1) * d]).copied().collect::<Vec<f32>>().into(),
        None => x.into(),
    }
}

/// Stores the positions and lets them look: three times (b, t, features) -> the same.
pub(super) fn look<P: Past>(pasts: &mut [P], [q, k, v]: [&[f32]; 3], shape: Shape, scale: f32) -> Vec<f32> {
    let d = shape.features();
    let share = (q.len() / pasts.len().max(1)).max(1); // t d
    let mut orders = Vec::with_capacity(pasts.len());
    for ((past, k), v) in pasts.iter_mut().zip(k.chunks_exact(share)).zip(v.chunks_exact(share)) {
        orders.push(past.order(share / d));
        past.append(k, v);
    }
    let queries: Vec<Cow<[f32]>> = q.chunks_exact(share).zip(&orders).map(|(q, order)| gather(q, order.as_deref(), d)).collect();
    let mut jobs = Vec::with_capacity(pasts.len());
    pasts.iter().zip(&queries).for_each(|(past, q)| past.jobs(q, &mut jobs));
    let mut mixed = attend(&jobs, shape.heads, shape.width, scale);
    for (mixed, order) in mixed.chunks_exact_mut(share).zip(&orders) {
        if let Some(order) = order {
            let ordered = mixed.to_vec();
            order.iter().zip(ordered.chunks_exact(d)).for_each(|(i, row)| mixed[i * d..(i + 1) * d].copy_from_slice(row));
        }
    }
    pasts.iter_mut().for_each(Past::forget);
    mixed
}

/// What is remembered of all rows: for each part of the heads one [`Past`] a row.
#[derive(Debug, Clone)]
pub(super) struct Pasts<P>(Vec<Vec<P>>);

impl<P: Past> Memory for Pasts<P> {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.0.iter_mut().for_each(|pasts| memory::select(pasts, rows));
        Ok(())
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        for other in others {
            self.0.iter_mut().zip(other.0).for_each(|(own, other)| own.extend(other));
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.iter().flatten().map(Past::bytes).sum()
    }

    fn reserve(&mut self, positions: usize) {
        self.0.iter_mut().flatten().for_each(|past| past.reserve(positions));
    }
}

impl<S: Scheme> Mixer for Sparse<S> {
    type Memory = Pasts<S::Past>;

    fn memory(&self, rows: usize) -> Result<Self::Memory> {
        let past = |(heads, sets): &(Range<usize>, Sets)| (0..rows).map(|_| self.scheme.past(*sets, self.shape(heads))).collect();
        Ok(Pasts(self.parts.iter().map(past).collect()))
    }

    fn bytes_at(&self, positions: usize) -> usize {
        self.parts.iter().map(|(heads, sets)| self.scheme.bytes_at(*sets, self.shape(heads), positions)).sum()
    }

    fn read_at(&self, positions: usize) -> usize {
        self.parts.iter().map(|(heads, sets)| self.scheme.read_at(*sets, self.shape(heads), positions)).sum()
    }

    fn weight_bytes(&self) -> usize {
        self.projections.bytes()
    }

    /// As softmax attention, and queries, keys, values and what comes out once more: those of a class, or of a part of the heads, side by side.
    fn work_bytes(&self, t: usize) -> usize {
        self.projections.work_bytes(t) + 4 * t * self.heads.count * self.heads.width * size_of::<f32>()
    }

    fn forward(&self, xs: &Tensor, memory: &mut Self::Memory) -> Result<Tensor> {
        let Projections { q, k, v, out } = &self.projections;
        let mixed = slice(xs, |x| {
            let [q, k, v] = Dense::all([q, k, v], x); // (b t, h w)
            out.apply(&self.mix([&q, &k, &v], memory))
        })?;
        tensor(mixed, xs.shape())
    }
}

#[cfg(test)]
mod tests;
