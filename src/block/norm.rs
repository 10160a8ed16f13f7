//! Layer normalisation.

use crate::error::Result;
use crate::kernel::{elementwise, slice, tensor};
use crate::weights::Weights;
use candle_core::Tensor;

/// (x − mean) / √(variance + ε) · weight + bias over the last dimension.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f64,
}

impl LayerNorm {
    /// `weight` and `bias` (d) below `w`.
    pub fn load(w: &Weights, d: usize, eps: f64) -> Result<Self> {
        Ok(Self { weight: w.get("weight", &[d])?, bias: w.get("bias", &[d])?, eps })
    }

    /// Bytes of weight and bias: 2 d numbers.
    pub fn bytes(&self) -> usize {
        (self.weight.len() + self.bias.len()) * size_of::<f32>()
    }

    /// (…, d) -> (…, d).
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        tensor(slice(xs, |x| elementwise::layer_norm(x, &self.weight, &self.bias, self.eps))?, xs.shape())
    }
}
