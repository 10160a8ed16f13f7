//! Figures as the tables show them.

use super::case::{Case, Test};
use super::figures::{Figures, Series};
use super::growth::{Line, Overtaking};
use super::paper::significant;
use crate::report::{bytes, fixed, grouped};
use crate::timing::phases::Phase;
use std::time::Duration;

/// Stands for what there is none of.
pub const NONE: &str = "–";

/// `1 thread`, `2 threads`.
pub fn threads(n: usize) -> String {
    if n == 1 { "1 thread".to_owned() } else { format!("{n} threads") }
}

/// Gigabytes (of 10⁹ bytes) a second.
pub fn rate(bytes_per_second: f64) -> String {
    format!("{} GB/s", fixed(bytes_per_second / 1e9, 1))
}

/// With a minus as wide as a plus.
pub fn minus(number: &str) -> String {
    number.replace('-', "−")
}

/// With a plus where there is no minus.
pub fn signed(number: &str) -> String {
    if number.starts_with('-') { minus(number) } else { format!("+{number}") }
}

/// Milliseconds of nanoseconds, with as many digits as they are worth.
pub fn ms(ns: f64) -> String {
    let x = ns / 1e6;
    fixed(x, digits(x))
}

/// Digits behind the point of so many milliseconds.
pub fn digits(ms: f64) -> usize {
    match ms {
        x if x >= 1000.0 => 0,
        x if x >= 100.0 => 1,
        x if x >= 10.0 => 2,
        _ => 3,
    }
}

/// Mean and interval, both with the mean's digits.
pub fn interval(series: &Series) -> String {
    let (mean, n) = (series.summary.mean / 1e6, digits(series.summary.mean / 1e6));
    let half = series.summary.ci95.map_or_else(String::new, |c| format!(" ± {}", fixed(c / 1e6, n)));
    format!("{}{half}", fixed(mean, n))
}

/// The times of a case, in the order of the columns.
pub fn time_cells(case: &Case, f: &Figures) -> Vec<String> {
    let none = || NONE.to_owned();
    let token = |of: fn(&crate::timing::summary::Summary) -> f64| f.token.as_ref().map_or_else(none, |t| ms(of(t)));
    let range = f.token.as_ref().map_or_else(none, |t| format!("{}–{}", ms(t.min), ms(t.max)));
    let rates: Vec<f64> = f.test.samples.iter().map(|ns| (case.test.tokens() * case.batch) as f64 / (ns / 1e9)).collect();
    vec![
        if matches!(case.test, Test::Generate { depth: 0, .. }) { none() } else { interval(&f.encode) },
        f.ttft.as_ref().map_or_else(none, interval),
        f.tpot.as_ref().map_or_else(none, interval),
        token(|t| t.p50),
        token(|t| t.p90),
        token(|t| t.p99),
        range,
        super::figures::mean(&rates).map_or_else(none, |r| significant(r, 4)),
        f.drift.map_or_else(none, |d| format!("{} %", signed(&fixed(d * 100.0, 1)))),
    ]
}

/// The memory of a case, in the order of the columns, the forecast left out.
pub fn memory_cells(f: &Figures) -> Vec<String> {
    let none = || NONE.to_owned();
    let traffic = f.traffic.as_ref();
    let reached = traffic.and_then(|t| Some((t.weights as f64 + t.state) / (f.token.as_ref()?.p50 / 1e9)));
    vec![
        f.peak.map_or_else(none, bytes),
        bytes(f.state),
        grouped(f.bytes_per_token.round() as usize),
        traffic.map_or_else(none, |t| bytes(t.weights)),
        traffic.map_or_else(none, |t| bytes(t.state as usize)),
        reached.map_or_else(none, |r| fixed(r / 1e9, 1)),
        traffic.and_then(|t| t.share).map_or_else(none, |s| format!("{} %", fixed(s * 100.0, 0))),
    ]
}

/// Shares of `total`, which were `n` steps.
pub fn phase_cells(of: &str, times: &[Duration; Phase::ALL.len()], total: Duration, n: usize) -> Vec<String> {
    let nanos = total.as_nanos() as f64;
    let share =
        |d: Duration| if total.is_zero() { NONE.to_owned() } else { format!("{} %", fixed(100.0 * d.as_nanos() as f64 / nanos, 1)) };
    let mut cells = vec![of.to_owned(), ms(nanos / n as f64)];
    cells.extend(times.iter().map(|d| share(*d)));
    cells.push(share(total.saturating_sub(times.iter().sum())));
    cells
}

/// Where one line overtakes another, in words.
pub fn overtaking_line(lines: &[Line], o: &Overtaking) -> String {
    let (winner, loser) = (&lines[o.winner].name, &lines[o.loser].name);
    let what = o.quantity.name(lines[o.winner].case.test);
    let tokens = |x: f64| grouped(x.round() as usize);
    let bound = |x: Option<f64>| x.map_or_else(|| "?".to_owned(), tokens);
    let interval = match (o.crossing.low, o.crossing.high) {
        (None, None) => "no interval".to_owned(),
        (low, high) => format!("95 %: {}–{}", bound(low), bound(high)),
    };
    let at = tokens(o.crossing.at);
    match o.between {
        Some((low, high)) => {
            format!(
                "{what}: `{winner}` overtakes `{loser}` at {at} tokens ({interval}), between {} and {} as measured",
                tokens(low),
                tokens(high)
            )
        }
        None => {
            format!("{what}: `{winner}` would overtake `{loser}` at {at} tokens ({interval}) if the fits hold beyond what was measured")
        }
    }
}
