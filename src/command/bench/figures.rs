//! What the runs of a case say: [`Figures`], all that a row of the table shows and a record holds.

use super::case::{Case, Test};
use super::measured::Measured;
use crate::checkpoint::Outline;
use crate::model::Model;
use crate::timing::summary::{Summary, drift, outliers, slow_start};

/// The figures of one case. Times are in nanoseconds.
#[derive(Debug, Clone)]
pub struct Figures {
    /// What the test took, once a run: reading where nothing is written (with the first token for a prompt), else all steps.
    pub test: Series,
    /// Reading the document or prompt, once a run.
    pub encode: Series,
    /// Start to first token, once a run; none where there is no step.
    pub ttft: Option<Series>,
    /// Time per token after the first, once a run; none for fewer than two tokens.
    pub tpot: Option<Series>,
    /// Tokens after the first, of all runs together.
    pub token: Option<Summary>,
    /// Tokens of all runs that lie far out; they are kept.
    pub token_outliers: usize,
    /// Tokens of the last quarter against those of the first: median over median − 1, the mean over the runs.
    pub drift: Option<f64>,
    /// Runs that lie far out, counted from 0; they are kept.
    pub outliers: Vec<usize>,
    /// Whether the first run is one, on the slow side.
    pub slow_start: bool,
    /// Most bytes resident in the first run, other models left out.
    pub peak: Option<usize>,
    /// Bytes of the state of all rows at the end of a run.
    pub state: usize,
    /// Bytes by which the state of one row grows with a token of context, from this length on.
    pub bytes_per_token: f64,
    /// What a step must read; none where there is no step.
    pub traffic: Option<Traffic>,
}

/// One number a run.
#[derive(Debug, Clone)]
pub struct Series {
    /// The numbers.
    pub samples: Vec<f64>,
    /// Their statistics.
    pub summary: Summary,
}

/// Bytes that a step must read at least, and how fast it read them.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// Weights: once, whatever the number of rows.
    pub weights: usize,
    /// State of all rows, the mean over the steps.
    pub state: f64,
    /// Bytes a second that the machine reads at best with as many threads.
    pub machine: Option<f64>,
    /// The share of that which the median token reached.
    pub share: Option<f64>,
}

impl Series {
    fn of(samples: Vec<f64>) -> Option<Self> {
        Summary::of(&samples).map(|summary| Self { samples, summary })
    }
}

impl Figures {
    /// Of the runs of a case; none if there are none. `machine` is the read bandwidth with as many threads, in bytes a second.
    pub fn of(case: &Case, measured: &Measured, outline: &Outline, machine: Option<f64>) -> Option<Self> {
        let runs = &measured.samples;
        let encode = Series::of(runs.iter().map(|s| s.encode as f64).collect())?;
        let ttft = runs.iter().map(|s| s.ttft().map(|t| t as f64)).collect::<Option<_>>().and_then(Series::of);
        let later: Vec<Vec<f64>> = runs.iter().map(|s| s.tokens.iter().skip(1).map(|&t| t as f64).collect()).collect();
        let tpot = later.iter().map(|t| mean(t)).collect::<Option<_>>().and_then(Series::of);
        let pooled = later.concat();
        let token = Summary::of(&pooled);
        let drifts: Vec<f64> = later.iter().filter_map(|t| drift(t)).collect();
        let test = match case.test {
            Test::Prompt(_) => ttft.clone()?,
            _ if case.test.new_tokens() == 0 => encode.clone(),
            _ => Series::of(runs.iter().map(|s| s.tokens.iter().sum::<u64>() as f64).collect())?,
        };
        Some(Self {
            outliers: outliers(&test.samples),
            slow_start: slow_start(&test.samples),
            test,
            encode,
            ttft,
            tpot,
            token_outliers: outliers(&pooled).len(),
            traffic: traffic(case, outline.model.as_ref(), token.as_ref(), machine),
            token,
            drift: mean(&drifts),
            peak: measured.peak,
            state: runs.last()?.state_bytes,
            bytes_per_token: per_token(case.test, outline.model.as_ref()),
        })
    }

    /// The times that comparisons look at, once a run: per token where tokens are written, else the test's own.
    pub fn compared(&self) -> &Series {
        self.tpot.as_ref().unwrap_or(&self.test)
    }
}

/// Tokens over which the growth of a state is told.
const SPAN: usize = 1024;

/// None of nothing.
pub fn mean(x: &[f64]) -> Option<f64> {
    (!x.is_empty()).then(|| x.iter().sum::<f64>() / x.len() as f64)
}

/// Over the next 1,024 tokens: a state that grows by pages grows by a whole number of them.
fn per_token(test: Test, model: &dyn Model) -> f64 {
    let state = |n: usize| match test {
        Test::Encoder { .. } => model.state_bytes(n, 0),
        _ => model.state_bytes(0, n),
    };
    let n = test.length();
    (state(n + SPAN) as f64 - state(n) as f64) / SPAN as f64
}

fn traffic(case: &Case, model: &dyn Model, token: Option<&Summary>, machine: Option<f64>) -> Option<Traffic> {
    let (steps, source, target) = (case.test.steps(), case.test.source(), case.test.target());
    if steps == 0 {
        return None;
    }
    let read = if model.info().encoder_decoder { source } else { 0 };
    let shared = model.state_read_bytes(read, 0);
    // the first step finds what was read before it
    let own = |step: usize| model.state_read_bytes(read, target - steps + 1 + step).saturating_sub(shared) as f64;
    // rows multiply after the first step
    let rows = |step: usize| if step == 0 { case.batch } else { case.rows() } as f64;
    let own = (0..steps).map(|s| rows(s) * own(s)).sum::<f64>() / steps as f64;
    let state = case.batch as f64 * shared as f64 + own;
    let weights = model.step_bytes();
    let reached = token.map(|t| (weights as f64 + state) / (t.p50 / 1e9));
    let share = reached.zip(machine).map(|(reached, machine)| reached / machine);
    Some(Traffic { weights, state, machine, share })
}
