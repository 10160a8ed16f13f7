//! Exponentials, norms and activations over slices, each row by itself.

use rayon::prelude::*;

/// e^x to about one unit in the last place for x ≤ 88; 0 below −87.3.
///
/// 2^n · p(r) with x = n ln 2 + r: n from the mantissa bits of x · log₂ e + 1.5 · 2²³, p the Taylor polynomial of degree 7 (|r| ≤ 0.35).
#[inline(always)]
fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to an integer
    const LN2_HIGH: f32 = 0.693_145_75; // 17 bits, so that n · LN2_HIGH is exact
    const LN2_LOW: f32 = 1.428_606_8e-6;
    let y = x.clamp(-87.3, 88.0);
    let t = y * std::f32::consts::LOG2_E + MAGIC;
    let n = t - MAGIC;
    let r = (y - n * LN2_HIGH) - n * LN2_LOW;
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    let scaled = f32::from_bits((p.to_bits() as i32).wrapping_add((t.to_bits() << 23) as i32) as u32);
    if x < -87.3 { 0.0 } else { scaled }
}

/// row ← e^(row − max); returns the sum. A NaN anywhere makes the sum NaN.
///
/// The length is a multiple of 16; partial sums are kept a lane, so that the order of addition depends on the length alone.
pub fn exp_row(row: &mut [f32]) -> f32 {
    let mut top = [f32::NEG_INFINITY; 16];
    for c in row.chunks_exact(16) {
        for (t, x) in top.iter_mut().zip(c) {
            *t = if *x > *t { *x } else { *t };
        }
    }
    let max = top.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0.0f32; 16];
    for c in row.chunks_exact_mut(16) {
        for (s, x) in sums.iter_mut().zip(c) {
            let nan = x.is_nan();
            *x = exp(*x - max);
            *x = if nan { f32::NAN } else { *x };
            *s += *x;
        }
    }
    (0..8).map(|i| sums[i] + sums[i + 8]).sum()
}

/// y = (x − mean) / √(variance + eps) · weight + bias, each row of `weight.len()` numbers by itself; moments in f64.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f64) -> Vec<f32> {
    let d = weight.len();
    let mut y = vec![0.0; x.len()];
    let row = |(y, x): (&mut [f32], &[f32])| {
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / d as f64;
        let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / d as f64;
        let scale = 1.0 / (variance + eps).sqrt();
        for ((y, x), (w, b)) in y.iter_mut().zip(x).zip(weight.iter().zip(bias)) {
            *y = ((f64::from(*x) - mean) * scale) as f32 * w + b;
        }
    };
    if x.len() < 1 << 14 {
        y.chunks_exact_mut(d).zip(x.chunks_exact(d)).for_each(row);
    } else {
        y.par_chunks_exact_mut(d).zip(x.par_chunks_exact(d)).for_each(row);
    }
    y
}

/// Applies `f` to every number, in parallel where that pays.
pub fn map(mut x: Vec<f32>, f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    if x.len() < 1 << 13 {
        x.iter_mut().for_each(|x| *x = f(*x));
    } else {
        x.par_chunks_mut(1 << 12).for_each(|c| c.iter_mut().for_each(|x| *x = f(*x)));
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_two_units() {
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got - want).abs() <= 2.5e-7 * want, "{x}: {got} {want}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn a_row_sums_to_its_parts_and_keeps_nan() {
        let mut row = vec![f32::NEG_INFINITY; 32];
        row[3] = 2.0;
        row[20] = 1.0;
        let sum = exp_row(&mut row);
        assert!((sum - 1.367_879_4).abs() < 1e-6);
        assert_eq!(row[4], 0.0);
        row[7] = f32::NAN;
        assert!(exp_row(&mut row).is_nan());
    }

    #[test]
    fn norm_of_a_shifted_row_is_the_same() {
        let x: Vec<f32> = (0..24).map(|i| i as f32 * 0.25 + 1000.0).collect();
        let y: Vec<f32> = x.iter().map(|x| x - 1000.0).collect();
        assert_eq!(layer_norm(&x, &[1.0; 24], &[0.0; 24], 1e-5), layer_norm(&y, &[1.0; 24], &[0.0; 24], 1e-5));
    }
}
