//! The plots: times and memory against the length, and how the times of single tokens are distributed.

use super::case::Test;
use super::figures::Series as Times;
use super::growth::{Line, Quantity};
use super::measured::Measured;
use super::report::Table;
use crate::error::Result;
use crate::report::chart::{Axis, Chart, Point, Scale, Series, Unit};
use crate::report::svg::svg;

/// All plots that there is something for, as one picture.
pub fn picture(table: &Table, measured: &[Measured]) -> Result<String> {
    let lines = Line::all(table.plan, &table.figures);
    let mut charts = Vec::new();
    let long = lines.iter().any(|l| l.points().len() > 1);
    charts.extend(times("encode", &lines, Quantity::Encode, long));
    charts.extend(times("a token", &lines, Quantity::Token, long));
    charts.extend(memory(&lines, long));
    charts.extend(distribution(table, measured));
    svg(&charts)
}

fn length(long: bool) -> Axis {
    Axis { label: "tokens of context".to_owned(), unit: Unit::Count, scale: if long { Scale::Log } else { Scale::Linear } }
}

fn chart(title: &str, x: Axis, unit: Unit, scale: Scale, series: Vec<Series>) -> Option<Chart> {
    let series: Vec<Series> = series.into_iter().filter(|s| !s.points.is_empty()).collect();
    let y = Axis { label: String::new(), unit, scale };
    (!series.is_empty()).then(|| Chart { title: title.to_owned(), x, y, series, steps: false })
}

/// Mean and interval in milliseconds; on a log axis an interval stays above 0.
fn point(x: f64, times: &Times) -> Point {
    let (mean, half) = (times.summary.mean / 1e6, times.summary.ci95.unwrap_or(0.0) / 1e6);
    Point { x, y: mean, low: (mean - half).max(mean / 100.0), high: mean + half }
}

fn times(title: &str, lines: &[Line], quantity: Quantity, long: bool) -> Option<Chart> {
    let series = lines.iter().map(|line| {
        let of = |(n, f): &(usize, super::figures::Figures)| {
            let times = match (quantity, line.case.test) {
                (Quantity::Token, _) => f.tpot.as_ref(),
                (_, Test::Generate { .. }) => None,
                (_, Test::Prompt(_)) => Some(&f.test),
                (_, Test::Encoder { .. }) => Some(&f.encode),
            };
            times.map(|t| point(*n as f64, t))
        };
        Series { name: line.name.clone(), points: line.points().iter().filter_map(of).collect() }
    });
    let scale = if quantity == Quantity::Encode && long { Scale::Log } else { Scale::Linear };
    chart(title, length(long), Unit::Milliseconds, scale, series.collect())
}

fn memory(lines: &[Line], long: bool) -> Option<Chart> {
    let mut series = Vec::new();
    for line in lines {
        for (what, quantity) in [("peak", Quantity::Peak), ("state", Quantity::State)] {
            let points = line.samples(quantity).into_iter().filter(|(_, s)| s[0] > 0.0).map(|(n, s)| Point::new(n, s[0])).collect();
            series.push(Series { name: format!("{} · {what}", line.name), points });
        }
    }
    chart("memory", length(long), Unit::Bytes, Scale::Log, series)
}

/// The tokens of all runs, those after the first; of each line the longest length.
fn distribution(table: &Table, measured: &[Measured]) -> Option<Chart> {
    let mut series: Vec<(String, usize, Series)> = Vec::new(); // line, length, points
    for (case, measured) in table.plan.cases.iter().zip(measured) {
        let mut all: Vec<f64> = measured.samples.iter().flat_map(|s| s.tokens.iter().skip(1)).map(|&t| t as f64 / 1e6).collect();
        if all.is_empty() {
            continue;
        }
        all.sort_by(f64::total_cmp);
        let n = all.len() as f64;
        let points = all.into_iter().enumerate().map(|(i, x)| Point::new(x, (i + 1) as f64 / n)).collect();
        let (line, length) = (table.plan.line_name(case), case.test.length());
        let entry = (line.clone(), length, Series { name: line.clone(), points });
        match series.iter_mut().find(|(l, ..)| *l == line) {
            Some(known) if known.1 < length => *known = entry,
            Some(_) => {}
            None => series.push(entry),
        }
    }
    let longest = series.iter().map(|(_, n, _)| *n).max()?;
    let at = |n: usize| format!("at {} tokens", crate::report::grouped(n));
    let same = series.iter().all(|(_, n, _)| *n == longest);
    let title = if same { format!("times of single tokens, {}", at(longest)) } else { "times of single tokens".to_owned() };
    if !same {
        series.iter_mut().for_each(|(line, n, s)| s.name = format!("{line} {}", at(*n)));
    }
    let x = Axis { label: String::new(), unit: Unit::Milliseconds, scale: Scale::Linear };
    let drawn = chart(&title, x, Unit::Share, Scale::Linear, series.into_iter().map(|(.., s)| s).collect())?;
    Some(Chart { steps: true, ..drawn })
}
