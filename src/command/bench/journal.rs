//! Runs that are over, a JSON line each, in `FILE.runs` until the table is written: what an interruption leaves, and what `--resume` goes on
//! with.

use super::measured::Measured;
use super::plan::Plan;
use super::work::Sample;
use crate::error::{Error, Result};
use crate::output::reason;
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The file of runs beside an output file.
pub struct Journal {
    path: PathBuf,
    file: File,
}

/// `FILE.runs`.
pub fn beside(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".runs");
    PathBuf::from(name)
}

/// Fails if an interrupted run's journal lies beside the output and nobody wants to go on with it.
pub fn check(output: &Path, resume: bool) -> Result<()> {
    let path = beside(output);
    if resume || !path.exists() {
        return Ok(());
    }
    Err(left(&path))
}

fn left(path: &Path) -> Error {
    Error::new(format!("`{}` is left from an interrupted run", path.display())).hint("go on with `--resume`, or remove it to start again")
}

/// Fails if another run has the journal.
fn alone(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Error::new(format!("another run is writing `{}`", path.display())).hint("wait for it, or write to another file"))
        }
        // where the file system knows no locks, two runs are told apart by the file's being there
        _ => Ok(()),
    }
}

/// How a journal begins.
const BEGINNING: &[u8] = b"{\"settings\":";

/// Everything that the figures depend on, beside the number of repetitions.
fn settings(plan: &Plan, cpu: &str) -> Map<String, Value> {
    let models: Vec<Value> = plan
        .models
        .iter()
        .map(|m| json!({"name": m.name, "model": m.filename(), "seed_of_weights": m.random, "config": m.outline.config, "attention": m.outline.model.info().attention, "parameters": m.outline.parameters}))
        .collect();
    let cases: Vec<String> = plan.cases.iter().map(|c| plan.describe(c)).collect();
    let mut settings = Map::new();
    settings.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    settings.insert("cpu".into(), cpu.into());
    settings.insert("seed".into(), plan.seed.into());
    settings.insert("models".into(), models.into());
    settings.insert("cases".into(), cases.into());
    settings.insert("warmup".into(), plan.protocol.warmup.into());
    settings.insert("delay".into(), json!(plan.protocol.delay));
    settings.insert("take-turns".into(), plan.protocol.take_turns.into());
    // journals of before there were adapters had none
    if let Some(adapter) = plan.models.iter().find_map(super::entry::Entry::adapter) {
        settings.insert("adapter".into(), adapter.into());
    }
    settings
}

impl Journal {
    /// Starts anew, or goes on with what is there: then the runs found are added to `measured`. A case may not have more of them than are asked for.
    pub fn open(output: &Path, resume: bool, (plan, cpu): (&Plan, &str), measured: &mut [Measured]) -> Result<Self> {
        let (settings, most) = (&settings(plan, cpu), plan.protocol.repetitions);
        let path = beside(output);
        let failed = |e: &std::io::Error| Error::new(format!("cannot write `{}`: {}", path.display(), reason(e)));
        if resume && path.exists() {
            let mut file = OpenOptions::new().append(true).open(&path).map_err(|e| failed(&e))?;
            alone(&file, &path)?;
            let bytes = std::fs::read(&path).map_err(|e| Error::new(format!("cannot read `{}`: {}", path.display(), reason(&e))))?;
            let end = take_up(&path, &bytes, settings, (plan, measured))?;
            if let Some(n) = measured.iter().map(|m| m.samples.len()).max().filter(|n| *n > most) {
                return Err(Error::new(format!("`{}` has {n} runs of a case, more than the {most} asked for", path.display()))
                    .hint(format!("ask for `-r {n}`, or remove the file to start again")));
            }
            file.set_len(end as u64).map_err(|e| failed(&e))?;
            if end == 0 {
                write(&mut file, &path, &json!({ "settings": settings }))?;
            }
            return Ok(Self { path, file });
        }
        let made = OpenOptions::new().append(true).create_new(true).open(&path);
        let mut file = made.map_err(|e| if e.kind() == std::io::ErrorKind::AlreadyExists { left(&path) } else { failed(&e) })?;
        alone(&file, &path)?;
        write(&mut file, &path, &json!({ "settings": settings }))?;
        Ok(Self { path, file })
    }

    /// Notes a run of case number `case`.
    pub fn push(&mut self, case: usize, sample: &Sample, measured: &Measured) -> Result<()> {
        let line = json!({
            "case": case, "encode_ns": sample.encode, "token_ns": sample.tokens, "state_bytes": sample.state_bytes,
            "peak_rss_bytes": measured.peak, "test_time": measured.test_time,
        });
        write(&mut self.file, &self.path, &line)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The table is written: nobody needs the journal any more.
    pub fn remove(self) {
        // what is gone already need not be removed
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A whole line at once, so that it is torn only if the system is.
fn write(file: &mut File, path: &Path, line: &Value) -> Result<()> {
    file.write_all(format!("{line}\n").as_bytes())
        .map_err(|e| Error::new(format!("cannot write `{}`: {}", path.display(), reason(&e))).hint("check the free space"))
}

/// Adds the runs of a journal to `measured` and says where its last whole line ends.
fn take_up(path: &Path, bytes: &[u8], settings: &Map<String, Value>, (plan, measured): (&Plan, &mut [Measured])) -> Result<usize> {
    let name = path.display();
    let bad = |line: usize, why: &str| {
        Error::new(format!("{name}:{line}: {why}"))
            .hint("`--resume` goes on with what `bench -o FILE` left; remove the file to start again")
    };
    let mut end = 0;
    for (i, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let Some(whole) = line.strip_suffix(b"\n") else {
            // torn, unless it is something that no run of ours has begun
            let ours = i > 0 || BEGINNING.starts_with(line) || line.starts_with(BEGINNING);
            if ours { break } else { return Err(bad(i + 1, "not a journal")) }
        };
        let value: Value = serde_json::from_slice(whole).map_err(|_| bad(i + 1, "not a JSON line"))?;
        if i == 0 {
            same(path, value["settings"].as_object().ok_or_else(|| bad(1, "no settings"))?, settings)?;
        } else {
            run(&value, plan, measured).ok_or_else(|| bad(i + 1, "not a run of this table"))?;
        }
        end += line.len();
    }
    Ok(end)
}

fn run(line: &Value, plan: &Plan, measured: &mut [Measured]) -> Option<()> {
    let i = usize::try_from(line["case"].as_u64()?).ok()?;
    let (measured, case) = (measured.get_mut(i)?, plan.cases.get(i)?);
    let size = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
    // a year at most: sums of them are numbers still
    let nanos = |v: &Value| v.as_u64().filter(|n| *n < 365 * 86_400 * 1_000_000_000);
    let tokens: Vec<u64> = line["token_ns"].as_array()?.iter().map(nanos).collect::<Option<_>>()?;
    if tokens.len() != case.test.steps() {
        return None;
    }
    measured.samples.push(Sample { encode: nanos(&line["encode_ns"])?, tokens, state_bytes: size(&line["state_bytes"])? });
    measured.peak = size(&line["peak_rss_bytes"]);
    measured.test_time = line["test_time"].as_str()?.to_owned();
    Some(())
}

fn same(path: &Path, then: &Map<String, Value>, now: &Map<String, Value>) -> Result<()> {
    let Some(name) = now.keys().chain(then.keys()).find(|n| now.get(*n) != then.get(*n)) else { return Ok(()) };
    let say = |s: &Map<String, Value>| s.get(name).map_or("not set".to_owned(), |v| format!("`{v}`"));
    let change = match name.as_str() {
        "models" | "cases" => String::new(),
        _ => format!(" was {}, now it is {}", say(then), say(now)),
    };
    let what = if change.is_empty() { format!("other {name}") } else { format!("other settings: `{name}`{change}") };
    Err(Error::new(format!("`{}` was written with {what}", path.display()))
        .hint("give the same arguments, or remove the file to start again"))
}
