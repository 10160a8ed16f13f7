//! Norms of rows: their definition, and that a row is normalised as if alone.

use super::super::norm;
use super::*;

/// The definition, in f64.
fn layer_norm_in_f64(x: &[f32], f: Option<&[f32]>, weight: &[f32], bias: &[f32], eps: f64) -> Vec<f32> {
    let d = weight.len();
    let x: Vec<f64> = (0..x.len()).map(|i| f64::from(x[i] + f.map_or(0.0, |f| f[i]))).collect();
    let row = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / d as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / d as f64;
        let y = |i: usize| (x[i] - mean) / (variance + eps).sqrt() * f64::from(weight[i]) + f64::from(bias[i]);
        (0..d).map(|i| y(i) as f32).collect::<Vec<f32>>()
    };
    x.chunks_exact(d).flat_map(row).collect()
}

#[test]
fn norms_are_those_of_f64_at_any_width() {
    for isa in paths() {
        for d in [1, 7, 8, 9, 15, 16, 17, 24, 40, 333, 1024] {
            for rows in [0, 1, 3] {
                let n = rows * d;
                let (x, f) = (noise(n + 1, 1), noise(n + 1, 2));
                let (x, f) = (Guarded::new(&x[1..]), Guarded::new(&f[1..]));
                let (weight, bias) = (Guarded::new(&noise(d, 3)), Guarded::new(&noise(d, 4)));
                let norm = Norm { weight: &weight, bias: &bias, eps: 1e-5, centred: true };
                let close = |got: &[f32], want: &[f32]| {
                    assert_eq!(got.len(), want.len());
                    for (got, want) in got.iter().zip(want) {
                        assert!((got - want).abs() <= 1.2e-7 * want.abs().max(1e-6), "{} {d}: {got} {want}", isa.name());
                    }
                };
                close(&norm::on_path(isa, &x, None, None, norm), &layer_norm_in_f64(&x, None, &weight, &bias, 1e-5));
                let mut sum = Vec::new();
                let both = norm::on_path(isa, &x, Some(&f), Some(&mut sum), norm);
                close(&both, &layer_norm_in_f64(&x, Some(&f), &weight, &bias, 1e-5));
                assert_eq!(sum, x.iter().zip(&*f).map(|(x, f)| x + f).collect::<Vec<f32>>());
                assert_eq!(bits(&norm::on_path(isa, &x, Some(&f), None, norm)), bits(&both));
                assert_eq!(bits(&norm::on_path(isa, &sum, None, None, norm)), bits(&both), "{d}: adding first");
            }
        }
    }
}

/// The root-mean-square norm: no mean is taken away, nothing is added.
#[test]
fn norms_that_are_not_centred_are_those_of_f64_at_any_width() {
    for isa in paths() {
        for d in [1, 7, 8, 9, 16, 17, 24, 333, 1024] {
            let n = 3 * d;
            let (x, f) = (noise(n + 1, 1), noise(n + 1, 2));
            // away from 0, so that a mean that was taken away would show
            let (x, f): (Vec<f32>, Vec<f32>) = (x[1..].iter().map(|x| x + 0.5).collect(), f[1..].to_vec());
            let (x, f, weight) = (Guarded::new(&x), Guarded::new(&f), Guarded::new(&noise(d, 3)));
            let norm = Norm { weight: &weight, bias: &[], eps: 1e-3, centred: false };
            let want = |x: &[f32]| -> Vec<f64> {
                let row = |x: &[f32]| {
                    let square = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / d as f64;
                    x.iter().zip(&*weight).map(|(x, w)| f64::from(*x) / (square + 1e-3).sqrt() * f64::from(*w)).collect::<Vec<_>>()
                };
                x.chunks_exact(d).flat_map(row).collect()
            };
            let close = |got: &[f32], want: Vec<f64>| {
                assert_eq!(got.len(), want.len());
                for (got, want) in got.iter().zip(want) {
                    assert!((f64::from(*got) - want).abs() <= 1.2e-7 * want.abs().max(1e-6), "{} {d}: {got} {want}", isa.name());
                }
            };
            close(&norm::on_path(isa, &x, None, None, norm), want(&x));
            let mut sum = Vec::new();
            let both = norm::on_path(isa, &x, Some(&f), Some(&mut sum), norm);
            close(&both, want(&sum));
            // a bias of zeros is none
            let zeros = vec![0.0; d];
            assert_eq!(norm::on_path(isa, &x, Some(&f), None, Norm { bias: &zeros, ..norm }), both);
        }
    }
}

/// Rows of several norms, one behind the other, are what each norm makes of its own.
#[test]
fn appended_rows_are_those_of_their_norms() {
    let (d, rows) = (40, [3, 0, 200]);
    let (x, f) = (noise(203 * d, 1), noise(203 * d, 2));
    let (mut sum, mut out) = (vec![7.0], vec![8.0, 9.0]);
    let (mut sums, mut outs) = (sum.clone(), out.clone());
    let mut at = 0;
    for (i, rows) in rows.into_iter().enumerate() {
        let (weight, bias) = (noise(d, 10 + i as u64), noise(d, 20 + i as u64));
        let norm = Norm { weight: &weight, bias: &bias, eps: 1e-5, centred: true };
        let (x, f) = (&x[at..at + rows * d], &f[at..at + rows * d]);
        append_layer_norm(x, f, (&mut sum, &mut out), norm);
        let mut one = Vec::new();
        outs.extend(add_layer_norm(x, f, Some(&mut one), norm));
        sums.extend(one);
        at += rows * d;
    }
    assert_eq!((bits(&sum), bits(&out)), (bits(&sums), bits(&outs)));
    assert_eq!((sum.len(), out.len()), (1 + 203 * d, 2 + 203 * d));
}

#[test]
fn a_row_is_normalised_as_if_alone_and_by_any_thread() {
    let (d, rows) = (257, 300);
    let (x, weight, bias) = (noise(rows * d, 1), noise(d, 2), noise(d, 3));
    let norm = Norm { weight: &weight, bias: &bias, eps: 1e-5, centred: true };
    let all = layer_norm(&x, norm);
    for (x, y) in x.chunks_exact(d).zip(all.chunks_exact(d)) {
        assert_eq!(bits(&layer_norm(x, norm)), bits(y));
    }
}

#[test]
fn norm_of_a_shifted_row_is_the_same() {
    let x: Vec<f32> = (0..24).map(|i| i as f32 * 0.25 + 1000.0).collect();
    let y: Vec<f32> = x.iter().map(|x| x - 1000.0).collect();
    let norm = Norm { weight: &[1.0; 24], bias: &[0.0; 24], eps: 1e-5, centred: true };
    for isa in paths() {
        assert_eq!(norm::on_path(isa, &x, None, None, norm), norm::on_path(isa, &y, None, None, norm));
    }
}

#[test]
fn rows_without_numbers_stay_without() {
    let mut x = noise(48, 1);
    (x[5], x[40]) = (f32::NAN, f32::INFINITY);
    for isa in paths() {
        let y = norm::on_path(isa, &x, None, None, Norm { weight: &[1.0; 16], bias: &[0.0; 16], eps: 1e-5, centred: true });
        assert!(y[..16].iter().all(|y| y.is_nan()) && y[16..32].iter().all(|y| y.is_finite()) && y[32..].iter().all(|y| y.is_nan()));
    }
}
