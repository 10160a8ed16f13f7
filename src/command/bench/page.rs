//! The whole report as one page.

use super::measured::Measured;
use super::report::Table;
use crate::kernel::simd::isa;
use crate::report::bytes;
use crate::report::html::{Page, Section, html};

/// The page; `svg` are the plots.
pub fn page(table: &Table, measured: &[Measured], svg: Option<String>) -> String {
    let lead = table.lead();
    let mut sections: Vec<Section> = table
        .parts(measured)
        .into_iter()
        .map(|p| Section { heading: p.heading.to_owned(), tables: vec![p.cells], notes: p.notes })
        .collect();
    // names stand in backticks for terminals and markdown
    sections.iter_mut().flat_map(|s| &mut s.notes).for_each(|n| *n = n.replace('`', ""));
    let closing: Vec<String> = table.closing().iter().map(|l| l.replace('`', "")).collect();
    if !closing.is_empty() {
        sections.insert(0, Section { heading: "In short".to_owned(), tables: Vec::new(), notes: closing });
    }
    let title = table.plan.suite.as_ref().map_or_else(|| "Decode times".to_owned(), |(summary, _)| summary.clone());
    html(&Page {
        title,
        lead: lead.last().cloned().unwrap_or_default(),
        sections,
        svg,
        facts: facts(table, measured),
        footer: table.footer(),
    })
}

fn facts(table: &Table, measured: &[Measured]) -> Vec<(String, String)> {
    let m = &table.environment.machine;
    let mut facts = vec![
        ("Processor", m.cpu.clone()),
        ("Cores", format!("{} physical, {} logical", m.physical_cores, m.logical_cores)),
        ("Instructions", isa().name().to_owned()),
        ("System", format!("{}, {}", m.os, m.arch)),
        ("effattn", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    facts.extend(m.last_level_cache.map(|b| ("Last-level cache", bytes(b))));
    facts.extend(m.memory.map(|b| ("Memory", bytes(b))));
    for (threads, rate) in &table.environment.bandwidth {
        facts.push(("Read bandwidth", format!("{:.1} GB/s with {}", rate / 1e9, super::cells::threads(*threads))));
    }
    let times = || measured.iter().map(|m| m.test_time.as_str()).filter(|t| !t.is_empty());
    if let (Some(first), Some(last)) = (times().min(), times().max()) {
        facts.push(("Last runs", if first == last { first.to_owned() } else { format!("{first} to {last}") }));
    }
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
