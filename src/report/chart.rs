//! What a chart shows: series of points over two axes. [`super::svg`] draws it.

use crate::error::{Error, Result};

/// A measured point with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Where: a number of tokens, a time.
    pub x: f64,
    /// The value.
    pub y: f64,
    /// Lower end of the error bar; like `high` and `y` without one.
    pub low: f64,
    /// Upper end of the error bar.
    pub high: f64,
}

/// Points that belong together, sorted by x.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Its name in the legend; series of several charts with the same name look the same.
    pub name: String,
    /// At least one point.
    pub points: Vec<Point>,
}

/// How an axis grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// By sums; values (y) begin at zero.
    Linear,
    /// By factors; everything on it is positive.
    Log,
}

/// What the numbers of an axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Whole things: 1,024.
    Count,
    /// Times in milliseconds: 0.5 ms, 20 ms, 3 s.
    Milliseconds,
    /// Bytes, in powers of 1024: 64 MiB.
    Bytes,
    /// Parts of one, 0 to 1, shown as 0 % to 100 %.
    Share,
}

/// An axis of a [`Chart`].
#[derive(Debug, Clone)]
pub struct Axis {
    /// What is on it; may be empty.
    pub label: String,
    /// In which unit.
    pub unit: Unit,
    /// How it grows.
    pub scale: Scale,
}

/// One diagram.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What it shows, in a few words.
    pub title: String,
    /// The axis across.
    pub x: Axis,
    /// The axis up.
    pub y: Axis,
    /// What is drawn, the first one on top.
    pub series: Vec<Series>,
    /// An empirical distribution: a step line from zero without markers or error bars. The points are the sorted samples (x) and the
    /// share up to each (y).
    pub steps: bool,
}

impl Point {
    /// A point without an error bar.
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, low: y, high: y }
    }

    /// From the lowest to the highest value that has to be in the picture.
    pub(super) fn reach(&self) -> [f64; 3] {
        [self.low, self.y, self.high]
    }
}

impl Chart {
    /// Fails when it cannot be drawn: without a series, with one that has no points, with a value that its axis cannot show.
    pub fn check(&self) -> Result<()> {
        if self.series.is_empty() {
            return Err(self.error("there is no series in it"));
        }
        for series in &self.series {
            if series.points.is_empty() {
                return Err(self.error(&format!("`{}` has no points", series.name)));
            }
            for p in &series.points {
                self.x
                    .check(p.x)
                    .and(p.reach().iter().try_for_each(|v| self.y.check(*v)))
                    .map_err(|what| self.error(&format!("`{}` has {what}", series.name)))?;
            }
        }
        Ok(())
    }

    fn error(&self, what: &str) -> Error {
        Error::new(format!("cannot draw `{}`: {what}", self.title))
    }

    /// All x, sorted, each once.
    pub(super) fn xs(&self) -> Vec<f64> {
        let mut xs: Vec<f64> = self.series.iter().flat_map(|s| s.points.iter().map(|p| p.x)).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        xs
    }

    /// The lowest and the highest value, error bars included.
    pub(super) fn ys(&self) -> (f64, f64) {
        let all = self.series.iter().flat_map(|s| s.points.iter().flat_map(Point::reach));
        all.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)))
    }
}

impl Axis {
    /// An axis.
    pub fn new(label: impl Into<String>, unit: Unit, scale: Scale) -> Self {
        Self { label: label.into(), unit, scale }
    }

    fn check(&self, value: f64) -> std::result::Result<(), String> {
        // beyond this, differences overflow and labels become unreadable
        if !value.is_finite() || value.abs() > 1e30 {
            return Err(format!("the value {value}, which is not a finite number"));
        }
        if self.scale == Scale::Log && value < 1e-30 {
            return Err(format!("the value {value} on a logarithmic axis, which takes positive ones"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<Point>, scale: Scale) -> Chart {
        let (x, y) = (Axis::new("tokens", Unit::Count, Scale::Log), Axis::new("time", Unit::Milliseconds, scale));
        Chart { title: "encode".into(), x, y, series: vec![Series { name: "led".into(), points }], steps: false }
    }

    fn message(c: &Chart) -> String {
        c.check().unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_drawn_is_named() {
        let none = Chart { series: vec![], ..chart(vec![], Scale::Log) };
        assert_eq!(message(&none), "cannot draw `encode`: there is no series in it");
        assert_eq!(message(&chart(vec![], Scale::Log)), "cannot draw `encode`: `led` has no points");
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            for scale in [Scale::Log, Scale::Linear] {
                let place = |x, y, low, high| message(&chart(vec![Point::new(1.0, 1.0), Point { x, y, low, high }], scale));
                for text in [place(bad, 1.0, 1.0, 1.0), place(1.0, bad, 1.0, 1.0), place(1.0, 1.0, bad, 1.0), place(1.0, 1.0, 1.0, bad)] {
                    assert!(
                        text.starts_with("cannot draw `encode`: `led` has the value ") && text.ends_with("not a finite number"),
                        "{text}"
                    );
                }
            }
        }
    }

    #[test]
    fn only_a_linear_axis_takes_zero_and_less() {
        for bad in [0.0, -1.0] {
            let text = message(&chart(vec![Point::new(1.0, bad)], Scale::Log));
            assert_eq!(text, format!("cannot draw `encode`: `led` has the value {bad} on a logarithmic axis, which takes positive ones"));
            assert!(message(&chart(vec![Point::new(bad, 1.0)], Scale::Linear)).contains("logarithmic"));
            let low = Point { low: bad, ..Point::new(1.0, 1.0) };
            assert!(message(&chart(vec![low], Scale::Log)).contains("logarithmic"));
            assert!(chart(vec![low, Point::new(2.0, bad)], Scale::Linear).check().is_ok());
        }
    }

    #[test]
    fn the_reach_of_a_chart() {
        let points = vec![Point { x: 2.0, y: 3.0, low: 1.0, high: 7.0 }, Point::new(2.0, 4.0), Point::new(1.0, 5.0)];
        let c = chart(points, Scale::Linear);
        assert_eq!((c.xs(), c.ys()), (vec![1.0, 2.0], (1.0, 7.0)));
    }
}
