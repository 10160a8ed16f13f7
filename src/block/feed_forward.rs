//! The position-wise feed-forward layer.

use super::{Activation, Linear};
use crate::error::Result;
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

    /// (n, d) -> (n, d).
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.down.forward(&self.activation.forward(&self.up.forward(xs)?)?)
    }
}
