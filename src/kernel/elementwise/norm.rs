//! Norms of rows.

use super::super::Shared;
use super::super::simd::{Isa, Lanes, isa};
use super::wide::Wide;
use super::{Loop, PAD, appended, on, parts, written};

/// Numbers of a task: a norm takes a quarter of the time of an activation.
const TASK: usize = 4 * super::TASK;

/// What a layer normalisation multiplies with and adds.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// d factors.
    pub weight: &'a [f32],
    /// d summands, or none.
    pub bias: &'a [f32],
    /// Added to the variance.
    pub eps: f64,
    /// Whether the mean is taken away; else what is called variance is the mean of the squares.
    pub centred: bool,
}

/// (x − mean) / √(variance + eps) · weight + bias, each row of d numbers by itself, all in f64 and rounded once.
///
/// The order of addition depends on d alone.
pub fn layer_norm(x: &[f32], norm: Norm) -> Vec<f32> {
    on_path(isa(), x, None, None, norm)
}

/// x + f, and its [`layer_norm`], in one pass: `sum`, where given, receives the former.
///
/// The sums are rounded to f32 before they are normalised, so this is what adding first gives, bit for bit.
pub fn add_layer_norm(x: &[f32], f: &[f32], sum: Option<&mut Vec<f32>>, norm: Norm) -> Vec<f32> {
    on_path(isa(), x, Some(f), sum, norm)
}

/// The same for who puts rows of several norms one behind the other: both are appended to what is there.
pub fn append_layer_norm(x: &[f32], f: &[f32], (sum, out): (&mut Vec<f32>, &mut Vec<f32>), norm: Norm) {
    fits(x, Some(f), norm);
    appended(out, x.len(), |out| appended(sum, x.len(), |sum| rows(isa(), (x, Some(f)), (sum, out), norm)));
}

pub(super) fn on_path(isa: Isa, x: &[f32], f: Option<&[f32]>, sum: Option<&mut Vec<f32>>, norm: Norm) -> Vec<f32> {
    let n = x.len();
    fits(x, f, norm);
    written(n, |out| match sum {
        Some(sum) => *sum = written(n, |sum| rows(isa, (x, f), (sum, out), norm)),
        None => rows(isa, (x, f), (out, out), norm),
    })
}

fn fits(x: &[f32], f: Option<&[f32]>, norm: Norm) {
    let (n, d) = (x.len(), norm.weight.len());
    assert!(
        (d == norm.bias.len() || norm.bias.is_empty()) && d > 0 && n.is_multiple_of(d) && f.is_none_or(|f| f.len() == n),
        "rows of another width than the norm"
    );
}

/// Writes the rows of x + f to `sum` and those of the norm to `out`, which may be the same place.
fn rows(isa: Isa, (x, f): (&[f32], Option<&[f32]>), (sum, out): (Shared, Shared), norm: Norm) {
    let d = norm.weight.len();
    parts(x.len(), d, TASK, |r| {
        let f = f.map(|f| &f[r.clone()]);
        // SAFETY: the places have room for as many rows as x has; no two parts meet
        on(isa, Rows { x: &x[r.clone()], f, sum: unsafe { sum.add(r.start) }.0, out: unsafe { out.add(r.start) }.0, norm });
    });
}

struct Rows<'a> {
    x: &'a [f32],
    f: Option<&'a [f32]>,
    sum: *mut f32,
    out: *mut f32,
    norm: Norm<'a>,
}

impl Loop for Rows<'_> {
    type Out = ();
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Wide>(self) {
        let d = self.norm.weight.len();
        for at in (0..self.x.len()).step_by(d) {
            let x = self.x[at..at + d].as_ptr();
            // SAFETY: d numbers at each place
            unsafe {
                let row = match self.f {
                    Some(f) => {
                        sum::<L>(x, f[at..at + d].as_ptr(), self.sum.add(at), d);
                        self.sum.add(at).cast_const()
                    }
                    None => x,
                };
                normalise::<W>(row, self.out.add(at), self.norm);
            }
        }
    }
}

/// out ← a + b, n numbers.
#[inline(always)]
unsafe fn sum<L: Lanes>(a: *const f32, b: *const f32, out: *mut f32, n: usize) {
    let whole = n - n % L::N;
    // SAFETY: n numbers each
    unsafe {
        for i in (0..whole).step_by(L::N) {
            L::load(a.add(i)).add(L::load(b.add(i))).store(out.add(i));
        }
        for i in whole..n {
            *out.add(i) = *a.add(i) + *b.add(i);
        }
    }
}

/// One row; `out` may be `row`.
#[inline(always)]
unsafe fn normalise<W: Wide>(row: *const f32, out: *mut f32, Norm { weight, bias, eps, centred }: Norm) {
    let d = weight.len();
    // SAFETY: d numbers at each place
    unsafe {
        let mean = if centred { total::<W, false>(row, d, 0.0) / d as f64 } else { 0.0 };
        let variance = total::<W, true>(row, d, mean) / d as f64;
        let scale = 1.0 / (variance + eps).sqrt();
        let (whole, centre, factor) = (d - d % 8, W::splat(mean), W::splat(scale));
        if bias.is_empty() {
            for i in (0..whole).step_by(8) {
                W::load(row.add(i)).sub(centre).mul(factor).mul(W::load(weight.as_ptr().add(i))).store(out.add(i));
            }
            for (i, w) in weight.iter().enumerate().skip(whole) {
                *out.add(i) = ((f64::from(*row.add(i)) - mean) * scale * f64::from(*w)) as f32;
            }
            return;
        }
        for i in (0..whole).step_by(8) {
            let (w, b) = (W::load(weight.as_ptr().add(i)), W::load(bias.as_ptr().add(i)));
            W::load(row.add(i)).sub(centre).mul(factor).mul_add(w, b).store(out.add(i));
        }
        for i in whole..d {
            *out.add(i) = ((f64::from(*row.add(i)) - mean) * scale * f64::from(weight[i]) + f64::from(bias[i])) as f32;
        }
    }
}

/// Σ x, or Σ (x − centre)², in 16 lanes; the end of the row goes to the first of them.
#[inline(always)]
unsafe fn total<W: Wide, const SQUARES: bool>(row: *const f32, d: usize, centre: f64) -> f64 {
    let whole = d - d % PAD;
    let mut lanes = [[0.0f64; 8]; 2];
    // SAFETY: d numbers
    unsafe {
        let mut sums = [W::splat(0.0); 2];
        for i in (0..whole).step_by(PAD) {
            for (r, sum) in sums.iter_mut().enumerate() {
                let x = W::load(row.add(i + 8 * r));
                *sum = if SQUARES {
                    let off = x.sub(W::splat(centre));
                    off.mul_add(off, *sum)
                } else {
                    sum.add(x)
                };
            }
        }
        for (lanes, sum) in lanes.iter_mut().zip(sums) {
            *lanes = sum.lanes();
        }
        for i in whole..d {
            let off = f64::from(*row.add(i)) - centre;
            lanes[(i - whole) / 8][i % 8] += if SQUARES { off * off } else { off };
        }
    }
    (0..8).map(|i| lanes[0][i] + lanes[1][i]).sum()
}
