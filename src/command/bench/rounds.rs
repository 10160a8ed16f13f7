//! Rounds: each case once, then each once again, so that a machine that slows down slows all of them.

use super::Environment;
use super::forecast::Forecast;
use super::journal::Journal;
use super::measured::Measured;
use super::plan::Plan;
use super::progress::Progress;
use super::work::Worker;
use crate::command::threads::pool;
use crate::error::{Error, Result};
use crate::kernel::precision::Precision;
use crate::machine::memory::give_back;
use crate::model::Model;
use rayon::ThreadPool;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

/// Why the rounds came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All is measured that can be.
    Done,
    /// The user asked to stop.
    Interrupted,
    /// Nobody reads the output any more.
    Closed,
}

/// A model in memory.
struct Loaded {
    index: usize,
    dtype: Precision,
    model: Box<dyn Model>,
    /// Bytes resident since it was loaded and not before.
    added: usize,
}

/// Hears of a case that is done, and says whether to go on.
pub type News<'a> = dyn FnMut(usize, &Measured) -> Result<bool> + 'a;

/// What measures.
pub struct Rounds<'a> {
    /// What is to be done.
    pub plan: &'a Plan,
    /// The machine, and what tells of it.
    pub environment: &'a Environment<'a>,
    /// Where each run is noted.
    pub journal: Option<&'a mut Journal>,
    /// Whether to time the phases too.
    pub phases: bool,
    /// What the user sees meanwhile.
    pub progress: &'a Progress,
    /// Called when a case is done; false where nobody wants to hear of more.
    pub done: &'a mut News<'a>,
    pools: BTreeMap<usize, ThreadPool>,
}

impl<'a> Rounds<'a> {
    /// Ready to measure.
    pub fn new(
        plan: &'a Plan,
        environment: &'a Environment<'a>,
        journal: Option<&'a mut Journal>,
        phases: bool,
        (progress, done): (&'a Progress, &'a mut News<'a>),
    ) -> Self {
        Self { plan, environment, journal, phases, progress, done, pools: BTreeMap::new() }
    }

    /// Measures all cases that can be, those first that fit together.
    pub fn run(mut self, measured: &mut [Measured]) -> Result<End> {
        self.refuse(measured);
        for case in &self.plan.cases {
            if let Entry::Vacant(place) = self.pools.entry(case.threads) {
                place.insert(pool(case.threads)?);
            }
        }
        for group in self.groups(measured) {
            match self.group(&group, measured)? {
                End::Done => {}
                end => return Ok(end),
            }
        }
        Ok(End::Done)
    }

    /// Notes the cases that their model cannot do, and those that do not fit into memory.
    fn refuse(&self, measured: &mut [Measured]) {
        for (case, measured) in self.plan.cases.iter().zip(measured.iter_mut()) {
            let outline = self.plan.models[case.model].sizes(case.dtype);
            let beyond = || case.beyond(outline.model.info());
            let refusal = beyond().or_else(|| Forecast::of(outline, case).refusal(self.environment.available));
            measured.failure = refusal.map(|why| Error::new(why).hint("ask for shorter documents, smaller batches or fewer beams"));
        }
    }

    /// Cases whose models are in memory together: all of them, or those of one model after the other where that is too much.
    fn groups(&self, measured: &[Measured]) -> Vec<Vec<usize>> {
        let open: Vec<usize> = (0..self.plan.cases.len()).filter(|&i| measured[i].failure.is_none()).collect();
        let mut models: Vec<usize> = open.iter().map(|&i| self.plan.cases[i].model).collect();
        models.sort_unstable();
        models.dedup();
        if together(self.plan, &open, self.environment.available) {
            return vec![open];
        }
        models.iter().map(|&m| open.iter().copied().filter(|&i| self.plan.cases[i].model == m).collect()).collect()
    }

    fn group(&mut self, cases: &[usize], measured: &mut [Measured]) -> Result<End> {
        let repetitions = self.plan.protocol.repetitions;
        let open = |m: &Measured| m.samples.len() < repetitions || (self.phases && m.phases.is_none());
        let todo: Vec<usize> = cases.iter().copied().filter(|&i| open(&measured[i])).collect();
        let models = self.load(&todo, measured)?;
        let rounds = if self.plan.protocol.warmup { 0..=repetitions } else { 1..=repetitions };
        for round in rounds {
            for &i in &todo {
                if (self.environment.stop)() {
                    return Ok(End::Interrupted);
                }
                if measured[i].failure.is_some() {
                    continue;
                }
                // an earlier run may have done it already
                if (round == 0 || measured[i].samples.len() < round) && !self.turn(i, round, &models, &mut measured[i])? {
                    return Ok(End::Interrupted);
                }
                if round == repetitions && measured[i].failure.is_none() {
                    match self.finish(i, &models, &mut measured[i])? {
                        End::Done => {}
                        end => return Ok(end),
                    }
                }
            }
        }
        drop(models);
        give_back();
        Ok(End::Done)
    }

    /// Loads the models of these cases; where one cannot be loaded, its cases fail.
    fn load(&self, cases: &[usize], measured: &mut [Measured]) -> Result<Vec<Loaded>> {
        let mut models: Vec<Loaded> = Vec::new();
        for &i in cases {
            let case = &self.plan.cases[i];
            if measured[i].failure.is_some() || models.iter().any(|m| (m.index, m.dtype) == (case.model, case.dtype)) {
                continue;
            }
            self.progress.load(&self.plan.models[case.model].name);
            let resident = || self.environment.gauge.resident().unwrap_or(0);
            give_back();
            let before = resident();
            match self.plan.models[case.model].load(case.dtype) {
                // the file's own bytes go when the checkpoint goes: only the model stays
                Ok(checkpoint) => {
                    let model = checkpoint.model;
                    drop(checkpoint.store);
                    give_back();
                    models.push(Loaded { index: case.model, dtype: case.dtype, model, added: resident().saturating_sub(before) });
                }
                Err(error) => {
                    for &j in cases.iter().filter(|&&j| self.plan.cases[j].model == case.model) {
                        measured[j].failure = Some(error.clone());
                    }
                }
            }
        }
        Ok(models)
    }

    /// One run of case `i`; round 0 does not count. False if it was stopped; a run that fails is noted, and its case runs no more.
    fn turn(&mut self, i: usize, round: usize, models: &[Loaded], measured: &mut Measured) -> Result<bool> {
        self.progress.run(&self.plan.describe(&self.plan.cases[i]), round, self.plan.protocol.repetitions);
        self.wait();
        // memory is read off a case's first run: the others are alike, and nothing disturbs their times
        let weigh = round == 0 || (measured.samples.is_empty() && !self.plan.protocol.warmup);
        if weigh {
            give_back();
        }
        let weigh = weigh && self.environment.gauge.reset_peak();
        let time = self.environment.today();
        let sample = match self.with(i, models, |worker, case| worker.run(case)) {
            Ok(Some(sample)) => sample,
            Ok(None) => return Ok(false),
            Err(error) => {
                measured.failure = Some(error);
                return Ok(true);
            }
        };
        if weigh {
            let case = &self.plan.cases[i];
            let others: usize = models.iter().filter(|m| (m.index, m.dtype) != (case.model, case.dtype)).map(|m| m.added).sum();
            measured.peak = self.environment.gauge.peak().map(|p| p.saturating_sub(others));
        }
        if round > 0 {
            measured.test_time = time;
            if let Some(journal) = &mut self.journal {
                journal.push(i, &sample, measured)?;
            }
            measured.samples.push(sample);
        }
        Ok(true)
    }

    fn wait(&self) {
        let until = std::time::Instant::now() + Duration::from_secs_f64(self.plan.protocol.delay);
        while !(self.environment.stop)() {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// What comes after a case's last run: its phases, if somebody asked, and the news.
    fn finish(&mut self, i: usize, models: &[Loaded], measured: &mut Measured) -> Result<End> {
        if self.phases {
            match self.with(i, models, |worker, case| worker.phases(case))? {
                Some(times) => measured.phases = Some(times),
                None => return Ok(End::Interrupted),
            }
        }
        Ok(if (self.done)(i, measured)? { End::Done } else { End::Closed })
    }

    /// Calls `f` on the threads of case `i` with what runs its model.
    fn with<T: Send>(&self, i: usize, models: &[Loaded], f: impl Fn(&Worker, &super::case::Case) -> Result<T> + Send + Sync) -> Result<T> {
        let case = &self.plan.cases[i];
        let loaded = models.iter().find(|m| (m.index, m.dtype) == (case.model, case.dtype));
        let model = loaded.ok_or_else(|| Error::new("the model of the case is not loaded"))?.model.as_ref();
        let pool = self.pools.get(&case.threads).ok_or_else(|| Error::new("no threads were started for the case"))?;
        let worker = Worker { model, clock: &self.environment.clock, seed: self.plan.seed, stop: &*self.environment.stop };
        pool.install(|| f(&worker, case))
    }
}

/// Whether the models of these cases fit into memory together, with the hungriest case.
pub fn together(plan: &Plan, cases: &[usize], available: Option<usize>) -> bool {
    let mut weights = BTreeMap::new();
    let (mut work, mut program) = (0, 0);
    for &i in cases {
        let case = &plan.cases[i];
        let forecast = Forecast::of(plan.models[case.model].sizes(case.dtype), case);
        weights.insert((case.model, case.dtype.name()), forecast.weights);
        work = work.max(forecast.work);
        program = forecast.total() - forecast.weights - forecast.work;
    }
    let all = weights.values().sum::<usize>().saturating_add(work).saturating_add(program);
    available.is_none_or(|a| all <= a)
}
