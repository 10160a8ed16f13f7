//! Softmax attention of a few query rows over stored keys and values: scores, softmax and weighted sum in one pass a tile.
//!
//! [`Keys`] lie in blocks, so that scores are products of query rows with panels of keys and outputs are products
//! of probabilities with panels of values: both run on [`super::panel`]. A tile is [`ROWS`] queries of one head; its scores are all that is ever
//! stored, so memory grows linearly with the length. Hidden keys get probability 0 and add nothing: a row does not depend on how
//! the sequence was cut into calls.

use super::elementwise::exp_row;
use super::keys::Keys;
use super::panel::{Product, ROWS, WIDTH, product};
use super::{Shared, simd};
use rayon::prelude::*;
use std::ops::Range;

/// Which keys query row i sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// All.
    All,
    /// Key j for j ≤ first + i: row i stands at position `first + i`.
    Causal {
        /// Position of row 0.
        first: usize,
    },
    /// Key j for |i − j| ≤ reach.
    Band {
        /// Keys seen on each side.
        reach: usize,
    },
}

impl Visible {
    fn range(self, row: usize, len: usize) -> Range<usize> {
        match self {
            Visible::All => 0..len,
            Visible::Causal { first } => 0..len.min(first + row + 1),
            Visible::Band { reach } => row.saturating_sub(reach)..len.min(row + reach + 1),
        }
    }
}

/// Some keys, and who sees them.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    /// Keys and values.
    pub keys: &'a Keys,
    /// Which of them a row sees.
    pub visible: Visible,
    /// Positions that no row sees, ascending.
    pub hidden: &'a [usize],
}

/// The queries of one sequence and what they look at; one softmax runs over all spans together.
pub struct Job<'a> {
    /// (t, heads · width).
    pub q: &'a [f32],
    /// At least one visible key for every row.
    pub spans: Vec<Span<'a>>,
}

/// out(i) = Σ_j softmax_j(scale · q(i) · k(j)) v(j) for every job and head; (Σ t, heads · width), jobs one after the other.
pub fn attend(jobs: &[Job], heads: usize, width: usize, scale: f32) -> Vec<f32> {
    let d = heads * width;
    let mut tiles = Vec::new();
    let mut work = 0;
    let mut first = 0;
    for job in jobs {
        let t = job.q.len() / d;
        tiles.extend((0..t).step_by(ROWS).map(|r| (job, r..t.min(r + ROWS), first + r)));
        first += t;
        work += t * d * job.spans.iter().map(|s| s.keys.len()).sum::<usize>();
    }
    let mut out = vec![0.0; first * d];
    let target = Shared(out.as_mut_ptr());
    let task = |t: usize| {
        let (job, rows, at) = &tiles[t / heads];
        // SAFETY: each task writes the rows of its tile, the columns of its head
        unsafe { tile(job, rows.clone(), t % heads, (width, d, scale), target.add(at * d + t % heads * width)) }
    };
    let tasks = tiles.len() * heads;
    if work < 1 << 16 {
        (0..tasks).for_each(task)
    } else {
        (0..tasks).into_par_iter().for_each(task)
    }
    out
}

/// One tile of queries and one head. `out` is the first row's place, rows `d` apart.
unsafe fn tile(job: &Job, rows: Range<usize>, head: usize, (width, d, scale): (usize, usize, f32), out: Shared) {
    let isa = simd::isa();
    let n = rows.len();
    let blocks: Vec<Range<usize>> = job.spans.iter().map(|s| s.blocks(&rows)).collect();
    let columns = blocks.iter().map(|b| b.len() * WIDTH).sum::<usize>();
    let mut scores = vec![0.0f32; n * columns];
    let q = &job.q[rows.start * d + head * width..];
    let mut at = 0;
    for (span, blocks) in job.spans.iter().zip(&blocks) {
        for b in blocks.clone() {
            let panel = span.keys.k_panel(b, head);
            // SAFETY: n rows of `width` features, d apart; WIDTH columns of the scores
            unsafe {
                product(
                    isa,
                    &Product {
                        x: q.as_ptr(),
                        stride: d,
                        rows: n,
                        k: width,
                        panel: panel.as_ptr(),
                        out: scores.as_mut_ptr().add(at),
                        out_stride: columns,
                    },
                )
            };
            at += WIDTH;
        }
    }
    let mut sums = [1.0f32; ROWS];
    for (i, (row, sum)) in scores.chunks_exact_mut(columns.max(1)).zip(&mut sums).enumerate() {
        row.iter_mut().for_each(|s| *s *= scale);
        let mut rest = &mut row[..];
        for (span, blocks) in job.spans.iter().zip(&blocks) {
            let (here, after) = rest.split_at_mut(blocks.len() * WIDTH);
            span.hide(here, blocks.start * WIDTH, rows.start + i);
            rest = after;
        }
        *sum = exp_row(row);
    }
    for c in 0..width.div_ceil(WIDTH) {
        let mut acc = [[0.0f32; WIDTH]; ROWS];
        let mut at = 0;
        for (span, blocks) in job.spans.iter().zip(&blocks) {
            for b in blocks.clone() {
                let panel = span.keys.v_panel(b, head, c);
                // SAFETY: n rows of WIDTH probabilities; WIDTH lines of the panel; n lines of acc
                unsafe {
                    product(
                        isa,
                        &Product {
                            x: scores.as_ptr().add(at),
                            stride: columns,
                            rows: n,
                            k: WIDTH,
                            panel: panel.as_ptr(),
                            out: acc[0].as_mut_ptr(),
                            out_stride: WIDTH,
                        },
                    )
                };
                at += WIDTH;
            }
        }
        let here = WIDTH.min(width - c * WIDTH);
        for (i, (line, sum)) in acc[..n].iter_mut().zip(sums).enumerate() {
            line.iter_mut().for_each(|x| *x /= sum);
            // SAFETY: the caller's place, row i, features of this panel
            unsafe { out.add(i * d + c * WIDTH).0.copy_from_nonoverlapping(line.as_ptr(), here) };
        }
    }
}

impl Span<'_> {
    /// Blocks that hold a key which one of `rows` sees.
    fn blocks(&self, rows: &Range<usize>) -> Range<usize> {
        let len = self.keys.len();
        let (a, b) = (self.visible.range(rows.start, len), self.visible.range(rows.end - 1, len));
        a.start / WIDTH..b.end.max(a.start).div_ceil(WIDTH)
    }

    /// Scores of keys that `row` does not see become −∞; `scores` begin at key `first`.
    fn hide(&self, scores: &mut [f32], first: usize, row: usize) {
        let seen = self.visible.range(row, self.keys.len());
        let end = scores.len();
        scores[..seen.start.saturating_sub(first).min(end)].fill(f32::NEG_INFINITY);
        scores[seen.end.saturating_sub(first).min(end)..].fill(f32::NEG_INFINITY);
        let from = self.hidden.partition_point(|&h| h < first);
        for h in self.hidden[from..].iter().take_while(|&&h| h < first + end) {
            scores[h - first] = f32::NEG_INFINITY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::noise;

    /// The definition, in f64, for one job.
    fn naive(job: &Job, k: &[&[f32]], v: &[&[f32]], heads: usize, width: usize, scale: f32) -> Vec<f32> {
        let d = heads * width;
        let mut out = Vec::new();
        for (i, q) in job.q.chunks_exact(d).enumerate() {
            for h in 0..heads {
                let (mut pairs, mut top) = (Vec::new(), f64::NEG_INFINITY);
                for (s, span) in job.spans.iter().enumerate() {
                    for j in span.visible.range(i, span.keys.len()).filter(|j| !span.hidden.contains(j)) {
                        let at = j * d + h * width;
                        let score: f64 =
                            (0..width).map(|f| f64::from(q[h * width + f]) * f64::from(k[s][at + f])).sum::<f64>() * f64::from(scale);
                        top = top.max(score);
                        pairs.push((score, &v[s][at..at + width]));
                    }
                }
                let total: f64 = pairs.iter().map(|(s, _)| (s - top).exp()).sum();
                for f in 0..width {
                    out.push((pairs.iter().map(|(s, v)| (s - top).exp() * f64::from(v[f])).sum::<f64>() / total) as f32);
                }
            }
        }
        out
    }

    #[test]
    fn equals_the_definition() {
        for (heads, width, t, n) in [(1, 1, 1, 1), (2, 8, 5, 33), (3, 40, 13, 13), (4, 64, 70, 70)] {
            let d = heads * width;
            let (q, k, v) = (noise(t * d, 1), noise(n * d, 2), noise(n * d, 3));
            let (gk, gv) = (noise(2 * d, 4), noise(2 * d, 5));
            let (mut keys, mut globals) = (Keys::new(heads, width), Keys::new(heads, width));
            keys.append(&k[..n / 2 * d], &v[..n / 2 * d]);
            keys.append(&k[n / 2 * d..], &v[n / 2 * d..]);
            globals.append(&gk, &gv);
            let hidden: Vec<usize> = if n > 20 { vec![0, 7] } else { vec![] };
            for visible in [Visible::All, Visible::Causal { first: n - t.min(n) }, Visible::Band { reach: 3 }] {
                for extra in [false, true] {
                    let mut spans = vec![Span { keys: &keys, visible, hidden: &hidden }];
                    if extra {
                        spans.insert(0, Span { keys: &globals, visible: Visible::All, hidden: &[] });
                    } else if !hidden.is_empty() {
                        continue;
                    }
                    let job = Job { q: &q[..t.min(n) * d], spans };
                    let got = attend(std::slice::from_ref(&job), heads, width, 0.3);
                    let (ks, vs) = if extra { (vec![&gk[..], &k], vec![&gv[..], &v]) } else { (vec![&k[..]], vec![&v[..]]) };
                    for (a, b) in got.iter().zip(naive(&job, &ks, &vs, heads, width, 0.3)) {
                        assert!((a - b).abs() < 1e-5, "{a} {b}, {visible:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_is_the_same_bits_in_any_cut() {
        let (heads, width, n) = (2, 24, 50);
        let d = heads * width;
        let (q, k, v) = (noise(n * d, 1), noise(n * d, 2), noise(n * d, 3));
        let mut keys = Keys::new(heads, width);
        keys.append(&k, &v);
        let run = |q: &[f32], keys: &Keys, first| {
            attend(&[Job { q, spans: vec![Span { keys, visible: Visible::Causal { first }, hidden: &[] }] }], heads, width, 0.2)
        };
        let whole = run(&q, &keys, 0);
        let mut growing = Keys::new(heads, width);
        for i in 0..n {
            growing.append(&k[i * d..(i + 1) * d], &v[i * d..(i + 1) * d]);
            assert_eq!(run(&q[i * d..(i + 1) * d], &growing, i), whole[i * d..(i + 1) * d], "row {i}");
        }
    }
}
