//! One chart: its domain, its margins, its lines.

use super::chart::{Axis, Chart, Point, Scale, Unit};
use super::look::{FAINT, GRID, INK, Look};
use super::pen::{Anchor, Font, Pen, Spot, group};
use super::text::{width, wrap};
use super::ticks::{Tick, at, ticks};
use crate::error::Result;

pub(super) const TITLE: Font = Font { size: 15.0, bold: true, colour: INK };
pub(super) const LABEL: Font = Font { size: 12.5, bold: false, colour: FAINT };
/// Bold letters are so much wider.
const BOLD: f64 = 1.13;
const TITLE_LINE: f64 = 20.0;
const LABEL_LINE: f64 = 16.0;
/// Between neighbouring labels.
const APART: f64 = 10.0;
/// Right of the data.
const RIGHT: f64 = 14.0;
/// Between a chart's heading and its data, and how high the data are.
const GAP: f64 = 12.0;
const HEIGHT: f64 = 220.0;
/// At most so many measured x are labelled one by one.
const MEASURED: usize = 8;

/// An axis with its limits.
#[derive(Debug, Clone)]
struct Ruler {
    log: bool,
    low: f64,
    high: f64,
    ticks: Vec<Tick>,
}

impl Ruler {
    /// Leaves some air at both ends; `from_zero` begins at zero where nothing is negative.
    fn new(axis: &Axis, (low, high): (f64, f64), from_zero: bool) -> Self {
        let log = axis.scale == Scale::Log;
        let (mut a, mut b) = if log { (low.ln(), high.ln()) } else { (low, high) };
        if !log && from_zero {
            (a, b) = (a.min(0.0), b.max(0.0));
        }
        if !log && axis.unit == Unit::Share {
            (a, b) = (a.min(0.0), b.max(1.0));
        }
        if b - a <= 1e-9 * a.abs().max(b.abs()) {
            let half = if log { std::f64::consts::LN_2 } else { (a.abs() * 0.1).max(1.0) };
            (a, b) = (a - half, b + half);
        }
        let air = (b - a) * 0.05;
        let zero = !log && (from_zero || axis.unit == Unit::Share);
        let (below, above) = (zero && a == 0.0, zero && (b == 0.0 || axis.unit == Unit::Share && b == 1.0));
        let (a, b) = (if below { a } else { a - air }, if above { b } else { b + air });
        let (low, high) = if log { (a.exp(), b.exp()) } else { (a, b) };
        Self { log, low, high, ticks: Vec::new() }
    }

    /// Where a value lies, 0 to 1.
    fn part(&self, value: f64) -> f64 {
        let f = |v: f64| if self.log { v.ln() } else { v };
        (f(value) - f(self.low)) / (f(self.high) - f(self.low))
    }
}

/// A chart with its measures in pixels.
pub(super) struct Plot<'a> {
    chart: &'a Chart,
    title: Vec<String>,
    above: Vec<String>,
    below: Vec<String>,
    x: Ruler,
    y: Ruler,
    /// Left edge of the data and their width, from the left edge of the chart.
    left: f64,
    wide: f64,
}

impl<'a> Plot<'a> {
    /// A chart that passed its check, so wide all in all.
    pub fn new(chart: &'a Chart, all: f64) -> Self {
        let xs = chart.xs();
        let mut y = Ruler::new(&chart.y, chart.ys(), true);
        y.ticks = ticks(&chart.y, y.low, y.high, if y.log { 9 } else { 6 });
        if y.ticks.is_empty() {
            y.ticks = at(chart.y.unit, &[chart.ys().1]);
        }
        let x = Ruler::new(&chart.x, (xs[0], xs[xs.len() - 1]), false);
        let title = wrap(&chart.title, TITLE.size * BOLD, all);
        let label = |text: &str| wrap(text, LABEL.size, all);
        let mut plot = Self { chart, title, above: label(&chart.y.label), below: Vec::new(), x, y, left: 0.0, wide: all };
        plot.set_left(plot.needs_left(), all);
        plot
    }

    /// Room for the labels left of the data.
    pub fn needs_left(&self) -> f64 {
        self.y.ticks.iter().map(|t| width(&t.label, LABEL.size)).fold(20.0, f64::max) + 8.0
    }

    /// Puts the data here, as those of the charts above and below.
    pub fn set_left(&mut self, left: f64, all: f64) {
        (self.left, self.wide) = (left, all - left - RIGHT);
        self.below = wrap(&self.chart.x.label, LABEL.size, self.wide);
        let xs = self.chart.xs();
        self.x.ticks = if self.chart.x.unit == Unit::Count && xs.len() <= MEASURED {
            self.thinned(at(Unit::Count, &xs))
        } else {
            let mut fitting = (1..=8).rev().map(|most| ticks(&self.chart.x, self.x.low, self.x.high, most));
            fitting
                .find(|t| !t.is_empty() && self.thinned(t.clone()).len() == t.len())
                .unwrap_or_else(|| self.thinned(at(self.chart.x.unit, &xs[..1])))
        };
    }

    /// Heading and footing: the lines above the data and below.
    pub fn around(&self) -> (f64, f64) {
        let above = self.title.len() as f64 * TITLE_LINE + self.above.len() as f64 * LABEL_LINE + GAP;
        (above, 26.0 + self.below.len() as f64 * LABEL_LINE)
    }

    /// How high the data are.
    pub fn height() -> f64 {
        HEIGHT
    }

    /// Without the labels that would stand in each other.
    fn thinned(&self, ticks: Vec<Tick>) -> Vec<Tick> {
        let mut end = f64::NEG_INFINITY;
        ticks
            .into_iter()
            .filter(|t| {
                let half = width(&t.label, LABEL.size) / 2.0;
                let middle = self.label_middle(t);
                let fits = middle - half >= end;
                if fits {
                    end = middle + half + APART;
                }
                fits
            })
            .collect()
    }

    /// Where a label under the data is centred: below its place, but within the chart.
    fn label_middle(&self, tick: &Tick) -> f64 {
        let half = width(&tick.label, LABEL.size) / 2.0;
        let all = self.left + self.wide + RIGHT;
        (self.left + self.x.part(tick.value) * self.wide).min(all - half).max(half)
    }

    /// Draws it with its top left corner there, the data so much below; `look` gives the look of a series.
    pub fn draw(&self, (left, top): Spot, head: f64, look: impl Fn(&str) -> Look) -> Result<String> {
        let origin = (left + self.left, top + head + HEIGHT);
        let place = |p: Spot| (origin.0 + self.x.part(p.0) * self.wide, origin.1 - self.y.part(p.1) * HEIGHT);
        let mut out = group("", "", |pen| {
            self.headings(pen, (left, top))?;
            self.frame(pen, origin, left)
        })?;
        // the first series is drawn last, on top; error bars lie under all lines
        let series = || self.chart.series.iter().rev().map(|s| (s, look(&s.name)));
        for (series, look) in series().filter(|(s, _)| !self.chart.steps && s.points.iter().any(|p| p.low != p.high)) {
            out += &group("", &series.name, |pen| series.points.iter().try_for_each(|p| error_bar(pen, p, look, &place)))?;
        }
        for (series, look) in series() {
            let spots: Vec<Spot> = series.points.iter().map(|p| place((p.x, p.y))).collect();
            let path = if self.chart.steps { stairs(&spots, origin.1) } else { spots.clone() };
            if path.len() > 1 {
                out += &group(&look.stroke(), &series.name, |pen| pen.line(&path, look.colour, look.width))?;
            }
            if !self.chart.steps {
                out += &group("", &series.name, |pen| spots.iter().try_for_each(|at| pen.marker(*at, look)))?;
            }
        }
        Ok(out)
    }

    fn headings(&self, pen: &mut Pen, (left, top): Spot) -> Result<()> {
        for (i, line) in self.title.iter().enumerate() {
            pen.text(line, (left, top + (i as f64 + 0.5) * TITLE_LINE), Anchor::Start, TITLE)?;
        }
        let top = top + self.title.len() as f64 * TITLE_LINE;
        for (i, line) in self.above.iter().enumerate() {
            pen.text(line, (left, top + (i as f64 + 0.5) * LABEL_LINE), Anchor::Start, LABEL)?;
        }
        Ok(())
    }

    /// Grid, ticks and their labels.
    fn frame(&self, pen: &mut Pen, (x, y): Spot, left: f64) -> Result<()> {
        for tick in &self.y.ticks {
            let y = y - self.y.part(tick.value) * HEIGHT;
            pen.line(&[(x, y), (x + self.wide, y)], GRID, 1.0)?;
            pen.text(&tick.label, (x - 8.0, y), Anchor::End, LABEL)?;
        }
        for tick in &self.x.ticks {
            let across = x + self.x.part(tick.value) * self.wide;
            pen.line(&[(across, y - HEIGHT), (across, y)], GRID, 1.0)?;
            pen.rule((across, y), (across, y + 4.0))?;
            pen.text(&tick.label, (left + self.label_middle(tick), y + 15.0), Anchor::Middle, LABEL)?;
        }
        pen.rule((x, y), (x + self.wide, y))?;
        for (i, line) in self.below.iter().enumerate() {
            pen.text(line, (x + self.wide / 2.0, y + 26.0 + (i as f64 + 0.5) * LABEL_LINE), Anchor::Middle, LABEL)?;
        }
        Ok(())
    }
}

fn error_bar(pen: &mut Pen, p: &Point, look: Look, place: &impl Fn(Spot) -> Spot) -> Result<()> {
    if p.low == p.high {
        return Ok(());
    }
    let ((x, low), (_, high)) = (place((p.x, p.low)), place((p.x, p.high)));
    let path = [(x - 4.0, low), (x + 4.0, low), (x, low), (x, high), (x - 4.0, high), (x + 4.0, high)];
    pen.line(&path, look.colour, 1.2)
}

/// The steps of sorted samples that can be told apart: half a pixel across and up. Rises from the floor at the first sample.
fn stairs(spots: &[Spot], floor: f64) -> Vec<Spot> {
    let half = |v: f64| (v * 2.0).round() / 2.0;
    let mut path: Vec<Spot> = Vec::new();
    let mut level = half(floor);
    for (i, spot) in spots.iter().enumerate() {
        let (x, y) = (half(spot.0), half(spot.1));
        if y == level && i + 1 < spots.len() {
            continue;
        }
        match path.last_mut() {
            Some(last) if last.0 == x => last.1 = y,
            _ if y == level => path.push((x, y)),
            _ => path.extend([(x, level), (x, y)]),
        }
        level = y;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stairs_keep_what_shows() {
        assert_eq!(
            stairs(&[(1.0, 8.0), (3.0, 4.0), (5.0, 0.0)], 12.0),
            [(1.0, 12.0), (1.0, 8.0), (3.0, 8.0), (3.0, 4.0), (5.0, 4.0), (5.0, 0.0)]
        );
        // two in one column, one too low to see, the last one counts anyhow
        assert_eq!(stairs(&[(1.0, 8.0), (1.1, 6.0), (3.0, 5.9), (9.0, 5.9)], 12.0), [(1.0, 12.0), (1.0, 6.0), (9.0, 6.0)]);
        assert_eq!(stairs(&[(1.0, 8.0)], 12.0), [(1.0, 12.0), (1.0, 8.0)]);
    }

    #[test]
    fn rulers() {
        let ruler = |unit, scale, low, high, zero| {
            let r = Ruler::new(&Axis::new("", unit, scale), (low, high), zero);
            (r.low, r.high)
        };
        assert_eq!(ruler(Unit::Milliseconds, Scale::Linear, 10.0, 20.0, true), (0.0, 21.0));
        assert_eq!(ruler(Unit::Milliseconds, Scale::Linear, -20.0, -10.0, true), (-21.0, 0.0));
        assert_eq!(ruler(Unit::Milliseconds, Scale::Linear, 10.0, 20.0, false), (9.5, 20.5));
        assert_eq!(ruler(Unit::Share, Scale::Linear, 0.2, 0.4, true), (0.0, 1.0));
        assert_eq!(ruler(Unit::Milliseconds, Scale::Linear, 0.0, 0.0, true), (-1.1, 1.1));
        let (low, high) = ruler(Unit::Bytes, Scale::Log, 100.0, 100.0, true);
        assert!(low < 50.0 && low > 40.0 && high > 200.0 && high < 240.0);
        let r = Ruler { log: true, low: 1.0, high: 100.0, ticks: vec![] };
        assert!((r.part(10.0) - 0.5).abs() < 1e-12);
    }
}
