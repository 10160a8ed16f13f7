//! What stands before or behind attention: a dense layer, or a multiplicative one and a local convolution, either of which may be missing.

use super::local::History;
use super::{Dense, Local};
use crate::error::Result;
use crate::kernel::factored::Factored;
use crate::kernel::{slice, tensor};
use crate::weights::Weights;
use candle_core::Tensor;

/// d features to d features, with the history of its convolution.
#[derive(Debug)]
pub enum Stage {
    /// Of one row at a time.
    Dense(Dense),
    /// The multiplicative layer, then the convolution; without both the identity.
    Sparse(Option<Box<Factored>>, Option<Box<Local>>),
}

impl Stage {
    /// The sparse form below `w`: `mult.{gating,proj,bias}` if `mult`, `conv.{kernel,bias}` over 3 modules and so many positions if there are some.
    pub fn sparse(w: &Weights, modules: usize, d: usize, mult: bool, positions: Option<usize>) -> Result<Self> {
        let mult = mult.then(|| super::dense::factored(&w.pp("mult"), modules, (d, d)).map(Box::new)).transpose()?;
        let conv = positions.map(|f| Local::load(w, modules, (d, d), (3, f)).map(Box::new)).transpose()?;
        Ok(Self::Sparse(mult, conv))
    }

    /// Bytes of weights, all of which a step reads.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Dense(dense) => dense.bytes(),
            Self::Sparse(mult, conv) => mult.as_ref().map_or(0, |m| m.bytes()) + conv.as_ref().map_or(0, |c| c.bytes()),
        }
    }

    /// An empty history of so many rows.
    pub fn history(&self, rows: usize) -> History {
        match self {
            Self::Sparse(_, Some(conv)) => conv.history(rows),
            _ => History::nothing(rows),
        }
    }

    /// Bytes of the history of one row.
    pub fn history_bytes(&self) -> usize {
        match self {
            Self::Sparse(_, Some(conv)) => conv.history_bytes(),
            _ => 0,
        }
    }

    /// (b, t, d) -> (b, t, d).
    pub fn forward(&self, xs: &Tensor, history: &mut History) -> Result<Tensor> {
        match self {
            Self::Dense(dense) => dense.forward(xs),
            Self::Sparse(None, None) => Ok(xs.clone()),
            Self::Sparse(mult, conv) => {
                let out = slice(xs, |x| match (mult, conv) {
                    (Some(mult), Some(conv)) => conv.apply(&mult.apply(x), history),
                    (Some(mult), None) => mult.apply(x),
                    (None, Some(conv)) => conv.apply(x, history),
                    (None, None) => x.to_vec(),
                })?;
                tensor(out, xs.shape())
            }
        }
    }
}
