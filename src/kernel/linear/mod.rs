//! y = x Wᵀ + b over weights packed once at load.
//!
//! - [`Packed`]: weights as f32, bf16 or int8 in panels; [`apply`]: their product with any number of rows
//! - [`pack`]: from a matrix to panels
//! - [`grid`]: how work is cut; `operands`: rows of x as a kernel takes them
//! - [`product`]: what a kernel computes, and which kernel a machine takes; [`portable`] is the simple one
//!
//! Work is cut by rows where there are many, by panels where rows are few, and by both where both are; no cut changes a bit, see [`product`].

#[cfg(target_arch = "x86_64")]
pub mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
pub mod grid;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(in crate::kernel) mod operands;
pub mod pack;
pub mod portable;
pub mod product;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tile;

pub use pack::{Layout, Numbers, View};

use super::buffer::Buffer;
use super::precision::Precision;
use super::simd::{Isa, isa};
use super::{Shared, pool};
use grid::{BLOCK, Grid};
use half::bf16;
pub(in crate::kernel) use operands::Operands;
use product::{Kernel, LINE, Product, TILE, WIDTH, inputs};
use std::ops::Range;

/// W (out, in) in panels, zero rows at the end, and its bias.
#[derive(Debug)]
pub struct Packed {
    /// Rows of W.
    pub outputs: usize,
    /// Columns of W.
    pub inputs: usize,
    precision: Precision,
    panels: Buffer,
    /// int8: what an output's integers are multiplied by.
    scales: Vec<f32>,
    /// int8: the sum of an output's integers.
    sums: Vec<i32>,
    bias: Option<Vec<f32>>,
}

impl Packed {
    /// Only the sizes ([`crate::weights::Store::blueprint`]): it has no numbers and cannot multiply.
    pub fn outline((outputs, inputs): (usize, usize), precision: Precision, bias: Option<Vec<f32>>) -> Self {
        Self { outputs, inputs, precision, panels: Buffer::new(0), scales: Vec::new(), sums: Vec::new(), bias }
    }

    /// `weight` (outputs · inputs numbers in `layout`) as f32.
    pub fn new(weight: &[f32], (outputs, inputs): (usize, usize), layout: Layout, bias: Option<Vec<f32>>) -> Self {
        assert_eq!(weight.len(), outputs * inputs);
        let view = View { numbers: &weight, first: 0, apart: if layout == Layout::OutIn { inputs } else { outputs }, layout };
        let (packed, _) = pack::pack(&view, (outputs, inputs), Precision::F32, bias);
        packed
    }

    /// The kind of number that the weights are.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes of panels, factors and bias.
    pub fn bytes(&self) -> usize {
        let factors = if self.precision == Precision::Int8 { 2 * self.outputs.next_multiple_of(WIDTH) } else { 0 };
        let bias = self.bias.as_ref().map_or(0, Vec::len);
        self.outputs.div_ceil(WIDTH) * panel_bytes(self.inputs, self.precision) + (factors + bias) * size_of::<f32>()
    }

    /// Lines of a panel.
    fn lines(&self) -> usize {
        panel_bytes(self.inputs, self.precision) / LINE
    }

    /// Copies row `o` of W (an embedding, where the table is tied to the output matrix) to `out`.
    pub fn row(&self, o: usize, out: &mut [f32]) {
        let (lines, k) = (self.lines(), inputs(self.precision));
        let panel = &self.panels[o / WIDTH * lines * LINE..][..lines * LINE];
        for (out, line) in out.chunks_mut(k).zip(panel.as_chunks::<LINE>().0) {
            let word = o % WIDTH * 4;
            let word = [line[word], line[word + 1], line[word + 2], line[word + 3]];
            let [a, b, c, d] = word;
            let numbers = match self.precision {
                Precision::F32 => [f32::from_le_bytes(word), 0.0, 0.0, 0.0],
                Precision::Bf16 => [bf16::from_le_bytes([a, b]).to_f32(), bf16::from_le_bytes([c, d]).to_f32(), 0.0, 0.0],
                Precision::Int8 => word.map(|q| f32::from(q as i8) * self.scales[o]),
            };
            out.copy_from_slice(&numbers[..out.len()]);
        }
    }

    /// y (n, out) of x (n, in).
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let [y] = apply([self], x);
        y
    }

    /// Rows `rows` and panels `panels` of y, whose first row is that of the operands.
    ///
    /// # Safety
    /// y has room for all rows and nobody else writes this part; the machine has the kernel's path; there are at most [`BLOCK`] rows.
    pub(in crate::kernel) unsafe fn part(&self, kernel: Kernel, x: &Operands, rows: Range<usize>, panels: Range<usize>, y: Shared) {
        let whole = panels.end.min(self.outputs / WIDTH).max(panels.start);
        // SAFETY: rows and panels below the numbers of both; the last panel's columns may go beyond y, so it is multiplied elsewhere
        unsafe {
            let place = y.0.add(rows.start * self.outputs + panels.start * WIDTH);
            self.panels(kernel, x, rows.clone(), panels.start..whole, (place, self.outputs));
            if whole < panels.end {
                let mut last = [0.0f32; BLOCK * WIDTH];
                self.panels(kernel, x, rows.clone(), whole..panels.end, (last.as_mut_ptr(), WIDTH));
                let columns = self.outputs - whole * WIDTH;
                let place = place.add((whole - panels.start) * WIDTH);
                for (r, line) in last.chunks_exact(WIDTH).take(rows.len()).enumerate() {
                    place.add(r * self.outputs).copy_from_nonoverlapping(line.as_ptr(), columns);
                }
            }
        }
    }

    /// Rows `rows` times panels `panels`, all [`WIDTH`] numbers of each, to `out` and, so many numbers on, the next row.
    ///
    /// # Safety
    /// There is room and nobody else uses it; the machine has the kernel's path.
    pub(in crate::kernel) unsafe fn panels(
        &self,
        kernel: Kernel,
        x: &Operands,
        rows: Range<usize>,
        panels: Range<usize>,
        (out, stride): (*mut f32, usize),
    ) {
        let lines = self.lines();
        let columns = panels.start * WIDTH..self.outputs.min(panels.end * WIDTH);
        let product = Product {
            x: x.row(rows.start),
            stride: x.stride,
            rows: rows.len(),
            panels: self.panels[panels.start * lines * LINE..panels.end * lines * LINE].as_ptr(),
            count: panels.len(),
            lines,
            sums: self.sums.get(panels.start * WIDTH..).map_or(std::ptr::null(), <[i32]>::as_ptr),
            out,
            out_stride: stride,
        };
        // SAFETY: rows and panels of what the caller promised
        unsafe {
            (kernel.run)(&product);
            self.finish(x, rows, columns, (out, stride));
        }
    }

    /// Integers become floats, and the bias is added.
    ///
    /// # Safety
    /// As [`Packed::panels`]; the columns hold the kernel's results.
    unsafe fn finish(&self, x: &Operands, rows: Range<usize>, columns: Range<usize>, (out, stride): (*mut f32, usize)) {
        if x.scales.is_empty() && self.bias.is_none() {
            return;
        }
        for (at, r) in rows.enumerate() {
            // SAFETY: row r, these columns
            let line = unsafe { std::slice::from_raw_parts_mut(out.add(at * stride), columns.len()) };
            if let Some(scale) = x.scales.get(r) {
                for (y, w) in line.iter_mut().zip(&self.scales[columns.clone()]) {
                    *y = y.to_bits().cast_signed() as f32 * (scale * w);
                }
            }
            if let Some(bias) = &self.bias {
                line.iter_mut().zip(&bias[columns.clone()]).for_each(|(y, b)| *y += b);
            }
        }
    }
}

/// The products of x (n, in) with several weights that have the same inputs and precision: (n, out) of each.
///
/// One loop over all of them: handing a loop to the threads costs as much as reading a hundred kilobytes.
pub fn apply<const N: usize>(weights: [&Packed; N], x: &[f32]) -> [Vec<f32>; N] {
    apply_on(isa(), weights, x)
}

/// The same on a path.
pub(in crate::kernel) fn apply_on<const N: usize>(isa: Isa, weights: [&Packed; N], x: &[f32]) -> [Vec<f32>; N] {
    let first = weights[0];
    assert!(weights.iter().all(|w| (w.inputs, w.precision) == (first.inputs, first.precision)), "they read the same numbers");
    let n = x.len().checked_div(first.inputs).unwrap_or(0);
    let kernel = Kernel::of(isa, first.precision);
    let x = Operands::new(x, n, first, kernel.operand);
    let mut out = weights.map(|w| Vec::with_capacity(n * w.outputs));
    let targets = out.each_mut().map(|y| Shared(y.as_mut_ptr()));
    let panels = weights.map(|w| w.outputs.div_ceil(WIDTH));
    let grid = Grid::of(panels.iter().sum(), n, first.inputs, rayon::current_num_threads());
    let blocks = n.div_ceil(grid.rows);
    let groups = panels.map(|p| p.div_ceil(grid.panels));
    pool::each(blocks * groups.iter().sum::<usize>(), |task| {
        // neighbouring tasks share a group of panels
        let (mut g, block) = (task / blocks, task % blocks);
        let mut w = 0;
        while g >= groups[w] {
            g -= groups[w];
            w += 1;
        }
        let rows = block * grid.rows..n.min((block + 1) * grid.rows);
        let panels = g * grid.panels..panels[w].min((g + 1) * grid.panels);
        // SAFETY: each task writes its own rows and columns of its own y, and `isa` is available
        unsafe { weights[w].part(kernel, &x, rows, panels, targets[w]) }
    });
    for (y, w) in out.iter_mut().zip(weights) {
        // SAFETY: the tasks have written every row and column
        unsafe { y.set_len(n * w.outputs) };
    }
    out
}

/// Bytes of a panel of so many inputs.
fn panel_bytes(inputs_: usize, precision: Precision) -> usize {
    let lines = inputs_.div_ceil(inputs(precision));
    LINE * if precision == Precision::F32 { lines } else { lines.next_multiple_of(TILE) }
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
pub(in crate::kernel) mod tests;
