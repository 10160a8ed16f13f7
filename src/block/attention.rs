//! What the attention variants share: head sizes and the four projections.

use super::{Dense, Linear};
use crate::error::{Error, Result};
use crate::weights::Weights;

/// How d features split into heads, and what scores are multiplied by.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Number of heads.
    pub count: usize,
    /// Features of a head.
    pub width: usize,
    /// Factor of the scores q · k.
    pub scale: f32,
}

impl Heads {
    /// `count` heads of d / count features, scores times 1/√(features of a head).
    pub fn new(d: usize, count: usize) -> Result<Self> {
        if count == 0 || !d.is_multiple_of(count) {
            return Err(Error::new(format!("config.json: {d} features do not split into {count} heads")));
        }
        let width = d / count;
        Ok(Self { count, width, scale: (width as f32).powf(-0.5) })
    }
}

/// The projections of queries, keys, values and output.
#[derive(Debug, Clone)]
pub struct Projections {
    /// Queries.
    pub q: Dense,
    /// Keys.
    pub k: Dense,
    /// Values.
    pub v: Dense,
    /// Output.
    pub out: Dense,
}

impl Projections {
    /// Bytes of weights.
    pub fn bytes(&self) -> usize {
        [&self.q, &self.k, &self.v, &self.out].map(Dense::bytes).iter().sum()
    }

    /// Bytes of activations of softmax attention over n tokens: queries, keys and values, both of these again in blocks, what comes out
    /// of the heads and of the output projection.
    pub fn work_bytes(&self, n: usize) -> usize {
        let (d, _) = self.q.shape();
        7 * n * d * size_of::<f32>()
    }

    /// `q_proj`, `k_proj`, `v_proj`, `out_proj` below `w`, each (d, d) with bias.
    pub fn load(w: &Weights, d: usize) -> Result<Self> {
        let one = |name: &str| Linear::load(&w.pp(name), (d, d)).map(Dense::from);
        Ok(Self { q: one("q_proj")?, k: one("k_proj")?, v: one("v_proj")?, out: one("out_proj")? })
    }
}
