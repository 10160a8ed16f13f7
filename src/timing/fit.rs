//! How times grow with the length: power laws, fitted on the log scale.

use super::student::t_quantile;
use super::summary::moments;

/// y = exp(`ln_factor`) · x^`exponent`, fitted to points by least squares of ln y on ln x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Power {
    /// The slope of ln y over ln x: 1 is linear, 2 quadratic.
    pub exponent: f64,
    /// Half-width of the 95 % interval of the exponent, by t with n − 2 degrees of freedom; none for two points.
    ///
    /// Assumes that a power law holds over all lengths and that the points stray from it independently, about normally and by the same
    /// share everywhere. Times rarely obey: a constant part bends the curve, so the exponent depends on which lengths were measured, and
    /// the strays of a bent curve are no noise. Compare [`Power::end`].
    pub exponent_ci95: Option<f64>,
    /// Natural logarithm of y at x = 1.
    pub ln_factor: f64,
    /// The exponent between the two largest lengths alone (geometric means where a length has several points): what the fit comes to where
    /// constant parts matter least.
    pub end: f64,
    /// How many points.
    pub n: usize,
    /// Mean of ln x.
    pub(super) centre: f64,
    /// Mean of ln y, the height of the line at `centre`.
    pub(super) height: f64,
    /// Σ (ln x − centre)².
    pub(super) spread: f64,
    /// Mean square of the residuals (n − 2); none for two points.
    pub(super) variance: Option<f64>,
}

/// Fits a power law to (x, y) points in any order.
///
/// None for fewer than two different x, or where an x or y is not positive and finite.
pub fn power(points: &[(f64, f64)]) -> Option<Power> {
    let positive = |x: f64| x > 0.0 && x.is_finite();
    if !points.iter().all(|&(x, y)| positive(x) && positive(y)) {
        return None;
    }
    let end = end(points)?;
    let n = points.len();
    let (u, v): (Vec<f64>, Vec<f64>) = points.iter().map(|(x, y)| (x.ln(), y.ln())).unzip();
    let (centre, height) = (moments(&u)?.mean, moments(&v)?.mean);
    let both = || u.iter().zip(&v).map(|(u, v)| (u - centre, v - height));
    let spread: f64 = both().map(|(u, _)| u * u).sum();
    let exponent = both().map(|(u, v)| u * v).sum::<f64>() / spread;
    let df = n as f64 - 2.0;
    let variance = (n > 2).then(|| both().map(|(u, v)| (v - exponent * u).powi(2)).sum::<f64>() / df);
    Some(Power {
        exponent,
        exponent_ci95: variance.map(|s2| t_quantile(0.975, df) * (s2 / spread).sqrt()),
        ln_factor: height - exponent * centre,
        end,
        n,
        centre,
        height,
        spread,
        variance,
    })
}

/// Slope between the two largest x; none if there is only one.
fn end(points: &[(f64, f64)]) -> Option<f64> {
    let largest_below = |limit: f64| points.iter().map(|p| p.0).filter(|x| *x < limit).max_by(f64::total_cmp);
    let last = largest_below(f64::INFINITY)?;
    let before = largest_below(last)?;
    let level = |at: f64| moments(&points.iter().filter(|p| p.0 == at).map(|p| p.1.ln()).collect::<Vec<_>>()).map(|m| m.mean);
    Some((level(last)? - level(before)?) / (last.ln() - before.ln()))
}

#[cfg(test)]
mod tests {
    use super::super::expected::{Normal, PLAIN, STUDENT, near, points, rows, same};
    use super::*;

    #[test]
    fn fits_are_the_references() {
        for row in rows("power") {
            let (name, points) = (row["name"].as_str().unwrap(), points(&row["points"]));
            let fit = power(&points).unwrap();
            assert_eq!(fit.n, points.len());
            same(fit.exponent, &row["exponent"], PLAIN, name);
            same(fit.ln_factor, &row["ln_factor"], PLAIN, name);
            same(fit.end, &row["end"], PLAIN, name);
            same(fit.exponent_ci95, &row["exponent_ci95"], STUDENT, name);
        }
    }

    #[test]
    fn finds_a_power_law_again() {
        for (factor, exponent) in [(3.0f64, 2.0f64), (1e6, 1.0), (0.5, 1.5), (7.0, -0.5)] {
            let law: Vec<(f64, f64)> = [512.0, 1024.0, 3000.0, 65536.0].iter().map(|&x: &f64| (x, factor * x.powf(exponent))).collect();
            let fit = power(&law).unwrap();
            near(fit.exponent, exponent, PLAIN, "exponent");
            near(fit.end, exponent, PLAIN, "end");
            near(fit.ln_factor, factor.ln(), 1e-11, "factor");
            assert!(fit.exponent_ci95.unwrap() < 1e-12);
        }
    }

    #[test]
    fn two_points_have_an_exponent_and_no_interval() {
        let fit = power(&[(4.0, 80.0), (1.0, 5.0)]).unwrap();
        near(fit.exponent, 2.0, PLAIN, "exponent");
        near(fit.ln_factor, 5f64.ln(), PLAIN, "factor");
        assert_eq!((fit.exponent_ci95, fit.n), (None, 2));
    }

    #[test]
    fn no_fit_without_two_lengths_and_positive_numbers() {
        let cases: [&[(f64, f64)]; 8] = [
            &[],
            &[(1.0, 2.0)],
            &[(3.0, 2.0), (3.0, 4.0)],
            &[(1.0, 2.0), (2.0, 0.0)],
            &[(0.0, 2.0), (2.0, 1.0)],
            &[(-1.0, 2.0), (2.0, 1.0), (3.0, 1.0)],
            &[(1.0, 2.0), (2.0, f64::NAN)],
            &[(1.0, 2.0), (f64::INFINITY, 1.0)],
        ];
        for points in cases {
            assert_eq!(power(points), None, "{points:?}");
        }
    }

    #[test]
    fn units_change_the_factor_alone() {
        let mut normal = Normal::new(11);
        let noisy: Vec<(f64, f64)> = (0..6).map(|i| (512.0 * 2f64.powi(i), 9.0 * 3f64.powi(i) * (0.05 * normal.draw()).exp())).collect();
        let fit = power(&noisy).unwrap();
        let other = power(&noisy.iter().map(|(x, y)| (x * 4.0, y * 1e-6)).collect::<Vec<_>>()).unwrap();
        near(other.exponent, fit.exponent, PLAIN, "exponent");
        near(other.exponent_ci95.unwrap(), fit.exponent_ci95.unwrap(), 1e-11, "interval");
        near(other.ln_factor, fit.ln_factor + 1e-6f64.ln() - fit.exponent * 4f64.ln(), PLAIN, "factor");
    }

    #[test]
    fn contains_the_true_exponent_about_as_often_as_it_says() {
        let mut normal = Normal::new(23);
        let trials = 4000;
        let hits = (0..trials)
            .filter(|_| {
                let points: Vec<(f64, f64)> = (0..4).map(|i| (2f64.powi(i), 3f64.powi(i) * (0.1 * normal.draw()).exp())).collect();
                let fit = power(&points).unwrap();
                (fit.exponent - 3f64.log2()).abs() <= fit.exponent_ci95.unwrap()
            })
            .count();
        // exactly 95 % in theory; three standard errors are 1.0 %
        assert!((0.94..0.96).contains(&(hits as f64 / f64::from(trials))), "{hits}");
    }
}
