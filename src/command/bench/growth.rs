//! How times and memory grow with the length, and where one model overtakes another.

use super::case::{Case, Test};
use super::figures::Figures;
use super::plan::Plan;
use crate::timing::crossing::{Crossing, Flip, extrapolated, overtakes};
use crate::timing::fit::{Power, power};

/// What is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Reading the document or prompt.
    Encode,
    /// A token after the first.
    Token,
    /// Most bytes resident.
    Peak,
    /// Bytes of the state.
    State,
}

impl Quantity {
    /// All, in the order of the tables.
    pub const ALL: [Quantity; 4] = [Quantity::Encode, Quantity::Token, Quantity::Peak, Quantity::State];

    /// As tables name it.
    pub fn name(self, test: Test) -> &'static str {
        match self {
            Quantity::Encode if matches!(test, Test::Prompt(_)) => "time to first token",
            Quantity::Encode => "encode time",
            Quantity::Token => "time a token",
            Quantity::Peak => "peak memory",
            Quantity::State => "state",
        }
    }

    /// As records name it.
    pub fn key(self) -> &'static str {
        match self {
            Quantity::Encode => "encode_ns",
            Quantity::Token => "tpot_ns",
            Quantity::Peak => "peak_rss_bytes",
            Quantity::State => "state_bytes",
        }
    }

    /// One number a run, or one for all.
    fn samples(self, test: Test, f: &Figures) -> Option<Vec<f64>> {
        match self {
            Quantity::Encode if matches!(test, Test::Generate { .. }) => None,
            Quantity::Encode if matches!(test, Test::Prompt(_)) => Some(f.test.samples.clone()),
            Quantity::Encode => Some(f.encode.samples.clone()),
            Quantity::Token => f.tpot.as_ref().map(|s| s.samples.clone()),
            Quantity::Peak => f.peak.map(|b| vec![b as f64]),
            Quantity::State => Some(vec![f.state as f64]),
        }
    }
}

/// Cases that differ in nothing but the length, in the order of their lengths.
pub struct Line {
    /// The first of them.
    pub case: Case,
    /// What the table calls them: the model, and what else tells them from other lines.
    pub name: String,
    /// Which fit together with those of other models: all but model and length.
    kin: String,
    /// Length and figures.
    points: Vec<(usize, Figures)>,
}

/// How a quantity of a line grows.
pub struct Growth {
    /// Number of the line.
    pub line: usize,
    /// Which quantity.
    pub quantity: Quantity,
    /// The fit.
    pub power: Power,
}

/// Two lines that cross.
pub struct Overtaking {
    /// The line that is the slower one at short lengths and the faster one at long ones.
    pub winner: usize,
    /// The other.
    pub loser: usize,
    /// Which quantity.
    pub quantity: Quantity,
    /// Where.
    pub crossing: Crossing,
    /// The measured lengths around it; none: it is beyond what was measured, told by the fits alone.
    pub between: Option<(f64, f64)>,
}

impl Line {
    /// The lines of a table; those of fewer than two lengths say nothing about growth.
    pub fn all(plan: &Plan, figures: &[Option<Figures>]) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for (case, figures) in plan.cases.iter().zip(figures) {
            let Some(figures) = figures else { continue };
            let kin = plan.kin(case);
            let name = plan.line_name(case);
            let point = (case.test.length(), figures.clone());
            match lines.iter_mut().find(|l| l.case.model == case.model && l.kin == kin) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { case: case.clone(), name, kin, points: vec![point] }),
            }
        }
        for line in &mut lines {
            line.points.sort_by_key(|(n, _)| *n);
        }
        lines
    }

    /// Lengths and samples of a quantity.
    pub fn samples(&self, quantity: Quantity) -> Vec<(f64, Vec<f64>)> {
        let of = |(n, f): &(usize, Figures)| quantity.samples(self.case.test, f).map(|s| (*n as f64, s));
        self.points.iter().filter_map(of).collect()
    }

    /// Lengths and figures.
    pub fn points(&self) -> &[(usize, Figures)] {
        &self.points
    }

    fn power(&self, quantity: Quantity) -> Option<Power> {
        let means: Vec<(f64, f64)> =
            self.samples(quantity).into_iter().filter_map(|(n, s)| super::figures::mean(&s).map(|m| (n, m))).collect();
        (means.len() > 1).then(|| power(&means))?
    }
}

/// The fits of all lines.
pub fn growth(lines: &[Line]) -> Vec<Growth> {
    let of = |(line, quantity): (usize, Quantity)| lines[line].power(quantity).map(|power| Growth { line, quantity, power });
    Quantity::ALL.into_iter().flat_map(|q| (0..lines.len()).map(move |l| (l, q))).filter_map(of).collect()
}

/// Where lines of different models cross, in the times.
pub fn overtaking(lines: &[Line]) -> Vec<Overtaking> {
    let mut found = Vec::new();
    for (a, first) in lines.iter().enumerate() {
        for (b, second) in lines.iter().enumerate().skip(a + 1) {
            if first.kin != second.kin || first.case.model == second.case.model {
                continue;
            }
            for quantity in [Quantity::Encode, Quantity::Token] {
                found.extend(between(lines, a, b, quantity));
            }
        }
    }
    found
}

fn between(lines: &[Line], a: usize, b: usize, quantity: Quantity) -> Vec<Overtaking> {
    let (mut x, mut y) = (lines[a].samples(quantity), lines[b].samples(quantity));
    // only lengths that both were measured at
    x.retain(|(n, _)| y.iter().any(|(m, _)| m == n));
    y.retain(|(n, _)| x.iter().any(|(m, _)| m == n));
    if x.len() < 2 {
        return Vec::new();
    }
    let single = x.iter().chain(&y).any(|(_, s)| s.len() < 2);
    let mut flips = overtakes(&x, &y);
    // means that change their order within their noise show nothing; one run a case knows no noise, and says so
    flips.retain(|f| single || f.crossing.low.is_some() || f.crossing.high.is_some());
    let measured = |Flip { between, crossing, faster_before }: Flip| {
        let (winner, loser) = if faster_before { (b, a) } else { (a, b) };
        Overtaking { winner, loser, quantity, crossing, between: Some(between) }
    };
    if !flips.is_empty() {
        return flips.into_iter().map(measured).collect();
    }
    let beyond = || {
        // with fewer lengths a fit knows too little of itself to speak of others
        if x.len() < 4 {
            return None;
        }
        let (p, q) = (lines[a].power(quantity)?, lines[b].power(quantity)?);
        let crossing = extrapolated(&p, &q)?;
        let longest = x.last()?.0;
        // a bound of the interval says whether the fits tell it at all
        let told = crossing.low.is_some_and(|low| low > longest) && crossing.high.is_some() && crossing.at < 64.0 * longest;
        let (winner, loser) = if p.exponent < q.exponent { (a, b) } else { (b, a) };
        told.then_some(Overtaking { winner, loser, quantity, crossing, between: None })
    };
    beyond().into_iter().collect()
}
