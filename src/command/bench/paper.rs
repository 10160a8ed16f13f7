//! What a paper reported beside what was measured by its protocol.

use super::case::Case;
use super::figures::mean;
use super::measured::Measured;
use super::plan::{Plan, Protocol};
use super::record::rounded;
use crate::report::Table;
use crate::suite::{Quantity, Reported, Statistic, Unit};
use crate::timing::ratio::{Interval, ratio};
use crate::timing::summary::{Summary, median};
use serde_json::{Value, json};

/// One figure of the paper.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Number of its case.
    pub case: usize,
    /// The figure as the paper gives it, if it does.
    pub reported: Option<f64>,
    /// Its unit.
    pub unit: Unit,
    /// Where the paper gives it.
    pub place: Option<String>,
    /// The measured figure in the paper's unit, over the runs; none if the case was not measured.
    pub measured: Option<Summary>,
    /// The model that the paper compares with.
    pub against: Option<String>,
    /// How many times faster by the paper's figures.
    pub ratio_of_figures: Option<f64>,
    /// How many times faster as the paper's text says.
    pub ratio_of_text: Option<f64>,
    /// How many times faster as measured.
    pub ratio_measured: Option<Interval>,
    /// Whether `ratio_measured` has an interval.
    pub certain: bool,
    /// How many times faster by the weights that a step reads, if nothing else took time; none for the encoder, whose bytes are no step's.
    pub ratio_of_bytes: Option<f64>,
}

impl Line {
    /// What was measured as a share of what the bytes predict.
    fn of_bytes(&self) -> Option<f64> {
        Some(self.ratio_measured.as_ref()?.value / self.ratio_of_bytes?)
    }

    /// As a record holds it.
    pub fn json(&self) -> Value {
        let (measured, ratio) = (self.measured.as_ref(), self.ratio_measured.as_ref());
        let bound = |of: fn(&Interval) -> f64| ratio.filter(|_| self.certain).map(|r| rounded(of(r)));
        json!({
            "unit": self.unit.to_string(), "where": self.place, "paper": self.reported, "measured": measured.map(|m| rounded(m.mean)),
            "measured_ci95": measured.and_then(|m| m.ci95).map(rounded), "against": self.against,
            "paper_ratio": self.ratio_of_figures.map(rounded), "paper_ratio_in_text": self.ratio_of_text,
            "measured_ratio": ratio.map(|r| rounded(r.value)), "measured_ratio_low": bound(|r| r.low), "measured_ratio_high": bound(|r| r.high),
            "bytes_ratio": self.ratio_of_bytes.map(rounded), "measured_over_bytes": self.of_bytes().map(rounded),
        })
    }
}

/// All figures of the suite's paper.
pub fn lines(plan: &Plan, measured: &[Measured]) -> Vec<Line> {
    let seconds = |r: &Reported| self::seconds(r, &measured[r.case], &plan.protocol);
    let line = |r: &Reported| {
        let other = r.against.and_then(|a| plan.reported.get(a));
        let faster = |own: f64, other: f64| other / own;
        let runs = seconds(r);
        let both = other.and_then(|o| Some((seconds(o)?, runs.clone()?)));
        let interval = both.as_ref().and_then(|(other, own)| ratio(other, own));
        let plain = || both.as_ref().and_then(|(other, own)| Some(mean(other)? / mean(own)?));
        Line {
            case: r.case,
            reported: r.figure,
            unit: r.unit,
            place: r.place.clone(),
            measured: runs
                .as_ref()
                .and_then(|s| Summary::of(&s.iter().map(|s| in_unit(r.unit, *s, plan.cases[r.case].batch)).collect::<Vec<_>>())),
            against: other.map(|o| plan.models[plan.cases[o.case].model].name.clone()),
            ratio_of_figures: other.and_then(|o| Some(faster(r.unit.cost(r.figure?), o.unit.cost(o.figure?)))),
            ratio_of_text: r.ratio,
            certain: interval.is_some(),
            ratio_of_bytes: other
                .filter(|_| matches!(r.quantity, Quantity::Token | Quantity::Decoder))
                .and_then(|o| bytes_ratio(plan, &plan.cases[o.case], &plan.cases[r.case])),
            ratio_measured: interval.or_else(|| plain().map(|value| Interval { value, low: value, high: value })),
        }
    };
    plan.reported.iter().map(line).collect()
}

/// Bytes of weights that a step of the case `slow` reads, over those of `fast`; none where the latter reads none.
pub fn bytes_ratio(plan: &Plan, slow: &Case, fast: &Case) -> Option<f64> {
    let [slow, fast] = [slow, fast].map(|case| plan.models[case.model].sizes(case.dtype).model.step_bytes());
    (fast > 0).then(|| slow as f64 / fast as f64)
}

/// Seconds by the paper's protocol, one number a run: the statistic over the tokens that are not dropped; or the bytes of the one run that was weighed.
fn seconds(reported: &Reported, measured: &Measured, protocol: &Protocol) -> Option<Vec<f64>> {
    let of_run = |sample: &super::work::Sample| -> Option<f64> {
        let kept: Vec<f64> = sample.tokens.iter().skip(1 + protocol.drop).map(|&t| t as f64).collect();
        match (reported.quantity, protocol.statistic) {
            (Quantity::Encoder, _) => Some(sample.encode as f64),
            (Quantity::Prompt, _) => sample.ttft().map(|ns| ns as f64),
            (Quantity::Memory, _) => None,
            (Quantity::Decoder, _) | (_, Statistic::Sum) => (!kept.is_empty()).then(|| kept.iter().sum()),
            (Quantity::Token, Statistic::Mean) => mean(&kept),
            (Quantity::Token, Statistic::Median) => median(&kept),
            (Quantity::Token, Statistic::Min) => kept.iter().copied().reduce(f64::min),
        }
    };
    if reported.quantity == Quantity::Memory {
        return measured.peak.map(|bytes| vec![bytes as f64]);
    }
    let runs: Vec<f64> = measured.samples.iter().map(|s| of_run(s).map(|ns| ns / 1e9)).collect::<Option<_>>()?;
    (!runs.is_empty()).then_some(runs)
}

/// Seconds (of a step) or bytes in a unit; tokens a second are those of all documents.
fn in_unit(unit: Unit, seconds: f64, batch: usize) -> f64 {
    match unit {
        Unit::SecondsPerToken | Unit::Seconds => seconds,
        Unit::MillisecondsPerToken | Unit::Milliseconds => seconds * 1e3,
        Unit::TokensPerSecond => batch as f64 / seconds,
        Unit::Gigabytes => seconds / 1e9,
    }
}

/// The table of what the paper reported, if it reported anything.
pub fn table(plan: &Plan, lines: &[Line]) -> Option<Table> {
    if lines.is_empty() {
        return None;
    }
    let header = [
        "model",
        "test",
        "unit",
        "paper",
        "measured",
        "against",
        "paper's ratio",
        "in its text",
        "measured ratio",
        "by bytes",
        "measured/bytes",
    ];
    let mut table = Table::new(header).right(&[3, 4, 6, 7, 8, 9, 10]);
    let times = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| format!("{}×", significant(x, 3)));
    for line in lines {
        let case = &plan.cases[line.case];
        table.row([
            plan.models[case.model].name.clone(),
            case.test.name(),
            line.unit.to_string(),
            // as the paper prints it
            line.reported.map_or_else(|| "–".to_owned(), |x| x.to_string()),
            line.measured.as_ref().map_or_else(|| "–".to_owned(), |m| spread(m.mean, m.ci95)),
            line.against.clone().unwrap_or_else(|| "–".to_owned()),
            times(line.ratio_of_figures),
            line.ratio_of_text.map_or_else(|| "–".to_owned(), |x| format!("{x}×")),
            line.ratio_measured
                .as_ref()
                .map_or_else(|| "–".to_owned(), |r| format!("{}×", spread(r.value, line.certain.then_some((r.high - r.low) / 2.0)))),
            times(line.ratio_of_bytes),
            line.of_bytes().map_or_else(|| "–".to_owned(), |x| significant(x, 3)),
        ]);
    }
    Some(table)
}

/// Three significant digits, and half of the interval with as many digits behind the point.
fn spread(value: f64, half: Option<f64>) -> String {
    let text = significant(value, 3);
    let digits = text.split_once('.').map_or(0, |(_, behind)| behind.len());
    half.map_or(text.clone(), |h| format!("{text} ± {}", crate::report::fixed(h, digits)))
}

/// So many significant digits, no exponent.
pub fn significant(x: f64, digits: i32) -> String {
    if x == 0.0 || !x.is_finite() {
        return crate::report::fixed(x, 0);
    }
    let magnitude = x.abs().log10().floor() as i32;
    crate::report::fixed(x, usize::try_from(digits - 1 - magnitude).unwrap_or(0))
}
