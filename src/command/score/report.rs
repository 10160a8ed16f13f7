//! A report in the formats of the command line.

use super::args::OutputFormat;
use super::evaluate::{Column, Outcome, Paired, Results, Test};
use super::records::{csv, json_values};
use crate::metric::signature::line;
use crate::report::{Table, fixed};
use serde_json::json;

/// How a report is to look.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// The format.
    pub format: OutputFormat,
    /// Digits after the point; `None`: the metric's own.
    pub width: Option<usize>,
    /// The scores and nothing else.
    pub score_only: bool,
    /// Whose numbers these are.
    pub explain: bool,
}

impl Style {
    /// Digits after the point of a column.
    pub fn digits(&self, column: &Column) -> usize {
        self.width.unwrap_or_else(|| column.metric.digits())
    }
}

/// The whole report as text.
pub fn report(results: &Results, style: &Style) -> String {
    match (style.format, results.systems.as_slice()) {
        (OutputFormat::Text, [_, _, ..]) if style.score_only => systems_only(results, style),
        (OutputFormat::Text, [_, _, ..]) => table(results, style).text() + &footer(results, style),
        (OutputFormat::Text, one) => lines(results, one.first().map_or(&[][..], |s| &s.outcomes), style),
        (OutputFormat::Markdown, _) => table(results, style).markdown() + "\n" + &footer(results, style),
        (OutputFormat::Csv, _) => csv(results),
        (OutputFormat::Json, _) => match json_values(results, style).as_slice() {
            [one] => format!("{one:#}\n"),
            many => format!("{:#}\n", json!(many)),
        },
        (OutputFormat::Jsonl, _) => json_values(results, style).iter().map(|v| format!("{v}\n")).collect(),
    }
}

/// sacreBLEU's line of a score: `BLEU|signature = 42.7 (μ = 42.6 ± 2.1) 80.0/…`.
pub fn score_line(column: &Column, outcome: &Outcome, style: &Style) -> String {
    let short = short(column, outcome, style);
    if style.score_only {
        return short;
    }
    let verbose = &outcome.score.verbose;
    let gap = if verbose.is_empty() { "" } else { " " };
    format!("{}|{} = {short}{gap}{verbose}", column.metric.name(), line(&column.signature))
}

fn short(column: &Column, outcome: &Outcome, style: &Style) -> String {
    let digits = style.digits(column);
    let score = fixed(outcome.score.value, digits);
    match outcome.interval {
        Some(i) => format!("{score} ({})", confidence(fixed(i.mean, digits), fixed(i.half_width, digits))),
        None => score,
    }
}

/// sacreBLEU's words for an interval.
pub fn confidence(mean: String, half_width: String) -> String {
    format!("μ = {mean} ± {half_width}")
}

/// One line a score, aligned at the sign of equality.
fn lines(results: &Results, outcomes: &[Outcome], style: &Style) -> String {
    let lines: Vec<String> = results.columns.iter().zip(outcomes).map(|(c, o)| score_line(c, o, style)).collect();
    if style.score_only {
        return lines.iter().map(|l| format!("{l}\n")).collect();
    }
    let at = |l: &str| l.split_once(" = ").map_or(0, |(left, _)| left.chars().count());
    let widest = lines.iter().map(|l| at(l)).max().unwrap_or(0);
    let aligned: String = lines.iter().map(|l| format!("{}{l}\n", " ".repeat(widest - at(l)))).collect();
    aligned + &remarks(results, style)
}

fn systems_only(results: &Results, style: &Style) -> String {
    let row = |outcomes: &[Outcome]| -> String {
        results.columns.iter().zip(outcomes).map(|(c, o)| fixed(o.score.value, style.digits(c))).collect::<Vec<_>>().join("\t")
    };
    results.systems.iter().map(|s| row(&s.outcomes) + "\n").collect()
}

/// A row for each score of each system.
fn table(results: &Results, style: &Style) -> Table {
    let intervals = results.test.samples().is_some();
    let paired = results.systems.len() > 1 && results.test != Test::None;
    let header = [("metric", true), ("system", true), ("score", true), ("μ", intervals), ("95 %", intervals), ("Δ", paired), ("p", paired)];
    let keep =
        |cells: [String; 7]| cells.into_iter().zip(header).filter(|(_, (_, shown))| *shown).map(|(cell, _)| cell).collect::<Vec<_>>();
    let mut table = Table::new(keep(header.map(|(name, _)| name.to_owned()))).right(&[2, 3, 4, 5]);
    for (i, column) in results.columns.iter().enumerate() {
        let digits = style.digits(column);
        for (s, system) in results.systems.iter().enumerate() {
            let outcome = &system.outcomes[i];
            let number = |x: Option<f64>| x.map_or(String::new(), |x| fixed(x, digits));
            table.row(keep([
                if s == 0 { heading(column) } else { String::new() },
                system.name.clone(),
                fixed(outcome.score.value, digits),
                number(outcome.interval.map(|i| i.mean)),
                outcome.interval.map_or(String::new(), |i| format!("± {}", fixed(i.half_width, digits))),
                outcome.paired.map_or(String::new(), |p| format!("{:+.digits$}", p.difference)),
                outcome.paired.map_or(String::new(), |p| format!("{}{}", fixed(p.p_value, 4), star(p))),
            ]));
        }
    }
    table
}

/// The mark of a difference that chance hardly gives. No difference has none, though its p-value is the least there is: that
/// counts what exceeds it.
fn star(paired: Paired) -> &'static str {
    if paired.p_value < 0.05 && paired.difference != 0.0 { " *" } else { "" }
}

/// A metric that counts errors points down: lower is better.
fn heading(column: &Column) -> String {
    if column.metric.is_error() { format!("{} ↓", column.title) } else { column.title.clone() }
}

/// What the table's numbers are.
fn footer(results: &Results, style: &Style) -> String {
    let mut out = String::new();
    let baseline = results.systems.first().map_or("", |s| s.name.as_str());
    let against = format!("Δ and p against `{baseline}`, * p < 0.05");
    let bootstrap = |n: usize| format!("μ and 95 %: bootstrap over segments, {n} resamples");
    let said = match results.test {
        Test::None => None,
        Test::Interval(n) => Some(bootstrap(n)),
        Test::PairedBootstrap(n) => Some(format!("{}; {against}: paired bootstrap", bootstrap(n))),
        Test::Randomisation(n, None) => Some(format!("{against}: paired approximate randomisation, {n} trials")),
        Test::Randomisation(n, Some(m)) => Some(format!("{}; {against}: paired approximate randomisation, {n} trials", bootstrap(m))),
    };
    said.into_iter().for_each(|line| out += &format!("{line}\n"));
    if style.format == OutputFormat::Markdown && !out.is_empty() {
        out.push('\n');
    }
    for column in &results.columns {
        let (name, signature) = (column.metric.name(), line(&column.signature));
        out += &if style.format == OutputFormat::Markdown { format!("- `{name}|{signature}`\n") } else { format!("{name}|{signature}\n") };
    }
    out + &remarks(results, style)
}

/// Departures from the standard, once a metric, and explanations where they are asked for.
fn remarks(results: &Results, style: &Style) -> String {
    let mut out = String::new();
    let mut said: Vec<String> = Vec::new();
    for column in &results.columns {
        let (name, departures) = (column.metric.name(), column.metric.departures(column.which));
        if !departures.is_empty() && !said.contains(&name) {
            out += &format!("\n{name} by this definition departs from the standard:\n");
            departures.iter().for_each(|d| out += &format!("- {d}\n"));
            said.push(name);
        }
    }
    out += &interval_remarks(results, style);
    if style.explain {
        for column in &results.columns {
            out += &format!("\n{}: {}\n", column.title, column.metric.explain(column.which));
        }
    }
    out
}

/// What is to be known of intervals, once a metric, with the medians that other tools report.
fn interval_remarks(results: &Results, style: &Style) -> String {
    let mut out = String::new();
    let mut said: Vec<String> = Vec::new();
    for column in &results.columns {
        let name = column.metric.name();
        let Some(note) = column.metric.on_intervals().filter(|_| results.test.samples().is_some() && !said.contains(&name)) else {
            continue;
        };
        out += &format!("\n{name}: {note}; from this seed:\n");
        for system in &results.systems {
            let own = results.columns.iter().zip(&system.outcomes).filter(|(c, _)| c.metric.name() == name);
            let median =
                |(c, o): (&Column, &Outcome)| o.interval.map(|i| format!("{} {}", c.title, fixed(i.quantiles[1], style.digits(c))));
            out += &format!("- `{}`: {}\n", system.name, own.filter_map(median).collect::<Vec<_>>().join(", "));
        }
        said.push(name);
    }
    out
}
