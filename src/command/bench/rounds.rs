//! Rounds: each case once, then each once again, so that a machine that slows down slows all of them.

use super::Environment;
use super::distance::wanted;
use super::journal::Journal;
use super::measured::Measured;
use super::plan::Plan;
use super::progress::Progress;
use super::turns::{Turns, groups, refusal, unit};
use super::work::Worker;
use crate::command::threads::pool;
use crate::error::{Error, Result};
use crate::kernel::precision::Precision;
use crate::machine::memory::give_back;
use crate::model::Model;
use rayon::ThreadPool;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
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
    /// The model's number, and its precision.
    unit: (usize, Precision),
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
    turns: Turns,
    pools: BTreeMap<usize, ThreadPool>,
    /// Cases whose memory was read off.
    weighed: BTreeSet<usize>,
}

impl<'a> Rounds<'a> {
    /// Ready to measure.
    pub fn new(
        plan: &'a Plan,
        (environment, turns): (&'a Environment<'a>, Turns),
        journal: Option<&'a mut Journal>,
        phases: bool,
        (progress, done): (&'a Progress, &'a mut News<'a>),
    ) -> Self {
        Self { plan, environment, journal, phases, progress, done, turns, pools: BTreeMap::new(), weighed: BTreeSet::new() }
    }

    /// Measures all cases that can be.
    pub fn run(mut self, measured: &mut [Measured]) -> Result<End> {
        self.refuse(measured);
        for case in &self.plan.cases {
            if let Entry::Vacant(place) = self.pools.entry(case.threads) {
                place.insert(pool(case.threads)?);
            }
        }
        let open: Vec<usize> = (0..self.plan.cases.len()).filter(|&i| measured[i].failure.is_none()).collect();
        if self.turns.taken() { self.in_turn(&groups(self.plan, &open), measured) } else { self.together(&open, measured) }
    }

    /// Notes the cases that their model cannot do, and those that do not fit into memory.
    fn refuse(&self, measured: &mut [Measured]) {
        for (case, measured) in self.plan.cases.iter().zip(measured.iter_mut()) {
            let refusal = refusal(self.plan, case, self.environment.available);
            measured.failure = refusal.map(|why| Error::new(why).hint("ask for shorter documents, smaller batches or fewer beams"));
        }
    }

    /// Whether a case has something to do in the last round, or one before it.
    fn open(&self, round: usize, i: usize, measured: &Measured) -> bool {
        let last = round == self.plan.protocol.repetitions;
        let more = self.phases && measured.phases.is_none() || wanted(self.plan, i) && measured.logits.is_none();
        measured.failure.is_none() && (measured.samples.len() < round || last && more)
    }

    /// All models are in memory: each case once, then each once again.
    fn together(&mut self, cases: &[usize], measured: &mut [Measured]) -> Result<End> {
        let repetitions = self.plan.protocol.repetitions;
        let todo: Vec<usize> = cases.iter().copied().filter(|&i| self.open(repetitions, i, &measured[i])).collect();
        let rounds = if self.plan.protocol.warmup { 0..=repetitions } else { 1..=repetitions };
        self.loaded(&todo, rounds, measured)
    }

    /// Loads the models of these cases for these rounds, and lets them go.
    fn loaded(&mut self, todo: &[usize], rounds: impl IntoIterator<Item = usize>, measured: &mut [Measured]) -> Result<End> {
        let models = self.load(todo, measured)?;
        for round in rounds {
            match self.round(todo, round, &models, measured)? {
                End::Done => {}
                end => return Ok(end),
            }
        }
        drop(models);
        give_back();
        Ok(End::Done)
    }

    /// One model is in memory: in each round one after the other is loaded, warmed up, timed and let go.
    fn in_turn(&mut self, groups: &[Vec<usize>], measured: &mut [Measured]) -> Result<End> {
        let warmup = self.plan.protocol.warmup.then_some(0);
        for round in 1..=self.plan.protocol.repetitions {
            for cases in groups {
                let todo: Vec<usize> = cases.iter().copied().filter(|&i| self.open(round, i, &measured[i])).collect();
                if todo.is_empty() {
                    continue;
                }
                if (self.environment.stop)() {
                    return Ok(End::Interrupted);
                }
                match self.loaded(&todo, warmup.into_iter().chain([round]), measured)? {
                    End::Done => {}
                    end => return Ok(end),
                }
            }
        }
        Ok(End::Done)
    }

    /// Each of these cases once, unless an earlier run has done it already; after its last run what comes then.
    fn round(&mut self, cases: &[usize], round: usize, models: &[Loaded], measured: &mut [Measured]) -> Result<End> {
        for &i in cases {
            if (self.environment.stop)() {
                return Ok(End::Interrupted);
            }
            if measured[i].failure.is_some() {
                continue;
            }
            if (round == 0 || measured[i].samples.len() < round) && !self.turn(i, round, models, &mut measured[i])? {
                return Ok(End::Interrupted);
            }
            if round == self.plan.protocol.repetitions && measured[i].failure.is_none() {
                match self.finish(i, models, &mut measured[i])? {
                    End::Done => {}
                    end => return Ok(end),
                }
            }
        }
        Ok(End::Done)
    }

    /// Loads the models of these cases; where one cannot be loaded, its cases fail.
    fn load(&self, cases: &[usize], measured: &mut [Measured]) -> Result<Vec<Loaded>> {
        let mut models: Vec<Loaded> = Vec::new();
        for &i in cases {
            let case = &self.plan.cases[i];
            if measured[i].failure.is_some() || models.iter().any(|m| m.unit == unit(case)) {
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
                    models.push(Loaded { unit: unit(case), model, added: resident().saturating_sub(before) });
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
        let weigh = !self.weighed.contains(&i) && (round == 0 || (measured.samples.is_empty() && !self.plan.protocol.warmup));
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
            self.weighed.insert(i);
            let case = &self.plan.cases[i];
            let others: usize = models.iter().filter(|m| m.unit != unit(case)).map(|m| m.added).sum();
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
        if wanted(self.plan, i) {
            measured.logits = Some(self.with(i, models, |worker, case| worker.first(case))?);
        }
        Ok(if (self.done)(i, measured)? { End::Done } else { End::Closed })
    }

    /// Calls `f` on the threads of case `i` with what runs its model.
    fn with<T: Send>(&self, i: usize, models: &[Loaded], f: impl Fn(&Worker, &super::case::Case) -> Result<T> + Send + Sync) -> Result<T> {
        let case = &self.plan.cases[i];
        let loaded = models.iter().find(|m| m.unit == unit(case));
        let model = loaded.ok_or_else(|| Error::new("the model of the case is not loaded"))?.model.as_ref();
        let pool = self.pools.get(&case.threads).ok_or_else(|| Error::new("no threads were started for the case"))?;
        let worker = Worker { model, clock: &self.environment.clock, seed: self.plan.seed, stop: &*self.environment.stop };
        pool.install(|| f(&worker, case))
    }
}
