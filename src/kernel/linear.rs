//! y = x Wᵀ + b over weights packed into panels.
//!
//! Packed once at load: panel p holds rows `32 p .. 32 p + 32` of W, column by column, so that a step over one row of x reads the
//! weights once, in order; 6 rows at a time reuse each line. Order of addition: see [`super::panel`].

use super::panel::{Product, ROWS, WIDTH, product};
use super::{Shared, simd::isa};
use rayon::prelude::*;

/// W (out, in) in panels, zero rows at the end, and its bias.
#[derive(Debug, Clone)]
pub struct Packed {
    /// Rows of W.
    pub outputs: usize,
    /// Columns of W.
    pub inputs: usize,
    panels: Vec<f32>,
    bias: Option<Vec<f32>>,
}

/// How a weight lies in the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// (out, in), as PyTorch's `nn.Linear`.
    OutIn,
    /// (in, out), as GPT-2's `Conv1D`.
    InOut,
}

/// Rows of x that a task takes: they stay in the second-level cache while the panels pass.
const BLOCK: usize = 96;
/// Multiplications below which threads cost more than they bring.
const SERIAL: usize = 1 << 17;

impl Packed {
    /// Packs `weight`, which has `outputs × inputs` numbers, or none: then only the size is known ([`crate::weights::Store::blueprint`]).
    pub fn new(weight: &[f32], (outputs, inputs): (usize, usize), layout: Layout, bias: Option<Vec<f32>>) -> Self {
        if weight.is_empty() {
            return Self { outputs, inputs, panels: Vec::new(), bias };
        }
        assert_eq!(weight.len(), outputs * inputs);
        let mut panels = vec![0.0; Self::panel_floats(outputs, inputs)];
        panels.par_chunks_mut((inputs * WIDTH).max(1)).enumerate().for_each(|(p, panel)| {
            let here = WIDTH.min(outputs - p * WIDTH);
            for (i, line) in panel.chunks_exact_mut(WIDTH).enumerate() {
                for (j, w) in line[..here].iter_mut().enumerate() {
                    let o = p * WIDTH + j;
                    *w = match layout {
                        Layout::OutIn => weight[o * inputs + i],
                        Layout::InOut => weight[i * outputs + o],
                    };
                }
            }
        });
        Self { outputs, inputs, panels, bias }
    }

    /// The same weights with another bias: panels are moved, not copied.
    pub fn with_bias(self, bias: Option<Vec<f32>>) -> Self {
        Self { bias, ..self }
    }

    /// Floats of all panels, the zero rows of the last one included.
    fn panel_floats(outputs: usize, inputs: usize) -> usize {
        outputs.div_ceil(WIDTH) * inputs * WIDTH
    }

    /// Bytes of panels and bias.
    pub fn bytes(&self) -> usize {
        (Self::panel_floats(self.outputs, self.inputs) + self.bias.as_ref().map_or(0, Vec::len)) * size_of::<f32>()
    }

    /// Copies row `o` of W (an embedding, where the table is tied to the output matrix) to `out`.
    pub fn row(&self, o: usize, out: &mut [f32]) {
        let panel = &self.panels[o / WIDTH * self.inputs * WIDTH..];
        for (x, line) in out.iter_mut().zip(panel.chunks_exact(WIDTH)) {
            *x = line[o % WIDTH];
        }
    }

    /// y (n, out) of x (n, in).
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let n = x.len() / self.inputs.max(1);
        let mut y = vec![0.0; n * self.outputs];
        let (panels, blocks) = (self.outputs.div_ceil(WIDTH), n.div_ceil(BLOCK));
        let group = if n * self.outputs * self.inputs < SERIAL { panels } else { panels.div_ceil(2 * rayon::current_num_threads()) };
        let groups = panels.div_ceil(group.max(1));
        let target = Shared(y.as_mut_ptr());
        let task = |t: usize| {
            let (block, g) = (t / groups, t % groups);
            let rows = block * BLOCK..n.min((block + 1) * BLOCK);
            for p in g * group..panels.min((g + 1) * group) {
                // SAFETY: each task writes its own rows and columns of y
                unsafe { self.block(x, rows.clone(), p, target) }
            }
        };
        match blocks * groups {
            0 => {}
            1 => task(0),
            tasks => (0..tasks).into_par_iter().for_each(task),
        }
        y
    }

    /// Rows `rows` of y, columns of panel `p`.
    unsafe fn block(&self, x: &[f32], rows: std::ops::Range<usize>, p: usize, y: Shared) {
        let (isa, k) = (isa(), self.inputs);
        let columns = p * WIDTH..self.outputs.min((p + 1) * WIDTH);
        let panel = &self.panels[p * k * WIDTH..(p + 1) * k * WIDTH];
        for r in rows.clone().step_by(ROWS) {
            let n = ROWS.min(rows.end - r);
            let mut out = [[0.0f32; WIDTH]; ROWS];
            let x = &x[r * k..(r + n) * k];
            // SAFETY: n rows of k, one panel, n rows of WIDTH; `isa()` is available
            unsafe {
                product(
                    isa,
                    &Product { x: x.as_ptr(), stride: k, rows: n, k, panel: panel.as_ptr(), out: out[0].as_mut_ptr(), out_stride: WIDTH },
                )
            };
            for (i, line) in out[..n].iter_mut().enumerate() {
                if let Some(bias) = &self.bias {
                    line.iter_mut().zip(&bias[columns.clone()]).for_each(|(o, b)| *o += b);
                }
                // SAFETY: row r + i, the columns of this panel, which no other task writes
                unsafe {
                    y.0.add((r + i) * self.outputs + columns.start).copy_from_nonoverlapping(line.as_ptr(), columns.len());
                }
            }
        }
    }
}

/// The definition: y(r, o) = Σ_i x(r, i) w(o, i) + b(o), in f64.
pub fn naive(x: &[f32], weight: &[f32], bias: Option<&[f32]>, (outputs, inputs): (usize, usize)) -> Vec<f32> {
    x.chunks_exact(inputs)
        .flat_map(|row| {
            (0..outputs).map(move |o| {
                let sum: f64 = row.iter().zip(&weight[o * inputs..]).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                (sum + bias.map_or(0.0, |b| f64::from(b[o]))) as f32
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::noise;

    #[test]
    fn equals_the_definition_and_does_not_depend_on_neighbours() {
        for (n, outputs, inputs) in [(1, 1, 1), (2, 33, 7), (5, 24, 24), (7, 99, 40), (200, 65, 129)] {
            let (x, w, b) = (noise(n * inputs, 1), noise(outputs * inputs, 2), noise(outputs, 3));
            let packed = Packed::new(&w, (outputs, inputs), Layout::OutIn, Some(b.clone()));
            let y = packed.apply(&x);
            for (got, want) in y.iter().zip(naive(&x, &w, Some(&b), (outputs, inputs))) {
                assert!((got - want).abs() < 1e-5 * (1.0 + want.abs()), "{got} {want}");
            }
            for r in 0..n {
                let alone = packed.apply(&x[r * inputs..(r + 1) * inputs]);
                assert_eq!(alone, y[r * outputs..(r + 1) * outputs], "row {r} of {n}");
            }
            let mut row = vec![0.0; inputs];
            packed.row(outputs - 1, &mut row);
            assert_eq!(row, w[(outputs - 1) * inputs..]);
        }
    }

    #[test]
    fn the_transposed_layout_is_the_same_matrix() {
        let (outputs, inputs) = (37, 11);
        let w = noise(outputs * inputs, 4);
        let t: Vec<f32> = (0..inputs * outputs).map(|i| w[i % outputs * inputs + i / outputs]).collect();
        let x = noise(3 * inputs, 5);
        let a = Packed::new(&w, (outputs, inputs), Layout::OutIn, None).apply(&x);
        let b = Packed::new(&t, (outputs, inputs), Layout::InOut, None).apply(&x);
        assert_eq!(a, b);
    }
}
