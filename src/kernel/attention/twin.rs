//! What the kernel is compared with: the definition in f64, and the same sums in the same order written plainly.

use super::exponential::{LEAST, MAGIC, POWER, tree};
use super::{CHUNK, Job, Span};
use crate::kernel::keys::LANES;

/// Keys and values of a span as they are stored, (n, heads · width): rounded where the cache is bf16.
pub type Stored<'a> = (&'a [f32], &'a [f32]);

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
/// power for every rescaling: 2 (128 + 8 chunks) u. All of it relative to the greatest value.
pub fn naive(job: &Job, stored: &[Stored], (heads, width): (usize, usize), scale: f32) -> Vec<(f64, f64)> {
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
                    let terms = (0..width).map(|f| f64::from(q[h * width + f]) * f64::from(k[at + f]) * f64::from(scale));
                    let score: f64 = terms.clone().sum();
                    greatest = greatest.max(terms.map(f64::abs).sum());
                    top = if score > top { score } else { top };
                    pairs.push((score, &v[at..at + width]));
                }
            }
            let total: f64 = pairs.iter().map(|(s, _)| (s - top).exp()).sum();
            let largest = pairs.iter().flat_map(|(_, v)| v.iter()).fold(0f64, |a, x| a.max(f64::from(x.abs())));
            let within = largest * u * (4.0 * (width + 5) as f64 * greatest + 20.0 + 2.0 * (CHUNK + 8 * chunks) as f64);
            for f in 0..width {
                out.push((pairs.iter().map(|(s, v)| (s - top).exp() * f64::from(v[f])).sum::<f64>() / total, within));
            }
        }
    }
    out
}

/// The kernel's sums in the kernel's order, one number at a time; `fused` where the path rounds once.
pub fn plain(job: &Job, stored: &[Stored], (heads, width): (usize, usize), scale: f32, fused: bool) -> Vec<f32> {
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
                    let score = |j: &usize| (0..width).fold(0.0, |s, f| fma(q[h * width + f] * scale, row(k, *j, f), s));
                    let scores: Vec<f32> = keys.iter().map(score).collect();
                    let top = scores.iter().fold(max, |top, s| if *s > top { *s } else { top });
                    let powers: Vec<f32> = scores.iter().map(|s| power(s - top, fma)).collect();
                    let mut lanes = [0f32; LANES];
                    keys.iter().zip(&powers).for_each(|(j, p)| lanes[j % LANES] += p);
                    let factor = power(max - top, fma);
                    (max, sum) = (top, sum * factor + tree(lanes, |a, b| a + b));
                    for (f, acc) in acc.iter_mut().enumerate() {
                        *acc = fma(*acc, factor, keys.iter().zip(&powers).fold(0.0, |s, (j, p)| fma(*p, row(v, *j, f), s)));
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
