//! Rows that are read one at a time: token tables, the units of a sparse feed-forward layer.
//!
//! A row lies in one run of memory, so that a step which needs a few rows of a large matrix touches no byte of the others.

use super::buffer::Buffer;
use super::linear::pack::{self, NotFinite, View};
use super::precision::Precision;
use half::bf16;

/// `count` rows of `width` numbers.
#[derive(Debug)]
pub struct Rows {
    /// Rows.
    pub count: usize,
    /// Numbers of a row.
    pub width: usize,
    precision: Precision,
    data: Buffer,
    /// int8: what a row's integers are multiplied by.
    scales: Vec<f32>,
}

impl Rows {
    /// Only the sizes: it has no numbers.
    pub fn outline((count, width): (usize, usize), precision: Precision) -> Self {
        Self { count, width, precision, data: Buffer::new(0), scales: Vec::new() }
    }

    /// The outputs of a matrix as rows, held as `precision`. Tells the first number that is not finite, or would not be.
    pub fn pack(view: &View, (count, width): (usize, usize), precision: Precision) -> (Self, Option<NotFinite>) {
        let mut rows = Self::outline((count, width), precision);
        let one = width * precision.bytes();
        rows.data = Buffer::new(count * one);
        let mut bad = None;
        let mut some = vec![0.0; pack::TOGETHER * width];
        for first in (0..count).step_by(pack::TOGETHER) {
            let here = first..count.min(first + pack::TOGETHER);
            let some = &mut some[..here.len() * width];
            view.outputs(here.clone(), width, some);
            bad = bad.or_else(|| pack::not_finite(view, first, some, width, precision));
            for (i, row) in here.zip(some.chunks_exact(width.max(1))) {
                let to = &mut rows.data[i * one..(i + 1) * one];
                match precision {
                    Precision::F32 => to.as_chunks_mut().0.iter_mut().zip(row).for_each(|(to, x)| *to = x.to_le_bytes()),
                    Precision::Bf16 => to.as_chunks_mut().0.iter_mut().zip(row).for_each(|(to, x)| *to = bf16::from_f32(*x).to_le_bytes()),
                    Precision::Int8 => rows.scales.push(pack::quantise(row, to)),
                }
            }
        }
        (rows, bad)
    }

    /// The kind of number that the rows are.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes of all rows, with their factors.
    pub fn bytes(&self) -> usize {
        self.count * self.row_bytes()
    }

    /// Bytes of one row, with its factor.
    pub fn row_bytes(&self) -> usize {
        let factor = if self.precision == Precision::Int8 { size_of::<f32>() } else { 0 };
        self.width * self.precision.bytes() + factor
    }

    /// Copies row `i` to `out`.
    pub fn row(&self, i: usize, out: &mut [f32]) {
        let one = self.width * self.precision.bytes();
        let from = &self.data[i * one..(i + 1) * one];
        match self.precision {
            Precision::F32 => out.iter_mut().zip(from.as_chunks().0).for_each(|(out, b)| *out = f32::from_le_bytes(*b)),
            Precision::Bf16 => out.iter_mut().zip(from.as_chunks().0).for_each(|(out, b)| *out = bf16::from_le_bytes(*b).to_f32()),
            Precision::Int8 => out.iter_mut().zip(from).for_each(|(out, b)| *out = f32::from(b.cast_signed()) * self.scales[i]),
        }
    }

    /// Σ_j row(i, j) x(j).
    pub fn dot(&self, i: usize, x: &[f32]) -> f32 {
        let mut row = vec![0.0; self.width];
        self.row(i, &mut row);
        row.iter().zip(x).map(|(w, x)| w * x).sum()
    }

    /// out ← out + a · row(i).
    pub fn add_to(&self, i: usize, a: f32, out: &mut [f32]) {
        let mut row = vec![0.0; self.width];
        self.row(i, &mut row);
        out.iter_mut().zip(row).for_each(|(out, w)| *out += a * w);
    }
}
