//! `effattn verify`: a model against stored outputs of its reference implementation.

use super::{Exit, located, open};
use crate::checkpoint::Checkpoint;
use crate::cli::{CommonArgs, Dtype, ReportFormat, VerifyArgs};
use crate::error::{Error, Result};
use crate::report::Table;
use crate::verify::{Check, Finding, Report, verify, verify_layer};
use serde_json::{Value, json};
use std::io::Write;

/// Prints the comparison; [`Exit::Gate`] when something failed.
pub fn run(args: &VerifyArgs, common: &CommonArgs, out: &mut dyn Write) -> Result<Exit> {
    if args.atol.is_nan() || args.atol < 0.0 {
        return Err(Error::usage(format!("`--atol {}` is no difference", args.atol)).hint("it is 0 or more, for instance 1e-4"));
    }
    let mut weights = args.model.weights.clone();
    if weights.dtype == Dtype::Auto {
        // `auto` may take a path that rounds more than the reference did
        weights.dtype = Dtype::F32;
    }
    weights.reference_quirks = !args.mended;
    let found = located(&args.model, common)?;
    let report = match found.as_ref().map(|f| Checkpoint::layer(&f.dir, &super::options(&weights, 0))).transpose()?.flatten() {
        Some(layer) => verify_layer(&layer, &args.golden, args.atol)?,
        None => verify(&open(found.as_ref(), &weights, 0)?, &args.golden, args.atol)?,
    };
    match args.format {
        ReportFormat::Text => write!(out, "{}", text(&report, args.atol))?,
        ReportFormat::Json => writeln!(out, "{:#}", as_json(&report, args.atol))?,
    }
    Ok(if report.passed() { Exit::Success } else { Exit::Gate })
}

/// The comparison as a table for a terminal.
pub fn text(report: &Report, atol: f64) -> String {
    let mut table = Table::new(["output", "max abs", "max rel", "first difference", ""]).right(&[1, 2]);
    for c in &report.checks {
        let verdict = if c.passed { "ok" } else { "FAILED" };
        let place = |first: &Option<(usize, usize)>| first.map_or(String::new(), |(r, i)| format!("row {r}, position {i}"));
        match &c.finding {
            Finding::Close { max_abs, max_rel, first } => {
                table.row([c.key.clone(), format!("{max_abs:.1e}"), format!("{max_rel:.1e}"), place(first), verdict.into()])
            }
            Finding::Sequence { first } => {
                let said = if c.passed { "equal".into() } else { place(first) };
                table.row([c.key.clone(), String::new(), String::new(), said, verdict.into()]);
            }
        }
    }
    let mut out = table.text();
    if !report.not_compared.is_empty() {
        out += &format!("not compared: {}\n", report.not_compared.join(", "));
    }
    out + &match report.checks.iter().find(|c| !c.passed) {
        None => format!("all {} outputs agree (tolerance {atol:.0e})\n", report.checks.len()),
        Some(first) => format!(
            "{} of {} outputs differ, the first is `{}`\n",
            report.checks.iter().filter(|c| !c.passed).count(),
            report.checks.len(),
            first.key
        ),
    }
}

fn as_json(report: &Report, atol: f64) -> Value {
    let check = |c: &Check| {
        let place = |first: &Option<(usize, usize)>| first.map_or(Value::Null, |(row, position)| json!({"row": row, "position": position}));
        match &c.finding {
            Finding::Close { max_abs, max_rel, first } => {
                json!({"key": c.key, "max_abs": number(*max_abs), "max_rel": number(*max_rel), "first": place(first), "passed": c.passed})
            }
            Finding::Sequence { first } => json!({"key": c.key, "first": place(first), "passed": c.passed}),
        }
    };
    json!({
        "max_abs_logits": report.max_abs(&["logits", "greedy_step_logits"]).map(number),
        "max_abs_encoder": report.max_abs(&["encoder_last_hidden_state"]).map(number),
        "greedy_equal": report.equal("greedy"),
        "beam_equal": report.equal("beam4_lp2_nr3"),
        "passed": report.passed(),
        "atol": atol,
        "checks": report.checks.iter().map(check).collect::<Vec<_>>(),
        "not_compared": report.not_compared,
    })
}

/// JSON has no NaN: the word stands for it.
fn number(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { json!(x.to_string()) }
}
