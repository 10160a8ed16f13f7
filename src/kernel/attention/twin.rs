//! What the kernel is compared with: the definition in f64, and the same sums in the same order written plainly.

use super::exponential::{LEAST, MAGIC, POWER, tree};
use super::{CHUNK, Job, Span};
use crate::kernel::keys::LANES;

/// Keys and values of a span as they are stored, (n, heads · width): rounded where the cache is bf16.
pub type Stored<'a> = (&'a [f32], &'a [f32]);

/// What a [`super::Relative`] was made of.
#[derive(Clone, Copy)]
pub struct Far<'a> {
    pub q: &'a [f32],
    /// (n, heads · width) or (n, width).
    pub rows: &'a [f32],
    pub values: Option<&'a [f32]>,
    pub heads: usize,
    pub own: usize,
}

impl<'a> Far<'a> {
    /// Rows and values of query i of head h and key j of the span.
    fn of(&self, span: &Span, i: usize, h: usize, j: usize, width: usize) -> (&'a [f32], Option<&'a [f32]>) {
        let d = self.heads * width;
        let n = (self.rows.len() / d) as isize;
        let distance = match span.visible {
            super::Visible::All | super::Visible::Band { .. } => i as isize - j as isize,
            super::Visible::Causal { first } => (first + i) as isize - j as isize,
            super::Visible::Segments { first, origin, .. } => (first + i) as isize - j as isize - origin,
            other => unreachable!("{other:?} is not tested with distances"),
        };
        let at = (self.own as isize - distance).clamp(0, n - 1) as usize * d + if self.heads == 1 { 0 } else { h * width };
        (&self.rows[at..at + width], self.values.map(|v| &v[at..at + width]))
    }
}

/// Positions that query row `row` sees.
fn seen(span: &Span, row: usize) -> Vec<usize> {
    span.visible.range(row, span.keys.len()).filter(|j| !span.hidden.contains(j)).collect()
}

/// Whether every row sees a key.
pub fn complete(job: &Job, d: usize) -> bool {
    (0..job.q.len() / d).all(|row| job.spans.iter().any(|s| !seen(s, row).is_empty()))
}

/// The definition, in f64, and how far the kernel may be from it.
///
/// With u = 2⁻²⁴ and B the greatest scale · Σ_f |q_f k_f|: a score is off by (width + 3) u B (a product and an addition a feature, the factor in front of
/// q, log₂ e), its distance from the maximum by another 2 u B, so a probability by twice that and 2 u of the power, and twice
/// again relative to the sum: 4 (width + 5) u B + 4 u. The sums of values and of powers take [`CHUNK`] additions in a chunk, and three operations and a
/// power for every rescaling: 2 (256 + 8 chunks) u with values of distances. All of it relative to the greatest value.
pub fn naive(job: &Job, stored: &[Stored], far: Option<Far>, (heads, width): (usize, usize), scale: f32) -> Vec<(f64, f64)> {
    let d = heads * width;
    let u = 2f64.powi(-24);
    let chunks: usize = job.spans.iter().map(|s| s.keys.len().div_ceil(CHUNK)).sum();
    let mut out = Vec::new();
    for (i, q) in job.q.chunks_exact(d).enumerate() {
        for h in 0..heads {
            let (mut pairs, mut top, mut greatest) = (Vec::new(), f64::NEG_INFINITY, 0f64);
            for (span, (k, v)) in job.spans.iter().zip(stored) {
                for j in seen(span, i) {
                    let at = j * d + h * width;
                    let here = far.map(|far| (&far.q[i * d + h * width..][..width], far.of(span, i, h, j, width)));
                    let terms = (0..width).map(|f| f64::from(q[h * width + f]) * f64::from(k[at + f]) * f64::from(scale));
                    let more = here
                        .iter()
                        .flat_map(|(q, (row, _))| q.iter().zip(*row).map(|(q, r)| f64::from(*q) * f64::from(*r) * f64::from(scale)));
                    let terms = terms.chain(more);
                    let bias = span.bias.map_or(0.0, |b| f64::from(b.number(h, i, j)) / std::f64::consts::LOG2_E);
                    let score: f64 = terms.clone().sum::<f64>() + bias;
                    greatest = greatest.max(terms.map(f64::abs).sum::<f64>() + bias.abs());
                    top = if score > top { score } else { top };
                    let extra = here.and_then(|(_, (_, u))| u);
                    let value = |f: usize| f64::from(v[at + f]) + extra.map_or(0.0, |u| f64::from(u[f]));
                    pairs.push((score, (0..width).map(value).collect::<Vec<f64>>()));
                }
            }
            let total: f64 = pairs.iter().map(|(s, _)| (s - top).exp()).sum();
            let largest = pairs.iter().flat_map(|(_, v)| v.iter()).fold(0f64, |a, x| a.max(x.abs()));
            let within = largest * u * (4.0 * (width + 5) as f64 * greatest + 20.0 + 2.0 * (2 * CHUNK + 8 * chunks) as f64);
            for f in 0..width {
                out.push((pairs.iter().map(|(s, v)| (s - top).exp() * v[f]).sum::<f64>() / total, within));
            }
        }
    }
    out
}

/// The kernel's sums in the kernel's order, one number at a time; `fused` where the path rounds once.
pub fn plain(job: &Job, stored: &[Stored], far: Option<Far>, (heads, width, fused): (usize, usize, bool), scale: f32) -> Vec<f32> {
    let d = heads * width;
    let fma = |a: f32, b: f32, c: f32| if fused { a.mul_add(b, c) } else { a * b + c };
    let scale = (f64::from(scale) * std::f64::consts::LOG2_E) as f32;
    let mut out = Vec::new();
    for (i, q) in job.q.chunks_exact(d).enumerate() {
        for h in 0..heads {
            let (mut max, mut sum, mut acc) = (f32::MIN, 0f32, vec![0f32; width]);
            for (span, (k, v)) in job.spans.iter().zip(stored) {
                let all = seen(span, i);
                for keys in all.chunk_by(|a, b| a / CHUNK == b / CHUNK) {
                    let row = |x: &[f32], j: usize, f: usize| x[j * d + h * width + f];
                    let product = |j: &usize| (0..width).fold(0.0, |s, f| fma(q[h * width + f] * scale, row(k, *j, f), s));
                    let score = |j: &usize| match far {
                        None => product(j),
                        Some(far) => {
                            let r = far.of(span, i, h, *j, width).0;
                            product(j) + (0..width).fold(0.0, |s, f| fma(far.q[i * d + h * width + f] * scale, r[f], s))
                        }
                    };
                    let scores: Vec<f32> = keys.iter().map(|j| span.bias.map_or(score(j), |b| score(j) + b.number(h, i, *j))).collect();
                    let top = scores.iter().fold(max, |top, s| if *s > top { *s } else { top });
                    let powers: Vec<f32> = scores.iter().map(|s| power(s - top, fma)).collect();
                    let mut lanes = [0f32; LANES];
                    keys.iter().zip(&powers).for_each(|(j, p)| lanes[j % LANES] += p);
                    let factor = power(max - top, fma);
                    (max, sum) = (top, sum * factor + tree(lanes, |a, b| a + b));
                    for (f, acc) in acc.iter_mut().enumerate() {
                        let sum = keys.iter().zip(&powers).fold(0.0, |s, (j, p)| fma(*p, row(v, *j, f), s));
                        let own = |j: &usize| far.and_then(|far| far.of(span, i, h, *j, width).1).map(|u| u[f]);
                        let sum = keys.iter().zip(&powers).fold(sum, |s, (j, p)| own(j).map_or(s, |u| fma(*p, u, s)));
                        *acc = fma(*acc, factor, sum);
                    }
                }
            }
            out.extend(acc.iter().map(|x| x / sum));
        }
    }
    out
}

/// See [`super::exponential`].
fn power(x: f32, fma: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let y = if LEAST > x { LEAST } else { x };
    let rounded = y + MAGIC;
    let r = y - (rounded - MAGIC);
    let q = POWER[1..].iter().fold(POWER[0], |q, c| fma(q, r, *c));
    let p = fma(q, r, 1.0) * f32::from_bits((rounded.to_bits() << 23).wrapping_add(1f32.to_bits()));
    if x < LEAST { 0.0 } else { p }
}
