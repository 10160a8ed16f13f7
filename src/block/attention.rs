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
    /// `count` heads of `width` features, scores as they are: T5 divides by nothing.
    pub fn unscaled(count: usize, width: usize) -> Result<Self> {
        if count == 0 || width == 0 || count.checked_mul(width).is_none() {
            return Err(Error::new(format!("config.json: {count} heads of {width} features")).hint("both must be above 0"));
        }
        Ok(Self { count, width, scale: 1.0 })
    }

    /// `count` heads of d / count features, scores times 1/√(features of a head).
    pub fn new(d: usize, count: usize) -> Result<Self> {
        if count == 0 || !d.is_multiple_of(count) {
            return Err(Error::new(format!("config.json: {d} features do not split into {count} heads"))
                .hint("the number of features must be a multiple of that of heads"));
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
        let (inner, d) = self.q.shape();
        n * (6 * inner + d) * size_of::<f32>()
    }

    /// `q_proj`, `k_proj`, `v_proj` (inner, d) and `out_proj` (d, inner) below `w`, with biases or without.
    pub fn load(w: &Weights, sizes: (usize, usize), bias: bool) -> Result<Self> {
        Self::named(w, ["q_proj", "k_proj", "v_proj", "out_proj"], sizes, bias)
    }

    /// The same under other names: of queries, keys, values, output.
    pub fn named(w: &Weights, [q, k, v, out]: [&str; 4], (inner, d): (usize, usize), bias: bool) -> Result<Self> {
        let one = |name: &str, sizes| {
            let w = w.pp(name);
            if bias { Linear::load(&w, sizes) } else { Linear::load_plain(&w, sizes) }.map(Dense::from)
        };
        Ok(Self { q: one(q, (inner, d))?, k: one(k, (inner, d))?, v: one(v, (inner, d))?, out: one(out, (d, inner))? })
    }
}
