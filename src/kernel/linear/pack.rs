//! From a matrix to panels, a panel at a time on all threads: the matrix is never held a second time.

use super::product::{LINE, WIDTH};
use super::{Packed, panel_bytes};
use crate::kernel::buffer::Buffer;
use crate::kernel::elementwise::{Loop, Wide, on};
use crate::kernel::pool;
use crate::kernel::precision::Precision;
use crate::kernel::simd::{Lanes, isa};
use half::bf16;
use std::ops::Range;
use std::sync::Mutex;

/// The numbers of a matrix, wherever they lie.
pub trait Numbers: Sync {
    /// Writes the numbers from `first` on, row-major, to `out`.
    fn fill(&self, first: usize, out: &mut [f32]);

    /// The numbers of a range have been packed: where they are a file's, its pages may go.
    fn done(&self, _numbers: Range<usize>) {}
}

impl Numbers for &[f32] {
    fn fill(&self, first: usize, out: &mut [f32]) {
        out.copy_from_slice(&self[first..first + out.len()]);
    }
}

/// How a weight lies in the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// (out, in), as PyTorch's `nn.Linear`.
    OutIn,
    /// (in, out), as GPT-2's `Conv1D`.
    InOut,
}

/// A matrix, or columns of one.
pub struct View<'a> {
    /// All numbers.
    pub numbers: &'a dyn Numbers,
    /// Number of the first that belongs to the view.
    pub first: usize,
    /// Numbers from one row of the stored matrix to the next.
    pub apart: usize,
    /// What a stored row is.
    pub layout: Layout,
}

impl View<'_> {
    /// Outputs `outputs` of W, (outputs, inputs), at most [`TOGETHER`] of them.
    pub(in crate::kernel) fn outputs(&self, outputs: Range<usize>, inputs: usize, to: &mut [f32]) {
        match self.layout {
            Layout::OutIn => {
                for (o, row) in outputs.zip(to.chunks_exact_mut(inputs)) {
                    self.numbers.fill(self.first + o * self.apart, row);
                }
            }
            Layout::InOut => {
                let mut column = [0.0; WIDTH];
                let n = outputs.len();
                for i in 0..inputs {
                    self.numbers.fill(self.first + i * self.apart + outputs.start, &mut column[..n]);
                    for (o, w) in column[..n].iter().enumerate() {
                        to[o * inputs + i] = *w;
                    }
                }
            }
        }
    }

    /// These outputs have been packed: lets their bytes go, where they lie in one run.
    pub(in crate::kernel) fn packed(&self, outputs: Range<usize>, inputs: usize) {
        if self.layout == Layout::OutIn && !outputs.is_empty() {
            self.numbers.done(self.place(outputs.start, 0)..self.place(outputs.end - 1, 0) + inputs);
        }
    }

    /// All outputs have been packed: lets their bytes go, where they do not lie in one run.
    pub(in crate::kernel) fn all_packed(&self, inputs: usize) {
        if self.layout == Layout::InOut {
            self.numbers.done(self.place(0, 0)..self.place(0, inputs));
        }
    }

    /// Where input `i` of output `o` is stored.
    fn place(&self, o: usize, i: usize) -> usize {
        self.first
            + match self.layout {
                Layout::OutIn => o * self.apart + i,
                Layout::InOut => i * self.apart + o,
            }
    }
}

/// A number that is no weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NotFinite {
    /// Its place among all numbers of the matrix.
    pub index: usize,
    /// The number.
    pub value: f32,
}

/// Panels that a task packs before it gives back what it has read: about a megabyte.
const TASK: usize = 8;
/// Outputs that are read together where they do not lie in one run.
pub(in crate::kernel) const TOGETHER: usize = WIDTH;

/// Packs a matrix as `precision`. Numbers that are not finite, or would not be as bf16, are packed too; the first of them is told.
pub fn pack(view: &View, (outputs, k): (usize, usize), precision: Precision, bias: Option<Vec<f32>>) -> (Packed, Option<NotFinite>) {
    let bytes = panel_bytes(k, precision);
    let panels = outputs.div_ceil(WIDTH);
    let mut out = Buffer::new(panels * bytes);
    let integers = if precision == Precision::Int8 { panels * WIDTH } else { 0 };
    let (mut scales, mut sums) = (vec![0.0; integers], vec![0; integers]);
    let bad = Mutex::new(None::<NotFinite>);
    {
        let mut parts: Vec<Part> =
            out.chunks_mut(bytes.max(1) * TASK).map(|panels| Part { panels, scales: &mut [], sums: &mut [] }).collect();
        if integers > 0 {
            let factors = scales.chunks_mut(TASK * WIDTH).zip(sums.chunks_mut(TASK * WIDTH));
            parts.iter_mut().zip(factors).for_each(|(part, (scales, sums))| (part.scales, part.sums) = (scales, sums));
        }
        let parts: Vec<Mutex<Part>> = parts.into_iter().map(Mutex::new).collect();
        pool::each(parts.len(), |task| {
            // each task has its own, so nobody waits
            let Ok(mut part) = parts[task].lock() else { return };
            let first = task * TASK * WIDTH;
            if let Some(found) = part.fill(view, (first, outputs), k, precision)
                && let Ok(mut bad) = bad.lock()
                && bad.is_none_or(|b| found.index < b.index)
            {
                *bad = Some(found);
            }
            view.packed(first..outputs.min(first + TASK * WIDTH), k);
        });
    }
    view.all_packed(k);
    let bad = bad.into_inner().unwrap_or_default();
    (Packed { outputs, inputs: k, precision, panels: out, scales, sums, bias }, bad)
}

/// Neighbouring panels and what belongs to their outputs.
struct Part<'a> {
    panels: &'a mut [u8],
    scales: &'a mut [f32],
    sums: &'a mut [i32],
}

impl Part<'_> {
    /// Packs the outputs from `first` on, up to `end`; tells the number that is not finite and stands first.
    fn fill(&mut self, view: &View, (first, end): (usize, usize), k: usize, precision: Precision) -> Option<NotFinite> {
        let mut bad: Option<NotFinite> = None;
        let bytes = panel_bytes(k, precision).max(1);
        // a line is a word of each output; rows lie apart so that the words of one line do not compete for a place in the cache
        let words = bytes / LINE;
        let apart = words + 16;
        let mut rows = vec![0.0; WIDTH * k];
        let mut encoded = vec![0u32; WIDTH * apart];
        for (p, panel) in self.panels.chunks_exact_mut(bytes).enumerate() {
            let outputs = first + p * WIDTH..end.min(first + (p + 1) * WIDTH);
            let rows = &mut rows[..outputs.len() * k];
            view.outputs(outputs.clone(), k, rows);
            bad = bad.into_iter().chain(not_finite(view, outputs.start, rows, k, precision)).min_by_key(|b| b.index);
            for (o, row) in rows.chunks_exact(k.max(1)).enumerate() {
                let words = &mut encoded[o * apart..];
                match precision {
                    Precision::F32 => words.iter_mut().zip(row).for_each(|(word, w)| *word = w.to_bits()),
                    Precision::Bf16 => {
                        let pair = |pair: &[f32]| pair.iter().rev().fold(0, |word, w| word << 16 | u32::from(bf16::from_f32(*w).to_bits()));
                        words.iter_mut().zip(row.chunks(2)).for_each(|(word, w)| *word = pair(w));
                    }
                    Precision::Int8 => {
                        let mut integers = vec![0; k.next_multiple_of(4)];
                        self.scales[p * WIDTH + o] = quantise(row, &mut integers);
                        self.sums[p * WIDTH + o] = integers.iter().map(|q| i32::from(q.cast_signed())).sum();
                        words.iter_mut().zip(integers.as_chunks().0).for_each(|(word, q)| *word = u32::from_le_bytes(*q));
                    }
                }
            }
            encoded[outputs.len() * apart..].fill(0);
            for (i, line) in panel.as_chunks_mut::<LINE>().0.iter_mut().enumerate() {
                for (o, word) in line.as_chunks_mut().0.iter_mut().enumerate() {
                    *word = encoded[o * apart + i].to_le_bytes();
                }
            }
        }
        bad
    }
}

/// The number that stands first in the stored matrix among those of `rows` (outputs from `first` on, `k` inputs each) that are not finite.
pub(in crate::kernel) fn not_finite(view: &View, first: usize, rows: &[f32], k: usize, precision: Precision) -> Option<NotFinite> {
    if top(rows) < limit(precision) {
        return None;
    }
    let found = rows.iter().enumerate().filter(|(_, x)| top(&[**x]) >= limit(precision));
    found.map(|(at, &value)| NotFinite { index: view.place(first + at / k, at % k), value }).min_by_key(|b| b.index)
}

/// The largest of these numbers' bits, without their signs: beyond those of every finite number where one is not.
#[inline(always)]
fn top(x: &[f32]) -> u32 {
    x.iter().fold(0, |top, x| top.max(x.to_bits() & 0x7FFF_FFFF))
}

/// The bits from which a number cannot be a weight: infinity, or what bf16 rounds to it.
fn limit(precision: Precision) -> u32 {
    f32::INFINITY.to_bits() - if precision == Precision::Bf16 { 0x8000 } else { 0 }
}

/// Writes round(x / s) with s = max |x| / 127 as signed bytes, ties to even; returns s. The bytes after them are left alone.
///
/// A row with a number that is not finite gets an s that is not finite either, and so do its products.
pub fn quantise(x: &[f32], to: &mut [u8]) -> f32 {
    on(isa(), Quantise(x, to))
}

/// The loop of [`quantise`].
struct Quantise<'a>(&'a [f32], &'a mut [u8]);

impl Loop for Quantise<'_> {
    type Out = f32;
    /// Plain loops that the compiler turns into the path's registers: each number by itself, and a maximum of integers.
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Wide>(self) -> f32 {
        /// Adding it rounds a small number to an integer, in the lowest bits.
        const MAGIC: f32 = 12_582_912.0; // 1.5 · 2²³
        let Quantise(x, to) = self;
        let scale = f32::from_bits(top(x)) / 127.0;
        // below 2⁻¹²⁰ the inverse overflows: such a row is zero as far as f32 products can tell
        let inverse = if scale > 1e-36 { 1.0 / scale } else { 0.0 };
        for (to, x) in to.iter_mut().zip(x) {
            *to = (x * inverse + MAGIC).to_bits() as u8;
        }
        scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantised_rows_are_within_half_a_step() {
        let x: Vec<f32> = (-300..300).map(|i| i as f32 * 0.37).collect();
        let mut q = vec![7u8; 602];
        let s = quantise(&x, &mut q);
        assert_eq!(s, 111.0 / 127.0);
        for (x, q) in x.iter().zip(&q) {
            let q = q.cast_signed();
            assert!((f32::from(q) * s - x).abs() <= 0.5001 * s && q != -128);
        }
        assert_eq!(q[600..], [7, 7]);
        for ugly in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!quantise(&[1.0, ugly, 2.0], &mut q).is_finite());
        }
        assert_eq!(quantise(&[0.0, -0.0], &mut q), 0.0);
        assert_eq!(q[..2], [0, 0]);
        quantise(&[f32::MIN_POSITIVE, -1e-45], &mut q);
        assert_eq!(q[..2], [0, 0]);
    }
}
