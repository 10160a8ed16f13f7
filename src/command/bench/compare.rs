//! Who is faster, and by how much: lines that close a table, and the gate against an earlier run.

use super::case::{Case, Test};
use super::figures::Figures;
use super::paper::bytes_ratio;
use super::plan::Plan;
use crate::error::{Error, Result};
use crate::output::reason;
use crate::report::fixed;
use crate::timing::ratio::{Interval, ratio};
use serde_json::Value;
use std::path::Path;

/// Closing lines: of the cases that do the same work, each slower one against the fastest.
pub fn closing(plan: &Plan, figures: &[Option<Figures>]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut seen: Vec<(Test, usize)> = Vec::new();
    for case in &plan.cases {
        let work = (case.test, case.batch);
        if seen.contains(&work) {
            continue;
        }
        seen.push(work);
        let same: Vec<(&Case, &Figures)> =
            plan.cases.iter().zip(figures).filter_map(|(c, f)| f.as_ref().filter(|_| (c.test, c.batch) == work).map(|f| (c, f))).collect();
        if same.len() < 2 {
            continue;
        }
        if matches!(case.test, Test::Encoder { new: 1.., .. }) {
            // the encoder knows nothing of the strategy behind it
            let mut apart: Vec<(&Case, &Figures)> = Vec::new();
            for (c, f) in &same {
                if apart.iter().all(|(o, _)| (o.model, o.threads, o.dtype) != (c.model, c.threads, c.dtype)) {
                    apart.push((c, f));
                }
            }
            lines.extend(against_fastest(plan, &apart, "encodes", |f| &f.encode.samples));
        }
        lines.extend(against_fastest(plan, &same, verb(case.test), |f| &f.compared().samples));
    }
    lines
}

/// Times of the runs of a case.
type Times = fn(&Figures) -> &[f64];

fn verb(test: Test) -> &'static str {
    match test {
        Test::Encoder { new: 0, .. } => "encodes",
        Test::Prompt(_) => "reads",
        _ => WRITES,
    }
}

/// What a case does that writes tokens.
const WRITES: &str = "decodes";

fn against_fastest(plan: &Plan, same: &[(&Case, &Figures)], verb: &str, of: Times) -> Vec<String> {
    let time = |f: &Figures| super::figures::mean(of(f)).unwrap_or(f64::INFINITY);
    let Some(fastest) = same.iter().min_by(|a, b| time(a.1).total_cmp(&time(b.1))) else { return Vec::new() };
    let test = fastest.0.test.name();
    let line = |slow: &(&Case, &Figures)| -> Option<String> {
        let (fast_name, slow_name) = (plan.title(fastest.0), plan.title(slow.0));
        let interval = ratio(of(slow.1), of(fastest.1));
        let value = interval.map_or_else(|| time(slow.1) / time(fastest.1), |r| r.value);
        let (half, behind) = match interval.map(|r| (r, (r.high - r.low) / 2.0)) {
            None if value.is_finite() => (String::new(), " (too few runs for an interval)".to_owned()),
            None => return None,
            // an interval far from symmetric: its half would reach below 1, which its low end may not
            Some((r, half)) if r.value - half <= 1.0 => (String::new(), format!(" (95 %: {}–{})", digits(r.low), digits(r.high))),
            Some((_, half)) => (format!(" ± {}", digits(half)), String::new()),
        };
        let doubt = if interval.is_some_and(|r| r.low <= 1.0) { "no difference shown: " } else { "" };
        let bytes = if verb == WRITES { by_bytes(plan, (slow.0, fastest.0), value) } else { String::new() };
        Some(format!("{test}: {doubt}{fast_name} {verb} {}{half} times faster than {slow_name}{behind}{bytes}", digits(value)))
    };
    same.iter().filter(|s| !std::ptr::eq(s.0, fastest.0)).filter_map(line).collect()
}

/// What the weights that a step reads say of a ratio, where they are not the same for both cases.
fn by_bytes(plan: &Plan, (slow, fast): (&Case, &Case), measured: f64) -> String {
    match bytes_ratio(plan, slow, fast).filter(|r| *r != 1.0) {
        Some(r) => format!("; {} times by the weights that a step reads, measured/bytes {}", digits(r), digits(measured / r)),
        None => String::new(),
    }
}

/// Two digits behind the point, none that nobody can tell of large numbers.
fn digits(x: f64) -> String {
    fixed(x, if x >= 100.0 { 0 } else { 2 })
}

/// What an earlier run says of a case.
#[derive(Debug, Clone)]
pub struct Old {
    key: Vec<Value>,
    cpu: String,
    /// Times of its runs, by what they are of.
    times: Vec<(&'static str, Vec<f64>)>,
}

/// A case against its baseline.
#[derive(Debug, Clone)]
pub struct Change {
    /// Number of the case.
    pub case: usize,
    /// What is compared: `encode`, `a token` or `the test`.
    pub of: &'static str,
    /// New time over old time; no interval where either has fewer than two runs.
    pub ratio: Interval,
    /// Whether `ratio` has an interval.
    pub certain: bool,
    /// Whether the interval excludes everything up to the bound.
    pub tripped: bool,
}

/// What tells cases apart in records.
const KEY: [&str; 8] = ["model", "model_n_params", "random_weights", "test", "batch_size", "n_threads", "dtype", "strategy"];

/// Reads the records of an earlier run.
pub fn baseline(path: &Path) -> Result<Vec<Old>> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| Error::new(format!("cannot read `{name}`: {}", reason(&e))))?;
    let bad = |line: usize, why: &str| {
        Error::new(format!("{name}:{line}: {why}")).hint("`--baseline` takes what `effattn bench -f jsonl -o FILE` wrote")
    };
    let mut records = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let record: Value = serde_json::from_str(line).map_err(|_| bad(i + 1, "not a JSON line"))?;
        if record["error"].is_string() || record["repetitions"] == 0 {
            continue; // refused, or interrupted before its first run
        }
        let times = times(&record).ok_or_else(|| bad(i + 1, "no times of runs"))?;
        if KEY.iter().any(|k| record.get(*k).is_none()) {
            return Err(bad(i + 1, "not a record of a case"));
        }
        let key = KEY.iter().map(|k| record[*k].clone()).collect();
        records.push(Old { key, cpu: record["cpu_info"].as_str().unwrap_or_default().to_owned(), times });
    }
    match records.is_empty() {
        true => Err(bad(1, "no records")),
        false => Ok(records),
    }
}

/// Times of the runs in a record, by what they are of: those that a case is judged by.
fn times(record: &Value) -> Option<Vec<(&'static str, Vec<f64>)>> {
    let list = |key: &str| -> Option<Vec<f64>> {
        let samples: Vec<f64> = record[key].as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
        (!samples.is_empty() && samples.iter().all(|x| *x > 0.0)).then_some(samples)
    };
    let token = list("tpot_samples_ns");
    let encodes = record["n_prompt"].as_u64().is_some_and(|n| n > 0) && record["n_gen"].as_u64().is_some_and(|n| n > 0);
    Some(match (encodes, token) {
        (true, Some(token)) => vec![("encode", list("encode_samples_ns")?), ("a token", token)],
        (false, Some(token)) => vec![("a token", token)],
        (true, None) => vec![("encode", list("encode_samples_ns")?), ("the test", list("samples_ns")?)],
        (false, None) => vec![("the test", list("samples_ns")?)],
    })
}

/// Each case that the baseline knows against it; `above` is the bound in percent. Says too what cannot be compared.
pub fn against(old: &[Old], records: &[(usize, Value)], above: Option<f64>) -> (Vec<Change>, Vec<String>) {
    let (mut changes, mut remarks) = (Vec::new(), Vec::new());
    for (case, record) in records {
        let key: Vec<Value> = KEY.iter().map(|k| record[*k].clone()).collect();
        let name = format!("{} {}", record["model"].as_str().unwrap_or_default(), record["test"].as_str().unwrap_or_default());
        let Some(before) = old.iter().rev().find(|o| o.key == key) else {
            remarks.push(format!("{name} is not in the baseline"));
            continue;
        };
        if record["cpu_info"].as_str() != Some(before.cpu.as_str()) {
            remarks.push(format!("{name}: the baseline was measured on another machine, `{}`", before.cpu));
        }
        for (of, new) in times(record).unwrap_or_default() {
            let old = before.times.iter().find(|(o, _)| *o == of).map(|(_, samples)| samples);
            changes.extend(old.and_then(|old| change(*case, of, (&new, old), above)));
        }
    }
    (changes, remarks)
}

fn change(case: usize, of: &'static str, (new, old): (&[f64], &[f64]), above: Option<f64>) -> Option<Change> {
    let value = super::figures::mean(new)? / super::figures::mean(old)?;
    let interval = ratio(new, old);
    let ratio = interval.unwrap_or(Interval { value, low: f64::NAN, high: f64::NAN });
    let tripped = above.is_some_and(|percent| ratio.low > 1.0 + percent / 100.0);
    Some(Change { case, of, certain: interval.is_some(), ratio, tripped })
}
