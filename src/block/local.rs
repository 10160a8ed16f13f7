//! Convolution over the length and over neighbouring modules of the features, with weights that all modules share.
//!
//! Reference: trax:trax/layers/research/sparsity.py `LocallyConvDense`, `_RememberPad`. With S modules of D_x features, k modules (odd) and F
//! positions under the kernel:
//!
//! out(t, s · u + o) = bias(o) + Σ_a Σ_c Σ_i x(t − (F − 1) + a, s − (k − 1)/2 + c, i) · kernel(a, c, i, o)
//!
//! x is zero outside. Position a = F − 1 of the kernel is the present one, so it is causal.

use super::Linear;
use super::dense::module;
use crate::error::{Error, Result};
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::local::{Conv, Shape, convolve};
use crate::memory::Lists;
use crate::weights::{Form, Weights};

/// The convolution; of a single module, trax makes a dense layer without length.
#[derive(Debug)]
pub enum Local {
    /// Several modules: what the kernel spans, and the kernel (u, F · k · D_x) with bias.
    Conv(Shape, Packed),
    /// One module.
    Full(Linear),
}

/// The last F − 1 rows that each row of a batch gave to a convolution, oldest first; zeros at the start.
pub type History = Lists;

impl History {
    /// Of `rows` rows of a batch that keep nothing.
    pub fn nothing(rows: usize) -> Self {
        Self::zeros(rows, 0)
    }

    /// Moves on by the rows of a batch, (b, t, d).
    pub fn read(&mut self, x: &[f32]) {
        let share = x.len() / self.0.len().max(1);
        for (past, x) in self.0.iter_mut().zip(x.chunks_exact(share.max(1))) {
            let keep = past.len();
            past.extend_from_slice(&x[x.len().saturating_sub(keep)..]);
            past.drain(..past.len() - keep);
        }
    }
}

impl Local {
    /// `conv.kernel` (F, k, in/S, out/S) and `conv.bias` (out/S) below `w`, or `w` (in, out) and `b` for a single module. `span` is (k, F).
    ///
    /// Fails if S divides neither inputs nor outputs, or k is even.
    pub fn load(w: &Weights, modules: usize, (outputs, inputs): (usize, usize), span: (usize, usize)) -> Result<Self> {
        if modules == 1 {
            return Ok(Self::Full(Linear::load_in_out(w, (outputs, inputs))?));
        }
        let (k, f) = span;
        if k.is_multiple_of(2) || f == 0 {
            return Err(Error::new(format!("config.json: a local convolution over {k} modules and {f} positions"))
                .hint("the modules are an odd number, the positions one or more"));
        }
        let (u, width) =
            (module("outputs of a local convolution", outputs, modules)?, module("inputs of a local convolution", inputs, modules)?);
        let bias = w.get("conv.bias", &[u])?;
        let form = Form::whole((u, f * k * width), Layout::InOut);
        let kernel = w.packed_of("conv.kernel", &[f, k, width, u], &form, Some(bias))?;
        Ok(Self::Conv(Shape { modules, width, k, f }, kernel))
    }

    /// Outputs and inputs.
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Self::Conv(shape, kernel) => (shape.modules * kernel.outputs, shape.modules * shape.width),
            Self::Full(l) => l.shape(),
        }
    }

    /// Bytes of weights, all of which a step reads.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Conv(_, kernel) => kernel.bytes(),
            Self::Full(l) => l.bytes(),
        }
    }

    /// An empty history of so many rows.
    pub fn history(&self, rows: usize) -> History {
        Lists::zeros(rows, self.history_bytes() / size_of::<f32>())
    }

    /// Bytes of the history of one row.
    pub fn history_bytes(&self) -> usize {
        match self {
            Self::Conv(s, _) => (s.f - 1) * s.modules * s.width * size_of::<f32>(),
            Self::Full(_) => 0,
        }
    }

    /// Numbers of the rows of a batch, t positions each: (b, t, in) -> (b, t, out). The history has read them afterwards.
    pub fn apply(&self, x: &[f32], history: &mut History) -> Vec<f32> {
        let [y] = Self::all([(self, x, history)]);
        history.read(x);
        y
    }

    /// Several, each with what it reads, in one loop. The histories stay as they are: see [`History::read`].
    pub fn all<const N: usize>(all: [(&Self, &[f32], &History); N]) -> [Vec<f32>; N] {
        // one module is a dense layer: for all of them in what trax makes
        if all.iter().any(|(local, ..)| matches!(local, Self::Full(_))) {
            return all.map(|(local, x, history)| match local {
                Self::Full(linear) => linear.apply(x),
                Self::Conv(..) => Self::all([(local, x, history)]).concat(),
            });
        }
        convolve(all.map(|(local, x, history)| match local {
            Self::Conv(shape, kernel) => Conv { shape: *shape, kernel, x, past: &history.0 },
            Self::Full(_) => unreachable!("looked for above"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::noise;

    fn conv(modules: usize, width: usize, u: usize, span: (usize, usize)) -> (Local, Vec<f32>, Vec<f32>) {
        let (kernel, bias) = (noise(span.0 * span.1 * width * u, 3), noise(u, 4));
        let packed = Packed::new(&kernel, (u, span.0 * span.1 * width), Layout::InOut, Some(bias.clone()));
        (Local::Conv(Shape { modules, width, k: span.0, f: span.1 }, packed), kernel, bias)
    }

    /// The sum of the module's head, number by number.
    #[test]
    fn is_its_definition_in_any_cut() {
        for (modules, width, u, (k, f), t) in [(4, 3, 5, (3, 3), 7), (2, 5, 2, (5, 2), 4), (6, 2, 3, (1, 4), 5), (3, 4, 4, (3, 1), 3)] {
            let (local, kernel, bias) = conv(modules, width, u, (k, f));
            let x = noise(t * modules * width, 9);
            let at = |p: isize, s: isize, i: usize| match (p, s) {
                (p, s) if p < 0 || s < 0 || s >= modules as isize => 0.0,
                (p, s) => f64::from(x[(p as usize * modules + s as usize) * width + i]),
            };
            let mut want = Vec::new();
            for p in 0..t as isize {
                for s in 0..modules as isize {
                    for o in 0..u {
                        let mut sum = f64::from(bias[o]);
                        for (a, c, i) in (0..f).flat_map(|a| (0..k).flat_map(move |c| (0..width).map(move |i| (a, c, i)))) {
                            let weight = kernel[((a * k + c) * width + i) * u + o];
                            sum += at(p + 1 - f as isize + a as isize, s - (k / 2) as isize + c as isize, i) * f64::from(weight);
                        }
                        want.push(sum);
                    }
                }
            }
            let whole = local.apply(&x, &mut local.history(1));
            for (got, want) in whole.iter().zip(&want) {
                assert!((f64::from(*got) - want).abs() < 1e-5, "{got} {want}");
            }
            assert_eq!(whole.len(), want.len());
            for cut in [1, 2, 3] {
                let mut history = local.history(1);
                let parts: Vec<f32> = x.chunks(cut * modules * width).flat_map(|x| local.apply(x, &mut history)).collect();
                assert_eq!(parts, whole);
            }
        }
    }

    /// With one module and one position under the kernel it is the same small matrix for every module.
    #[test]
    fn a_kernel_of_one_is_a_repeated_block() {
        let (local, kernel, bias) = conv(4, 3, 2, (1, 1));
        let x = noise(5 * 12, 7);
        let got = local.apply(&x, &mut local.history(1));
        let block = Packed::new(&kernel, (2, 3), Layout::InOut, Some(bias));
        assert_eq!(got, block.apply(&x));
    }
}
