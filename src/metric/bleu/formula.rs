//! The score of summed statistics.

use super::{Bleu, Smoothing};
use crate::metric::Sums;
use crate::metric::scalar::Scalar;
use serde_json::Value;

/// A score and what it is made of.
pub(super) struct Parts {
    pub score: f64,
    matches: Vec<Scalar>,
    totals: Vec<Scalar>,
    precisions: Vec<f64>,
    brevity_penalty: f64,
    hyp_len: f64,
    ref_len: f64,
}

impl Parts {
    /// What sacreBLEU prints after the score.
    pub fn verbose(&self) -> String {
        let precisions: Vec<String> = self.precisions.iter().map(|p| format!("{p:.1}")).collect();
        let ratio = if self.ref_len == 0.0 { 0.0 } else { self.hyp_len / self.ref_len };
        let (precisions, bp) = (precisions.join("/"), self.brevity_penalty);
        format!("{precisions} (BP = {bp:.3} ratio = {ratio:.3} hyp_len = {} ref_len = {})", self.hyp_len, self.ref_len)
    }

    /// The attributes of sacreBLEU's score.
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("counts", self.matches.iter().map(|m| number(m.get())).collect()),
            ("totals", self.totals.iter().map(|t| number(t.get())).collect()),
            ("precisions", self.precisions.clone().into()),
            ("bp", self.brevity_penalty.into()),
            ("sys_len", number(self.hyp_len)),
            ("ref_len", number(self.ref_len)),
        ]
    }
}

/// A count: an integer, unless something fractional was added.
fn number(x: f64) -> Value {
    if x.fract() == 0.0 { Value::from(x as u64) } else { Value::from(x) }
}

impl Bleu {
    /// The score of summed statistics, with what it is made of. Only n-gram counts keep the width of the sums: Python makes integers of
    /// lengths, and its `math.log` and `math.exp` know doubles alone.
    pub(super) fn parts(&self, sums: Sums<'_>) -> Parts {
        let mut sums = Scalar::all(sums);
        let mut totals = sums.split_off(2 + self.options.max_order);
        let mut matches = sums.split_off(2);
        let (hyp_len, ref_len) = (sums[0].get(), sums[1].get());
        let brevity_penalty = match hyp_len {
            _ if hyp_len >= ref_len => 1.0,
            0.0 => 0.0,
            _ => (1.0 - ref_len / hyp_len).exp(),
        };
        let mut precisions = vec![0.0; totals.len()];
        let mut score = 0.0;
        if matches.iter().any(|m| m.get() != 0.0) {
            let orders = self.precisions(&mut matches, &mut totals, &mut precisions);
            // a precision of 0 makes the score 0: here by its logarithm −∞, in the reference by −9 999 999 999
            let logs: f64 = precisions[..orders].iter().map(|p| p.ln()).fold(0.0, |sum, log| sum + log);
            score = brevity_penalty * (logs / orders as f64).exp();
        }
        Parts { score, matches, totals, precisions, brevity_penalty, hyp_len, ref_len }
    }

    /// Precisions in percent, smoothed, up to the first order without n-grams; how many of them enter the mean. Adds k in place, as
    /// the reference does: its reported counts contain it.
    fn precisions(&self, matches: &mut [Scalar], totals: &mut [Scalar], precisions: &mut [f64]) -> usize {
        let (hundred, k) = (Scalar::Double(100.0), Scalar::Double(self.smooth_value));
        let mut orders = precisions.len();
        let mut halving = 1.0;
        for (i, precision) in precisions.iter_mut().enumerate() {
            if self.options.smoothing == Smoothing::AddK && i > 0 {
                matches[i] = matches[i] + k;
                totals[i] = totals[i] + k;
            }
            if totals[i].get() == 0.0 {
                break;
            }
            if self.options.effective_order {
                orders = i + 1;
            }
            *precision = match self.options.smoothing {
                _ if matches[i].get() != 0.0 => hundred * matches[i] / totals[i],
                Smoothing::Exp => {
                    halving *= 2.0;
                    hundred / (Scalar::Double(halving) * totals[i])
                }
                Smoothing::Floor => hundred * k / totals[i],
                Smoothing::AddK | Smoothing::None => Scalar::Double(0.0),
            }
            .get();
        }
        orders
    }
}
