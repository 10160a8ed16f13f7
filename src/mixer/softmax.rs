//! Softmax attention (Vaswani et al. 2017, <https://arxiv.org/abs/1706.03762>, eq. 1).
//!
//! Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V in each of h heads, then the output projection. With `relative`, [`Relation`] says what distances
//! do to it.
//!
//! | here | paper |
//! |---|---|
//! | `heads.count`, `heads.width` | h, d_k = d_v |
//! | `heads.scale` | 1/√d_k (GPT-2 may divide by the layer's number too) |
//!
//! Loads: self-attention of BART, Pegasus, LED's decoder, GPT-2; trax's `CausalAttention` and `Attention`, and the attentions that differ from them in what
//! stands for the dense layers alone (`MultiplicativeCausalAttention`, `LowRankCausalAttention`, …).

use super::{Documents, Growth, Mixer, Place, Reader, Spec, options};
use crate::block::{Dense, Heads, Projections};
use crate::error::Result;
use crate::kernel::attention::{Bias, Job, Span, Visible, attend, attend_relative};
use crate::kernel::keys::Keys;
use crate::kernel::precision::Precision;
use crate::kernel::{slice, tensor};
use crate::memory::{ByRow, RowMemory};
use candle_core::Tensor;
use serde_json::Value;

mod relation;

pub use relation::Relation;

pub(super) const SPEC: Spec = Spec {
    name: "softmax",
    paper: "Attention Is All You Need, arXiv 1706.03762",
    state: Growth::Linear,
    causal: true,
    bidirectional: true,
    mixer: Some(|entry, place| Ok(Box::new(load(entry, place, true)?))),
    reader: Some(|entry, place| Ok(Box::new(load(entry, place, false)?))),
    tiny: &[
        r#"{"name": "softmax"}"#,
        r#"{"name": "softmax", "relative": "rotary"}"#,
        r#"{"name": "softmax", "relative": "rotary", "rotary_style": "interleaved", "rotary_base": 300, "sum_of_norms": true}"#,
        r#"{"name": "softmax", "relative": "shaw", "max_distance": 6}"#,
        r#"{"name": "softmax", "relative": "shaw", "max_distance": 1, "sum_of_norms": true}"#,
        r#"{"name": "softmax", "relative": "music", "max_distance": 12}"#,
        r#"{"name": "softmax", "relative": "music", "max_distance": 200}"#,
    ],
};

fn load(entry: &Value, place: &Place, causal: bool) -> Result<Softmax> {
    let distances = options(entry)?;
    let softmax = Softmax::new(place.heads, place.projections()?).with_cache(place.w.cache());
    Ok(Softmax { relation: relation::load(distances, place, causal)?, ..softmax })
}

/// Full attention, causal or bidirectional.
pub struct Softmax {
    attention: Attention,
    projections: Projections,
    relation: Option<Relation>,
    /// How far a token of a document sees on each side, where that is not everything.
    reach: Option<usize>,
}

impl Softmax {
    /// Of its projections; remembers in f32.
    pub fn new(heads: Heads, projections: Projections) -> Self {
        Self { attention: Attention { heads, cache: Precision::F32 }, projections, relation: None, reach: None }
    }

    /// The same; documents are read through a window, `reach` tokens to each side.
    pub fn with_window(self, reach: Option<usize>) -> Self {
        Self { reach, ..self }
    }

    /// The same, where distances count.
    pub fn with_relation(self, relation: Relation) -> Self {
        Self { relation: Some(relation), ..self }
    }

    /// The same, remembering keys and values in `cache`: f32 or bf16. Documents that are read at once are not remembered, and stay in f32.
    pub fn with_cache(self, cache: Precision) -> Self {
        Self { attention: Attention { cache, ..self.attention }, ..self }
    }
}

/// Softmax attention itself, between queries, keys and values that somebody else makes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attention {
    pub heads: Heads,
    /// How keys and values are remembered.
    pub cache: Precision,
}

impl Attention {
    /// An empty memory of so many rows.
    pub fn memory(&self, rows: usize) -> Kv {
        ByRow((0..rows).map(|_| Keys::new(self.heads.count, self.heads.width, self.cache)).collect())
    }

    /// Bytes of one row's memory.
    pub fn bytes_at(&self, positions: usize) -> usize {
        Keys::bytes_at(self.heads.count, self.heads.width, positions, self.cache)
    }

    /// Numbers of the rows of a batch, t each: three times (b, t, h w) -> (b, t, h w). The memory has t more afterwards.
    pub fn causal(&self, qkv: [&[f32]; 3], memory: &mut Kv) -> Vec<f32> {
        self.causal_related(qkv, memory, None)
    }

    /// The same where distances add to it.
    fn causal_related(&self, [q, k, v]: [&[f32]; 3], memory: &mut Kv, relation: Option<&Relation>) -> Vec<f32> {
        let d = self.heads.count * self.heads.width;
        let t = q.len() / d / memory.0.len().max(1);
        for (i, keys) in memory.0.iter_mut().enumerate() {
            keys.append(&k[i * t * d..(i + 1) * t * d], &v[i * t * d..(i + 1) * t * d]);
        }
        let jobs: Vec<Job> = q
            .chunks_exact((t * d).max(1))
            .zip(&memory.0)
            .map(|(q, keys)| Job {
                q,
                spans: vec![Span {
                    keys,
                    visible: Visible::Causal { first: keys.len() - t },
                    hidden: &[],
                    bias: bias_of(relation, keys.len() - t),
                }],
            })
            .collect();
        self.attend(&jobs, relation)
    }

    fn attend(&self, jobs: &[Job], relation: Option<&Relation>) -> Vec<f32> {
        let Heads { count, width, scale } = self.heads;
        match relation.and_then(Relation::table) {
            None => attend(jobs, count, width, scale),
            Some(table) => attend_relative(jobs, &jobs.iter().map(|job| table.of(job.q)).collect::<Vec<_>>(), (count, width), scale),
        }
    }

    /// Each document by itself: three times (Σ n, h w) -> (Σ n, h w).
    fn read(&self, [q, k, v]: [&[f32]; 3], documents: &Documents, relation: Option<&Relation>, visible: Visible) -> Vec<f32> {
        let d = self.heads.count * self.heads.width;
        let of = |r: std::ops::Range<usize>| {
            let mut keys = Keys::new(self.heads.count, self.heads.width, Precision::F32);
            keys.append(&k[r.start * d..r.end * d], &v[r.start * d..r.end * d]);
            keys
        };
        let keys: Vec<Keys> = documents.ranges().map(of).collect();
        let jobs: Vec<Job> = documents
            .ranges()
            .zip(&keys)
            .map(|(r, keys)| Job {
                q: &q[r.start * d..r.end * d],
                spans: vec![Span { keys, visible, hidden: &[], bias: bias_of(relation, 0) }],
            })
            .collect();
        self.attend(&jobs, relation)
    }
}

/// What a span of tokens gets for distances, for rows from position `first` on.
fn bias_of(relation: Option<&Relation>, first: usize) -> Option<Bias<'_>> {
    relation.and_then(Relation::biases).map(|table| Bias::of(table, first))
}

/// Keys and values of all tokens read, one [`Keys`] a row.
pub type Kv = ByRow<Keys>;

impl RowMemory for Keys {
    fn bytes(&self) -> usize {
        Keys::bytes(self)
    }

    fn reserve(&mut self, positions: usize) {
        Keys::reserve(self, positions);
    }
}

impl Mixer for Softmax {
    type Memory = Kv;

    fn memory(&self, rows: usize) -> Result<Kv> {
        Ok(self.attention.memory(rows))
    }

    fn bytes_at(&self, positions: usize) -> usize {
        self.attention.bytes_at(positions)
    }

    fn weight_bytes(&self) -> usize {
        self.projections.bytes() + self.relation.as_ref().map_or(0, Relation::bytes)
    }

    fn work_bytes(&self, t: usize) -> usize {
        self.projections.work_bytes(t)
    }

    fn forward(&self, xs: &Tensor, memory: &mut Kv) -> Result<Tensor> {
        let Projections { q, k, v, out } = &self.projections;
        let mixed = slice(xs, |x| {
            let [mut q, mut k, v] = Dense::all([q, k, v], x); // (b t, h w)
            if let Some(relation) = &self.relation {
                let t = xs.dims()[1];
                let positions: Vec<usize> = memory.0.iter().flat_map(|keys| keys.len()..keys.len() + t).collect();
                relation.turn(&mut q, self.attention.heads.count, positions.iter().copied());
                relation.turn(&mut k, self.attention.heads.count, positions.iter().copied());
            }
            out.apply(&self.attention.causal_related([&q, &k, &v], memory, self.relation.as_ref()))
        })?;
        tensor(mixed, xs.shape())
    }
}

impl Reader for Softmax {
    fn bytes(&self) -> usize {
        self.weight_bytes()
    }

    fn work_bytes(&self, n: usize) -> usize {
        self.projections.work_bytes(n)
    }

    fn read(&self, xs: &Tensor, documents: &Documents) -> Result<Tensor> {
        let Projections { q, k, v, out } = &self.projections;
        let visible = self.reach.map_or(Visible::All, |reach| Visible::Band { reach });
        let mixed = slice(xs, |x| {
            let [mut q, mut k, v] = Dense::all([q, k, v], x); // (Σ n, h w)
            if let Some(relation) = &self.relation {
                let positions: Vec<usize> = documents.lengths().iter().flat_map(|n| 0..*n).collect();
                relation.turn(&mut q, self.attention.heads.count, positions.iter().copied());
                relation.turn(&mut k, self.attention.heads.count, positions.iter().copied());
            }
            out.apply(&self.attention.read([&q, &k, &v], documents, self.relation.as_ref(), visible))
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
    use crate::memory::Memory;
    use std::sync::Arc;

    /// Rows that are repeated while others leave go on as copies of what they were, and each by itself.
    #[test]
    fn a_copy_into_the_room_of_another_is_a_copy() {
        let d = 24;
        let one = |seed| Linear::from_packed(Arc::new(Packed::new(&noise(d * d, seed), (d, d), Layout::OutIn, None))).into();
        let projections = Projections { q: one(1), k: one(3), v: one(5), out: one(7) };
        for cache in [Precision::F32, Precision::Bf16] {
            let mixer = Softmax::new(Heads::new(d, 3).unwrap(), projections.clone()).with_cache(cache);
            let run = |memory: &mut Kv, rows: usize, t: usize, seed| {
                let xs = tensor(noise(rows * t * d, seed), (rows, t, d)).unwrap();
                mixer.forward(&xs, memory).unwrap().to_vec3::<f32>().unwrap()
            };
            let mut memory = mixer.memory(4).unwrap();
            memory.reserve(60);
            run(&mut memory, 4, 40, 2);
            assert_eq!(memory.bytes(), 4 * mixer.bytes_at(40));
            let rows = [2, 0, 2, 2];
            let mut fresh = ByRow(rows.iter().map(|r| memory.0[*r].clone()).collect());
            memory.select(&rows).unwrap();
            assert_eq!(run(&mut memory, 4, 3, 8), run(&mut fresh, 4, 3, 8));
            assert_eq!(run(&mut memory, 4, 1, 9), run(&mut fresh, 4, 1, 9));
        }
    }
}
