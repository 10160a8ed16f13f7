//! Softmax attention of a segment's rows over a queue and over the segment so far, with a learned vector for each distance and a tally of what each key
//! was given.
//!
//! Row i of a segment stands behind `queue` keys that it sees all of, and sees the segment's keys up to itself. With keys numbered through both,
//! δ = i − j and E the table of a head,
//!
//! score(i, j) = scale · q(i) · (k(j) + E(origin − δ)); p = softmax over j; out(i) = Σ_j p(j) v(j); tally(j) ← tally(j) + p(j).
//!
//! A row's bits depend on its query and on the keys it sees. A key's tally grows row by row in order, each head by itself: neither threads
//! nor the cut of a sequence into calls change it.

use super::attention::product::Load;
use super::elementwise::{Loop, Wide, exp_row, on};
use super::keys::{BLOCK, Keys, LANES, padded};
use super::precision::Precision;
use super::simd::{Lanes, isa};
use super::{Shared, pool};
use std::ops::Range;

/// Vectors for distances, feature by feature as keys lie: (h, w, rows) and as many zeros behind each run as a block reads beyond its end.
#[derive(Debug, Clone)]
pub struct Table {
    width: usize,
    rows: usize,
    numbers: Vec<f32>,
}

impl Table {
    /// Of `numbers` (heads, rows, width); without numbers (a blueprint) it knows its sizes and serves nobody.
    pub fn new(numbers: &[f32], (heads, rows, width): (usize, usize, usize)) -> Self {
        let run = rows + BLOCK;
        let mut all = vec![0.0; if numbers.is_empty() { 0 } else { heads * width * run }];
        for (to, from) in all.chunks_exact_mut((width * run).max(1)).zip(numbers.chunks_exact((rows * width).max(1))) {
            for (r, row) in from.chunks_exact(width).enumerate() {
                to.iter_mut().skip(r).step_by(run).zip(row).for_each(|(to, x)| *to = *x);
            }
        }
        Self { width, rows, numbers: all }
    }

    /// Numbers that a table of these sizes holds.
    pub fn held(heads: usize, rows: usize, width: usize) -> usize {
        heads * width * (rows + BLOCK)
    }

    /// A head's vectors from row `first` on, and how far apart its features lie.
    fn head(&self, head: usize, first: usize) -> (&[f32], usize) {
        let run = self.rows + BLOCK;
        (&self.numbers[head * self.width * run + first..(head + 1) * self.width * run], run)
    }
}

/// The rows of one sequence and what they look at.
pub struct Job<'a> {
    /// (t, heads · width), the last t rows of the segment.
    pub q: &'a [f32],
    /// Keys that all rows see.
    pub queue: &'a Keys,
    /// Keys of the segment, the present rows' own among them.
    pub segment: &'a Keys,
    /// The table's row for distance 0.
    pub origin: usize,
    /// (keys, heads) for the last keys of queue and segment together; empty where nobody counts.
    pub tally: &'a mut [f32],
}

/// Heads, their width, and the factor of the scores.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Heads.
    pub heads: usize,
    /// Features of each.
    pub width: usize,
    /// Factor of the scores.
    pub scale: f32,
}

/// Rows of a task where nobody counts; where somebody does, all rows of a head are one task.
const ROWS: usize = 16;

/// The outputs of all jobs, (Σ t, heads · width), jobs one after the other.
pub fn attend(jobs: &mut [Job], sizes: Sizes, table: Option<&Table>) -> Vec<f32> {
    let d = sizes.heads * sizes.width;
    let mut tasks = Vec::new();
    let mut first = 0;
    let tallies: Vec<Shared> = jobs.iter_mut().map(|j| Shared(j.tally.as_mut_ptr())).collect();
    for (job, tally) in jobs.iter().zip(tallies) {
        let t = job.q.len() / d;
        let step = if job.tally.is_empty() { ROWS } else { t.max(1) };
        for head in 0..sizes.heads {
            tasks.extend((0..t).step_by(step).map(|r| (job, tally, head, r..t.min(r + step), first)));
        }
        first += t;
    }
    let mut out = vec![0.0; first * d];
    let target = Shared(out.as_mut_ptr());
    pool::each(tasks.len(), |task| {
        let (job, tally, head, rows, at) = &tasks[task];
        let mut scratch = Scratch::default();
        for row in rows.clone() {
            job.row(row, *head, (sizes, table), &mut scratch);
            // SAFETY: a task writes its own rows and its head's columns of them, and its head's column of the tally, which no other task of the job has
            unsafe {
                let place = target.add((at + row) * d + head * sizes.width).0;
                place.copy_from_nonoverlapping(scratch.out.as_ptr(), sizes.width);
                for (j, p) in job.tallied(row, sizes).zip(&scratch.tallied) {
                    *tally.add(j * sizes.heads + head).0 += p;
                }
            }
        }
    });
    out
}

/// What a task works in.
#[derive(Default)]
struct Scratch {
    q: Vec<f32>,
    scores: Vec<f32>,
    out: Vec<f32>,
    /// Probabilities of the keys that are tallied.
    tallied: Vec<f32>,
}

impl Job<'_> {
    /// Rows behind row `row`, each of which brings a key that it does not see.
    fn behind(&self, row: usize, d: usize) -> usize {
        self.q.len() / d - row - 1
    }

    /// Places in the tally of the keys that row `row` sees.
    fn tallied(&self, row: usize, sizes: Sizes) -> Range<usize> {
        0..(self.tally.len() / sizes.heads).saturating_sub(self.behind(row, sizes.heads * sizes.width))
    }

    fn row(&self, row: usize, head: usize, (sizes, table): (Sizes, Option<&Table>), s: &mut Scratch) {
        let (d, width) = (sizes.heads * sizes.width, sizes.width);
        let seen = self.queue.len() + self.segment.len() - self.behind(row, d);
        s.q.clear();
        s.q.extend(self.q[row * d + head * width..][..width].iter().map(|x| x * sizes.scale));
        // whole blocks of the queue, and whole blocks of the segment behind its last key
        s.scores.clear();
        s.scores.resize(seen + 2 * BLOCK, f32::NEG_INFINITY);
        let of = |keys: &Keys, first: usize, n: usize, scores: &mut [f32]| {
            let table = table.map(|t| t.head(head, self.origin + 1 + first - seen));
            match keys.precision() {
                Precision::Bf16 => on(isa(), Scores { q: &s.q, k: keys.k::<u16>(head), table, out: &mut scores[first..], n }),
                _ => on(isa(), Scores { q: &s.q, k: keys.k::<f32>(head), table, out: &mut scores[first..], n }),
            }
        };
        let (before, own) = (self.queue.len(), seen - self.queue.len());
        of(self.queue, 0, before, &mut s.scores);
        of(self.segment, before, own, &mut s.scores);
        s.scores.truncate(seen);
        s.scores.resize(seen.next_multiple_of(LANES), f32::NEG_INFINITY);
        let sum = exp_row(&mut s.scores);
        s.out.clear();
        s.out.resize(padded(width), 0.0);
        for (keys, p) in [(self.queue, &s.scores[..before]), (self.segment, &s.scores[before..seen])] {
            match keys.precision() {
                Precision::Bf16 => on(isa(), Values { p, v: keys.v::<u16>(head), out: &mut s.out }),
                _ => on(isa(), Values { p, v: keys.v::<f32>(head), out: &mut s.out }),
            }
        }
        s.out.iter_mut().for_each(|x| *x /= sum);
        let places = self.tallied(row, sizes);
        s.tallied.clear();
        s.tallied.extend(s.scores[seen - places.len()..seen].iter().map(|p| p / sum));
    }
}

/// out(j) = q · (k(j) + e(j)) for the first n keys, and whatever is in the room of their last block behind them.
struct Scores<'a, E> {
    q: &'a [f32],
    k: &'a [E],
    table: Option<(&'a [f32], usize)>,
    out: &'a mut [f32],
    n: usize,
}

impl<E: Load> Loop for Scores<'_, E> {
    type Out = ();
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Wide>(self) {
        let (width, blocks) = (self.q.len(), self.n.div_ceil(BLOCK));
        assert!(self.k.len() >= blocks * BLOCK * width && self.out.len() >= blocks * BLOCK);
        for b in 0..blocks {
            for j in (0..BLOCK).step_by(2 * L::N) {
                let (first, at) = (b * BLOCK * width + j, b * BLOCK + j);
                // SAFETY: two registers of a block of keys, of as many scores, and of the table's rows for them: behind the last row there is a block of zeros
                unsafe {
                    let mut sums = [L::splat(0.0); 2];
                    for (f, q) in self.q.iter().enumerate() {
                        let q = L::splat(*q);
                        for (c, sum) in sums.iter_mut().enumerate() {
                            let mut k = E::load::<L>(self.k.as_ptr().add(first + f * BLOCK + c * L::N));
                            if let Some((e, apart)) = self.table {
                                debug_assert!(f * apart + at + (c + 1) * L::N <= e.len());
                                k = k.add(L::load(e.as_ptr().add(f * apart + at + c * L::N)));
                            }
                            *sum = q.mul_add(k, *sum);
                        }
                    }
                    for (c, sum) in sums.iter().enumerate() {
                        sum.store(self.out.as_mut_ptr().add(at + c * L::N));
                    }
                }
            }
        }
    }
}

/// out ← out + Σ_j p(j) v(j).
struct Values<'a, E> {
    p: &'a [f32],
    v: &'a [E],
    out: &'a mut [f32],
}

impl<E: Load> Loop for Values<'_, E> {
    type Out = ();
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Wide>(self) {
        let wide = self.out.len();
        assert!(wide.is_multiple_of(LANES) && self.v.len() >= self.p.len() * wide);
        for f in (0..wide).step_by(L::N) {
            // SAFETY: a register of every value's features and of the output
            unsafe {
                let mut sum = L::load(self.out.as_ptr().add(f));
                for (j, p) in self.p.iter().enumerate() {
                    sum = L::splat(*p).mul_add(E::load::<L>(self.v.as_ptr().add(j * wide + f)), sum);
                }
                sum.store(self.out.as_mut_ptr().add(f));
            }
        }
    }
}

#[cfg(test)]
mod tests;
