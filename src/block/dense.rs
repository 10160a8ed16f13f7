//! Layers that stand where a dense one stands: the same inputs and outputs, other weights.
//!
//! Reference: trax:trax/layers/research/sparsity.py; the multiplicative layer is that of "Sparse is Enough in Scaling Transformers"
//! (Jaszczur et al. 2021, <https://arxiv.org/abs/2111.12763>), section 3.2.

use super::{Linear, Local};
use crate::error::{Error, Result};
use crate::kernel::factored::Factored;
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::{slice, tensor};
use crate::weights::{Form, Weights};
use candle_core::Tensor;
use std::sync::Arc;

/// A layer of so many inputs and outputs. Cloning shares the weights.
#[derive(Debug, Clone)]
pub enum Dense {
    /// y = x Wᵀ + b.
    Full(Linear),
    /// The multiplicative layer of S modules.
    Factored(Arc<Factored>),
    /// Two linear layers with few features between them.
    LowRank(Linear, Linear),
    /// A local convolution that sees the present position alone.
    Local(Arc<Local>),
    /// Modules of inputs, each with weights of its own.
    Modular(Arc<Modular>),
    /// A multiplicative layer, then a matrix for each module.
    MultModular(Arc<Factored>, Arc<Modular>),
}

impl From<Linear> for Dense {
    fn from(linear: Linear) -> Self {
        Self::Full(linear)
    }
}

/// A matrix for each output module o over its neighbourhood of k input modules, which wraps around:
/// y(o) = Σ_i x((o + i − (k − 1)/2) mod S) W(o, i) + b(o).
#[derive(Debug)]
pub struct Modular {
    /// For each output module, (u, k · d/S).
    matrices: Vec<Packed>,
    bias: Vec<f32>,
    reach: usize,
}

impl Dense {
    /// `gating` (S, in), `proj` (in, out/S), `bias` (out) below `w`. Fails if S does not divide the outputs.
    pub fn factored(w: &Weights, modules: usize, (outputs, inputs): (usize, usize)) -> Result<Self> {
        Ok(Self::Factored(Arc::new(factored(w, modules, (outputs, inputs))?)))
    }

    /// A convolution over modules. Fails if it sees positions of the past, which a dense layer cannot remember.
    pub fn local(local: Local) -> Result<Self> {
        match local {
            Local::Full(linear) => Ok(linear.into()),
            conv if conv.history_bytes() == 0 => Ok(Self::Local(Arc::new(conv))),
            _ => Err(Error::new("config.json: a convolution over several positions stands where a dense layer does")
                .hint("`length_kernel_size` must be 1 here")),
        }
    }

    /// `down` and `up` below `w`, each with `w` (in, out) and `b`.
    pub fn low_rank(w: &Weights, rank: usize, (outputs, inputs): (usize, usize)) -> Result<Self> {
        Ok(Self::LowRank(Linear::load_in_out(&w.pp("down"), (rank, inputs))?, Linear::load_in_out(&w.pp("up"), (outputs, rank))?))
    }

    /// `w` (S, k, in/S, out/S) and `b` (S, out/S) below `w`: trax's `LocallyConnectedDense`, where the matrices belong to the input modules.
    /// A single module is an ordinary dense layer.
    pub fn modular(w: &Weights, modules: usize, k: usize, (outputs, inputs): (usize, usize)) -> Result<Self> {
        if modules == 1 {
            return Ok(Linear::load_in_out(w, (outputs, inputs))?.into());
        }
        let (u, dx) = (module("outputs", outputs, modules)?, module("inputs", inputs, modules)?);
        if k.is_multiple_of(2) {
            return Err(Error::new(format!("config.json: `kernel_size` {k} is even")).hint("modules have as many neighbours on each side"));
        }
        let shape = [modules, k, dx, u];
        let numbers = w.numbers("w", &shape)?;
        let matrices = (0..modules).map(|o| {
            let at = |i: usize, x: usize, out: usize| (((o + i + modules * k - k / 2) % modules * k + i) * dx + x) * u + out;
            let numbers = &numbers;
            let rows = (0..u).flat_map(|out| (0..k * dx).map(move |j| numbers.get(at(j / dx, j % dx, out)).copied().unwrap_or(0.0)));
            w.made(rows.collect(), (u, k * dx))
        });
        let matrices = matrices.collect();
        let mut bias = w.get("b", &[modules, u])?;
        bias.resize(outputs, 0.0); // a blueprint has no numbers
        Ok(Self::Modular(Arc::new(Modular { matrices, bias, reach: k / 2 })))
    }

    /// `mult` (S, d), `kmult` (d, d/S), `kmod` (S, d/S, d/S), `bias` (d) below `w`: y(h, o) = Σ_x (Σ_i x(i) mult(h, i) kmult(i, x)) kmod(h, x, o) + b.
    pub fn mult_modular(w: &Weights, modules: usize, d: usize) -> Result<Self> {
        let m = module("features", d, modules)?;
        let proj = w.packed("kmult", &Form::whole((m, d), Layout::InOut), None)?;
        let mult = Factored::new(modules, w.get("mult", &[modules, d])?, proj, None);
        let numbers = w.numbers("kmod", &[modules, m, m])?;
        let matrices = (0..modules).map(|h| {
            let rows = (0..m).flat_map(|o| (0..m).map(move |x| (h * m + x) * m + o));
            w.made(rows.map(|at| numbers.get(at).copied().unwrap_or(0.0)).collect(), (m, m))
        });
        let matrices = matrices.collect();
        let modular = Modular { matrices, bias: w.get("bias", &[d])?, reach: 0 };
        Ok(Self::MultModular(Arc::new(mult), Arc::new(modular)))
    }

    /// Outputs and inputs.
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Self::Full(l) => l.shape(),
            Self::Factored(f) => f.shape(),
            Self::LowRank(down, up) => (up.shape().0, down.shape().1),
            Self::Local(local) => local.shape(),
            Self::Modular(m) => m.shape(),
            Self::MultModular(f, _) => f.shape(),
        }
    }

    /// Bytes of weights, all of which a step reads.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Full(l) => l.bytes(),
            Self::Factored(f) => f.bytes(),
            Self::LowRank(down, up) => down.bytes() + up.bytes(),
            Self::Local(local) => local.bytes(),
            Self::Modular(m) => m.bytes(),
            Self::MultModular(f, m) => f.bytes() + m.bytes(),
        }
    }

    /// Rows of numbers, (n, in) -> (n, out).
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        match self {
            Self::Full(l) => l.apply(x),
            Self::Factored(f) => f.apply(x),
            Self::LowRank(down, up) => up.apply(&down.apply(x)),
            Self::Local(local) => local.apply(x, &mut local.history(1)),
            Self::Modular(m) => m.apply(x),
            Self::MultModular(f, m) => m.apply(&f.apply(x)),
        }
    }

    /// (…, in) -> (…, out).
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let mut shape = xs.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.shape().0;
        }
        tensor(slice(xs, |x| self.apply(x))?, shape)
    }

    /// Several layers that read the same rows, in one loop where they are full.
    pub fn all<const N: usize>(layers: [&Self; N], x: &[f32]) -> [Vec<f32>; N] {
        let full = layers.map(|l| if let Self::Full(l) = l { Some(l) } else { None });
        match full.iter().flatten().count() {
            n if n == N && same_inputs(&layers) => Linear::apply_all(full.map(|l| l.unwrap_or_else(|| unreachable!("counted"))), x),
            _ => layers.map(|l| l.apply(x)),
        }
    }
}

fn same_inputs(layers: &[&Dense]) -> bool {
    layers.iter().all(|l| l.shape().1 == layers[0].shape().1)
}

/// The numbers of a multiplicative layer below `w`.
pub(crate) fn factored(w: &Weights, modules: usize, (outputs, inputs): (usize, usize)) -> Result<Factored> {
    let m = module("outputs of a multiplicative layer", outputs, modules)?;
    let proj = w.packed("proj", &Form::whole((m, inputs), Layout::InOut), None)?;
    Ok(Factored::new(modules, w.get("gating", &[modules, inputs])?, proj, Some(w.get("bias", &[outputs])?)))
}

/// Features of a module.
pub(crate) fn module(what: &str, features: usize, modules: usize) -> Result<usize> {
    if modules == 0 || !features.is_multiple_of(modules) {
        return Err(Error::new(format!("config.json: {features} {what} do not split into {modules} modules"))
            .hint("choose a sparsity that divides them"));
    }
    Ok(features / modules)
}

impl Modular {
    fn shape(&self) -> (usize, usize) {
        let (first, modules) = (&self.matrices[0], self.matrices.len());
        (modules * first.outputs, modules * first.inputs / (2 * self.reach + 1))
    }

    fn bytes(&self) -> usize {
        self.matrices.iter().map(Packed::bytes).sum::<usize>() + self.bias.len() * size_of::<f32>()
    }

    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let (modules, k) = (self.matrices.len(), 2 * self.reach + 1);
        let (outputs, inputs) = self.shape();
        let (u, dx) = (outputs / modules, inputs / modules);
        let mut out: Vec<f32> = x.chunks_exact(inputs).flat_map(|_| self.bias.iter().copied()).collect();
        let mut window = Vec::new();
        for (o, matrix) in self.matrices.iter().enumerate() {
            window.clear();
            for row in x.chunks_exact(inputs) {
                for i in 0..k {
                    let m = (o + i + modules * k - self.reach) % modules;
                    window.extend_from_slice(&row[m * dx..(m + 1) * dx]);
                }
            }
            for (to, y) in out.chunks_exact_mut(outputs).zip(matrix.apply(&window).chunks_exact(u)) {
                to[o * u..(o + 1) * u].iter_mut().zip(y).for_each(|(to, y)| *to += y);
            }
        }
        out
    }
}
