//! Linformer's projection for causal stacks: an extension of this program, not in the paper (Wang et al. 2020, <https://arxiv.org/abs/2006.04768>), whose E and F
//! mix all positions.
//!
//! The text is cut into blocks of B positions. When block b is complete, it becomes r rows, K̃_b = E K_b and Ṽ_b = F V_b, with one E and one F (r, B) for all
//! blocks. Query t in block b sees, in one softmax,
//!
//! \[K̃_0; …; K̃_{b−1}; k_{bB}, …, k_t\]
//!
//! so blocks of the past are seen through their rows and its own block exactly. r = B with E = F = I is causal softmax attention.
//!
//! | here | meaning |
//! |---|---|
//! | `block`, `rows` | B, r |
//! | `e`, `f` | E and F (r, B), shared by the heads |
//! | [`Blocks`] | of one row: all K̃ and Ṽ, the keys and values of the block under way, and its sums |
//!
//! A block's rows are sums in the order of its positions, kept as they grow: E(i, p) k_p is added when position p comes. So the state is r rows for every B tokens,
//! one block, and 2 r rows of sums.

use super::{Growth, Mixer, Place, Spec, options};
use crate::block::{Dense, Heads, Projections};
use crate::error::{Error, Result};
use crate::kernel::attention::{Job, Span, Visible, attend};
use crate::kernel::keys::Keys;
use crate::kernel::precision::Precision;
use crate::kernel::{slice, tensor};
use crate::memory::{ByRow, RowMemory};
use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;

pub(super) const SPEC: Spec = Spec {
    name: "linformer_blockwise",
    paper: "an extension of Linformer, arXiv 2006.04768, to causal stacks; not in the paper",
    state: Growth::Linear,
    causal: true,
    bidirectional: false,
    mixer: Some(|entry, place| Ok(Box::new(load(entry, place)?))),
    reader: None,
    tiny: &[
        r#"{"name": "linformer_blockwise", "block": 8}"#,
        r#"{"name": "linformer_blockwise", "block": 5, "rows": 2}"#,
        r#"{"name": "linformer_blockwise", "block": 1, "rows": 1}"#,
        r#"{"name": "linformer_blockwise", "block": 16, "rows": 16}"#,
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    block: usize,
    #[serde(default = "one")]
    rows: usize,
}

fn one() -> usize {
    1
}

fn load(entry: &Value, place: &Place) -> Result<LinformerBlockwise> {
    let o: Options = options(entry)?;
    for (key, n) in [("block", o.block), ("rows", o.rows)] {
        if n == 0 || n > 1 << 14 {
            return Err(Error::new(format!("config.json: `mixer` \"linformer_blockwise\": `{key}` is {n}, not between 1 and 16384"))
                .hint("a completed block of `block` tokens becomes `rows` rows"));
        }
    }
    if o.rows > o.block {
        return Err(Error::new(format!("config.json: `mixer` \"linformer_blockwise\": {} `rows` for a `block` of {}", o.rows, o.block))
            .hint("more rows than positions would cost more than softmax attention, which sees as much"));
    }
    let of = |name: &str| place.w.pp(name).get("weight", &[o.rows, o.block]);
    Ok(LinformerBlockwise {
        heads: place.heads,
        projections: place.projections()?,
        block: o.block,
        rows: o.rows,
        e: of("project_k")?,
        f: of("project_v")?,
        cache: place.w.cache(),
    })
}

/// The attention.
pub struct LinformerBlockwise {
    heads: Heads,
    projections: Projections,
    block: usize,
    rows: usize,
    e: Vec<f32>,
    f: Vec<f32>,
    cache: Precision,
}

/// What one row of a batch remembers: completed blocks as their rows, and the block under way.
#[derive(Debug, Clone)]
pub struct Row {
    /// Of completed blocks.
    done: Keys,
    /// The block under way.
    block: Keys,
    /// Σ E(i, p) k_p, then Σ F(i, p) v_p, over it: (2 r, h w).
    sums: Vec<f32>,
}

impl RowMemory for Row {
    fn bytes(&self) -> usize {
        self.done.bytes() + self.block.bytes() + size_of_val(&self.sums[..])
    }
}

impl LinformerBlockwise {
    fn empty(&self) -> Keys {
        Keys::new(self.heads.count, self.heads.width, self.cache)
    }

    fn inner(&self) -> usize {
        self.heads.count * self.heads.width
    }

    /// Positions of a block, none of which are complete, that `row` takes of `t` more.
    fn next(&self, row: &Row, t: usize) -> usize {
        t.min(self.block - row.block.len())
    }

    /// Reads keys and values (t, h w) that stay within the block.
    fn take(&self, row: &mut Row, k: &[f32], v: &[f32]) {
        let (d, first) = (self.inner(), row.block.len());
        let (of_k, of_v) = row.sums.split_at_mut(self.rows * d);
        for (x, matrix, sums) in [(k, &self.e, of_k), (v, &self.f, of_v)] {
            for (sum, weights) in sums.chunks_exact_mut(d).zip(matrix.chunks_exact(self.block)) {
                for (x, weight) in x.chunks_exact(d).zip(&weights[first..]) {
                    sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += weight * x);
                }
            }
        }
        row.block.append(k, v);
    }

    /// A block that is complete becomes its rows.
    fn complete(&self, row: &mut Row) {
        if row.block.len() == self.block {
            let (k, v) = row.sums.split_at(self.rows * self.inner());
            row.done.append(k, v);
            row.sums.fill(0.0);
            // keeps its room
            row.block.clone_from(&self.empty());
        }
    }

    /// (b t, h w) three times -> the same once.
    fn attend(&self, [q, k, v]: [&[f32]; 3], memory: &mut ByRow<Row>) -> Vec<f32> {
        let d = self.inner();
        let t = q.len() / d / memory.0.len().max(1);
        let mut out = vec![0.0; q.len()];
        let mut read = vec![0; memory.0.len()];
        // in every round each row reads to the end of its block
        while read.iter().any(|&n| n < t) {
            let parts: Vec<_> = (memory.0.iter().zip(&read).enumerate())
                .map(|(b, (row, &n))| (b * t + n) * d..(b * t + n + self.next(row, t - n)) * d)
                .collect();
            memory.0.iter_mut().zip(&parts).for_each(|(row, part)| self.take(row, &k[part.clone()], &v[part.clone()]));
            let jobs: Vec<Job> = (memory.0.iter().zip(&parts)).map(|(row, part)| job(row, &q[part.clone()], part.len() / d)).collect();
            let mixed = attend(&jobs, self.heads.count, self.heads.width, self.heads.scale);
            drop(jobs);
            let mut at = 0;
            for (part, (row, n)) in parts.into_iter().zip(memory.0.iter_mut().zip(&mut read)) {
                out[part.clone()].copy_from_slice(&mixed[at..at + part.len()]);
                at += part.len();
                *n += part.len() / d;
                self.complete(row);
            }
        }
        out
    }
}

/// The last `t` positions of the block under way, which see it up to themselves and the rows of all blocks before.
fn job<'a>(row: &'a Row, q: &'a [f32], t: usize) -> Job<'a> {
    let mut spans = Vec::with_capacity(2);
    if !row.done.is_empty() {
        spans.push(Span { keys: &row.done, visible: Visible::All, hidden: &[], bias: None });
    }
    spans.push(Span { keys: &row.block, visible: Visible::Causal { first: row.block.len() - t }, hidden: &[], bias: None });
    Job { q, spans }
}

impl Mixer for LinformerBlockwise {
    type Memory = ByRow<Row>;

    fn memory(&self, rows: usize) -> Result<ByRow<Row>> {
        let row = || Row { done: self.empty(), block: self.empty(), sums: vec![0.0; 2 * self.rows * self.inner()] };
        Ok(ByRow((0..rows).map(|_| row()).collect()))
    }

    fn bytes_at(&self, positions: usize) -> usize {
        let keys = |n| Keys::bytes_at(self.heads.count, self.heads.width, n, self.cache);
        keys(positions / self.block * self.rows) + keys(positions % self.block) + 2 * self.rows * self.inner() * size_of::<f32>()
    }

    fn weight_bytes(&self) -> usize {
        self.projections.bytes() + 2 * self.rows * self.block * size_of::<f32>()
    }

    fn work_bytes(&self, t: usize) -> usize {
        self.projections.work_bytes(t)
    }

    fn forward(&self, xs: &Tensor, memory: &mut ByRow<Row>) -> Result<Tensor> {
        let Projections { q, k, v, out } = &self.projections;
        let mixed = slice(xs, |x| {
            let [q, k, v] = Dense::all([q, k, v], x); // (b t, h w)
            out.apply(&self.attend([&q, &k, &v], memory))
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

    /// The softmax of the module's head in f64.
    #[test]
    fn is_its_definition() {
        let (d, heads, n) = (12, 3, 23);
        let w = d / heads;
        let one = |x: &[f32]| Linear::from_packed(Arc::new(Packed::new(x, (d, d), Layout::OutIn, None))).into();
        let weights = [1, 2, 3].map(|seed| noise(d * d, seed));
        let identity: Vec<f32> = (0..d * d).map(|i| if i % (d + 1) == 0 { 1.0 } else { 0.0 }).collect();
        for (block, rows) in [(1, 1), (4, 1), (5, 3), (30, 2), (8, 8)] {
            let (e, f) = (noise(rows * block, 7), noise(rows * block, 8));
            let mixer = LinformerBlockwise {
                heads: Heads::new(d, heads).unwrap(),
                projections: Projections { q: one(&weights[0]), k: one(&weights[1]), v: one(&weights[2]), out: one(&identity) },
                block,
                rows,
                e: e.clone(),
                f: f.clone(),
                cache: Precision::F32,
            };
            let x = noise(n * d, 9);
            let xs = tensor(x.clone(), (1, n, d)).unwrap();
            let mut memory = Mixer::memory(&mixer, 1).unwrap();
            let got = Mixer::forward(&mixer, &xs, &mut memory).unwrap().to_vec3::<f32>().unwrap();
            assert_eq!(memory.bytes(), Mixer::bytes_at(&mixer, n));
            let of =
                |m: usize, p: usize, o: usize| -> f64 { (0..d).map(|c| f64::from(weights[m][o * d + c]) * f64::from(x[p * d + c])).sum() };
            let row = |m: usize, e: &[f32], b: usize, i: usize, o: usize| -> f64 {
                (0..block).map(|p| f64::from(e[i * block + p]) * of(m, b * block + p, o)).sum()
            };
            for (t, o) in (0..n).flat_map(|t| (0..d).map(move |o| (t, o))) {
                let (b, head) = (t / block, o / w * w..o / w * w + w);
                // keys and values that it sees, feature by feature
                let seen = |m: usize, e: &[f32], o: usize| -> Vec<f64> {
                    let done = (0..b).flat_map(|b| (0..rows).map(move |i| (b, i))).map(|(b, i)| row(m, e, b, i, o)).collect::<Vec<_>>();
                    done.into_iter().chain((b * block..=t).map(|p| of(m, p, o))).collect()
                };
                let keys: Vec<Vec<f64>> = head.clone().map(|o| seen(1, &e, o)).collect();
                let q: Vec<f64> = head.map(|o| of(0, t, o)).collect();
                let score = |j: usize| keys.iter().zip(&q).map(|(k, q)| k[j] * q).sum::<f64>() / (w as f64).sqrt();
                let p: Vec<f64> = (0..keys[0].len()).map(|j| score(j).exp()).collect();
                let want = seen(2, &f, o).iter().zip(&p).map(|(v, p)| v * p).sum::<f64>() / p.iter().sum::<f64>();
                let got = f64::from(got[0][t][o]);
                assert!((got - want).abs() < 1e-4, "{block} {rows} at {t}: {got} and not {want}");
            }
        }
    }
}
