//! Sparse QKV attention of "Sparse is Enough in Scaling Transformers" (Jaszczur et al. 2021, <https://arxiv.org/abs/2111.12763>, section 3.2), as
//! trax:trax/layers/research/sparsity.py `MultiplicativeConvCausalAttention` has it.
//!
//! With S modules of d/S features and F positions under the kernels:
//!
//! M = mult(x); Q = conv₃(M), K = conv₃(M), V = conv₁(C); out = stage(softmax(Q Kᵀ / √d_k) V)
//!
//! | here | paper |
//! |---|---|
//! | `mult` | the multiplicative dense layer, D and E |
//! | `conv₃`, `conv₁` | convolutions over F positions and 3 modules, or 1: the text's F × F holds for neither |
//! | C | M alone, or M and x (`v_concat_type`: side by side, or side by side in each module) |
//! | `stage` | nothing: there is no output projection unless `output_layer_type` says so |
//!
//! The number of heads and that of modules are independent.

use super::softmax::{Attention, Kv};
use super::{Growth, Mixer, Spec};
use crate::block::{Heads, History, Local, Stage, factored};
use crate::error::Result;
use crate::kernel::factored::Factored;
use crate::kernel::{slice, tensor};
use crate::memory::Memory;
use crate::weights::Weights;
use candle_core::Tensor;

pub(super) const SPEC: Spec = Spec {
    name: "mult_conv",
    paper: "Sparse is Enough in Scaling Transformers, arXiv 2111.12763",
    state: Growth::Linear,
    causal: true,
    bidirectional: false,
    mixer: None,
    reader: None,
    tiny: &[],
};

/// What the values are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concat {
    /// M.
    None,
    /// M, then x, cut anew: the first half of the modules sees M, the other x (with an odd number of them one sees both).
    Original,
    /// In each module M's features, then x's.
    Fixed,
}

/// What follows the heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// A multiplicative layer.
    pub mult: bool,
    /// A local convolution, after it.
    pub conv: bool,
}

/// Its sizes.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// S.
    pub modules: usize,
    /// F.
    pub positions: usize,
    /// Queries and keys are the same.
    pub share_qk: bool,
    /// What the values are made of.
    pub concat: Concat,
    /// What follows the heads.
    pub output: Output,
}

/// The attention.
pub struct MultConv {
    attention: Attention,
    shape: Shape,
    mult: Factored,
    q: Local,
    /// None where keys are the queries.
    k: Option<Local>,
    v: Local,
    stage: Stage,
}

/// Keys and values, and what the convolutions have read.
#[derive(Debug, Clone)]
pub struct Rings {
    kv: Kv,
    m: History,
    /// Of C, where it is not M.
    c: History,
    out: History,
}

impl Memory for Rings {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.kv.select(rows)?;
        [&mut self.m, &mut self.c, &mut self.out].into_iter().try_for_each(|h| h.select(rows))
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        let mut parts = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for other in others {
            parts.0.push(other.kv);
            parts.1.push(other.m);
            parts.2.push(other.c);
            parts.3.push(other.out);
        }
        self.kv.join(parts.0)?;
        self.m.join(parts.1)?;
        self.c.join(parts.2)?;
        self.out.join(parts.3)
    }

    fn bytes(&self) -> usize {
        self.kv.bytes() + self.m.bytes() + self.c.bytes() + self.out.bytes()
    }

    fn reserve(&mut self, positions: usize) {
        self.kv.reserve(positions);
    }
}

impl MultConv {
    /// `mult.{gating,proj,bias}`, `{q,k,v}.conv.{kernel,bias}`, and `out.mult.…`, `out.conv.…` below `w`, where the shape asks for them.
    ///
    /// Fails if the modules do not divide the features.
    pub fn load(w: &Weights, heads: Heads, shape: Shape) -> Result<Self> {
        let (d, s, f) = (heads.count * heads.width, shape.modules, shape.positions);
        let wide = if shape.concat == Concat::None { d } else { 2 * d };
        let conv = |name: &str, inputs: usize, k: usize| Local::load(&w.pp(name), s, (d, inputs), (k, f));
        Ok(Self {
            attention: Attention { heads, cache: w.cache() },
            shape,
            mult: factored(&w.pp("mult"), s, (d, d))?,
            q: conv("q", d, 3)?,
            k: if shape.share_qk { None } else { Some(conv("k", d, 3)?) },
            v: conv("v", wide, 1)?,
            stage: Stage::sparse(&w.pp("out"), s, d, shape.output.mult, shape.output.conv.then_some(f))?,
        })
    }

    /// C of M and x, (n, d) each.
    fn concat(&self, m: &[f32], x: &[f32]) -> Vec<f32> {
        let d = self.attention.heads.count * self.attention.heads.width;
        let part = if self.shape.concat == Concat::Original { d } else { d / self.shape.modules };
        m.chunks_exact(part).zip(x.chunks_exact(part)).flat_map(|(m, x)| [m, x].concat()).collect()
    }
}

impl Mixer for MultConv {
    type Memory = Rings;

    fn memory(&self, rows: usize) -> Result<Rings> {
        let c = if self.shape.concat == Concat::None { History::nothing(rows) } else { self.v.history(rows) };
        Ok(Rings { kv: self.attention.memory(rows), m: self.q.history(rows), c, out: self.stage.history(rows) })
    }

    fn bytes_at(&self, positions: usize) -> usize {
        let c = if self.shape.concat == Concat::None { 0 } else { self.v.history_bytes() };
        self.attention.bytes_at(positions) + self.q.history_bytes() + c + self.stage.history_bytes()
    }

    fn weight_bytes(&self) -> usize {
        let k = self.k.as_ref().map_or(0, Local::bytes);
        self.mult.bytes() + self.q.bytes() + k + self.v.bytes() + self.stage.bytes()
    }

    fn work_bytes(&self, t: usize) -> usize {
        let d = self.attention.heads.count * self.attention.heads.width;
        // gated rows of the multiplicative layer, or windows of the convolutions, beside M, queries, keys, values and the heads' results
        let wide = self.shape.modules.max(3 * self.shape.positions);
        (wide + 7) * t * d * size_of::<f32>()
    }

    fn forward(&self, xs: &Tensor, memory: &mut Rings) -> Result<Tensor> {
        let mixed = slice(xs, |x| {
            let m = self.mult.apply(x); // (b t, d)
            let c = (self.shape.concat != Concat::None).then(|| self.concat(&m, x));
            let v = match &c {
                None => (&self.v, &m[..], &memory.m),
                Some(c) => (&self.v, &c[..], &memory.c),
            };
            let q = (&self.q, &m[..], &memory.m);
            let mixed = match &self.k {
                None => {
                    let [q, v] = Local::all([q, v]);
                    self.attention.causal([&q, &q, &v], &mut memory.kv)
                }
                Some(k) => {
                    let [q, k, v] = Local::all([q, (k, &m, &memory.m), v]);
                    self.attention.causal([&q, &k, &v], &mut memory.kv)
                }
            };
            memory.m.read(&m);
            if let Some(c) = &c {
                memory.c.read(c);
            }
            mixed
        })?;
        self.stage.forward(&tensor(mixed, xs.shape())?, &mut memory.out)
    }
}
