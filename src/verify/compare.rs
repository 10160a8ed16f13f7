//! Differences of numbers and of sequences.

use crate::error::{Error, Result};
use crate::kernel::slice;
use candle_core::Tensor;

/// One key of a golden, compared.
#[derive(Debug, Clone)]
pub struct Check {
    /// The key.
    pub key: String,
    /// What was found.
    pub finding: Finding,
    /// Whether it is within what is allowed.
    pub passed: bool,
    /// The numbers that were compared, where they are numbers.
    pub got: Option<Tensor>,
    /// How far rounding takes them, where somebody has looked ([`super::rounding`]).
    pub rounding: Option<f64>,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Numbers.
    Close {
        /// Largest absolute difference; NaN if one side is not a number.
        max_abs: f64,
        /// The same over the largest absolute value of the reference.
        max_rel: f64,
        /// Row and position of the first difference beyond the tolerance.
        first: Option<(usize, usize)>,
    },
    /// Sequences.
    Sequence {
        /// Row and position of the first different token.
        first: Option<(usize, usize)>,
    },
}

/// `got` (Σ n, f) against `want` (b, n, f), of which row r counts up to `lengths[r]`.
pub fn close(key: &str, got: &Tensor, want: &Tensor, lengths: &[usize], atol: f64) -> Result<Check> {
    let (rows, f) = got.dims2()?;
    let misfit = || Error::new(format!("`{key}` has shape {:?} in the golden, {:?} here", want.dims(), got.dims()));
    let (b, n, wf) = want.dims3().map_err(|_| misfit())?;
    if b != lengths.len() || wf != f || lengths.iter().any(|l| *l > n) || lengths.iter().sum::<usize>() != rows {
        return Err(misfit());
    }
    let (mut max_abs, mut top, mut first) = (0f64, 0f64, None);
    slice(got, |got| {
        slice(want, |want| {
            let mut at = 0;
            for (r, &length) in lengths.iter().enumerate() {
                for i in 0..length * f {
                    let (g, w) = (f64::from(got[at + i]), f64::from(want[r * n * f + i]));
                    let d = (g - w).abs();
                    max_abs = if d.is_nan() || d > max_abs { d } else { max_abs };
                    top = top.max(w.abs());
                    if first.is_none() && (d.is_nan() || d > atol) {
                        first = Some((r, i / f));
                    }
                    if max_abs.is_nan() {
                        return;
                    }
                }
                at += length * f;
            }
        })
    })??;
    let max_rel = if max_abs == 0.0 { 0.0 } else { max_abs / top };
    Ok(Check {
        key: key.into(),
        finding: Finding::Close { max_abs, max_rel, first },
        passed: max_abs <= atol,
        got: Some(got.clone()),
        rounding: None,
    })
}

/// Token ids against the reference's, whose rows may go on with any of `fillers`.
pub fn sequences(key: &str, got: &[&[u32]], want: &[Vec<u32>], fillers: &[u32]) -> Check {
    let differs = |got: &[u32], want: &[u32]| {
        let token = |i: usize| want.get(i).copied();
        let at = got.iter().enumerate().position(|(i, g)| token(i) != Some(*g));
        at.or_else(|| want.iter().skip(got.len()).position(|w| !fillers.contains(w)).map(|i| got.len() + i))
    };
    let mut first = got.iter().zip(want).enumerate().find_map(|(r, (got, want))| differs(got, want).map(|i| (r, i)));
    if got.len() != want.len() {
        first = first.or(Some((got.len().min(want.len()), 0)));
    }
    Check { key: key.into(), passed: first.is_none(), finding: Finding::Sequence { first }, got: None, rounding: None }
}

/// The largest absolute difference of two tensors of one shape, if they have one and all of it are numbers.
pub(super) fn distance(a: &Tensor, b: &Tensor) -> Option<f64> {
    if a.dims() != b.dims() {
        return None;
    }
    let both = slice(a, |a| slice(b, |b| a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).collect::<Vec<f64>>()));
    let all = both.ok()?.ok()?;
    all.iter().all(|d| d.is_finite()).then(|| all.iter().fold(0.0, |m: f64, d| m.max(*d)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tensor;

    #[test]
    fn padding_is_not_compared_and_nan_never_passes() {
        let want = tensor(vec![1.0, 2.0, 3.0, 99.0], (2, 2, 1)).unwrap();
        let got = tensor(vec![1.0, 2.5, 3.0], (3, 1)).unwrap();
        let check = close("x", &got, &want, &[2, 1], 0.1).unwrap();
        assert_eq!((check.passed, &check.finding), (false, &Finding::Close { max_abs: 0.5, max_rel: 0.5 / 3.0, first: Some((0, 1)) }));
        let nan = tensor(vec![f32::NAN, 2.0, 3.0], (3, 1)).unwrap();
        assert!(!close("x", &nan, &want, &[2, 1], 1e9).unwrap().passed);
        assert!(close("x", &got, &want, &[2, 2], 0.1).is_err_and(|e| e.message().contains("has shape")));
    }

    #[test]
    fn sequences_differ_at_the_first_token_or_where_one_goes_on() {
        let want = vec![vec![1, 2, 3, 0]];
        assert!(sequences("s", &[&[1, 2, 3]], &want, &[0]).passed);
        assert_eq!(sequences("s", &[&[1, 5, 3]], &want, &[0]).finding, Finding::Sequence { first: Some((0, 1)) });
        assert_eq!(sequences("s", &[&[1, 2]], &want, &[0]).finding, Finding::Sequence { first: Some((0, 2)) });
        assert!(!sequences("s", &[&[1, 2, 3, 0, 4]], &want, &[0]).passed);
        assert!(!sequences("s", &[], &want, &[0]).passed);
    }
}
