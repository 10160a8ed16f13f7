//! The sparse feed-forward layer of "Sparse is Enough in Scaling Transformers" (Jaszczur et al. 2021, <https://arxiv.org/abs/2111.12763>, section 3.1).
//!
//! The d_ff units stand in d_1 blocks of N. A controller of low rank chooses one unit of each block:
//!
//! sel(b) = argmax_y (x M₁ M₂ + m)(b, y); mid(b) = max(0, x · w₁(b, sel b)); out = Σ_b mid(b) w₂(b, sel b) + b₂
//!
//! The first of equal maxima wins. A row touches one row of w₁ in each block, one of w₂ where mid is not 0, and the whole controller. Where a logit
//! or a product is not a number, mid is none either, and so is the row's whole output.
//!
//! The blocks are cut into a fixed number of parts, whatever the threads and rows: a part's logits, choices, products and its share of the output are
//! one task. The shares are added in the order of the parts, to b₂, and within a part the units in the order of the blocks: the bits of a row depend on
//! the row alone.

use super::elementwise::on;
use super::linear::product::{Kernel, WIDTH};
use super::linear::{self, Operands, Packed};
use super::rows::Rows;
use super::simd::{Isa, isa};
use super::{Shared, pool};
use choice::Choose;
use std::ops::Range;

mod choice;

/// The weights.
#[derive(Debug)]
pub struct SparseFf {
    /// N, units of a block.
    pub n: usize,
    /// M₁ᵀ (rank, d).
    pub down: Packed,
    /// M₂ᵀ (d_1 · N, rank) with the controller's bias; unit y of block b is output b · N + y.
    pub up: Packed,
    /// w₁ by units: row b · N + y, of d numbers.
    pub w1: Rows,
    /// w₂ by units: row y · d_1 + b, of d numbers.
    pub w2: Rows,
    /// b₂ (d).
    pub bias: Vec<f32>,
    /// Whether mid is multiplied by the controller's softmax at the chosen unit.
    pub weighted: bool,
}

/// Parts that the blocks are cut into, if there are as many.
const PARTS: usize = 16;
/// Rows that share a task: with more, tasks take rows instead of parts.
const FEW: usize = 16;
/// Rows that a task takes at most: their logits of a part stay in the second-level cache.
const BLOCK: usize = 32;
/// Numbers of partial sums from which two threads add them.
const MANY: usize = 1 << 15;

impl SparseFf {
    /// d_1, the number of blocks.
    pub fn blocks(&self) -> usize {
        self.up.outputs / self.n
    }

    /// Bytes that one row reads at most: the controller, one row of w₁ and of w₂ a block, the bias. Rows of w₂ whose unit gives 0 are not read.
    pub fn step_bytes(&self) -> usize {
        let units = self.blocks() * (self.w1.row_bytes() + self.w2.row_bytes());
        self.down.bytes() + self.up.bytes() + units + self.bias.len() * size_of::<f32>()
    }

    /// Rows of numbers, (n, d) -> (n, d).
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        self.apply_on(isa(), x)
    }

    /// The same on a path.
    fn apply_on(&self, isa: Isa, x: &[f32]) -> Vec<f32> {
        let n = x.len().checked_div(self.down.inputs).unwrap_or(0);
        let [low] = linear::apply_on(isa, [&self.down], x); // (n, rank)
        let kernel = Kernel::of(isa, self.up.precision());
        let low = Operands::new(&low, n, &self.up, kernel.operand);
        let step = Step { ff: self, isa, kernel, x, low: &low };
        let mut out: Vec<f32> = Vec::with_capacity(x.len());
        let to = Shared(out.as_mut_ptr());
        if n <= FEW {
            step.by_parts(n, to);
        } else {
            step.by_rows(n, to);
        }
        // SAFETY: the tasks have written every row
        unsafe { out.set_len(x.len()) };
        out
    }

    /// Blocks of a part.
    fn part(&self) -> usize {
        self.blocks().div_ceil(PARTS).max(1)
    }
}

/// One call's rows.
struct Step<'a> {
    ff: &'a SparseFf,
    isa: Isa,
    kernel: Kernel,
    x: &'a [f32],
    /// x M₁, as the kernel of M₂ takes it.
    low: &'a Operands<'a>,
}

impl Step<'_> {
    /// Few rows: a task takes a part of the blocks for all of them.
    fn by_parts(&self, n: usize, out: Shared) {
        let (d, part, blocks) = (self.ff.bias.len(), self.ff.part(), self.ff.blocks());
        let parts = blocks.div_ceil(part);
        let mut shares: Vec<f32> = Vec::with_capacity(parts * n * d);
        let to = Shared(shares.as_mut_ptr());
        pool::each(parts, |p| {
            self.part(0..n, p * part..blocks.min((p + 1) * part), |r, units| {
                // SAFETY: row r of part p, which no other task writes
                let share = unsafe {
                    let to = to.add((p * n + r) * d).0;
                    to.write_bytes(0, d);
                    std::slice::from_raw_parts_mut(to, d)
                };
                self.ff.w2.add_all_on(self.isa, units, share);
            });
        });
        // SAFETY: the tasks have written every row of every part
        unsafe { shares.set_len(parts * n * d) };
        let columns = if shares.len() < MANY { d } else { d.div_ceil(2 * rayon::current_num_threads()).next_multiple_of(WIDTH) };
        let columns = columns.max(1);
        pool::each(d.div_ceil(columns), |task| {
            let columns = task * columns..d.min((task + 1) * columns);
            for r in 0..n {
                // SAFETY: these columns of row r, which no other task writes
                let sum = unsafe {
                    let to = out.add(r * d + columns.start).0;
                    to.copy_from_nonoverlapping(self.ff.bias[columns.clone()].as_ptr(), columns.len());
                    std::slice::from_raw_parts_mut(to, columns.len())
                };
                for p in 0..parts {
                    super::elementwise::add(sum, &shares[(p * n + r) * d..][columns.clone()]);
                }
            }
        });
    }

    /// Many rows, which share nothing: a task takes all parts for some of them.
    fn by_rows(&self, n: usize, out: Shared) {
        let (d, part, blocks) = (self.ff.bias.len(), self.ff.part(), self.ff.blocks());
        let tasks = n.div_ceil(BLOCK).max((2 * rayon::current_num_threads()).min(n / 8));
        let rows = n.div_ceil(tasks);
        pool::each(n.div_ceil(rows), |task| {
            let rows = task * rows..n.min((task + 1) * rows);
            // SAFETY: these rows, which no other task writes
            let out = unsafe {
                let to = out.add(rows.start * d).0;
                (0..rows.len()).for_each(|r| to.add(r * d).copy_from_nonoverlapping(self.ff.bias.as_ptr(), d));
                std::slice::from_raw_parts_mut(to, rows.len() * d)
            };
            let mut share = vec![0.0; d];
            for first in (0..blocks).step_by(part) {
                self.part(rows.clone(), first..blocks.min(first + part), |r, units| {
                    share.fill(0.0);
                    self.ff.w2.add_all_on(self.isa, units, &mut share);
                    super::elementwise::add(&mut out[r * d..][..d], &share);
                });
            }
        });
    }

    /// For each of these rows, the units of these blocks whose mid is not 0, as rows of w₂ with it: handed to `each` with the row's number among them.
    fn part(&self, rows: Range<usize>, blocks: Range<usize>, mut each: impl FnMut(usize, &[(usize, f32)])) {
        let SparseFf { n, w1, up, weighted, .. } = self.ff;
        let (n, d, all) = (*n, self.ff.bias.len(), self.ff.blocks());
        // blocks may begin and end within a panel
        let panels = blocks.start * n / WIDTH..(blocks.end * n).div_ceil(WIDTH);
        let (width, before) = (panels.len() * WIDTH, blocks.start * n - panels.start * WIDTH);
        let mut logits: Vec<f32> = Vec::with_capacity(rows.len() * width);
        // SAFETY: room for these rows and panels, which the product writes; the path is this machine's
        unsafe {
            up.panels(self.kernel, self.low, rows.clone(), panels, (logits.as_mut_ptr(), width));
            logits.set_len(rows.len() * width);
        }
        let mut chosen = Vec::with_capacity(blocks.len());
        let mut mids = vec![0.0; blocks.len()];
        let mut units = Vec::with_capacity(blocks.len());
        for (r, logits) in rows.zip(logits.chunks_exact(width)).enumerate().map(|(at, (r, l))| ((at, r), l)) {
            let logits = &logits[before..][..blocks.len() * n];
            let choices = blocks.clone().zip(logits.chunks_exact(n)).map(|(b, l)| (b, l, on(self.isa, Choose(l))));
            chosen.clear();
            chosen.extend(choices.clone().map(|(b, _, y)| b * n + y.unwrap_or(0)));
            w1.dots_on(self.isa, &chosen, &self.x[r.1 * d..][..d], &mut mids);
            units.clear();
            for ((b, logits, y), mid) in choices.zip(&mids) {
                let place = y.unwrap_or(0) * all + b;
                let mid = match y {
                    // not `max`, which would make 0 of what is no number
                    Some(_) if *mid <= 0.0 => 0.0,
                    Some(y) if *weighted => mid / logits.iter().map(|l| (l - logits[y]).exp()).sum::<f32>(),
                    Some(_) => *mid,
                    None => f32::NAN,
                };
                if mid != 0.0 {
                    units.push((place, mid));
                }
            }
            each(r.0, &units);
        }
    }
}

/// The weights as slices, for [`naive`]: `down` (rank, d), `up` (d_1 N, rank), `up_bias` (d_1 N), `w1` and `w2` by units as in [`SparseFf`], `bias` (d).
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "told above")]
pub struct Plain<'a> {
    pub n: usize,
    pub down: &'a [f32],
    pub up: &'a [f32],
    pub up_bias: &'a [f32],
    pub w1: &'a [f32],
    pub w2: &'a [f32],
    pub bias: &'a [f32],
    pub weighted: bool,
}

/// The definition in f64.
pub fn naive(x: &[f32], w: Plain) -> Vec<f32> {
    let (d, blocks) = (w.bias.len(), w.up_bias.len() / w.n);
    let rank = w.down.len() / d;
    let dot = |a: &[f32], b: &[f64]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * b).sum::<f64>();
    let mut out = Vec::new();
    for x in x.chunks_exact(d) {
        let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        let low: Vec<f64> = w.down.chunks_exact(d).map(|row| dot(row, &x)).collect();
        let mut sum: Vec<f64> = w.bias.iter().map(|b| f64::from(*b)).collect();
        for b in 0..blocks {
            let logit = |y: usize| dot(&w.up[(b * w.n + y) * rank..][..rank], &low) + f64::from(w.up_bias[b * w.n + y]);
            let best = (0..w.n).fold(0, |best, y| if logit(y) > logit(best) { y } else { best });
            let mut mid = dot(&w.w1[(b * w.n + best) * d..][..d], &x).max(0.0);
            if w.weighted {
                mid /= (0..w.n).map(|y| (logit(y) - logit(best)).exp()).sum::<f64>();
            }
            sum.iter_mut().zip(&w.w2[(best * blocks + b) * d..]).for_each(|(s, w)| *s += mid * f64::from(*w));
        }
        out.extend(sum.into_iter().map(|s| s as f32));
    }
    out
}

#[cfg(test)]
mod tests;
