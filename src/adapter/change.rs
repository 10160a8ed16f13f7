//! What an adapter does to the numbers of one tensor, while they are on their way from their file.
//!
//! | letter | PEFT | here |
//! |---|---|---|
//! | A (r, in) | `lora_A`, of a table `lora_embedding_A` (r, V) | [`LowRank::a`] |
//! | B (out, r) | `lora_B`, of a table `lora_embedding_B` (d, r) | [`LowRank::b`] |
//! | s | `scaling`: lora_alpha / r, or lora_alpha / √r | [`LowRank::scale`] |
//! | m (out) | `lora_magnitude_vector` | [`LowRank::magnitude`] |
//!
//! W' = W + s B A for W (out, in) (Hu et al. 2021, <https://arxiv.org/abs/2106.09685>, eq. 3); with magnitudes, o being an output,
//! W'_o = m_o (W + s B A)_o / ‖(W + s B A)_o‖ (Liu et al. 2024, <https://arxiv.org/abs/2402.09353>, eq. 5). Reference:
//! peft:src/peft/tuners/lora/layer.py, variants.py and dora.py.
//!
//! All steps round to f32 in PEFT's order, so that the outcome has the bits that PEFT saves: the rank's terms one after the other by fused multiply-add, as
//! PyTorch's matrix product adds them on x86-64 (up to a rank of 192), then s, then W, then the factor m / ‖·‖. Norms add squares as PyTorch does with
//! AVX2: along stored rows in [`LANES`] sums, across them one row after the other. Elsewhere its bits may be others, by a rounding.

use crate::error::{Error, Result};
use crate::kernel::linear::{Layout, Numbers};
use std::collections::BTreeMap;
use std::ops::Range;

/// One change of a tensor.
#[derive(Debug)]
pub enum Change {
    /// A sum of low rank, and what DoRA makes of it.
    LowRank(LowRank),
    /// Rows of a table, by number.
    Rows(BTreeMap<usize, Vec<f32>>),
    /// Numbers that are added one by one.
    Added(Vec<f32>),
}

/// s B A for one module.
#[derive(Debug)]
pub struct LowRank {
    /// The module, for messages.
    pub module: String,
    /// (r, in), row-major.
    pub a: Vec<f32>,
    /// (out, r), row-major.
    pub b: Vec<f32>,
    /// r.
    pub rank: usize,
    /// Outputs and inputs; of a table d and V.
    pub sizes: (usize, usize),
    /// s.
    pub scale: f64,
    /// Whether W is a table (V, d), that is W (out, in) transposed.
    pub table: bool,
    /// m, where there is one.
    pub magnitude: Option<Vec<f32>>,
    /// Whether W lies (in, out) where neither its reader nor its shape tells.
    pub fan_in_fan_out: bool,
}

impl LowRank {
    /// Whether W of this shape lies (in, out), read as `layout` by who knows. Fails if it does not fit.
    fn transposed(&self, shape: &[usize], layout: Option<Layout>) -> Result<bool> {
        let (o, i) = self.sizes;
        let (straight, across) = (shape == [o, i] && !self.table, shape == [i, o]);
        let fits = match layout.filter(|_| !self.table) {
            Some(Layout::OutIn) => straight.then_some(false),
            Some(Layout::InOut) => across.then_some(true),
            None if straight && across => Some(self.fan_in_fan_out),
            None => (straight || across).then_some(across),
        };
        fits.ok_or_else(|| {
            let names = if self.table { ["lora_embedding_A", "lora_embedding_B"] } else { ["lora_A", "lora_B"] };
            Error::new(format!(
                "`{}`: `{}` of {i} columns and `{}` of {o} rows do not fit the base model's tensor of shape {shape:?}",
                self.module, names[0], names[1]
            ))
            .hint("the adapter was trained for another base model")
        })
    }

    /// Fails if a tensor of this shape is none that it can be added to, however it lies.
    pub fn check(&self, shape: &[usize]) -> Result<()> {
        self.transposed(shape, None).map(drop)
    }

    /// As it is added to the rows of a stored tensor, with DoRA's factors for the numbers `base`.
    fn prepare(&self, shape: &[usize], layout: Option<Layout>, base: &dyn Numbers) -> Result<Sum> {
        let across = self.transposed(shape, layout)?;
        let (rank, (o, i)) = (self.rank, self.sizes);
        let turned = |m: &[f32], rows: usize, columns: usize| -> Vec<f32> {
            (0..columns).flat_map(|c| (0..rows).map(move |r| m[r * columns + c])).collect()
        };
        let (left, right) = if across { (turned(&self.a, rank, i), turned(&self.b, o, rank)) } else { (self.b.clone(), self.a.clone()) };
        let mut sum = Sum { left, right, rank, scale: self.scale as f32, factors: None };
        if let Some(m) = &self.magnitude {
            sum.factors = Some((across, sum.factors(base, (shape[0], shape[1]), across, m)));
        }
        Ok(sum)
    }
}

/// s L R for a stored matrix: L (rows, r), R (r, columns).
struct Sum {
    left: Vec<f32>,
    right: Vec<f32>,
    rank: usize,
    scale: f32,
    /// What rows, or columns, are multiplied by in the end.
    factors: Option<(bool, Vec<f32>)>,
}

/// Numbers that are summed together.
const TOGETHER: usize = 256;

/// Sums side by side in the square of a norm: floats in a register of AVX2.
const LANES: usize = 8;

impl Sum {
    /// Adds row `row` of s L R from column `from` on to as many numbers as there are, [`TOGETHER`] at most.
    fn add(&self, row: usize, from: usize, width: usize, out: &mut [f32]) {
        let mut sums = [0.0f32; TOGETHER];
        let sums = &mut sums[..out.len()];
        for (k, l) in self.left[row * self.rank..][..self.rank].iter().enumerate() {
            // the product is exact in f64: the sum rounds as a fused multiply-add does, but for one in 2^29, on machines that have none too
            let l = f64::from(*l);
            sums.iter_mut().zip(&self.right[k * width + from..]).for_each(|(x, r)| *x = (l * f64::from(*r) + f64::from(*x)) as f32);
        }
        out.iter_mut().zip(sums).for_each(|(x, sum)| *x += *sum * self.scale);
    }

    fn multiply(&self, row: usize, from: usize, out: &mut [f32]) {
        match &self.factors {
            None => {}
            Some((false, rows)) => out.iter_mut().for_each(|x| *x *= rows[row]),
            Some((true, columns)) => out.iter_mut().zip(&columns[from..]).for_each(|(x, f)| *x *= f),
        }
    }

    /// m / ‖W + s B A‖ of each output.
    fn factors(&self, base: &dyn Numbers, (rows, width): (usize, usize), across: bool, m: &[f32]) -> Vec<f32> {
        let mut squares = vec![0.0f32; m.len()];
        let mut row = vec![0.0f32; width];
        for r in 0..rows {
            base.fill(r * width, &mut row);
            row.chunks_mut(TOGETHER).enumerate().for_each(|(i, part)| self.add(r, i * TOGETHER, width, part));
            if across {
                squares.iter_mut().zip(&row).for_each(|(s, x)| *s += x * x);
            } else {
                squares[r] = square(&row);
            }
        }
        squares.iter().zip(m).map(|(s, m)| m / s.sqrt()).collect()
    }
}

/// ‖x‖² in [`LANES`] sums, which are then added one after the other, and last what is left over.
fn square(x: &[f32]) -> f32 {
    let (whole, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for part in whole {
        sums.iter_mut().zip(part).for_each(|(s, x)| *s += x * x);
    }
    rest.iter().fold(sums.iter().sum(), |s, x| s + x * x)
}

/// A change, ready for a tensor.
enum Ready<'a> {
    Sum(Box<Sum>),
    Rows(&'a BTreeMap<usize, Vec<f32>>),
    Added(&'a [f32]),
}

/// The numbers of a tensor with an adapter's changes.
pub struct Merged<'a> {
    base: &'a dyn Numbers,
    /// Numbers of a stored row.
    width: usize,
    changes: Vec<Ready<'a>>,
}

impl<'a> Merged<'a> {
    /// Of a tensor of this shape that lies as `layout`, where its reader knows. Fails if a change does not fit.
    pub fn new(base: &'a dyn Numbers, shape: &[usize], layout: Option<Layout>, changes: &'a [Change]) -> Result<Self> {
        let ready = |change: &'a Change| match change {
            Change::LowRank(sum) => sum.prepare(shape, layout, base).map(|sum| Ready::Sum(Box::new(sum))),
            Change::Rows(rows) => Ok(Ready::Rows(rows)),
            Change::Added(numbers) => Ok(Ready::Added(numbers)),
        };
        let width = shape.last().copied().unwrap_or(1).max(1);
        Ok(Self { base, width, changes: changes.iter().map(ready).collect::<Result<_>>()? })
    }

    /// Changes part of a row, from column `from` on.
    fn merge(&self, row: usize, from: usize, out: &mut [f32]) {
        for change in &self.changes {
            match change {
                Ready::Sum(sum) => {
                    sum.add(row, from, self.width, out);
                    sum.multiply(row, from, out);
                }
                Ready::Rows(rows) => {
                    if let Some(numbers) = rows.get(&row) {
                        out.copy_from_slice(&numbers[from..from + out.len()]);
                    }
                }
                Ready::Added(numbers) => out.iter_mut().zip(&numbers[from..]).for_each(|(x, w)| *x += w),
            }
        }
    }
}

impl Numbers for Merged<'_> {
    fn fill(&self, first: usize, out: &mut [f32]) {
        self.base.fill(first, out);
        let (mut at, mut rest) = (first, out);
        while !rest.is_empty() {
            let (row, column) = (at / self.width, at % self.width);
            let n = rest.len().min(self.width - column).min(TOGETHER);
            let (part, next) = rest.split_at_mut(n);
            self.merge(row, column, part);
            (at, rest) = (at + n, next);
        }
    }

    fn done(&self, numbers: Range<usize>) {
        self.base.done(numbers);
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
