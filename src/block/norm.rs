//! Layer normalisation.

use crate::error::Result;
use crate::kernel::elementwise::{Norm, add_layer_norm, layer_norm};
use crate::kernel::{slice, tensor};
use crate::weights::Weights;
use candle_core::Tensor;

/// (x − mean) / √(variance + ε) · weight + bias over the last dimension.
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

    /// Bytes of weight and bias: 2 d numbers.
    pub fn bytes(&self) -> usize {
        (self.weight.len() + self.bias.len()) * size_of::<f32>()
    }

    fn norm(&self) -> Norm<'_> {
        Norm { weight: &self.weight, bias: &self.bias, eps: self.eps }
    }

    /// x / √(mean x² + ε) · weight, each row by itself, in f64 and rounded once.
    fn root_mean_square(&self, x: &[f32]) -> Vec<f32> {
        let row = |row: &[f32]| -> Vec<f32> {
            let mean = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / row.len() as f64;
            let factor = 1.0 / (mean + self.eps).sqrt();
            row.iter().zip(&self.weight).map(|(x, w)| (f64::from(*x) * factor * f64::from(*w)) as f32).collect()
        };
        x.chunks_exact(self.weight.len()).flat_map(row).collect()
    }

    /// (…, d) -> (…, d).
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        tensor(slice(xs, |x| if self.centred { layer_norm(x, self.norm()) } else { self.root_mean_square(x) })?, xs.shape())
    }

    /// The norm of xs + f, in one pass.
    pub fn of_sum(&self, xs: &Tensor, f: &Tensor) -> Result<Tensor> {
        if !self.centred {
            return self.forward(&(xs + f)?);
        }
        tensor(slice(xs, |x| slice(f, |f| add_layer_norm(x, f, None, self.norm())))??, xs.shape())
    }

    /// xs + f and the norm of it, in one pass.
    pub fn sum_and_norm(&self, xs: &Tensor, f: &Tensor) -> Result<(Tensor, Tensor)> {
        if !self.centred {
            let sum = (xs + f)?;
            let norm = self.forward(&sum)?;
            return Ok((sum, norm));
        }
        let mut sum = Vec::new();
        let norm = slice(xs, |x| slice(f, |f| add_layer_norm(x, f, Some(&mut sum), self.norm())))??;
        Ok((tensor(sum, xs.shape())?, tensor(norm, xs.shape())?))
    }
}
