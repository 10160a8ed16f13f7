//! Convolutions over the length and over neighbouring modules of the features: windows of the input times packed kernels, the windows made where they are multiplied.

use super::linear::Packed;
use super::linear::grid::BLOCK;
use super::linear::operands::Operands;
use super::linear::product::{Kernel, WIDTH};
use super::simd::isa;
use super::{Shared, pool};

/// Multiplications below which threads cost more than they bring.
const SERIAL: usize = 1 << 16;

/// What a kernel spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// S, modules of the features.
    pub modules: usize,
    /// D_x, features of a module.
    pub width: usize,
    /// k, modules under the kernel, an odd number.
    pub k: usize,
    /// F, positions under the kernel.
    pub f: usize,
}

/// A convolution and what it reads.
#[derive(Clone, Copy)]
pub struct Conv<'a> {
    /// What its kernel spans.
    pub shape: Shape,
    /// (u, F · k · D_x), with bias.
    pub kernel: &'a Packed,
    /// Rows of a batch, t positions each: (b, t, S · D_x).
    pub x: &'a [f32],
    /// For each of the b rows, the F − 1 positions before: (F − 1, S · D_x).
    pub past: &'a [Vec<f32>],
}

impl Conv<'_> {
    /// Output rows b · t · S: each has u numbers.
    fn rows(&self) -> usize {
        self.x.len() / self.shape.width
    }

    /// Writes what lies under the kernel for output row `r`: F · k · D_x numbers.
    ///
    /// # Safety
    /// There is room for them at `to`.
    unsafe fn window(&self, r: usize, mut to: *mut f32) {
        let Shape { modules, width, k, f } = self.shape;
        let (d, position, s) = (modules * width, r / modules, r % modules);
        let t = self.x.len() / d / self.past.len();
        let (row, at) = (position / t, position % t);
        let (first, last) = (s.saturating_sub(k / 2), (s + k / 2).min(modules - 1));
        let (before, behind) = ((k / 2).saturating_sub(s) * width, (s + k / 2).saturating_sub(modules - 1) * width);
        for a in at..at + f {
            // F − 1 rows of the past, then the present ones
            let from = if a < f - 1 { &self.past[row][a * d..] } else { &self.x[(row * t + a + 1 - f) * d..] };
            let from = &from[first * width..(last + 1) * width];
            // SAFETY: before + from.len() + behind = k · D_x numbers, F times
            unsafe {
                to.write_bytes(0, before);
                to.add(before).copy_from_nonoverlapping(from.as_ptr(), from.len());
                to.add(before + from.len()).write_bytes(0, behind);
                to = to.add(k * width);
            }
        }
    }
}

/// out(t, s · u + o) = bias(o) + Σ_a Σ_c Σ_i x(t − (F − 1) + a, s − (k − 1)/2 + c, i) · kernel(a, c, i, o) of each convolution, in one loop: (b, t, S · u).
///
/// All have as many output rows, and kernels of one precision.
pub fn convolve<const N: usize>(all: [Conv; N]) -> [Vec<f32>; N] {
    let n = all[0].rows();
    assert!(
        all.iter().all(|c| c.rows() == n && c.kernel.precision() == all[0].kernel.precision()),
        "one loop for convolutions of as many rows"
    );
    let path = Kernel::of(isa(), all[0].kernel.precision());
    let mut out = all.map(|c| Vec::with_capacity(n * c.kernel.outputs));
    let targets = out.each_mut().map(|y| Shared(y.as_mut_ptr()));
    let panels = all.map(|c| c.kernel.outputs.div_ceil(WIDTH));
    // who takes another part of the panels makes the windows once more
    let parts = if n <= BLOCK { rayon::current_num_threads().div_ceil(N) } else { 1 };
    let (blocks, group) = (n.div_ceil(BLOCK), panels.map(|p| p.div_ceil(parts).max(1)));
    let tasks: usize = (0..N).map(|i| blocks * panels[i].div_ceil(group[i])).sum();
    let task = |mut task: usize| {
        let mut i = 0;
        while task >= blocks * panels[i].div_ceil(group[i]) {
            task -= blocks * panels[i].div_ceil(group[i]);
            i += 1;
        }
        let (c, first) = (&all[i], task % blocks * BLOCK);
        let (rows, columns) = (BLOCK.min(n - first), task / blocks * group[i]);
        // SAFETY: a window has as many numbers as the kernel has inputs
        let windows = Operands::written(rows, c.kernel, path.operand, |r, to| unsafe { c.window(first + r, to) });
        // SAFETY: each task writes its own rows and columns of its own output, which has room for all; the path is this machine's
        unsafe {
            c.kernel.part(path, &windows, 0..rows, columns..panels[i].min(columns + group[i]), targets[i].add(first * c.kernel.outputs))
        }
    };
    let work: usize = all.iter().map(|c| n * c.kernel.outputs * c.kernel.inputs).sum();
    if work < SERIAL {
        (0..tasks).for_each(task)
    } else {
        pool::each(tasks, task)
    }
    for (y, c) in out.iter_mut().zip(&all) {
        // SAFETY: the tasks have written every row and column
        unsafe { y.set_len(n * c.kernel.outputs) };
    }
    out
}
