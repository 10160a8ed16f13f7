//! Whether the models of a table are in memory together, or take turns.

use super::case::Case;
use super::forecast::Forecast;
use super::plan::Plan;
use crate::kernel::precision::Precision;
use crate::report::bytes;
use std::collections::BTreeMap;

/// How the models of a table are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turns {
    /// All at once.
    No,
    /// One at a time, because somebody wants it.
    Asked,
    /// One at a time, because together they do not fit.
    Forced {
        /// Bytes that they need together.
        together: usize,
        /// Bytes that are available.
        available: usize,
    },
}

impl Turns {
    /// Of the cases that run: a model that does not fit by itself waits for nobody, and one alone has nobody to take turns with.
    pub fn of(plan: &Plan, available: Option<usize>) -> Self {
        let open: Vec<usize> = (0..plan.cases.len()).filter(|&i| refusal(plan, &plan.cases[i], available).is_none()).collect();
        let together = together(plan, &open);
        match available {
            _ if groups(plan, &open).len() < 2 => Turns::No,
            _ if plan.protocol.take_turns => Turns::Asked,
            Some(available) if together > available => Turns::Forced { together, available },
            _ => Turns::No,
        }
    }

    /// Whether they take turns.
    pub fn taken(self) -> bool {
        self != Turns::No
    }

    /// What is to be said before anything is loaded, where nobody asked for it.
    pub fn note(self) -> Option<String> {
        let Turns::Forced { together, available } = self else { return None };
        let (together, available) = (bytes(together), bytes(available));
        Some(format!("the models together need about {together}, {available} are available: they take turns, loaded anew in each round"))
    }
}

/// Why a case cannot run, if it cannot: its model has not so many positions, or does not fit into memory by itself.
pub fn refusal(plan: &Plan, case: &Case, available: Option<usize>) -> Option<String> {
    let outline = plan.models[case.model].sizes(case.dtype);
    case.beyond(outline.model.info()).or_else(|| Forecast::of(outline, case).refusal(available))
}

/// What is loaded for a case: a model, in a precision.
pub fn unit(case: &Case) -> (usize, Precision) {
    (case.model, case.dtype)
}

/// These cases by what is loaded for them, each group in the order of its first case.
pub fn groups(plan: &Plan, cases: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &i in cases {
        match groups.iter_mut().find(|g| unit(&plan.cases[g[0]]) == unit(&plan.cases[i])) {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    groups
}

/// Bytes of all models of these cases, with the hungriest case.
fn together(plan: &Plan, cases: &[usize]) -> usize {
    let mut weights = BTreeMap::new();
    let (mut work, mut program) = (0, 0);
    for &i in cases {
        let case = &plan.cases[i];
        let forecast = Forecast::of(plan.models[case.model].sizes(case.dtype), case);
        weights.insert((case.model, case.dtype.name()), forecast.weights);
        work = work.max(forecast.work);
        program = forecast.total() - forecast.weights - forecast.work;
    }
    weights.values().sum::<usize>().saturating_add(work).saturating_add(program)
}
