//! The position-wise feed-forward layer.

use super::{Activation, Linear};
use crate::error::Result;
use crate::kernel::{slice, tensor};
use candle_core::Tensor;

/// W₂ f(W₁ x + b₁) + b₂.
#[derive(Debug, Clone)]
pub struct FeedForward {
    up: Linear,
    down: Linear,
    activation: Activation,
}

impl FeedForward {
    /// Of its two linear layers.
    pub fn new(up: Linear, down: Linear, activation: Activation) -> Self {
        Self { up, down, activation }
    }

    /// Bytes of weights.
    pub fn bytes(&self) -> usize {
        self.up.bytes() + self.down.bytes()
    }

    /// Bytes of activations at the peak of reading n rows: inner features, and the output.
    pub fn work_bytes(&self, n: usize) -> usize {
        let (inner, d) = self.up.shape();
        n * (inner + d) * size_of::<f32>()
    }

    /// (n, d) -> (n, d).
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let out = slice(xs, |x| {
            let mut inner = self.up.apply(x);
            self.activation.apply(&mut inner);
            self.down.apply(&inner)
        })?;
        tensor(out, xs.shape())
    }
}
