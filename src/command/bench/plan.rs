//! From arguments or a suite to a [`Plan`]: which models, which cases, how they are run.

use super::args::BenchArgs;
use super::case::{Case, Test};
use super::entry::Entry;
use crate::checkpoint::Outline;
use crate::cli::{CommonArgs, Dtype};
use crate::command::threads;
use crate::error::{Error, Result};
use crate::suite::{self, Reported, Statistic, Strategy, Suite};

mod models;

/// How runs are made, and what a paper's figure is of their token times.
#[derive(Debug, Clone, PartialEq)]
pub struct Protocol {
    /// Runs of a case that count.
    pub repetitions: usize,
    /// Whether a full run goes before.
    pub warmup: bool,
    /// Seconds before each run.
    pub delay: f64,
    /// Tokens after the first that a paper's figure leaves out.
    pub drop: usize,
    /// What a paper's figure is of the token times that are left.
    pub statistic: Statistic,
    /// Whether somebody wants one model in memory at a time.
    pub take_turns: bool,
}

/// All that is going to be done.
pub struct Plan {
    /// What the suite is, and the paper behind it.
    pub suite: Option<(String, Option<String>)>,
    /// The models.
    pub models: Vec<Entry>,
    /// The cases, in the order of the table.
    pub cases: Vec<Case>,
    /// How.
    pub protocol: Protocol,
    /// What a paper reported.
    pub reported: Vec<Reported>,
    /// Seed of token ids and draws.
    pub seed: u64,
}

impl Plan {
    /// Of the command line.
    pub fn new(args: &BenchArgs, common: &CommonArgs) -> Result<Self> {
        let (threads, asked) = (threads::asked(common)?, common.threads.is_some());
        let threads = threads.as_slice();
        let mut plan = match &args.suite {
            Some(name) => Self::of_suite(&Suite::open(name)?, (threads, asked), args)?,
            None => Self::of_arguments(args, threads, common.quiet)?,
        };
        let (running, protocol) = (&args.running, &mut plan.protocol);
        protocol.repetitions = running.repetitions.unwrap_or(protocol.repetitions);
        protocol.delay = running.delay.unwrap_or(protocol.delay);
        protocol.warmup &= !running.no_warmup;
        protocol.take_turns |= running.take_turns;
        let cases = &plan.cases;
        let of = |m: usize| cases.iter().filter(move |c| c.model == m).map(|c| c.dtype);
        plan.models = plan.models.into_iter().enumerate().map(|(m, entry)| entry.with(of(m))).collect::<Result<_>>()?;
        if plan.cases.is_empty() {
            return Err(Error::usage("there is nothing to measure: no case reads or writes a token").hint("give `-p` or `-n` above 0"));
        }
        Ok(plan)
    }

    /// What the user should know of adapters, each line once.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.models.iter().flat_map(|m| m.outline.notes.iter().cloned()).collect();
        notes.dedup();
        notes
    }

    fn of_arguments(args: &BenchArgs, threads: &[usize], quiet: bool) -> Result<Self> {
        let (lists, seed) = (&args.cases, args.running.seed);
        let models = models::of_arguments(args, quiet)?;
        let list = |asked: &Option<crate::cli::List>, default: usize| asked.as_ref().map_or_else(|| vec![default], |l| l.0.clone());
        let (prompts, new) = (list(&lists.n_prompt, 512), list(&lists.n_gen, 128));
        let zero = vec![0];
        let mut cases = Vec::new();
        for (m, model) in models.iter().enumerate() {
            let info = model.outline.model.info();
            // as llama-bench: a decoder-only model has tests of reading and tests of writing
            let products = match (info.encoder_decoder, info.reads_only) {
                (true, _) => vec![(&prompts, &new)],
                (false, Some(_)) => vec![(&prompts, &zero)],
                (false, None) => vec![(&prompts, &zero), (&zero, &new)],
            };
            for (n_prompt, n_gen) in products {
                let grid = suite::Grid {
                    models: vec![m],
                    n_prompt: n_prompt.clone(),
                    n_gen: n_gen.clone(),
                    n_depth: list(&lists.n_depth, 0),
                    batch_size: list(&lists.batch_size, 1),
                    threads: threads.iter().copied().map(Some).collect(),
                    dtypes: args.weights.dtype.clone(),
                    strategies: if lists.strategy.is_empty() { vec![Strategy::Greedy] } else { lists.strategy.clone() },
                    line: 0,
                };
                for asked in grid.cases() {
                    let case = case(&asked, &model.outline, asked.threads.unwrap_or(1))?;
                    // different words may ask for the same: `auto` and `f32`, strategies where nothing is written
                    cases.extend(case.filter(|c| !cases.contains(c)));
                }
            }
        }
        let protocol = Protocol { repetitions: 5, warmup: true, delay: 0.0, drop: 0, statistic: Statistic::Mean, take_turns: false };
        Ok(Self { suite: None, models, cases, protocol, reported: Vec::new(), seed })
    }

    fn of_suite(suite: &Suite, (threads, asked): (&[usize], bool), args: &BenchArgs) -> Result<Self> {
        let models = models::of_suite(suite, args)?;
        let [threads] = threads else {
            return Err(Error::usage("`--threads` takes one number with a suite").hint("lists of threads belong into the suite's cases"));
        };
        let [dtype] = args.weights.dtype[..] else {
            return Err(Error::usage("`--dtype` takes one type with a suite").hint("lists of types belong into the suite's cases"));
        };
        let mut cases: Vec<Case> = Vec::new();
        let mut places = Vec::new(); // of the suite's cases among those
        for line in &suite.cases {
            let at = |e: Error| e.at(format!("{}:{}", suite.file, line.line));
            if let (true, Some(n)) = (asked, line.threads) {
                let error = Error::usage(format!("`--threads` beside a suite that asks for {n} threads itself"));
                return Err(at(error).hint("leave out `--threads`, or the suite's `threads`"));
            }
            let n = threads::possible(line.threads.unwrap_or(*threads)).map_err(at)?;
            if dtype != Dtype::Auto && line.dtype != Dtype::Auto {
                let error = Error::usage("`--dtype` beside a suite that asks for a type itself");
                return Err(at(error).hint("leave out `--dtype`, or the suite's `dtype`"));
            }
            let dtype = if line.dtype == Dtype::Auto { dtype } else { line.dtype };
            let case = case(&suite::Case { dtype, ..line.clone() }, &models[line.model].outline, n).map_err(at)?;
            let case = case.ok_or_else(|| suite.error(line.line, "a case that reads and writes nothing"))?;
            // different words may ask for the same: strategies where nothing is written
            let place = cases.iter().position(|c| *c == case).unwrap_or(cases.len());
            if place == cases.len() {
                cases.push(case);
            }
            places.push(place);
        }
        let reported = suite.reported.iter().map(|r| Reported { case: places[r.case], ..r.clone() }).collect();
        let p = &suite.protocol;
        Ok(Self {
            suite: Some((suite.summary.clone(), suite.source.clone())),
            models,
            cases,
            protocol: Protocol {
                repetitions: p.repetitions,
                warmup: p.warmup,
                delay: p.delay.as_secs_f64(),
                drop: p.drop,
                statistic: p.statistic,
                take_turns: p.take_turns,
            },
            reported,
            seed: args.running.seed,
        })
    }
}

/// The case that a line of a suite, or the command line, asks for; none where it reads and writes nothing.
///
/// A decoder-only model has no document apart: prompt and depth are what lies before its first new token.
fn case(asked: &suite::Case, outline: &Outline, threads: usize) -> Result<Option<Case>> {
    let info = outline.model.info();
    let encoder = info.encoder_decoder || info.reads_only.is_some();
    if asked.n_gen > 0 {
        info.decodes()?;
    }
    let suite::Case { n_prompt: source, n_gen: new, n_depth: depth, .. } = *asked;
    let test = match (encoder, new) {
        (true, _) if source == 0 => {
            return Err(Error::usage("an encoder reads 1 token at least").hint("give a prompt (`-p`, `n-prompt`) above 0"));
        }
        (true, 0) => Test::Encoder { source, depth: 0, new },
        (true, _) => Test::Encoder { source, depth, new },
        (false, 0) if source == 0 => return Ok(None),
        (false, 0) => Test::Prompt(source),
        (false, _) => Test::Generate { depth: source.saturating_add(depth), new },
    };
    // where nothing is chosen, the strategy is none of the case's business
    let strategy = if new == 0 { Strategy::Greedy } else { asked.strategy };
    let dtype = asked.dtype.precision().unwrap_or(outline.held.weights);
    Ok(Some(Case { model: asked.model, test, batch: asked.batch_size, threads, dtype, strategy }))
}
