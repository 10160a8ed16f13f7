//! Whether a difference is what rounding does to this checkpoint.
//!
//! Two correct programs that sum in different orders differ, and how much depends on the checkpoint: where scores are large, a unit in the last place
//! of a weight moves the logits by a thousandth. So an output beyond the tolerance is compared with what the same model gives with every weight moved by one
//! unit in its last place, up or down at random, [`RUNS`] times: a result that no more than [`TIMES`] times as much differs from the reference's is the
//! result of weights that a few roundings are away (backward stability: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 1.5). Sequences have no such excuse.

use super::compare::{Check, Finding, distance};
use super::{Report, verify};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use std::path::Path;

/// Times that the weights are moved at most.
pub const RUNS: u64 = 8;

/// How many times what moving the weights does an output may be off: two programs round, and each in more places than its weights.
pub const TIMES: f64 = 3.0;

/// Whether numbers are all that is beyond the tolerance.
pub fn may_explain(report: &Report) -> bool {
    let beyond = || report.checks.iter().filter(|c| !c.passed);
    beyond().next().is_some() && beyond().all(|c| c.got.is_some())
}

/// Notes in a report that did not pass what rounding does to each output, until that explains all of it; `load` loads the model with weights moved by a seed.
pub fn weigh(report: &mut Report, path: &Path, atol: f64, load: impl Fn(u64) -> Result<Checkpoint>) -> Result<()> {
    for seed in 1..=RUNS {
        if report.holds() {
            break;
        }
        let moved = verify(&load(seed)?, path, atol)?;
        for check in &mut report.checks {
            note(check, &moved);
        }
    }
    Ok(())
}

fn note(check: &mut Check, moved: &Report) {
    // logits along another sequence are those of other tokens
    let along = match check.key.as_str() {
        "greedy_step_logits" => moved.equal("greedy"),
        "beam4_score" => moved.equal("beam4_lp2_nr3"),
        _ => Some(true),
    };
    let Some(other) = moved.checks.iter().find(|c| c.key == check.key).filter(|_| along == Some(true)) else { return };
    if let (Some(a), Some(b)) = (&check.got, &other.got)
        && let Some(distance) = distance(a, b)
    {
        check.rounding = Some(check.rounding.map_or(distance, |before| before.max(distance)));
    }
}

impl Check {
    /// Whether it is within the tolerance, or no farther than rounding takes it.
    pub fn holds(&self) -> bool {
        self.passed
            || match (&self.finding, self.rounding) {
                (Finding::Close { max_abs, .. }, Some(rounding)) => *max_abs <= TIMES * rounding,
                _ => false,
            }
    }
}
