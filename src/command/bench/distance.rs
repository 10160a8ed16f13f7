//! How far the logits of one model are from those of another on the same weights: what a sparser attention changes.

use super::measured::Measured;
use super::plan::Plan;
use super::record::rounded;
use crate::report::{Table, fixed, grouped};
use serde_json::{Value, json};

/// Distances of the logits after the first token of the decoder, all documents of a batch together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// ‖a − b‖ / ‖b − mean b‖: 0 where they are equal, √2 where they have nothing in common.
    pub relative: f64,
    /// Greatest difference of a logit.
    pub greatest: f64,
    /// KL(b ‖ a) of the next token's distributions, in nats, mean over the documents.
    pub nats: f64,
    /// Documents for which both choose the same token.
    pub same: usize,
    /// Documents.
    pub rows: usize,
}

impl Distance {
    /// Of logits `a` from logits `b`, (rows, v) each.
    pub fn of(a: &[f32], b: &[f32], v: usize) -> Option<Self> {
        if v == 0 || a.is_empty() || a.len() != b.len() || !a.len().is_multiple_of(v) {
            return None;
        }
        let rows = a.len() / v;
        let (mut square, mut norm, mut greatest, mut nats, mut same) = (0.0, 0.0, 0f64, 0.0, 0);
        for (a, b) in a.chunks_exact(v).zip(b.chunks_exact(v)) {
            let mean = b.iter().map(|x| f64::from(*x)).sum::<f64>() / v as f64;
            for (a, b) in a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b))) {
                square += (a - b).powi(2);
                norm += (b - mean).powi(2);
                greatest = greatest.max((a - b).abs());
            }
            let (za, zb) = (log_sum(a), log_sum(b));
            nats += a.iter().zip(b).map(|(a, b)| (f64::from(*b) - zb).exp() * (f64::from(*b) - zb - f64::from(*a) + za)).sum::<f64>();
            same += usize::from(best(a) == best(b));
        }
        Some(Self { relative: (square / norm).sqrt(), greatest, nats: (nats / rows as f64).max(0.0), same, rows })
    }

    fn json(&self, from: &str) -> Value {
        json!({
            "from": from, "relative": rounded(self.relative), "greatest": rounded(self.greatest), "kl_nats": rounded(self.nats),
            "same_token": self.same, "documents": self.rows,
        })
    }
}

/// ln Σ exp.
fn log_sum(x: &[f32]) -> f64 {
    let top = x.iter().fold(f64::NEG_INFINITY, |m, x| m.max(f64::from(*x)));
    top + x.iter().map(|x| (f64::from(*x) - top).exp()).sum::<f64>().ln()
}

/// The first of the greatest.
fn best(x: &[f32]) -> Option<usize> {
    x.iter()
        .enumerate()
        .fold(None, |best: Option<(usize, f32)>, (i, x)| if best.is_some_and(|b| b.1 >= *x) { best } else { Some((i, *x)) })
        .map(|b| b.0)
}

/// Which model the logits of case `i` are compared with, and its case.
fn partner(plan: &Plan, i: usize) -> Option<(usize, usize)> {
    let case = &plan.cases[i];
    let from = plan.models[case.model].distance_from?;
    let same = super::case::Case { model: from, ..case.clone() };
    let other = plan.cases.iter().position(|c| *c == same)?;
    Some((from, other))
}

/// Whether somebody wants the logits of case `i`: its own distance, or another's from it.
pub fn wanted(plan: &Plan, i: usize) -> bool {
    partner(plan, i).is_some() || (0..plan.cases.len()).any(|j| partner(plan, j).is_some_and(|(_, other)| other == i))
}

/// The distance of case `i`, where both sides were measured; and from which model.
pub fn distance<'a>(plan: &'a Plan, measured: &[Measured], i: usize) -> Option<(&'a str, Distance)> {
    let (from, other) = partner(plan, i)?;
    let v = plan.models[from].outline.model.info().vocab_size;
    let distance = Distance::of(measured[i].logits.as_ref()?, measured[other].logits.as_ref()?, v)?;
    Some((&plan.models[from].name, distance))
}

/// As a record holds it.
pub fn json(plan: &Plan, measured: &[Measured], i: usize) -> Value {
    distance(plan, measured, i).map_or(Value::Null, |(from, d)| d.json(from))
}

/// The table, if there is a distance.
pub fn table(plan: &Plan, measured: &[Measured]) -> Option<Table> {
    let mut cells =
        Table::new(["model", "attention", "from", "tokens", "relative", "greatest", "KL nats", "same token"]).right(&[3, 4, 5, 6, 7]);
    let mut any = false;
    for (i, case) in plan.cases.iter().enumerate() {
        let Some((from, d)) = distance(plan, measured, i) else { continue };
        any = true;
        let model = &plan.models[case.model];
        cells.row([
            model.name.clone(),
            model.outline.model.attention(case.test.prompt()),
            from.to_owned(),
            grouped(case.test.prompt()),
            fixed(d.relative, 4),
            fixed(d.greatest, 3),
            fixed(d.nats, 5),
            format!("{} of {}", d.same, d.rows),
        ]);
    }
    any.then_some(cells)
}

/// The line below it.
pub const NOTE: &str = "distance of the logits of the first token, in a run that is not timed: ‖a − b‖ / ‖b − mean b‖, the greatest of them, KL(b ‖ a) of the token's distributions; b is the model in `from`, on the same weights";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_definition() {
        let b = [1.0f32, 2.0, 3.0, 4.0];
        let d = Distance::of(&b, &b, 4).unwrap();
        assert_eq!((d.relative, d.greatest, d.nats, d.same, d.rows), (0.0, 0.0, 0.0, 1, 1));
        // shifted logits are the same distribution
        let shifted: Vec<f32> = b.iter().map(|x| x + 10.0).collect();
        let d = Distance::of(&shifted, &b, 4).unwrap();
        assert!(d.nats < 1e-12 && d.same == 1 && (d.greatest - 10.0).abs() < 1e-9, "{d:?}");
        // two tokens: p = (1/2, 1/2) against q = (1/4, 3/4), KL(p || q) = ln(2/√3)
        let d = Distance::of(&[0.0, 3f32.ln()], &[0.0, 0.0], 2).unwrap();
        assert!((d.nats - (2.0 / 3f64.sqrt()).ln()).abs() < 1e-7, "{d:?}");
        assert!(d.relative.is_infinite());
        let d = Distance::of(&[3.0, 1.0, 0.0, 1.0], &[1.0, 3.0, 0.0, 1.0], 2).unwrap();
        assert_eq!((d.same, d.rows), (1, 2));
        assert!((d.relative - (8.0 / 2.5f64).sqrt()).abs() < 1e-9);
        assert!(Distance::of(&b, &b[..3], 4).is_none() && Distance::of(&[], &[], 4).is_none());
    }
}
