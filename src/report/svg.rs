//! Charts as a picture that stands alone: a grid of them under a common legend.

use super::chart::Chart;
use super::look::{BORDER, GROUND, INK, Look, look};
use super::pen::{Anchor, FINE, Font, group};
use super::plot::Plot;
use super::text::{escape, width, wrap};
use crate::error::{Error, Result};

const CELL: f64 = 440.0;
/// Around everything, and between charts.
const MARGIN: f64 = 20.0;
const BETWEEN: f64 = 32.0;
const NAME: Font = Font { size: 12.5, bold: false, colour: INK };
/// The piece of line before a name, and the space behind.
const SAMPLE: f64 = 44.0;
const BEHIND: f64 = 26.0;
const NAME_LINE: f64 = 21.0;

/// A complete SVG document with the charts in two columns (a single one in one), under a legend that names every series once. Series with
/// the same name look the same in all of them.
///
/// Fails when there is no chart, or one that cannot be drawn; see [`Chart::check`].
pub fn svg(charts: &[Chart]) -> Result<String> {
    if charts.is_empty() {
        return Err(Error::new("there is nothing to draw"));
    }
    charts.iter().try_for_each(Chart::check)?;
    let columns = charts.len().min(2);
    let inner = columns as f64 * CELL + (columns - 1) as f64 * BETWEEN;
    let names = names(charts);
    let legend = Legend::new(&names, inner);
    let mut body = legend.draw((MARGIN, MARGIN))?;
    let mut top = MARGIN + legend.height() + MARGIN;
    for row in grid(charts, columns).chunks(columns) {
        let (head, foot) = row.iter().map(Plot::around).fold((0.0, 0.0), |(a, b), (c, d)| (f64::max(a, c), f64::max(b, d)));
        for (i, plot) in row.iter().enumerate() {
            // headings stand right above their data, whatever their neighbours need
            let own = plot.around().0;
            let corner = (MARGIN + i as f64 * (CELL + BETWEEN), top + head - own);
            body += &plot.draw(corner, own, |name| look(names.iter().position(|n| n.0 == name).unwrap_or(0)))?;
        }
        top += head + Plot::height() + foot + BETWEEN;
    }
    let size = (inner + 2.0 * MARGIN, (top - BETWEEN + MARGIN).ceil());
    Ok(document(charts, size, &body))
}

/// The charts with their data in line with those above and below.
fn grid(charts: &[Chart], columns: usize) -> Vec<Plot<'_>> {
    let mut plots: Vec<Plot> = charts.iter().map(|c| Plot::new(c, CELL)).collect();
    for column in 0..columns {
        let left = plots.iter().skip(column).step_by(columns).map(Plot::needs_left).fold(0.0, f64::max);
        plots.iter_mut().skip(column).step_by(columns).for_each(|p| p.set_left(left, CELL));
    }
    plots
}

/// Every name once, and whether it has markers anywhere.
fn names(charts: &[Chart]) -> Vec<(&str, bool)> {
    let mut names: Vec<(&str, bool)> = Vec::new();
    for (chart, series) in charts.iter().flat_map(|c| c.series.iter().map(move |s| (c, s))) {
        match names.iter_mut().find(|n| n.0 == series.name) {
            Some(known) => known.1 |= !chart.steps,
            None => names.push((&series.name, !chart.steps)),
        }
    }
    names
}

/// The frame of the document around its elements.
fn document(charts: &[Chart], (wide, high): (f64, f64), body: &str) -> String {
    let titles: Vec<String> = charts.iter().map(|c| escape(&c.title)).collect();
    let titles = titles.join("; ");
    let (fine_wide, fine_high) = (wide * FINE, high * FINE);
    let class = if charts.len() > 1 { "charts two" } else { "charts one" };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"{class}\" width=\"{wide}\" height=\"{high}\" viewBox=\"0 0 {fine_wide} {fine_high}\" \
         role=\"img\" aria-label=\"{titles}\">\n<title>{titles}</title>\n\
         <rect x=\"5\" y=\"5\" width=\"{}\" height=\"{}\" rx=\"80\" fill=\"#{:06X}\" stroke=\"#{:06X}\" stroke-width=\"10\"/>\n{body}</svg>\n",
        fine_wide - 10.0,
        fine_high - 10.0,
        GROUND.light,
        BORDER.light,
    )
}

/// Names with a sample of each look, in columns.
struct Legend {
    entries: Vec<(Vec<String>, Look, bool)>,
    columns: Vec<f64>,
}

impl Legend {
    fn new(names: &[(&str, bool)], all: f64) -> Self {
        let lines = |name: &str| wrap(name, NAME.size, all - SAMPLE);
        let entries: Vec<_> = names.iter().enumerate().map(|(i, (name, marker))| (lines(name), look(i), *marker)).collect();
        let wide = |e: &(Vec<String>, Look, bool)| SAMPLE + BEHIND + e.0.iter().map(|l| width(l, NAME.size)).fold(0.0, f64::max);
        let widths: Vec<f64> = entries.iter().map(wide).collect();
        let columns = |n: usize| (0..n).map(|c| widths.iter().skip(c).step_by(n).copied().fold(0.0, f64::max)).collect::<Vec<_>>();
        let fitting = (1..=entries.len()).rev().map(columns).find(|c| c.iter().sum::<f64>() - BEHIND <= all);
        Self { entries, columns: fitting.unwrap_or_else(|| vec![all]) }
    }

    fn rows(&self) -> impl Iterator<Item = &[(Vec<String>, Look, bool)]> {
        self.entries.chunks(self.columns.len())
    }

    fn height(&self) -> f64 {
        self.rows().map(row_height).sum()
    }

    fn draw(&self, (left, mut top): (f64, f64)) -> Result<String> {
        let mut out = String::new();
        for row in self.rows() {
            let mut x = left;
            for ((lines, look, marker), wide) in row.iter().zip(&self.columns) {
                let y = top + NAME_LINE / 2.0;
                out += &group(&look.stroke(), "", |pen| pen.line(&[(x, y), (x + SAMPLE - 8.0, y)], look.colour, look.width))?;
                out += &group("", "", |pen| {
                    if *marker {
                        pen.marker((x + (SAMPLE - 8.0) / 2.0, y), *look)?;
                    }
                    let mut at = lines.iter().enumerate().map(|(i, l)| (l, (x + SAMPLE, y + i as f64 * NAME_LINE)));
                    at.try_for_each(|(line, spot)| pen.text(line, spot, Anchor::Start, NAME))
                })?;
                x += wide;
            }
            top += row_height(row);
        }
        Ok(out)
    }
}

fn row_height(row: &[(Vec<String>, Look, bool)]) -> f64 {
    row.iter().map(|e| e.0.len().max(1)).max().unwrap_or(1) as f64 * NAME_LINE
}

#[cfg(test)]
#[path = "svg_tests.rs"]
mod tests;
