//! The multiplicative layer: y(s, m) = Σ_i x(i) D(s, i) E(i, m) + b(s, m), without ever building D · E.
//!
//! Module s of a row sees x ⊙ D(s), so the layer is [`linear`](super::linear)'s product of S times as many rows with E. The gated rows are never
//! stored: each task makes those that it multiplies, few enough for them to stay in its second-level cache.
//!
//! The bits of an output are those of the product of a stored x ⊙ D(s), rounded to f32, with E: a row of int8 is quantised for each module by
//! itself. They depend on the row alone.

use super::Shared;
use super::elementwise::{Loop, Wide, on};
use super::linear::grid::Grid;
use super::linear::product::{Kernel, WIDTH};
use super::linear::{Operands, Packed};
use super::pool;
use super::precision::Precision;
use super::simd::{Isa, Lanes, isa};
use half::bf16;

/// D (S, d), Eᵀ (M, d) and b (S · M); the output's number s · M + m is y(s, m).
#[derive(Debug)]
pub struct Factored {
    modules: usize,
    gates: Gates,
    proj: Packed,
    bias: Option<Vec<f32>>,
}

/// D: f32 beside f32 weights, else bf16.
#[derive(Debug)]
enum Gates {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

/// Bytes of gated rows that a task makes at most: most of a second-level cache.
const ROOM: usize = 448 << 10;

impl Factored {
    /// Of its parts: `gates` (S · d), `proj` with M outputs and d inputs and no bias, `bias` (S · M). The gates are rounded to bf16 unless the
    /// weights of `proj` are f32.
    pub fn new(modules: usize, gates: Vec<f32>, proj: Packed, bias: Option<Vec<f32>>) -> Self {
        let gates = match proj.precision() {
            Precision::F32 => Gates::F32(gates),
            Precision::Bf16 | Precision::Int8 => Gates::Bf16(gates.into_iter().map(bf16::from_f32).collect()),
        };
        Self { modules, gates, proj, bias }
    }

    /// Outputs S · M and inputs d.
    pub fn shape(&self) -> (usize, usize) {
        (self.modules * self.proj.outputs, self.proj.inputs)
    }

    /// Bytes of all three parts: what a step reads.
    pub fn bytes(&self) -> usize {
        let gate = if self.proj.precision() == Precision::F32 { size_of::<f32>() } else { size_of::<bf16>() };
        let gates = self.modules * self.proj.inputs * gate;
        self.proj.bytes() + gates + self.bias.as_ref().map_or(0, Vec::len) * size_of::<f32>()
    }

    /// Rows of numbers, (n, d) -> (n, S · M).
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        self.apply_on(isa(), x)
    }

    /// The same on a path.
    fn apply_on(&self, isa: Isa, x: &[f32]) -> Vec<f32> {
        let (d, m) = (self.proj.inputs, self.proj.outputs);
        let rows = x.len().checked_div(d).unwrap_or(0) * self.modules;
        let kernel = Kernel::of(isa, self.proj.precision());
        let mut y: Vec<f32> = Vec::with_capacity(rows * m);
        let out = Shared(y.as_mut_ptr());
        let panels = m.div_ceil(WIDTH);
        let most = ROOM / (d * kernel.operand.bytes()).max(1);
        let grid = Grid::of_made(panels, rows, (d, most), rayon::current_num_threads());
        let blocks = rows.div_ceil(grid.rows);
        pool::each(blocks * panels.div_ceil(grid.panels), |task| {
            // neighbouring tasks share a group of panels
            let (first, group) = (task % blocks * grid.rows, task / blocks * grid.panels);
            let (some, panels) = (grid.rows.min(rows - first), group..panels.min(group + grid.panels));
            let gated = Operands::written(some, &self.proj, kernel.operand, |r, to| {
                let row = first + r;
                let x = &x[row / self.modules * d..][..d];
                on(isa, Gate { x, gates: &self.gates, first: row % self.modules * d, to });
            });
            let columns = panels.start * WIDTH..m.min(panels.end * WIDTH);
            // SAFETY: each task writes its own rows and columns of y, which has room for all; `isa` is available
            unsafe {
                self.proj.part(kernel, &gated, 0..some, panels, out.add(first * m));
                for row in first..first + some {
                    let Some(bias) = &self.bias else { break };
                    let y = std::slice::from_raw_parts_mut(out.add(row * m + columns.start).0, columns.len());
                    let bias = &bias[row % self.modules * m..][columns.clone()];
                    y.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                }
            }
        });
        // SAFETY: the tasks have written every row and column
        unsafe { y.set_len(rows * m) };
        y
    }
}

/// to ← x ⊙ gates from `first` on.
struct Gate<'a> {
    x: &'a [f32],
    gates: &'a Gates,
    first: usize,
    to: *mut f32,
}

impl Loop for Gate<'_> {
    type Out = ();
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Wide>(self) {
        let n = self.x.len();
        let whole = n - n % L::N;
        // SAFETY: n numbers at each place: the slices are cut to that, the caller gives the room
        unsafe {
            match self.gates {
                Gates::F32(gates) => {
                    let gates = &gates[self.first..][..n];
                    for i in (0..whole).step_by(L::N) {
                        L::load(self.x.as_ptr().add(i)).mul(L::load(gates.as_ptr().add(i))).store(self.to.add(i));
                    }
                    (whole..n).for_each(|i| self.to.add(i).write(self.x[i] * gates[i]));
                }
                Gates::Bf16(gates) => {
                    let gates = &gates[self.first..][..n];
                    for i in (0..whole).step_by(L::N) {
                        L::load(self.x.as_ptr().add(i)).mul(L::load_bf16(gates.as_ptr().add(i).cast())).store(self.to.add(i));
                    }
                    (whole..n).for_each(|i| self.to.add(i).write(self.x[i] * gates[i].to_f32()));
                }
            }
        }
    }
}

/// The definition in f64: gates D (S, d), weights Eᵀ (M, d), bias b (S · M).
pub fn naive(x: &[f32], gates: &[f32], weights: &[f32], bias: Option<&[f32]>, (outputs, inputs): (usize, usize)) -> Vec<f32> {
    let mut y = Vec::new();
    for x in x.chunks_exact(inputs) {
        for (s, gates) in gates.chunks_exact(inputs).enumerate() {
            for (m, weights) in weights.chunks_exact(inputs).enumerate() {
                let product = |i: usize| f64::from(x[i]) * f64::from(gates[i]) * f64::from(weights[i]);
                let sum: f64 = (0..inputs).map(product).sum();
                y.push((sum + bias.map_or(0.0, |b| f64::from(b[s * outputs + m]))) as f32);
            }
        }
    }
    y
}

#[cfg(test)]
mod tests;
