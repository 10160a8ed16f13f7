//! Layer normalisation.

use crate::error::Result;
use crate::kernel::elementwise::{Norm, add_layer_norm, append_layer_norm, layer_norm};
use crate::kernel::{slice, tensor};
use crate::weights::Weights;
use candle_core::Tensor;

/// (x − mean) / √(variance + ε) · weight + bias over the last dimension; or, not centred, without mean and bias.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f64,
    centred: bool,
}

impl LayerNorm {
    /// `weight` and `bias` (d) below `w`.
    pub fn load(w: &Weights, d: usize, eps: f64) -> Result<Self> {
        Ok(Self { weight: w.get("weight", &[d])?, bias: w.get("bias", &[d])?, eps, centred: true })
    }

    /// trax's `LayerNorm`: `scale` and `bias` (d) below `w`. Not `centred`, it subtracts no mean and adds no bias, though it stores one
    /// (trax:trax/layers/normalization.py).
    pub fn load_scale(w: &Weights, d: usize, eps: f64, centred: bool) -> Result<Self> {
        Ok(Self { weight: w.get("scale", &[d])?, bias: w.get("bias", &[d])?, eps, centred })
    }

    /// T5's norm, x / √(mean x² + ε) · weight (Zhang and Sennrich 2019, <https://arxiv.org/abs/1910.07467>): `weight` (d) below `w`, no bias.
    pub fn load_root_mean_square(w: &Weights, d: usize, eps: f64) -> Result<Self> {
        Ok(Self { weight: w.get("weight", &[d])?, bias: Vec::new(), eps, centred: false })
    }

    /// Bytes of weight and bias.
    pub fn bytes(&self) -> usize {
        (self.weight.len() + self.bias.len()) * size_of::<f32>()
    }

    /// Features of a row.
    pub fn width(&self) -> usize {
        self.weight.len()
    }

    fn norm(&self) -> Norm<'_> {
        let bias = if self.centred { &self.bias[..] } else { &[] };
        Norm { weight: &self.weight, bias, eps: self.eps, centred: self.centred }
    }

    /// (…, d) -> (…, d).
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        tensor(slice(xs, |x| layer_norm(x, self.norm()))?, xs.shape())
    }

    /// The norm of xs + f, in one pass.
    pub fn of_sum(&self, xs: &Tensor, f: &Tensor) -> Result<Tensor> {
        tensor(slice(xs, |x| slice(f, |f| add_layer_norm(x, f, None, self.norm())))??, xs.shape())
    }

    /// xs + f and the norm of it, in one pass.
    pub fn sum_and_norm(&self, xs: &Tensor, f: &Tensor) -> Result<(Tensor, Tensor)> {
        let mut sum = Vec::new();
        let norm = slice(xs, |x| slice(f, |f| add_layer_norm(x, f, Some(&mut sum), self.norm())))??;
        Ok((tensor(sum, xs.shape())?, tensor(norm, xs.shape())?))
    }

    /// The same where the first rows have one norm and those behind them another: of each the norm and how many rows it has.
    pub fn sum_and_norms(parts: [(&Self, usize); 2], xs: &Tensor, f: &Tensor) -> Result<(Tensor, Tensor)> {
        let (mut sum, mut norm, mut at) = (Vec::with_capacity(xs.elem_count()), Vec::with_capacity(xs.elem_count()), 0);
        let mut part = |x: &[f32], f: &[f32], (of, rows): (&Self, usize)| {
            let r = at..at + rows * of.weight.len();
            append_layer_norm(&x[r.clone()], &f[r.clone()], (&mut sum, &mut norm), of.norm());
            at = r.end;
        };
        slice(xs, |x| slice(f, |f| parts.into_iter().for_each(|p| part(x, f, p))))??;
        Ok((tensor(sum, xs.shape())?, tensor(norm, xs.shape())?))
    }
}
