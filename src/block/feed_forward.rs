//! The position-wise feed-forward layer.

use super::{Activation, Linear};
use crate::error::Result;
use crate::kernel::elementwise::multiply;
use crate::kernel::sparse_ff::SparseFf;
use crate::kernel::{slice, tensor};
use candle_core::Tensor;

/// (n, d) -> (n, d), each row by itself; a dense layer may have other outputs than inputs.
#[derive(Debug)]
pub enum FeedForward {
    /// W₂ f(W₁ x + b₁) + b₂.
    Dense {
        /// W₁, b₁.
        up: Linear,
        /// W₂, b₂.
        down: Linear,
        /// f.
        activation: Activation,
    },
    /// W₂ (f(W₀ x) ⊙ W₁ x) (Shazeer 2020, <https://arxiv.org/abs/2002.05202>, eq. 6).
    Gated {
        /// W₀.
        gate: Linear,
        /// W₁.
        up: Linear,
        /// W₂.
        down: Linear,
        /// f.
        activation: Activation,
    },
    /// W x + b.
    Affine(Linear),
    /// One unit of each block of units (trax:trax/layers/research/sparsity.py `SparseFF`).
    Sparse(Box<SparseFf>),
    /// One of several experts (the same file, `BlockSparseFF` and `SwitchSparseFF`).
    Experts(Box<super::Experts>),
}

/// Rows that pass together: a long document needs no more inner features than these, and the weights are read once for all of them.
const TOGETHER: usize = 1024;

impl FeedForward {
    /// Of its two linear layers.
    pub fn new(up: Linear, down: Linear, activation: Activation) -> Self {
        Self::Dense { up, down, activation }
    }

    /// Bytes of weights that one row reads.
    pub fn step_bytes(&self) -> usize {
        match self {
            Self::Dense { up, down, .. } => up.bytes() + down.bytes(),
            Self::Gated { gate, up, down, .. } => gate.bytes() + up.bytes() + down.bytes(),
            Self::Affine(linear) => linear.bytes(),
            Self::Sparse(sparse) => sparse.step_bytes(),
            Self::Experts(experts) => experts.step_bytes(),
        }
    }

    /// Bytes of activations at the peak of reading n rows: inner features of those that pass together, and the output.
    pub fn work_bytes(&self, n: usize) -> usize {
        let (inner, d) = match self {
            Self::Dense { up, .. } => up.shape(),
            Self::Gated { up, .. } => (2 * up.shape().0, up.shape().1),
            Self::Affine(linear) => (0, linear.shape().0),
            Self::Sparse(sparse) => (sparse.up.outputs, sparse.down.inputs),
            Self::Experts(experts) => experts.shape(),
        };
        (n.min(TOGETHER) * inner + n * d) * size_of::<f32>()
    }

    /// (…, d) -> (…, d).
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let d = xs.dims().last().copied().unwrap_or(1).max(1);
        let out = slice(xs, |x| match x.chunks(TOGETHER * d) {
            parts if parts.len() > 1 => {
                let mut out = Vec::with_capacity(x.len());
                parts.for_each(|part| out.extend_from_slice(&self.apply(part)));
                out
            }
            _ => self.apply(x),
        })?;
        let mut shape = xs.dims().to_vec();
        if let (Self::Dense { down, .. } | Self::Gated { down, .. }, Some(last)) = (self, shape.last_mut()) {
            *last = down.shape().0;
        }
        tensor(out, shape)
    }

    /// Rows of numbers.
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        match self {
            Self::Dense { up, down, activation } => {
                let mut inner = up.apply(x);
                activation.apply(&mut inner);
                down.apply(&inner)
            }
            Self::Gated { gate, up, down, activation } => {
                let [mut gate, up] = Linear::apply_all([gate, up], x);
                activation.apply(&mut gate);
                multiply(&mut gate, &up);
                drop(up);
                down.apply(&gate)
            }
            Self::Affine(linear) => linear.apply(x),
            Self::Sparse(sparse) => sparse.apply(x),
            Self::Experts(experts) => experts.apply(x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::linear::{Layout, Packed};
    use crate::kernel::testing::noise;
    use std::sync::Arc;

    const D: usize = 24;
    const INNER: usize = 40;

    fn weights() -> [Vec<f32>; 3] {
        [1, 2, 3].map(|seed| noise(D * INNER, seed).iter().map(|x| x / 4.0).collect())
    }

    fn gated(activation: Activation) -> FeedForward {
        let [gate, up, down] = weights();
        let linear = |w: &[f32], shape| Linear::from_packed(Arc::new(Packed::new(w, shape, Layout::OutIn, None)));
        FeedForward::Gated { gate: linear(&gate, (INNER, D)), up: linear(&up, (INNER, D)), down: linear(&down, (D, INNER)), activation }
    }

    fn run(f: &FeedForward, x: &[f32]) -> Vec<f32> {
        let out = tensor(x.to_vec(), (x.len() / D, D)).and_then(|x| f.forward(&x)).unwrap();
        assert_eq!(out.dims(), [x.len() / D, D]);
        out.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_gate_multiplies_what_it_is_the_activation_of() {
        let ([gate, up, down], x) = (weights(), noise(7 * D, 9));
        let times = |w: &[f32], x: &[f64]| -> Vec<f64> {
            w.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum()).collect()
        };
        let f = |activation, x: f64| if activation == Activation::Silu { x / (1.0 + (-x).exp()) } else { x.max(0.0) };
        for activation in [Activation::Silu, Activation::Relu] {
            let got = run(&gated(activation), &x);
            for (x, got) in x.chunks_exact(D).zip(got.chunks_exact(D)) {
                let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
                let inner: Vec<f64> = times(&gate, &x).iter().zip(times(&up, &x)).map(|(g, u)| f(activation, *g) * u).collect();
                for (got, want) in got.iter().zip(times(&down, &inner)) {
                    assert!((f64::from(*got) - want).abs() < 1e-5, "{activation:?}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn a_gated_row_has_the_same_bits_in_any_batch() {
        let (f, x) = (gated(Activation::GeluTanh), noise(500 * D, 5));
        let all = run(&f, &x);
        for n in [1, 3, 64] {
            let parts: Vec<f32> = x.chunks(n * D).flat_map(|x| run(&f, x)).collect();
            assert!(parts == all, "{n} rows at a time");
        }
    }
}
