//! y = x Wᵀ + b.

use crate::error::Result;
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::{slice, tensor};
use crate::weights::Weights;
use candle_core::Tensor;
use std::sync::Arc;

/// A linear layer over packed weights. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Linear(Arc<Packed>);

impl Linear {
    /// `weight` (out, in) and `bias` (out) below `w`.
    pub fn load(w: &Weights, (outputs, inputs): (usize, usize)) -> Result<Self> {
        Self::in_layout(w, (outputs, inputs), Layout::OutIn)
    }

    /// GPT-2's `Conv1D`: `weight` (in, out) and `bias` (out) below `w` (transformers:src/transformers/pytorch_utils.py).
    pub fn load_transposed(w: &Weights, (outputs, inputs): (usize, usize)) -> Result<Self> {
        Self::in_layout(w, (outputs, inputs), Layout::InOut)
    }

    fn in_layout(w: &Weights, (outputs, inputs): (usize, usize), layout: Layout) -> Result<Self> {
        let shape = if layout == Layout::OutIn { [outputs, inputs] } else { [inputs, outputs] };
        let (weight, bias) = (w.get("weight", &shape)?, w.get("bias", &[outputs])?);
        Ok(Self::from_packed(Arc::new(Packed::new(&weight, (outputs, inputs), layout, Some(bias)))))
    }

    /// Over weights that are packed already.
    pub fn from_packed(packed: Arc<Packed>) -> Self {
        Self(packed)
    }

    /// Bytes of weights and bias.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Outputs and inputs.
    pub fn shape(&self) -> (usize, usize) {
        (self.0.outputs, self.0.inputs)
    }

    /// (…, in) -> (…, out).
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let mut shape = xs.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.0.outputs;
        }
        tensor(slice(xs, |x| self.0.apply(x))?, shape)
    }
}
