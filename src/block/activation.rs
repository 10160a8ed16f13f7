//! The non-linearity of a feed-forward layer, under the names that config.json uses.

use crate::error::{Error, Result};
use crate::kernel::elementwise::{Gelu, GeluTanh, Relu, Silu, Tanh, map, mapped};
use crate::kernel::{slice, tensor};
use candle_core::Tensor;
use serde::Deserialize;

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
    /// Every number of `xs` by itself.
    pub fn forward(self, xs: &Tensor) -> Result<Tensor> {
        let out = slice(xs, |x| match self {
            Self::Gelu => mapped(Gelu, x),
            Self::GeluTanh => mapped(GeluTanh, x),
            Self::Relu => mapped(Relu, x),
            Self::Silu => mapped(Silu, x),
            Self::Tanh => mapped(Tanh, x),
        })?;
        tensor(out, xs.shape())
    }

    /// The same in place.
    pub fn apply(self, xs: &mut [f32]) {
        match self {
            Self::Gelu => map(Gelu, xs),
            Self::GeluTanh => map(GeluTanh, xs),
            Self::Relu => map(Relu, xs),
            Self::Silu => map(Silu, xs),
            Self::Tanh => map(Tanh, xs),
        }
    }
}
