//! Statistics → scores, intervals and p-values of every system.

use super::args::ScoreArgs;
use crate::error::{Error, Result};
use crate::metric::resample::numpy::Generator;
use crate::metric::resample::{self, Counted, Interval, Mean, bootstrap, interval};
use crate::metric::signature::{References, Setting, signature};
use crate::metric::{Metric, Score, sums};
use crate::output::say;

/// A score that was asked for.
pub struct Column<'m> {
    /// The metric,
    pub metric: &'m dyn Metric,
    /// and which of its scores.
    pub which: usize,
    /// Its title in tables.
    pub title: String,
    /// Everything it depends on.
    pub signature: Vec<(&'static str, String)>,
}

/// What a system got.
pub struct System {
    /// Its name.
    pub name: String,
    /// One a column.
    pub outcomes: Vec<Outcome>,
}

/// A score, and how sure it is.
pub struct Outcome {
    /// The score.
    pub score: Score,
    /// Where it lies when segments are resampled.
    pub interval: Option<Interval>,
    /// Against the baseline.
    pub paired: Option<Paired>,
}

/// A system against the first one.
#[derive(Debug, Clone, Copy)]
pub struct Paired {
    /// Its score less the baseline's.
    pub difference: f64,
    /// How often chance alone would give as large a difference.
    pub p_value: f64,
}

/// All of a report.
pub struct Results<'m> {
    /// The scores.
    pub columns: Vec<Column<'m>>,
    /// The systems, the baseline first.
    pub systems: Vec<System>,
    /// The test between systems.
    pub test: Test,
}

/// What is resampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Nothing.
    None,
    /// The interval of one system.
    Interval(usize),
    /// Intervals, and each system against the first.
    PairedBootstrap(usize),
    /// Coins are tossed, and intervals if they are asked for.
    Randomisation(usize, Option<usize>),
}

impl Test {
    /// What the arguments ask for.
    pub fn asked(args: &ScoreArgs, systems: usize, segments: usize) -> Result<Self> {
        let s = &args.significance;
        let samples = s.confidence_n.unwrap_or(1000);
        let test = match () {
            () if s.paired_ar => Test::Randomisation(s.paired_ar_n, s.confidence.then_some(samples)),
            () if systems > 1 => Test::PairedBootstrap(s.paired_bs_n),
            () if s.confidence => Test::Interval(samples),
            () => Test::None,
        };
        if segments > 1 || test == Test::None {
            return Ok(test);
        }
        if s.paired_ar || s.paired_bs || s.confidence {
            return Err(Error::new("one segment cannot be resampled").hint("leave out the intervals and tests, or give more segments"));
        }
        Ok(Test::None)
    }

    /// Resamples of the bootstrap.
    pub fn samples(self) -> Option<usize> {
        match self {
            Test::None => None,
            Test::Interval(n) | Test::PairedBootstrap(n) => Some(n),
            Test::Randomisation(_, n) => n,
        }
    }

    fn trials(self) -> Option<usize> {
        if let Test::Randomisation(n, _) = self { Some(n) } else { None }
    }
}

/// What there is to be scored.
pub struct Counts<'m> {
    /// The metrics.
    pub metrics: Vec<&'m dyn Metric>,
    /// (metric, score of it) of each column.
    pub columns: Vec<(usize, usize)>,
    /// Name and rows of each system, a list of rows a metric.
    pub systems: Vec<(String, Vec<Vec<f64>>)>,
    /// References a segment.
    pub references: References,
}

/// Scores everything.
pub fn evaluate<'m>(counts: &Counts<'m>, test: Test, seed: u64) -> Results<'m> {
    let setting = Setting { references: counts.references, bootstrap: test.samples(), randomisation: test.trials(), seed };
    let columns: Vec<Column> = counts.columns.iter().map(|&(m, which)| column(counts.metrics[m], which, &setting)).collect();
    let counted: Vec<Vec<Counted>> = counts.systems.iter().map(|(_, rows)| counted(&counts.metrics, rows)).collect();
    let resampled = test.samples().map(|n| Resampled { scores: resample_all(&counted, test, n, seed), metrics: counts.metrics.len() });
    let mean = if counts.systems.len() > 1 { Mean::Numpy } else { Mean::Exact };
    let mut systems: Vec<System> = Vec::new();
    for (s, (name, _)) in counts.systems.iter().enumerate() {
        let mut outcomes: Vec<Outcome> = Vec::new();
        for &(m, which) in &counts.columns {
            let entry = &counted[s][m];
            let score = entry.metric.score(which, &sums(entry.rows, entry.metric.width()), entry.segments());
            let interval = resampled.as_ref().and_then(|r| interval(entry.metric, r.of(s, m, which), mean));
            outcomes.push(Outcome { score, interval, paired: None });
        }
        if let Some(baseline) = systems.first() {
            let gaps: Vec<f64> = outcomes.iter().zip(&baseline.outcomes).map(|(o, b)| o.score.value - b.score.value).collect();
            let p_values = match (test, &resampled) {
                (Test::Randomisation(trials, _), _) => randomised(&counted[0], &counted[s], &counts.columns, trials, seed),
                (_, Some(resampled)) => paired(&counts.metrics, resampled, s, &counts.columns, &gaps),
                _ => Vec::new(),
            };
            for ((outcome, difference), p_value) in outcomes.iter_mut().zip(gaps).zip(p_values) {
                outcome.paired = Some(Paired { difference, p_value });
            }
        }
        systems.push(System { name: name.clone(), outcomes });
    }
    Results { columns, systems, test }
}

/// A column with its signature.
pub fn column<'m>(metric: &'m dyn Metric, which: usize, setting: &Setting) -> Column<'m> {
    Column { metric, which, title: metric.titles()[which].clone(), signature: signature(metric, which, setting) }
}

fn counted<'a>(metrics: &[&'a dyn Metric], rows: &'a [Vec<f64>]) -> Vec<Counted<'a>> {
    metrics.iter().zip(rows).map(|(&metric, rows)| Counted { metric, rows }).collect()
}

/// Draws for every system alike. Beside approximate randomisation sacreBLEU draws for all but the baseline with what its generator has left
/// after the coins.
fn resample_all(counted: &[Vec<Counted>], test: Test, samples: usize, seed: u64) -> Vec<Vec<Vec<f64>>> {
    let (Test::Randomisation(trials, _), [baseline, others @ ..]) = (test, counted) else {
        return bootstrap(&counted.concat(), samples, Generator::new(seed));
    };
    let segments = baseline.first().map_or(0, Counted::segments);
    let mut scores = bootstrap(baseline, samples, Generator::new(seed));
    let after = Generator::after_coins(seed, trials as u64 * segments as u64);
    scores.extend(bootstrap(&others.concat(), samples, after));
    scores
}

/// Resampled scores of all systems by all metrics.
struct Resampled {
    scores: Vec<Vec<Vec<f64>>>,
    metrics: usize,
}

impl Resampled {
    fn of(&self, system: usize, metric: usize, which: usize) -> &[f64] {
        &self.scores[system * self.metrics + metric][which]
    }
}

/// p-values of the paired bootstrap, one a column; `gaps` are the differences of the scores themselves.
fn paired(metrics: &[&dyn Metric], resampled: &Resampled, system: usize, columns: &[(usize, usize)], gaps: &[f64]) -> Vec<f64> {
    let p = |(&(m, which), gap): (&(usize, usize), &f64)| {
        resample::bootstrap_p_value(metrics[m], resampled.of(0, m, which), resampled.of(system, m, which), gap.abs())
    };
    columns.iter().zip(gaps).map(p).collect()
}

/// p-values of approximate randomisation, one a column; all scores of a metric come from the same trials.
fn randomised(baseline: &[Counted], system: &[Counted], columns: &[(usize, usize)], trials: usize, seed: u64) -> Vec<f64> {
    let by_metric: Vec<Vec<f64>> = baseline.iter().zip(system).map(|(a, b)| resample::randomisation(a, b, trials, seed)).collect();
    columns.iter().map(|&(m, which)| by_metric[m][which]).collect()
}

/// The seed: given, sacreBLEU's variable, or sacreBLEU's default.
pub fn seed(args: &ScoreArgs, quiet: bool) -> Result<u64> {
    let Some(text) = args.seed.is_none().then(|| std::env::var("SACREBLEU_SEED").ok()).flatten() else {
        return Ok(args.seed.unwrap_or(12345));
    };
    if text.eq_ignore_ascii_case("none") {
        // 32 bits, so that the signature shows a number one can type
        let drawn = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0) >> 32;
        if !quiet {
            say(format_args!("seed {drawn}, drawn because SACREBLEU_SEED is `{text}`"));
        }
        return Ok(drawn);
    }
    text.trim().parse().map_err(|_| {
        Error::usage(format!("SACREBLEU_SEED is `{text}`, not a whole number")).hint("set a number or `none`, or give `--seed N`")
    })
}
