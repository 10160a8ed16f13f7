//! A case as a record: llama-bench's keys where it has them, integers in nanoseconds and bytes.

use super::compare::Change;
use super::figures::{Figures, Series};
use super::forecast::Forecast;
use super::growth::{Growth, Line, Overtaking, growth, overtaking};
use super::measured::Measured;
use super::paper::Line as PaperLine;
use super::quality::{Quality, Score};
use super::report::Table;
use crate::error::Error;
use crate::kernel::simd::isa;
use crate::report::csv_line;
use crate::timing::phases::Phase;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The record of case number `i`, whose logits are as far as `distance` says from another's. Its keys are the same in every record of a table; what was not measured is null.
pub fn record(table: &Table, i: usize, measured: &Measured, distance: Value) -> Value {
    let (plan, machine) = (table.plan, &table.environment.machine);
    let case = &plan.cases[i];
    let entry = &plan.models[case.model];
    let info = entry.outline.model.info();
    let mut r = Map::new();
    let mut put = |key: &str, value: Value| {
        r.insert(key.to_owned(), value);
    };
    put("build_version", env!("CARGO_PKG_VERSION").into());
    put("cpu_info", machine.cpu.clone().into());
    put("cpu_cores", machine.physical_cores.into());
    put("isa", isa().name().into());
    put("memory_bytes", machine.memory.into());
    put("os", machine.os.clone().into());
    put("model", entry.name.clone().into());
    put("model_filename", entry.filename().into());
    if let Some(adapter) = entry.adapter() {
        put("adapter", adapter.into());
    }
    put("model_type", info.model_type.into());
    put("attention", entry.outline.model.attention(case.test.prompt()).into());
    put("model_n_params", entry.outline.parameters.into());
    put("random_weights", entry.random.is_some().into());
    put("seed", plan.seed.into());
    put("test", case.test.name().into());
    put("n_prompt", case.test.prompt().into());
    put("n_gen", case.test.new_tokens().into());
    put("n_depth", case.test.depth().into());
    put("batch_size", case.batch.into());
    put("n_threads", case.threads.into());
    put("dtype", case.dtype.name().into());
    put("kv_dtype", entry.outline.held.cache.name().into());
    put("strategy", case.strategy.to_string().into());
    put("warmup", plan.protocol.warmup.into());
    put("take_turns", table.turns.taken().into());
    put("repetitions", measured.samples.len().into());
    put("test_time", if measured.test_time.is_empty() { Value::Null } else { measured.test_time.clone().into() });
    put("error", measured.failure.as_ref().map(Error::message).into());
    put("forecast_bytes", Forecast::of(entry.sizes(case.dtype), case).total().into());
    let figures = table.figures[i].as_ref();
    times(&mut put, figures, (case.test.tokens() * case.batch) as f64);
    memory(&mut put, figures);
    put("token_ns", figures.map(|_| measured.samples.iter().map(|s| s.tokens.clone()).collect::<Vec<_>>()).into());
    phases(&mut put, measured);
    quality(&mut put, table.quality.get(case.model).and_then(Option::as_ref));
    let papers: Vec<Value> = table.paper.iter().filter(|p| p.case == i).map(PaperLine::json).collect();
    put("reported", papers.into());
    if plan.models.iter().any(|m| m.distance_from.is_some()) {
        put("distance", distance);
    }
    Value::Object(r)
}

/// The records of all cases.
pub fn records(table: &Table, measured: &[Measured]) -> Vec<Value> {
    measured.iter().enumerate().map(|(i, m)| record(table, i, m, super::distance::json(table.plan, measured, i))).collect()
}

/// Everything in one document: the records, how times and memory grow, where one model overtakes another, and the baseline.
pub fn document(table: &Table, measured: &[Measured]) -> Value {
    let lines = Line::all(table.plan, &table.figures);
    let fit = |g: &Growth| {
        json!({
            "line": lines[g.line].name, "of": g.quantity.key(), "exponent": rounded(g.power.exponent),
            "exponent_ci95": g.power.exponent_ci95.map(rounded), "exponent_at_the_end": rounded(g.power.end),
            "ln_factor": rounded(g.power.ln_factor), "lengths": g.power.n,
        })
    };
    let cross = |o: &Overtaking| {
        json!({
            "winner": lines[o.winner].name, "loser": lines[o.loser].name, "of": o.quantity.key(), "tokens": rounded(o.crossing.at),
            "low": o.crossing.low.map(rounded), "high": o.crossing.high.map(rounded), "measured_between": o.between,
        })
    };
    let change = |c: &Change| {
        let bound = |x: f64| c.certain.then(|| rounded(x));
        let name = table.plan.describe(&table.plan.cases[c.case]);
        json!({"case": name, "of": c.of, "ratio": rounded(c.ratio.value), "low": bound(c.ratio.low), "high": bound(c.ratio.high), "tripped": c.tripped})
    };
    json!({
        "results": records(table, measured),
        "growth": growth(&lines).iter().map(fit).collect::<Vec<_>>(),
        "overtaking": overtaking(&lines).iter().map(cross).collect::<Vec<_>>(),
        "baseline": table.changes.iter().map(change).collect::<Vec<_>>(),
    })
}

/// Nine significant digits: more than any measurement has, and the same on machines whose logarithms differ in the last bit.
pub fn rounded(x: f64) -> Value {
    format!("{x:.8e}").parse::<f64>().map_or(Value::Null, Value::from)
}

/// An integer.
fn whole(x: f64) -> Value {
    json!(x.round() as i64)
}

fn times(put: &mut dyn FnMut(&str, Value), f: Option<&Figures>, tokens: f64) {
    let mut series = |prefix: &str, s: Option<&Series>| {
        put(&format!("{prefix}avg_ns"), s.map(|s| whole(s.summary.mean)).into());
        put(&format!("{prefix}stddev_ns"), s.and_then(|s| s.summary.stddev).map(whole).into());
        put(&format!("{prefix}ci95_ns"), s.and_then(|s| s.summary.ci95).map(whole).into());
        put(&format!("{prefix}samples_ns"), s.map(|s| s.samples.iter().copied().map(whole).collect::<Vec<_>>()).into());
    };
    series("", f.map(|f| &f.test));
    series("encode_", f.map(|f| &f.encode));
    series("ttft_", f.and_then(|f| f.ttft.as_ref()));
    series("tpot_", f.and_then(|f| f.tpot.as_ref()));
    let rates = f.map(|f| f.test.samples.iter().map(|ns| tokens / (ns / 1e9)).collect::<Vec<f64>>());
    let rate = rates.as_ref().and_then(|r| crate::timing::summary::Summary::of(r));
    put("avg_ts", rate.as_ref().map(|r| rounded(r.mean)).into());
    put("stddev_ts", rate.as_ref().and_then(|r| r.stddev).map(rounded).into());
    put("samples_ts", rates.map(|r| r.into_iter().map(rounded).collect::<Vec<_>>()).into());
    let token = f.and_then(|f| f.token.as_ref());
    put("p50_ns", token.map(|t| whole(t.p50)).into());
    put("p90_ns", token.map(|t| whole(t.p90)).into());
    put("p99_ns", token.map(|t| whole(t.p99)).into());
    put("min_ns", token.map(|t| whole(t.min)).into());
    put("max_ns", token.map(|t| whole(t.max)).into());
    put("drift", f.and_then(|f| f.drift).map(rounded).into());
    put("outliers", f.map(|f| f.outliers.clone()).into());
    put("token_outliers", f.map(|f| f.token_outliers).into());
    put("slow_start", f.map(|f| f.slow_start).into());
}

fn memory(put: &mut dyn FnMut(&str, Value), f: Option<&Figures>) {
    let traffic = f.and_then(|f| f.traffic.as_ref());
    put("peak_rss_bytes", f.and_then(|f| f.peak).into());
    put("state_bytes", f.map(|f| f.state).into());
    put("bytes_per_token", f.map(|f| rounded(f.bytes_per_token)).into());
    put("weight_bytes_per_step", traffic.map(|t| t.weights).into());
    put("state_bytes_per_step", traffic.map(|t| whole(t.state)).into());
    put("bandwidth_bytes_per_s", traffic.and_then(|t| t.machine).map(whole).into());
    put("bandwidth_share", traffic.and_then(|t| t.share).map(rounded).into());
}

fn phases(put: &mut dyn FnMut(&str, Value), measured: &Measured) {
    let object = |times: &[Duration; Phase::ALL.len()], total: Duration| {
        let mut all: Map<String, Value> =
            Phase::ALL.iter().zip(times).map(|(p, d)| (p.name().to_owned(), json!(d.as_nanos() as u64))).collect();
        let rest = total.saturating_sub(times.iter().sum());
        all.insert("other".to_owned(), json!(rest.as_nanos() as u64));
        Value::Object(all)
    };
    put("encode_phases_ns", measured.phases.map(|p| object(&p.encode, p.encode_total)).into());
    put("token_phases_ns", measured.phases.map(|p| object(&p.steps, p.steps_total)).into());
}

type Pick = fn(&Quality) -> &Score;
/// Scores of a model by key.
const QUALITY: [(&str, Pick); 4] =
    [("rouge1", |q| &q.rouge[0]), ("rouge2", |q| &q.rouge[1]), ("rougeLsum", |q| &q.rouge[2]), ("token_perplexity", |q| &q.perplexity)];

fn quality(put: &mut dyn FnMut(&str, Value), q: Option<&Quality>) {
    for (name, of) in QUALITY {
        put(name, q.map(|q| of(q).value).into());
        put(&format!("{name}_ci95"), q.map(|q| of(q).half_width).into());
    }
    put("quality_documents", q.map(|q| q.documents).into());
}

/// The records as comma-separated values: lists and objects, which do not fit into a cell, are left out.
pub fn csv(records: &[Value]) -> String {
    let flat = |key: &str| {
        let list = ["samples_ts", "token_ns", "outliers", "encode_phases_ns", "token_phases_ns", "reported", "distance"].contains(&key);
        !list && !key.ends_with("samples_ns")
    };
    let Some(Value::Object(first)) = records.first() else { return String::new() };
    let keys: Vec<&String> = first.keys().filter(|k| flat(k)).collect();
    let mut out = csv_line(&keys.iter().map(|k| (*k).clone()).collect::<Vec<_>>());
    for record in records {
        let cell = |key: &&String| match &record[key.as_str()] {
            Value::Null => String::new(),
            Value::String(s) => s.clone(),
            other => other.to_string(),
        };
        out += &csv_line(&keys.iter().map(cell).collect::<Vec<_>>());
    }
    out
}
