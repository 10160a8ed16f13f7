//! `effattn inspect`: what a checkpoint holds, and what its state will weigh.

mod args;
mod compare;
mod show;
mod texts;

pub use args::CompareArgs;

use super::{Exit, located, open};
use crate::arch;
use crate::checkpoint::Checkpoint;
use crate::cli::{CommonArgs, InspectArgs, ReportFormat};
use crate::decode::task;
use crate::document;
use crate::error::Result;
use crate::report::{bytes, grouped};
use compare::Comparison;
use serde_json::{Value, json};
use std::io::Write;

/// Tokens at which the state is weighed.
const LENGTHS: [usize; 3] = [1024, 4096, 16_384];
/// Tokens that the decoder has written by then, where an encoder read the document.
const WRITTEN: usize = 128;

/// Prints the checkpoint's facts, and the comparison of precisions if it was asked for.
pub fn run(args: &InspectArgs, common: &CommonArgs, out: &mut dyn Write) -> Result<Exit> {
    args.compare.check(&args.model.weights)?;
    document::check(args.compare.documents.as_slice(), &args.compare.reading())?;
    let found = located(&args.model, common)?;
    let checkpoint = open(found.as_ref(), &args.model.weights, 0)?;
    let mut facts = facts(&checkpoint)?;
    let comparison = args.compare.compare_dtypes.then(|| Comparison::of(args, found.as_ref(), checkpoint)).transpose()?;
    match args.format {
        ReportFormat::Text => write!(out, "{}{}", text(&facts), comparison.map_or_else(String::new, |c| c.text()))?,
        ReportFormat::Json => {
            if let Some(comparison) = comparison {
                facts["compare_dtypes"] = comparison.json();
            }
            writeln!(out, "{facts:#}")?;
        }
    }
    Ok(Exit::Success)
}

fn facts(c: &Checkpoint) -> Result<Value> {
    let info = c.model.info();
    let target = WRITTEN.min(info.max_target.unwrap_or(WRITTEN));
    let state = |n: usize| {
        let fits = info.max_source.is_none_or(|most| n <= most);
        let (source, target) = if info.encoder_decoder { (n, target) } else { (0, n) };
        (n.to_string(), if fits { json!(c.model.state_bytes(source, target)) } else { Value::Null })
    };
    Ok(json!({
        "name": c.name,
        "model_type": info.model_type,
        "summary": arch::find(&c.config)?.summary,
        "cannot_decode": info.reads_only,
        "reference_quirks": arch::find(&c.config)?.quirks,
        "attention": info.attention,
        "attentions": arch::find(&c.config)?.attentions,
        "encoder_layers": info.layers.0,
        "decoder_layers": info.layers.1,
        "vocab_size": info.vocab_size,
        "max_source": info.max_source,
        "max_target": info.max_target,
        "parameters": c.store.parameters(),
        "adapter": c.store.adapter().map(|a| {
            json!({"name": a.name, "r": a.rank, "alpha": a.alpha, "modules": a.modules, "whole_tensors": a.replaced, "parameters": a.parameters, "base": a.base, "notes": c.adapter_notes()})
        }),
        "bytes_on_disk": c.store.bytes(),
        "dtypes": c.store.dtypes(),
        "dtype_in_memory": c.held.weights.name(),
        "tokenizer": c.tokenizer.as_ref().map(|t| t.get_vocab_size(true)),
        "generation_config": c.generation_config.is_some(),
        "unread_config_keys": unread(c),
        "state_bytes": LENGTHS.map(state).into_iter().collect::<serde_json::Map<_, _>>(),
        "state_written_tokens": info.encoder_decoder.then_some(target),
    }))
}

/// Keys of config.json that nobody reads, one by one where decoding reads a part of them.
fn unread(c: &Checkpoint) -> Vec<String> {
    let parts = |key: &String| match key.as_str() {
        "task_specific_params" => task::unread(&c.config, c.model.info().encoder_decoder),
        _ => vec![key.clone()],
    };
    c.unread.iter().flat_map(parts).collect()
}

fn count(v: &Value) -> String {
    v.as_u64().map_or("no limit".to_string(), |n| grouped(n as usize))
}

fn word(v: &Value) -> String {
    v.as_str().unwrap_or_default().to_string()
}

fn adapter(a: &Value) -> String {
    let whole = a["whole_tensors"].as_u64().filter(|n| *n > 0).map_or(String::new(), |n| format!(", {n} whole tensors"));
    let (rank, alpha, parameters) = (&a["r"], a["alpha"].as_f64().unwrap_or_default(), count(&a["parameters"]));
    format!("{} (r={rank}, alpha={alpha}, {} modules{whole}, {parameters} parameters)", word(&a["name"]), a["modules"])
}

fn text(f: &Value) -> String {
    let size = |v: &Value| v.as_u64().map_or(String::new(), |n| bytes(n as usize));
    let dtypes =
        f["dtypes"].as_object().map(|d| d.iter().map(|(k, n)| format!("{k} × {n}")).collect::<Vec<_>>().join(", ")).unwrap_or_default();
    let unread = f["unread_config_keys"].as_array().map(|k| k.iter().map(word).collect::<Vec<_>>().join(", ")).unwrap_or_default();
    let on_disk = if dtypes.is_empty() {
        "made up, none on disk".to_string()
    } else {
        format!("{} on disk ({dtypes} tensors), {} in memory", size(&f["bytes_on_disk"]), word(&f["dtype_in_memory"]))
    };
    let others = f["attentions"]
        .as_array()
        .filter(|a| !a.is_empty())
        .map_or(String::new(), |a| format!("; `--attention`: auto, {}", a.iter().map(word).collect::<Vec<_>>().join(", ")));
    let mut lines = vec![
        ("architecture", format!("{} ({})", word(&f["model_type"]), word(&f["summary"]))),
        ("attention", word(&f["attention"]) + &others),
        ("layers", format!("{} encoder, {} decoder", f["encoder_layers"], f["decoder_layers"])),
        ("parameters", count(&f["parameters"])),
        ("weights", on_disk),
        ("vocabulary", format!("{} tokens", count(&f["vocab_size"]))),
        ("tokenizer", f["tokenizer"].as_u64().map_or("none (use `--ids`)".into(), |n| format!("{} tokens", grouped(n as usize)))),
        ("source, target", format!("{}, {} tokens at most", count(&f["max_source"]), count(&f["max_target"]))),
        (
            "generation",
            if f["generation_config"] == json!(true) { "generation_config.json".into() } else { "defaults of config.json".into() },
        ),
        ("unread keys", if unread.is_empty() { "none".into() } else { unread }),
    ];
    if f["adapter"].is_object() {
        lines.push(("adapter", adapter(&f["adapter"])));
        f["adapter"]["notes"].as_array().into_iter().flatten().for_each(|note| lines.push(("note", word(note))));
    }
    if let Some(why) = f["cannot_decode"].as_str() {
        lines.push(("decoding", format!("no: {why}")));
    }
    for quirk in f["reference_quirks"].as_array().into_iter().flatten() {
        lines.push(("mended", word(quirk)));
    }
    let after = f["state_written_tokens"].as_u64().map_or(String::new(), |n| format!(", {n} written"));
    let labels = LENGTHS.map(|n| format!("state at {}", grouped(n)));
    for (n, label) in LENGTHS.iter().zip(&labels) {
        let v = &f["state_bytes"][n.to_string()];
        lines
            .push((label, if v.is_null() { "longer than the model's positions".into() } else { format!("{} a document{after}", size(v)) }));
    }
    if f["cannot_decode"].is_string() {
        lines.truncate(lines.len() - LENGTHS.len());
    }
    let width = lines.iter().map(|(l, _)| l.len()).max().unwrap_or(0);
    lines.iter().fold(format!("{}\n", word(&f["name"])), |out, (label, value)| out + &format!("  {label:width$}  {value}\n"))
}
