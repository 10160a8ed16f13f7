//! `effattn verify`: a model against stored outputs of its reference implementation.

use super::{Exit, located, open_ids, open_moved, tell};
use crate::checkpoint::Checkpoint;
use crate::cli::{CommonArgs, Dtype, ReportFormat, VerifyArgs};
use crate::error::{Error, Result};
use crate::report::Table;
use crate::verify::{Check, Finding, Report, rounding, verify, verify_layer};
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
    let mut hint = None;
    let report = match found.as_ref().map(|f| Checkpoint::layer(&f.dir, &super::options(&weights, 0))).transpose()?.flatten() {
        Some(layer) => {
            let report = verify_layer(&layer, &args.golden, args.atol)?;
            hint = (args.rounding && !report.holds()).then_some("`--rounding` weighs whole models, and this is a layer alone");
            report
        }
        None => {
            // what is compared are ids
            let checkpoint = open_ids(found.as_ref(), &weights, 0)?;
            tell(&checkpoint.adapter_notes(), common.quiet);
            let mut report = verify(&checkpoint, &args.golden, args.atol)?;
            drop(checkpoint);
            if !weights.random_weights && rounding::may_explain(&report) {
                if args.rounding {
                    rounding::weigh(&mut report, &args.golden, args.atol, |seed| open_moved(found.as_ref(), &weights, seed))?;
                } else {
                    hint = Some("numbers differ and no sequence does: `--rounding` weighs whether rounding alone explains it");
                }
            }
            report
        }
    };
    match args.format {
        ReportFormat::Text => {
            write!(out, "{}", text(&report, args.atol))?;
            if let Some(hint) = hint {
                writeln!(out, "hint: {hint}")?;
            }
        }
        ReportFormat::Json => writeln!(out, "{:#}", as_json(&report, args.atol))?,
    }
    Ok(if report.holds() { Exit::Success } else { Exit::Gate })
}

/// The comparison as a table for a terminal.
pub fn text(report: &Report, atol: f64) -> String {
    let mut table = Table::new(["output", "max abs", "max rel", "first difference", ""]).right(&[1, 2]);
    for c in &report.checks {
        let verdict = match (c.passed, c.holds()) {
            (true, _) => "ok".to_owned(),
            (false, true) => format!("rounding ({:.1e})", c.rounding.unwrap_or_default()),
            (false, false) => "FAILED".to_owned(),
        };
        let place = |first: &Option<(usize, usize)>| first.map_or(String::new(), |(r, i)| format!("row {r}, position {i}"));
        match &c.finding {
            Finding::Close { max_abs, max_rel, first } => {
                table.row([c.key.clone(), format!("{max_abs:.1e}"), format!("{max_rel:.1e}"), place(first), verdict])
            }
            Finding::Sequence { first } => {
                let said = if c.passed { "equal".into() } else { place(first) };
                table.row([c.key.clone(), String::new(), String::new(), said, verdict]);
            }
        }
    }
    let mut out = table.text();
    if !report.not_compared.is_empty() {
        out += &format!("not compared: {}\n", report.not_compared.join(", "));
    }
    let excused = report.checks.iter().filter(|c| !c.passed && c.holds()).count();
    if excused > 0 {
        out += &format!(
            "rounding: {excused} of {} outputs are beyond {atol:.0e}, and no more than {} times as far off as a unit in the last place of each weight takes them (in brackets)\n",
            report.checks.len(),
            rounding::TIMES
        );
    }
    out + &match report.checks.iter().find(|c| !c.holds()) {
        None if excused > 0 => {
            format!("all {} outputs agree but for rounding (tolerance {atol:.0e}, which alone they do not meet)\n", report.checks.len())
        }
        None => format!("all {} outputs agree (tolerance {atol:.0e})\n", report.checks.len()),
        Some(first) => format!(
            "{} of {} outputs differ, the first is `{}`\n",
            report.checks.iter().filter(|c| !c.holds()).count(),
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
                json!({"key": c.key, "max_abs": number(*max_abs), "max_rel": number(*max_rel), "first": place(first), "passed": c.holds(), "within_atol": c.passed, "rounding": c.rounding.map(number)})
            }
            Finding::Sequence { first } => {
                json!({"key": c.key, "first": place(first), "passed": c.passed, "within_atol": null, "rounding": null})
            }
        }
    };
    json!({
        "max_abs_logits": report.max_abs(&["logits", "greedy_step_logits"]).map(number),
        "max_abs_encoder": report.max_abs(&["encoder_last_hidden_state"]).map(number),
        "greedy_equal": report.equal("greedy"),
        "beam_equal": report.equal("beam4_lp2_nr3"),
        "passed": report.holds(),
        "within_atol": report.passed(),
        "atol": atol,
        "checks": report.checks.iter().map(check).collect::<Vec<_>>(),
        "not_compared": report.not_compared,
    })
}

/// JSON has no NaN: the word stands for it.
fn number(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { json!(x.to_string()) }
}
