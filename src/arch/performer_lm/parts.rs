//! What a layer is made of besides its attention: norms, feed-forward layers, rows mixed with their neighbours.

use crate::block::{FeedForward, LayerNorm, Linear};
use crate::error::Result;
use crate::kernel::elementwise::{Gelu, map, scale};
use crate::kernel::{slice, tensor};
use candle_core::Tensor;

/// What stands around attention and feed-forward.
pub(super) struct Wrapped {
    pub norm: Norm,
    pub factor: f32,
}

impl Wrapped {
    pub fn times(&self, xs: Tensor) -> Result<Tensor> {
        if self.factor == 1.0 { Ok(xs) } else { Ok((xs * f64::from(self.factor))?) }
    }
}

/// What a half of a layer reads.
pub(super) enum Norm {
    Layer(LayerNorm),
    /// x / max(‖x‖, 1e-5) · g.
    Scale(f32),
    /// x itself.
    None,
}

impl Norm {
    pub fn forward(&self, xs: &Tensor, d: usize) -> Result<Tensor> {
        match self {
            Self::Layer(norm) => norm.forward(xs),
            Self::None => Ok(xs.clone()),
            Self::Scale(g) => {
                let mut out = slice(xs, <[f32]>::to_vec)?;
                for row in out.chunks_exact_mut(d) {
                    let square: f64 = row.iter().map(|x| f64::from(*x).powi(2)).sum();
                    scale(row, (f64::from(*g) / square.sqrt().max(1e-5)) as f32);
                }
                tensor(out, xs.shape())
            }
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Layer(norm) => norm.bytes(),
            Self::Scale(_) => size_of::<f32>(),
            Self::None => 0,
        }
    }
}

/// The feed-forward layer.
pub(super) enum Inner {
    Plain(FeedForward),
    Glu(Glu),
}

/// W₂ (gelu(W x + b) ⊙ (V x + c)) + b₂.
pub(super) struct Glu {
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
}

impl Inner {
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        match self {
            Self::Plain(plain) => plain.forward(xs),
            Self::Glu(Glu { gate, up, down }) => {
                let out = slice(xs, |x| {
                    let [mut inner, values] = Linear::apply_all([gate, up], x);
                    map(Gelu, &mut inner);
                    inner.iter_mut().zip(&values).for_each(|(x, v)| *x *= v);
                    down.apply(&inner)
                })?;
                tensor(out, xs.shape())
            }
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Plain(plain) => plain.step_bytes(),
            Self::Glu(Glu { gate, up, down }) => gate.bytes() + up.bytes() + down.bytes(),
        }
    }

    pub fn work_bytes(&self, n: usize) -> usize {
        match self {
            Self::Plain(plain) => plain.work_bytes(n),
            Self::Glu(Glu { up, down, .. }) => n * (2 * up.shape().0 + down.shape().0) * size_of::<f32>(),
        }
    }
}

/// Features that come from neighbouring rows.
#[derive(Clone, Copy)]
pub(super) struct Shift {
    pub d: usize,
    pub causal: bool,
}

impl Shift {
    /// Rows of one text, (t, d), in place; `last` is the row before them and becomes the last of them, nothing where a document is read.
    pub fn apply(self, x: &mut [f32], last: Option<&mut Vec<f32>>) {
        let (d, parts) = (self.d, if self.causal { 2 } else { 3 });
        let width = d / parts;
        let old = x.to_vec();
        let rows = x.len() / d;
        let before = |t: usize, f: usize, last: Option<&Vec<f32>>| if t > 0 { old[(t - 1) * d + f] } else { last.map_or(0.0, |l| l[f]) };
        for t in 0..rows {
            let row = &mut x[t * d..(t + 1) * d];
            if self.causal {
                (width..2 * width).for_each(|f| row[f] = before(t, f, last.as_deref()));
            } else {
                (0..width).for_each(|f| row[f] = if t + 1 < rows { old[(t + 1) * d + f] } else { 0.0 });
                (2 * width..3 * width).for_each(|f| row[f] = before(t, f, None));
            }
        }
        if let (Some(last), true) = (last, rows > 0) {
            last.copy_from_slice(&old[(rows - 1) * d..]);
        }
    }
}
