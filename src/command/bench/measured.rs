//! What is known of a case while it is measured, and when it is done.

use super::work::{PhaseTimes, Sample};
use crate::error::Error;

/// The runs of one case.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Runs that count, in order.
    pub samples: Vec<Sample>,
    /// Most bytes resident in its first run, what other models took left out.
    pub peak: Option<usize>,
    /// Time by phase of a run that does not count.
    pub phases: Option<PhaseTimes>,
    /// Logits of the first token, (documents, v), of a run that does not count, where somebody wants them.
    pub logits: Option<Vec<f32>>,
    /// When its last run began (RFC 3339).
    pub test_time: String,
    /// Why it was not run, or not to the end.
    pub failure: Option<Error>,
}
