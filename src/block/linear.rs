//! y = x Wᵀ + b.

use crate::error::{Error, Result};
use crate::kernel::linear::{Layout, Packed, apply};
use crate::kernel::{slice, tensor};
use crate::weights::{Form, Weights};
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

    /// The same without bias.
    pub fn load_plain(w: &Weights, (outputs, inputs): (usize, usize)) -> Result<Self> {
        Ok(Self::from_packed(Arc::new(w.packed("weight", &Form::whole((outputs, inputs), Layout::OutIn), None)?)))
    }

    /// GPT-2's `Conv1D`: `weight` (in, out) and `bias` (out) below `w` (transformers:src/transformers/pytorch_utils.py).
    pub fn load_transposed(w: &Weights, (outputs, inputs): (usize, usize)) -> Result<Self> {
        Self::in_layout(w, (outputs, inputs), Layout::InOut)
    }

    /// trax's `Dense`: `w` (in, out) and `b` (out) below `w` (trax:trax/layers/core.py).
    pub fn load_in_out(w: &Weights, (outputs, inputs): (usize, usize)) -> Result<Self> {
        let bias = w.get("b", &[outputs])?;
        Ok(Self::from_packed(Arc::new(w.packed("w", &Form::whole((outputs, inputs), Layout::InOut), Some(bias))?)))
    }

    fn in_layout(w: &Weights, (outputs, inputs): (usize, usize), layout: Layout) -> Result<Self> {
        let bias = w.get("bias", &[outputs])?;
        Ok(Self::from_packed(Arc::new(w.packed("weight", &Form::whole((outputs, inputs), layout), Some(bias))?)))
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
        let [y] = Self::all([self], xs)?;
        Ok(y)
    }

    /// Rows of numbers, (n, in) -> (n, out).
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        self.0.apply(x)
    }

    /// Several layers that read the same rows of numbers.
    pub fn apply_all<const N: usize>(layers: [&Self; N], x: &[f32]) -> [Vec<f32>; N] {
        apply(layers.map(|l| &*l.0), x)
    }

    /// Several layers that read the same: (…, in) -> (…, out) of each.
    pub fn all<const N: usize>(layers: [&Self; N], xs: &Tensor) -> Result<[Tensor; N]> {
        let out = slice(xs, |x| apply(layers.map(|l| &*l.0), x))?;
        let mut tensors = Vec::with_capacity(N);
        for (y, layer) in out.into_iter().zip(layers) {
            let mut shape = xs.dims().to_vec();
            if let Some(last) = shape.last_mut() {
                *last = layer.0.outputs;
            }
            tensors.push(tensor(y, shape)?);
        }
        tensors.try_into().map_err(|_| Error::new("as many outputs as layers"))
    }
}
