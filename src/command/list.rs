//! `effattn list`: the registries.

use super::Exit;
use crate::arch;
use crate::checkpoint::Shipped;
use crate::cli::{ListArgs, ListFormat};
use crate::decode::STRATEGIES;
use crate::error::Result;
use crate::metric::registry;
use crate::mixer::{self, Growth};
use crate::report::Table;
use crate::suite::SHIPPED;
use serde_json::json;
use std::io::Write;

/// Prints model types, attention variants, decoding strategies, metrics, shipped models and suites.
pub fn run(args: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let parts = |wide| {
        [
            ("Model types", models(wide)),
            ("Attention variants", variants()),
            ("Decoding", strategies()),
            ("Metrics", metrics()),
            ("Shipped models and configurations", shipped()),
            ("Suites of bench", suites()),
        ]
    };
    match args.format {
        ListFormat::Text => {
            let text = parts(false).map(|(title, table)| format!("{}\n{}", title.to_lowercase(), table.text()));
            write!(out, "{}", text.join("\n"))?;
        }
        ListFormat::Markdown => {
            let text = parts(true).map(|(title, table)| format!("## {title}\n\n{}", table.markdown()));
            write!(out, "{}", text.join("\n"))?;
        }
        ListFormat::Json => writeln!(out, "{:#}", as_json())?,
    }
    Ok(Exit::Success)
}

/// `wide` names checkpoints too, where lines need not fit a terminal.
fn models(wide: bool) -> Table {
    let columns = if wide { 5 } else { 3 };
    let mut table = Table::new(["model_type", "what it is", "attention", "on the same weights", "checkpoints"].into_iter().take(columns));
    for a in arch::REGISTRY {
        let (mixers, others) = (a.mixers.join(", "), a.attentions.join(", "));
        table.row([a.model_type, a.summary, &mixers, &others, a.checkpoints].into_iter().take(columns));
    }
    table
}

fn variants() -> Table {
    let mut table = Table::new(["name", "encodes", "decodes", "state", "source"]);
    let yes = |b: bool| if b { "yes" } else { "no" };
    for s in mixer::REGISTRY {
        table.row([s.name, yes(s.bidirectional), yes(s.causal), growth(s.state), s.paper]);
    }
    table
}

fn strategies() -> Table {
    let mut table = Table::new(["strategy", "settings"]);
    STRATEGIES.iter().for_each(|(name, settings)| table.row([*name, *settings]));
    table
}

fn metrics() -> Table {
    let mut table = Table::new(["metric", "what it measures", "equal to"]);
    let names = |names: &[&str]| match names {
        [first @ "rouge1", .., "rouge9", l, lsum] => format!("{first} … rouge9, {l}, {lsum}"),
        few => few.join(", "),
    };
    registry::REGISTRY.iter().for_each(|m| table.row([&names(m.names), m.summary, m.equals]));
    table
}

fn shipped() -> Table {
    let mut table = Table::new(["name", "model_type", "weights"]);
    for s in Shipped::all() {
        let weights = if s.weights { "yes: the default model" } else { "no: `bench --random-weights`" };
        table.row([s.name, s.model_type(), weights]);
    }
    table
}

fn suites() -> Table {
    let mut table = Table::new(["suite", "what it measures"]);
    for s in SHIPPED {
        table.row([s.name.to_owned(), s.suite().map_or_else(|e| e.message().to_owned(), |suite| suite.summary)]);
    }
    table
}

fn growth(g: Growth) -> &'static str {
    match g {
        Growth::Linear => "grows with the tokens read",
        Growth::Constant => "constant",
        Growth::Bounded => "grows until it is full",
        Growth::None => "none",
    }
}

fn as_json() -> serde_json::Value {
    json!({
        "model_types": arch::REGISTRY.iter().map(|a| json!({"model_type": a.model_type, "summary": a.summary, "mixers": a.mixers, "attentions": a.attentions, "checkpoints": a.checkpoints})).collect::<Vec<_>>(),
        "mixers": mixer::REGISTRY.iter().map(|s| json!({"name": s.name, "paper": s.paper, "state": growth(s.state), "causal": s.causal, "bidirectional": s.bidirectional})).collect::<Vec<_>>(),
        "metrics": registry::REGISTRY.iter().map(|m| json!({"names": m.names, "summary": m.summary, "equals": m.equals})).collect::<Vec<_>>(),
        "shipped": Shipped::all().iter().map(|s| json!({"name": s.name, "model_type": s.model_type(), "weights": s.weights})).collect::<Vec<_>>(),
        "suites": SHIPPED.iter().map(|s| s.name).collect::<Vec<_>>(),
        "strategies": STRATEGIES.iter().map(|(name, settings)| json!({"name": name, "settings": settings})).collect::<Vec<_>>(),
    })
}
