//! `effattn bench`: decode-time tables that can be believed.
//!
//! | question | file |
//! |---|---|
//! | what can be asked for? | `args`, `plan`, `entry`, `case`, `names` |
//! | will it fit into memory, all models together or one at a time? | `forecast`, `turns` |
//! | what is timed? | `work` |
//! | in which order, and what if somebody interrupts? | `rounds`, `journal`, `progress` |
//! | what do the runs say? | `figures`, `growth`, `compare`, `distance`, `paper`, `quality` |
//! | how is it shown? | `report`, `cells`, `record`, `picture`, `page`, `write` |

mod args;
mod case;
mod cells;
mod compare;
mod distance;
mod entry;
mod environment;
mod figures;
mod forecast;
mod growth;
mod journal;
mod measured;
mod names;
mod page;
mod paper;
mod picture;
mod plan;
mod progress;
mod quality;
mod record;
mod report;
mod rounds;
#[cfg(test)]
mod tests;
mod turns;
mod work;
mod write;

pub use args::{BenchArgs, BenchWeightArgs, CaseArgs, CompareArgs, OutputArgs, OutputFormat, RunArgs};
pub(super) use cells::signed;
pub use environment::Environment;

use super::Exit;
use crate::cli::CommonArgs;
use crate::error::{Error, Result};
use crate::output::{self, Target, say};
use compare::Old;
use figures::Figures;
use journal::Journal;
use measured::Measured;
use plan::Plan;
use progress::Progress;
use quality::{Data, Request};
use report::Table;
use rounds::{End, Rounds};
use std::io::Write;
use std::path::Path;
use turns::Turns;

/// Checks everything that is cheap to check, measures, and reports.
pub fn run(args: &BenchArgs, common: &CommonArgs, out: &mut dyn Write) -> Result<Exit> {
    args.check()?;
    let plan = Plan::new(args, common)?;
    super::tell(&plan.notes(), common.quiet);
    let inputs = Inputs::read(args, &plan)?;
    super::interrupt::watch();
    let progress = Progress::new(!common.quiet);
    progress.show("reading memory to see how fast it is".to_owned());
    let environment = Environment::real(&plan)?;
    bench(&Job { args, plan: &plan, inputs: &inputs, environment: &environment, quiet: common.quiet }, &progress, out)
}

/// What is read before anything is measured.
struct Inputs {
    baseline: Vec<Old>,
    data: Option<Data>,
}

impl Inputs {
    /// Reads them, and refuses outputs that cannot be written.
    fn read(args: &BenchArgs, plan: &Plan) -> Result<Self> {
        if let Some(path) = args.path().filter(|p| !Target::is_device(p)) {
            output::check(path, false)?;
            journal::check(path, args.output.resume)?;
        }
        for path in [&args.output.plot, &args.output.html].into_iter().flatten() {
            output::check(path, false)?;
        }
        let baseline = args.compare.baseline.as_deref().map(compare::baseline).transpose()?.unwrap_or_default();
        let request = |data| Request { data, ref_column: args.running.ref_column.as_deref(), limit: args.running.quality_limit };
        let data = args.running.quality.as_deref().map(|d| Data::read(&request(d))).transpose()?;
        if data.is_some() && plan.models.iter().any(|m| m.random.is_some()) {
            return Err(Error::usage("`--quality` of made-up weights says nothing").hint("leave out `--quality`, or take checkpoints"));
        }
        Ok(Self { baseline, data })
    }
}

/// All that a run of the command depends on.
struct Job<'a> {
    args: &'a BenchArgs,
    plan: &'a Plan,
    inputs: &'a Inputs,
    environment: &'a Environment<'a>,
    quiet: bool,
}

/// Measures and reports on a machine that is given.
fn bench(job: &Job, progress: &Progress, out: &mut dyn Write) -> Result<Exit> {
    let Job { args, plan, environment, .. } = job;
    let mut measured = vec![Measured::default(); plan.cases.len()];
    let file = args.path().filter(|p| !Target::is_device(p));
    let mut journal = file.map(|p| Journal::open(p, args.output.resume, (plan, &environment.machine.cpu), &mut measured)).transpose()?;
    // quality comes with the record, and so before the first one is printed
    let quality = match quality(job, progress) {
        Ok(quality) => quality,
        Err(error) => {
            // nothing was added to the journal: an empty one goes, an earlier run's stays
            journal.into_iter().filter(|_| measured.iter().all(|m| m.samples.is_empty())).for_each(Journal::remove);
            return if (environment.stop)() { Ok(Exit::Interrupted) } else { Err(error) };
        }
    };
    let turns = Turns::of(plan, environment.available);
    if let Some(note) = turns.note().filter(|_| !job.quiet) {
        progress.aside(|| say(format!("note: {note}")));
    }
    let mut early = Early::new(job, turns, &quality, file.is_none() && args.format() == OutputFormat::Jsonl);
    let end = {
        let mut done = |i: usize, measured: &Measured| early.print(i, measured, progress, out);
        Rounds::new(plan, (environment, turns), journal.as_mut(), args.running.phases, (progress, &mut done)).run(&mut measured)?
    };
    progress.end();
    let printed = early.printed;
    let figures = plan.cases.iter().zip(&measured).map(|(c, m)| figures(job, c, m)).collect();
    let paper = paper::lines(plan, &measured);
    let mut table = Table { plan, environment, turns, figures, quality, paper, changes: Vec::new(), remarks: Vec::new() };
    compare_with_baseline(job, &mut table, &measured);
    // an earlier table is worth more than the beginning of a new one
    let earlier = end == End::Interrupted && file.is_some_and(Path::exists);
    if !earlier {
        write::report(job, &table, &measured, &printed, out)?;
    }
    conclude(job, &table, &measured, (end, journal))
}

fn figures(job: &Job, case: &case::Case, measured: &Measured) -> Option<Figures> {
    Figures::of(case, measured, job.plan.models[case.model].sizes(case.dtype), job.environment.rate(case.threads))
}

/// The scores of each model, if somebody asked.
fn quality(job: &Job, progress: &Progress) -> Result<Vec<Option<quality::Quality>>> {
    let score = |entry: &entry::Entry| -> Result<Option<quality::Quality>> {
        let Some(data) = &job.inputs.data else { return Ok(None) };
        progress.show(format!("scoring {}", entry.name));
        data.score(entry).map(Some)
    };
    job.plan.models.iter().map(score).collect()
}

/// Records that are printed as soon as their case is done.
struct Early<'a> {
    job: &'a Job<'a>,
    turns: Turns,
    quality: &'a [Option<quality::Quality>],
    wanted: bool,
    printed: Vec<usize>,
}

impl<'a> Early<'a> {
    fn new(job: &'a Job, turns: Turns, quality: &'a [Option<quality::Quality>], wanted: bool) -> Self {
        Self { job, turns, quality, wanted, printed: Vec::new() }
    }

    /// False where nobody reads any more.
    fn print(&mut self, i: usize, measured: &Measured, progress: &Progress, out: &mut dyn Write) -> Result<bool> {
        // what a paper reports is compared with other cases, which are not done yet
        if !self.wanted || !self.job.plan.reported.is_empty() || self.job.plan.models.iter().any(|m| m.distance_from.is_some()) {
            return Ok(true);
        }
        let plan = self.job.plan;
        let mut figures: Vec<Option<Figures>> = vec![None; plan.cases.len()];
        figures[i] = self::figures(self.job, &plan.cases[i], measured);
        let table = Table {
            plan,
            environment: self.job.environment,
            turns: self.turns,
            figures,
            quality: self.quality.to_vec(),
            paper: Vec::new(),
            changes: Vec::new(),
            remarks: Vec::new(),
        };
        let line = record::record(&table, i, measured, serde_json::Value::Null);
        self.printed.push(i);
        match progress.aside(|| writeln!(out, "{line}").and_then(|()| out.flush())) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            other => other.map(|()| true).map_err(Error::from),
        }
    }
}

/// Fills in the changes and says what cannot be compared.
fn compare_with_baseline(job: &Job, table: &mut Table, measured: &[Measured]) {
    if job.inputs.baseline.is_empty() {
        return;
    }
    let records = record::records(table, measured);
    let records: Vec<_> = records.into_iter().enumerate().filter(|(i, _)| table.figures[*i].is_some()).collect();
    let (changes, remarks) = compare::against(&job.inputs.baseline, &records, job.args.compare.fail_above);
    (table.changes, table.remarks) = (changes, remarks);
}

/// What there is to say on standard error, and the exit code.
fn conclude(job: &Job, table: &Table, measured: &[Measured], (end, journal): (End, Option<Journal>)) -> Result<Exit> {
    let tell = |line: String| {
        if !job.quiet {
            say(line)
        }
    };
    table.remarks.iter().for_each(|r| tell(format!("note: {r}")));
    if end == End::Closed {
        return Ok(Exit::Success);
    }
    let failed: Vec<(usize, &Error)> = measured.iter().enumerate().filter_map(|(i, m)| Some((i, m.failure.as_ref()?))).collect();
    let name = |i: usize| job.plan.describe(&job.plan.cases[i]);
    if let (true, Some((first, rest))) = (failed.len() == measured.len(), failed.split_first()) {
        journal.into_iter().for_each(Journal::remove);
        rest.iter().for_each(|(i, why)| say(format_args!("error: {}: {why}", name(*i))));
        return Err(first.1.clone().at(name(first.0)));
    }
    failed.iter().for_each(|(i, why)| say(format_args!("error: {}: {why}", name(*i))));
    if end == End::Interrupted {
        match journal {
            journal if measured.iter().all(|m| m.samples.is_empty()) => {
                journal.into_iter().for_each(Journal::remove);
                tell("note: nothing was finished".to_owned());
            }
            Some(j) => tell(format!("note: what was finished is in `{}`, `--resume` goes on there", j.path().display())),
            None => tell("note: what was finished is in the table".to_owned()),
        }
        return Ok(Exit::Interrupted);
    }
    if let Some(journal) = journal {
        journal.remove();
    }
    if job.args.compare.fail_above.is_some() && table.changes.is_empty() {
        return Err(Error::new("nothing was compared: no case is in the baseline").hint("measure the cases that the baseline has"));
    }
    for change in table.changes.iter().filter(|c| !c.certain && job.args.compare.fail_above.is_some()) {
        tell(format!("note: {}: too few runs to compare {} with the baseline", name(change.case), change.of));
    }
    let tripped: Vec<&compare::Change> = table.changes.iter().filter(|c| c.tripped).collect();
    for change in &tripped {
        let above = job.args.compare.fail_above.unwrap_or_default();
        let (value, low) = (change.ratio.value, change.ratio.low);
        say(format_args!(
            "error: {}, {}: {value:.3} times as long as the baseline, at least {low:.3} times (95 %): more than {above} % slower",
            name(change.case),
            change.of
        ));
    }
    Ok(match () {
        () if !tripped.is_empty() => Exit::Gate,
        () if !failed.is_empty() => Exit::SomeFailed,
        () => Exit::Success,
    })
}
