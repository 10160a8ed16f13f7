//! The non-linearity of a feed-forward layer, under the names that config.json uses.

use crate::error::{Error, Result};
use crate::kernel::elementwise::map;
use crate::kernel::{slice, tensor};
use candle_core::Tensor;
use candle_core::cpu::erf::erf_f64;
use serde::Deserialize;
use std::f32::consts::{FRAC_2_SQRT_PI, SQRT_2};
use std::f64::consts::FRAC_1_SQRT_2;

/// An activation; the names are transformers' `ACT2FN` (transformers:src/transformers/activations.py).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Activation {
    /// x Φ(x), with the error function.
    Gelu,
    /// x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// x σ(x).
    Silu,
    /// tanh x.
    Tanh,
}

impl TryFrom<String> for Activation {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        match name.as_str() {
            "gelu" | "gelu_python" => Ok(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_accurate" | "gelu_python_tanh" => Ok(Self::GeluTanh),
            "relu" => Ok(Self::Relu),
            "silu" | "swish" => Ok(Self::Silu),
            "tanh" => Ok(Self::Tanh),
            _ => Err(Error::new(format!("activation `{name}` is not implemented (gelu, gelu_new, relu, silu, tanh are)"))),
        }
    }
}

impl Activation {
    fn of(self, x: f32) -> f32 {
        match self {
            Self::Gelu => (f64::from(x) * 0.5 * (1.0 + erf_f64(f64::from(x) * FRAC_1_SQRT_2))) as f32,
            // √(2/π) = (2/√π) / √2
            Self::GeluTanh => 0.5 * x * (1.0 + (FRAC_2_SQRT_PI / SQRT_2 * (x + 0.044_715 * x * x * x)).tanh()),
            Self::Relu => x.max(0.0),
            Self::Silu => x / (1.0 + (-x).exp()),
            Self::Tanh => x.tanh(),
        }
    }

    /// Every number of `xs` by itself.
    pub fn forward(self, xs: &Tensor) -> Result<Tensor> {
        let out = slice(xs, |x| map(x.to_vec(), |x| self.of(x)))?;
        tensor(out, xs.shape())
    }
}
