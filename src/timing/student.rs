//! Quantiles of Student's t distribution, for intervals of few repetitions.

use std::f64::consts::PI;

/// The t below which Student's distribution with `df` degrees of freedom (whole or not, at least 1) has the probability `p`.
///
/// Within 1e-12 (relative) of the truth for p from 0.0005 to 0.9995 and df from 1 up to infinity, which is the normal distribution; further
/// out the rounding of probabilities near 1 may cost more: 1e-10 at 1e-5.
/// `p` of 0 or 1 gives an infinity; a `p` outside 0..=1 and a `df` below 1 give NaN.
pub fn t_quantile(p: f64, df: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || df.is_nan() || df < 1.0 {
        return f64::NAN;
    }
    if p == 0.0 || p == 1.0 {
        return if p == 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    // beyond this the distribution is the normal one to the last bit, and infinity would make 0 · ∞ below
    let df = df.min(1e17);
    let tail = p.min(1.0 - p);
    // for t > 0 the distribution function is concave, so Newton's steps from 0 come closer from below and never step over
    let (mut t, height) = (0.0, peak(df));
    for _ in 0..200 {
        let (missing, density) = missing(t, tail, df, height);
        let next = t + missing / density;
        if next.is_nan() || next <= t * (1.0 + f64::EPSILON) {
            break;
        }
        t = next;
    }
    if p < 0.5 { -t } else { t }
}

/// Probability between t and the quantile that leaves `tail` above itself, and the density at t.
///
/// With f the density, y = t²/(df + t²) and ₂F₁(1, (df + 1)/2; c; z) = Σ Π ((df + 1)/2 + j)/(c + j) z^k, whose terms are all positive:
/// from 0 to t there is t f ₂F₁(…; 3/2; y), and above t there is (t/df) f ₂F₁(…; df/2 + 1; 1 − y). The one that converges faster is taken.
fn missing(t: f64, tail: f64, df: f64, height: f64) -> (f64, f64) {
    let scaled = t * t / df;
    let density = height * (-(df + 1.0) / 2.0 * scaled.ln_1p()).exp();
    let missing = if scaled <= 1.0 {
        (0.5 - tail) - t * density * series(df, 1.5, scaled / (1.0 + scaled))
    } else {
        t / df * density * series(df, df / 2.0 + 1.0, 1.0 / (1.0 + scaled)) - tail
    };
    (missing, density)
}

fn series(df: f64, c: f64, z: f64) -> f64 {
    let (mut sum, mut term, mut j) = (1.0, 1.0, 0.0);
    // terms may grow at first (df z / 3 > 1), so only a small one ends the sum
    while term > sum * 1e-17 && j < 1e5 {
        term *= ((df + 1.0) / 2.0 + j) / (c + j) * z;
        sum += term;
        j += 1.0;
    }
    sum
}

/// The density at 0, Γ((df + 1)/2) / (Γ(df/2) √(π df)).
fn peak(df: f64) -> f64 {
    let (mut a, mut factor) = (df / 2.0, 1.0);
    // Γ(a + ½)/Γ(a) = a/(a + ½) · Γ(a + 3/2)/Γ(a + 1), until the expansion for large a holds
    while a < 64.0 {
        factor *= a / (a + 0.5);
        a += 1.0;
    }
    let coefficients = [-399.0 / 262_144.0, -21.0 / 32_768.0, 5.0 / 1024.0, 1.0 / 128.0, -1.0 / 8.0, 1.0];
    let expansion = coefficients.iter().fold(0.0, |sum, c| sum / a + c);
    factor * a.sqrt() * expansion / (PI * df).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::expected::{PLAIN, STUDENT, near, numbers, rows};
    use super::*;

    #[test]
    fn quantiles_are_scipys() {
        for row in rows("student") {
            let row = numbers(&row);
            let rel = if (0.0005..=0.9995).contains(&row[0]) { PLAIN } else { STUDENT };
            near(t_quantile(row[0], row[1]), row[2], rel, &format!("t({}, {})", row[0], row[1]));
        }
    }

    #[test]
    fn one_two_and_four_degrees_have_closed_forms() {
        for p in [0.51, 0.6, 0.75, 0.9, 0.975, 0.995, 0.9999] {
            let q = 2.0 * p - 1.0;
            near(t_quantile(p, 1.0), (PI * (p - 0.5)).tan(), 1e-12, "one");
            near(t_quantile(p, 2.0), q * (2.0 / (1.0 - q * q)).sqrt(), 1e-12, "two");
            let a = 4.0 * p * (1.0 - p);
            near(t_quantile(p, 4.0), 2.0 * ((a.sqrt().acos() / 3.0).cos() / a.sqrt() - 1.0).sqrt(), 1e-11, "four");
        }
    }

    #[test]
    fn falls_with_the_degrees_of_freedom_down_to_the_normal_quantile() {
        let normal = 1.959_963_984_540_054;
        let mut last = f64::INFINITY;
        for step in 0..600 {
            let t = t_quantile(0.975, 10f64.powf(f64::from(step) / 100.0));
            assert!(normal < t && t < last, "step {step}");
            last = t;
        }
        for df in [1e17, f64::INFINITY] {
            near(t_quantile(0.975, df), normal, 1e-14, "normal");
        }
    }

    #[test]
    fn symmetric_and_defined_at_the_edges() {
        for df in [1.0, 3.3, 1e4] {
            assert_eq!(t_quantile(0.5, df), 0.0);
            for p in [0.03125, 0.25, 0.4375] {
                assert_eq!(t_quantile(p, df), -t_quantile(1.0 - p, df));
            }
            assert_eq!((t_quantile(0.0, df), t_quantile(1.0, df)), (f64::NEG_INFINITY, f64::INFINITY));
        }
        assert!([(-0.1, 3.0), (1.1, 3.0), (f64::NAN, 3.0), (0.9, 0.5), (0.9, f64::NAN)].iter().all(|&(p, df)| t_quantile(p, df).is_nan()));
    }
}
