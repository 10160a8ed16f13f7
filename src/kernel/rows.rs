//! Rows that are read one at a time: token tables, the units of a sparse feed-forward layer.
//!
//! A row lies in one run of memory, so that a step which needs a few rows of a large matrix touches no byte of the others. Rows are a buffer of
//! ours, or lie where a mapped file has them.

use super::buffer::Buffer;
use super::elementwise::on;
use super::linear::pack::{self, NotFinite, View};
use super::pool;
use super::precision::Precision;
use super::simd::{Isa, isa};
use half::bf16;
use loops::{Add, Dots};
use std::ops::Range;
use std::sync::{Arc, Mutex};

mod loops;

/// `count` rows of `width` numbers.
#[derive(Debug)]
pub struct Rows {
    /// Rows.
    pub count: usize,
    /// Numbers of a row.
    pub width: usize,
    precision: Precision,
    data: Data,
    /// int8: what a row's integers are multiplied by.
    scales: Vec<f32>,
}

/// Bytes that others own, too: those of a mapped file.
pub type Source = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Where the rows lie, one after the other.
enum Data {
    Own(Buffer),
    Mapped(Source, Range<usize>),
}

impl Data {
    fn bytes(&self) -> &[u8] {
        match self {
            Data::Own(buffer) => buffer,
            Data::Mapped(source, range) => &(**source).as_ref()[range.clone()],
        }
    }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = if let Data::Own(_) = self { "held" } else { "mapped" };
        write!(f, "{} bytes {how}", self.bytes().len())
    }
}

/// Rows that are read side by side: one run of memory keeps too few cache lines under way.
const ABREAST: usize = 4;
/// Bytes that a task packs at least.
const TASK: usize = 1 << 20;

impl Rows {
    /// Only the sizes: it has no numbers.
    pub fn outline((count, width): (usize, usize), precision: Precision) -> Self {
        Self { count, width, precision, data: Data::Own(Buffer::new(0)), scales: Vec::new() }
    }

    /// The outputs of a matrix as rows, held as `precision`. Tells the first number that is not finite, or would not be.
    pub fn pack(view: &View, (count, width): (usize, usize), precision: Precision) -> (Self, Option<NotFinite>) {
        let one = width * precision.bytes();
        let mut data = Buffer::new(count * one);
        let mut scales = vec![0.0; if precision == Precision::Int8 { count } else { 0 }];
        let rows = TASK.div_ceil(one.max(1)).next_multiple_of(pack::TOGETHER);
        let bad = Mutex::new(None::<NotFinite>);
        {
            let mut factors = scales.chunks_mut(rows);
            let parts: Vec<Mutex<(&mut [u8], &mut [f32])>> =
                data.chunks_mut((rows * one).max(1)).map(|part| Mutex::new((part, factors.next().unwrap_or_default()))).collect();
            pool::each(parts.len(), |task| {
                // each task has its own, so nobody waits
                let Ok(mut part) = parts[task].lock() else { return };
                let here = task * rows..count.min((task + 1) * rows);
                let (to, factors) = &mut *part;
                if let Some(found) = fill(view, here.clone(), width, precision, (to, factors))
                    && let Ok(mut bad) = bad.lock()
                    && bad.is_none_or(|b| found.index < b.index)
                {
                    *bad = Some(found);
                }
                view.packed(here, width);
            });
        }
        view.all_packed(width);
        (Self { count, width, precision, data: Data::Own(data), scales }, bad.into_inner().unwrap_or_default())
    }

    /// Rows that lie in `source` from byte `start` on, f32 or bf16, row after row, at any address; none if they do not fit, or are int8.
    ///
    /// Nothing is read: whoever wants to know whether all numbers are finite has to see what becomes of them.
    pub fn mapped(source: Source, start: usize, (count, width): (usize, usize), precision: Precision) -> Option<Self> {
        let len = count.checked_mul(width)?.checked_mul(precision.bytes())?;
        let end = start.checked_add(len)?;
        if precision == Precision::Int8 || end > (*source).as_ref().len() {
            return None;
        }
        Some(Self { count, width, precision, data: Data::Mapped(source, start..end), scales: Vec::new() })
    }

    /// Whether the rows lie in a file.
    pub fn is_mapped(&self) -> bool {
        matches!(self.data, Data::Mapped(..))
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
        let from = self.encoded(i);
        match self.precision {
            Precision::F32 => out.iter_mut().zip(from.as_chunks().0).for_each(|(out, b)| *out = f32::from_le_bytes(*b)),
            Precision::Bf16 => out.iter_mut().zip(from.as_chunks().0).for_each(|(out, b)| *out = bf16::from_le_bytes(*b).to_f32()),
            Precision::Int8 => out.iter_mut().zip(from).for_each(|(out, b)| *out = f32::from(b.cast_signed()) * self.scales[i]),
        }
    }

    /// The bytes of row `i`.
    fn encoded(&self, i: usize) -> &[u8] {
        assert!(i < self.count);
        let one = self.width * self.precision.bytes();
        &self.data.bytes()[i * one..(i + 1) * one]
    }

    /// Σ_j row(i, j) x(j).
    ///
    /// Sixteen sums, number j to sum j mod 16 in ascending order, fused where the path fuses, then added by halves: 0 + 8, 1 + 9 …, 0 + 4 …. An int8 row's
    /// integers count as floats, which they are exactly; the factor multiplies the end.
    pub fn dot(&self, i: usize, x: &[f32]) -> f32 {
        let mut out = [0.0];
        self.dots(&[i], x, &mut out);
        out[0]
    }

    /// [`Rows::dot`] of several rows, bit for bit, read side by side.
    pub fn dots(&self, rows: &[usize], x: &[f32], out: &mut [f32]) {
        self.dots_on(isa(), rows, x, out);
    }

    /// out ← out + a · row(i), each number for itself, fused where the path fuses; of an int8 row, (a · its factor) times the integers.
    pub fn add_to(&self, i: usize, a: f32, out: &mut [f32]) {
        self.add_all(&[(i, a)], out);
    }

    /// [`Rows::add_to`] of several rows, bit for bit one after the other, read side by side.
    pub fn add_all(&self, rows: &[(usize, f32)], out: &mut [f32]) {
        self.add_all_on(isa(), rows, out);
    }

    /// The same on a path.
    pub(in crate::kernel) fn dots_on(&self, isa: Isa, rows: &[usize], x: &[f32], out: &mut [f32]) {
        assert!(x.len() == self.width && out.len() == rows.len());
        let (fours, rest) = rows.as_chunks::<ABREAST>();
        let (sums, last) = out.split_at_mut(fours.len() * ABREAST);
        for (at, (four, sums)) in fours.iter().zip(sums.as_chunks_mut().0).enumerate() {
            let next = |r: usize| rows.get((at + 1) * ABREAST + r).map(|i| self.encoded(*i));
            *sums = self.dots_of(isa, four.map(|i| self.encoded(i)), std::array::from_fn(next), x);
        }
        for (row, sum) in rest.iter().zip(last) {
            [*sum] = self.dots_of(isa, [self.encoded(*row)], [None], x);
        }
        if self.precision == Precision::Int8 {
            rows.iter().zip(out).for_each(|(i, sum)| *sum *= self.scales[*i]);
        }
    }

    fn dots_of<const R: usize>(&self, isa: Isa, rows: [&[u8]; R], next: [Option<&[u8]>; R], x: &[f32]) -> [f32; R] {
        on(isa, Dots { rows, next, x, precision: self.precision })
    }

    /// The same on a path.
    pub(in crate::kernel) fn add_all_on(&self, isa: Isa, rows: &[(usize, f32)], out: &mut [f32]) {
        assert_eq!(out.len(), self.width);
        let factor = |(i, a): (usize, f32)| if self.precision == Precision::Int8 { a * self.scales[i] } else { a };
        let (fours, rest) = rows.as_chunks::<ABREAST>();
        for (at, four) in fours.iter().enumerate() {
            let next = std::array::from_fn(|r: usize| rows.get((at + 1) * ABREAST + r).map(|(i, _)| self.encoded(*i)));
            on(isa, Add { rows: four.map(|(i, _)| self.encoded(i)), next, factors: four.map(factor), out, precision: self.precision });
        }
        for row in rest {
            on(isa, Add { rows: [self.encoded(row.0)], next: [None], factors: [factor(*row)], out, precision: self.precision });
        }
    }
}

/// Packs the rows `here`; tells the number that is not finite and stands first.
fn fill(view: &View, here: Range<usize>, width: usize, precision: Precision, (to, factors): (&mut [u8], &mut [f32])) -> Option<NotFinite> {
    let one = width * precision.bytes();
    let mut bad: Option<NotFinite> = None;
    let mut some = vec![0.0; pack::TOGETHER * width];
    for first in here.clone().step_by(pack::TOGETHER) {
        let rows = first..here.end.min(first + pack::TOGETHER);
        let some = &mut some[..rows.len() * width];
        view.outputs(rows.clone(), width, some);
        bad = bad.into_iter().chain(pack::not_finite(view, first, some, width, precision)).min_by_key(|b| b.index);
        for (i, row) in rows.zip(some.chunks_exact(width.max(1))) {
            let at = i - here.start;
            let to = &mut to[at * one..(at + 1) * one];
            match precision {
                Precision::F32 => to.as_chunks_mut().0.iter_mut().zip(row).for_each(|(to, x)| *to = x.to_le_bytes()),
                Precision::Bf16 => to.as_chunks_mut().0.iter_mut().zip(row).for_each(|(to, x)| *to = bf16::from_f32(*x).to_le_bytes()),
                Precision::Int8 => factors[at] = pack::quantise(row, to),
            }
        }
    }
    bad
}

/// The definition of [`Rows::dot`] in f64.
pub fn naive_dot(row: &[f32], x: &[f32]) -> f64 {
    row.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum()
}

#[cfg(test)]
mod tests;
