//! The report in its formats, on standard output or in files.

use super::measured::Measured;
use super::report::Table;
use super::{Job, OutputFormat, page, picture, record};
use crate::error::Result;
use crate::output::whole;
use std::io::Write;

/// Writes the table, the plots and the page.
pub fn report(job: &Job, table: &Table, measured: &[Measured], printed: &[usize], out: &mut dyn Write) -> Result<()> {
    if table.figures.iter().all(Option::is_none) {
        return Ok(()); // nothing was measured: there is nothing to show
    }
    let text = match job.args.format() {
        OutputFormat::Text => text(table, measured),
        OutputFormat::Markdown => markdown(table, measured),
        OutputFormat::Csv => record::csv(&record::records(table, measured)),
        OutputFormat::Json => format!("{:#}\n", record::document(table, measured)),
        OutputFormat::Jsonl => {
            let rest = record::records(table, measured).into_iter().enumerate().filter(|(i, _)| !printed.contains(i));
            rest.map(|(_, record)| format!("{record}\n")).collect()
        }
    };
    whole(job.args.path(), &text, out)?;
    let svg = (job.args.output.plot.is_some() || job.args.output.html.is_some()).then(|| picture::picture(table, measured)).transpose()?;
    if let (Some(path), Some(svg)) = (&job.args.output.plot, &svg) {
        whole(Some(path), svg, out)?;
    }
    if let Some(path) = &job.args.output.html {
        whole(Some(path), &page::page(table, measured, svg), out)?;
    }
    Ok(())
}

fn text(table: &Table, measured: &[Measured]) -> String {
    let mut out = table.lead().iter().map(|l| format!("{l}\n")).collect::<String>();
    for part in table.parts(measured) {
        out += &format!("\n{}\n{}", part.heading, part.cells.text());
        out.extend(part.notes.iter().map(|n| format!("{n}\n")));
    }
    out.push('\n');
    out.extend(table.footer().iter().map(|l| format!("{l}\n")));
    let closing = table.closing();
    if !closing.is_empty() {
        out.push('\n');
        out.extend(closing.iter().map(|l| format!("{l}\n")));
    }
    out
}

fn markdown(table: &Table, measured: &[Measured]) -> String {
    let list = |lines: &[String]| lines.iter().map(|l| format!("- {l}\n")).collect::<String>();
    let mut out = list(&table.lead());
    for part in table.parts(measured) {
        out += &format!("\n**{}**\n\n{}", part.heading, part.cells.markdown());
        if !part.notes.is_empty() {
            out += &format!("\n{}", list(&part.notes));
        }
    }
    out += &format!("\n{}", list(&table.footer()));
    let closing = table.closing();
    if !closing.is_empty() {
        out += &format!("\n{}", list(&closing));
    }
    out
}
