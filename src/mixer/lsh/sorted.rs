//! The sorted form, of one head over one document: positions stand by round, bucket and place, and see the chunks beside their own. Time is linear in n.

use super::Hashing;
use super::seen::{Pairs, combine};
use std::ops::Range;

/// One head of a document.
pub(super) struct Rows<'a> {
    /// Queries (n, width).
    pub q: &'a [f32],
    /// Keys with the scale in them (n, width).
    pub k: Vec<f32>,
    /// Values (n, width).
    pub v: Vec<f32>,
    /// (rounds, n).
    pub buckets: &'a [u32],
}

/// (n, width). A query sees later positions too, unless `causal`: the reference's form, whose outputs depend on later tokens all the same.
pub(super) fn attend(hashing: &Hashing, rows: Rows, width: usize, causal: bool) -> Vec<f32> {
    let (n, total) = (rows.q.len() / width, rows.buckets.len());
    let order = order(hashing, rows.buckets, n);
    let pairs = Pairs::of(rows.k, rows.v);
    let chunk = |c: usize| c * hashing.chunk..total.min((c + 1).saturating_mul(hashing.chunk));
    let (mut mixed, mut logarithms) = (vec![0.0; total * width], vec![0.0; total]); // (rounds, n)
    let (mut near, mut seen, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    for c in 0..total.div_ceil(hashing.chunk) {
        near.clear();
        near.extend(neighbours(hashing, c, total.div_ceil(hashing.chunk)).flat_map(|c| &order[chunk(c)]).map(|at| at % n));
        for &at in &order[chunk(c)] {
            let p = at % n;
            seen.clear();
            seen.extend(near.iter().filter(|j| !causal || **j <= p).map(|j| j * width));
            let q = &rows.q[p * width..(p + 1) * width];
            logarithms[at] = pairs.look(q, p * width, &seen, &mut scores, &mut mixed[at * width..(at + 1) * width]);
        }
    }
    let mut out = vec![0.0; n * width];
    for (p, out) in out.chunks_exact_mut(width).enumerate() {
        let rounds: Vec<f32> = (p..total).step_by(n).flat_map(|at| &mixed[at * width..(at + 1) * width]).copied().collect();
        let lse: Vec<f32> = (p..total).step_by(n).map(|at| logarithms[at]).collect();
        combine(&rounds, &lse, out);
    }
    out
}

/// Numbers round · n + position, by round, then bucket, then position.
fn order(hashing: &Hashing, buckets: &[u32], n: usize) -> Vec<usize> {
    let mut order = vec![0; buckets.len()];
    for (r, buckets) in buckets.chunks(n.max(1)).enumerate() {
        let mut next = vec![0; hashing.buckets + 1]; // where a bucket's next position goes
        buckets.iter().for_each(|b| next[*b as usize + 1] += 1);
        (0..hashing.buckets).for_each(|b| next[b + 1] += next[b]);
        for (p, b) in buckets.iter().enumerate() {
            order[r * n + next[*b as usize]] = r * n + p;
            next[*b as usize] += 1;
        }
    }
    order
}

/// The chunks that chunk `c` of `chunks` sees, which wrap around; each once.
fn neighbours(hashing: &Hashing, c: usize, chunks: usize) -> impl Iterator<Item = usize> {
    let reach = hashing.before.saturating_add(hashing.after).saturating_add(1);
    let around: Range<usize> = if reach < chunks { c + chunks - hashing.before..c + chunks + hashing.after + 1 } else { 0..chunks };
    around.map(move |at| at % chunks)
}
