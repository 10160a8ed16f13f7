//! A file that is complete or absent: written as `FILE.partial`, renamed at the end, and gone on with after an interruption.
//!
//! The settings that shaped the records lie beside it in `FILE.partial.settings` until the end, so that a run is never
//! gone on with under other settings.

use super::reason;
use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// Everything that the text of a record depends on, by name.
pub type Settings = Map<String, Value>;

/// What is known of a record that an earlier run wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The document's id.
    pub id: Value,
    /// The document's seed.
    pub seed: Option<u64>,
    /// Whether the document failed.
    pub failed: bool,
}

/// An output file on its way.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    file: File,
    /// Whether it holds something that is nowhere else.
    worth: bool,
}

/// Fails when `path` cannot become an output file, before anything expensive happens.
pub fn check(path: &Path, resume: bool) -> Result<()> {
    if path.is_dir() {
        return Err(unwritable(path, "it is a directory").hint("name a file in it"));
    }
    let dir = parent(path);
    if !dir.is_dir() {
        return Err(unwritable(path, &format!("there is no directory `{}`", dir.display())).hint("make it first, or write elsewhere"));
    }
    if !resume && beside(path, ".partial.settings").exists() && beside(path, ".partial").exists() {
        return Err(Error::new(format!("`{}` is left from an interrupted run", beside(path, ".partial").display()))
            .hint("go on with `--resume`, or remove it to start again"));
    }
    // the directory has to take a new file, and this tells before a model is loaded
    tempfile::Builder::new().prefix(".effattn").tempfile_in(dir).map(drop).map_err(|e| failed(path, &e))
}

impl Partial {
    /// Starts anew; with `settings` the run can be gone on with.
    pub fn create(path: &Path, settings: Option<&Settings>) -> Result<Self> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let file = own(&path)?;
        if let Some(settings) = settings {
            note(&path, &file, settings)?;
        }
        file.set_len(0).map_err(|e| failed(&path, &e))?;
        Ok(Self { path, file, worth: false })
    }

    /// Goes on with an interrupted run, or with a finished file; says what is already there. Starts anew if there is neither.
    pub fn resume(path: &Path, settings: &Settings) -> Result<(Self, Vec<Kept>)> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let partial = beside(&path, ".partial");
        let sidecar = beside(&path, ".partial.settings");
        let interrupted = partial.exists();
        if !interrupted && !path.exists() {
            return Ok((Self::create(&path, Some(settings))?, Vec::new()));
        }
        if !interrupted {
            // before anything of this run lies beside it
            let (_, end) = complete_lines(&path)?;
            if end != std::fs::metadata(&path)?.len() {
                return Err(not_records(&path, "its last line is torn"));
            }
        }
        let file = own(&path)?;
        if interrupted {
            same_settings(&partial, &sidecar, settings)?;
        } else {
            note(&path, &file, settings)?;
            std::fs::copy(&path, &partial).map_err(|e| failed(&path, &e))?;
        }
        let (kept, end) = complete_lines(&partial)?;
        file.set_len(end).map_err(|e| failed(&path, &e))?;
        let worth = interrupted && !kept.is_empty();
        Ok((Self { path, file, worth }, kept))
    }

    /// Where the records are until the end.
    pub fn partial(&self) -> PathBuf {
        beside(&self.path, ".partial")
    }

    /// Writes a whole record at once, so that it is torn only if the system is.
    pub fn write(&mut self, lines: &str) -> std::io::Result<()> {
        self.file.write_all(lines.as_bytes())?;
        self.worth = true;
        Ok(())
    }

    /// Makes it the output file.
    pub fn finish(self) -> Result<()> {
        self.file.sync_all().map_err(|e| failed(&self.path, &e))?;
        std::fs::rename(self.partial(), &self.path).map_err(|e| failed(&self.path, &e))?;
        remove(&beside(&self.path, ".partial.settings"));
        Ok(())
    }

    /// The run ends early: leaves what is nowhere else, if there is anything, and says where it is.
    pub fn abandon(self) -> Option<PathBuf> {
        if self.worth {
            return Some(self.partial());
        }
        remove(&self.partial());
        remove(&beside(&self.path, ".partial.settings"));
        None
    }
}

/// The partial file, as it is or empty, which no other run writes to until it is closed.
fn own(path: &Path) -> Result<File> {
    let partial = beside(path, ".partial");
    let file = OpenOptions::new().create(true).append(true).open(&partial).map_err(|e| failed(path, &e))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::new(format!("another run is writing `{}`", partial.display()))
            .hint("wait for its end, or stop it and go on with `--resume`")),
        // file systems without locks have none to break
        Err(TryLockError::Error(_)) | Ok(()) => Ok(file),
    }
}

/// Writes the settings of a run beside its file; a partial file that is empty goes where that fails.
fn note(path: &Path, file: &File, settings: &Settings) -> Result<()> {
    let text = format!("{:#}\n", Value::Object(settings.clone()));
    std::fs::write(beside(path, ".partial.settings"), text).map_err(|e| {
        if file.metadata().is_ok_and(|m| m.len() == 0) {
            remove(&beside(path, ".partial"));
        }
        failed(path, &e)
    })
}

/// The records of a file and where the last complete one ends. A torn last line does not count; a torn other one is an error.
fn complete_lines(path: &Path) -> Result<(Vec<Kept>, u64)> {
    let file = File::open(path).map_err(|e| Error::new(format!("cannot read `{}`: {}", path.display(), reason(&e))))?;
    let mut input = BufReader::new(file);
    let (mut kept, mut end, mut torn) = (Vec::new(), 0, None);
    loop {
        let mut line = Vec::new();
        let n = input.read_until(b'\n', &mut line)?;
        if n == 0 {
            return Ok((kept, end));
        }
        if let Some(number) = torn {
            return Err(not_records(path, &format!("line {number} is none")));
        }
        match kept_of(&line) {
            Some(record) => kept.push(record),
            None => torn = Some(kept.len() + 1),
        }
        if torn.is_none() {
            end += n as u64;
        }
    }
}

fn kept_of(line: &[u8]) -> Option<Kept> {
    let line = line.strip_suffix(b"\n")?;
    let record: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let failed = record.get("finish_reason")?.as_str()? == "error";
    Some(Kept { id: record.get("id")?.clone(), seed: record.get("seed").and_then(Value::as_u64), failed })
}

fn same_settings(partial: &Path, sidecar: &Path, settings: &Settings) -> Result<()> {
    let then = std::fs::read(sidecar).ok().and_then(|b| serde_json::from_slice::<Settings>(&b).ok());
    let then = then.ok_or_else(|| {
        Error::new(format!("cannot tell with which settings `{}` was written: `{}` is not there", partial.display(), sidecar.display()))
            .hint("remove the partial file and start again")
    })?;
    let mut names = settings.keys().chain(then.keys());
    match names.find(|n| settings.get(*n) != then.get(*n)).map(String::as_str) {
        None => Ok(()),
        // what every model has: a run without it was not asked
        Some("config-fingerprint") if !then.contains_key("config-fingerprint") => Err(Error::new(format!(
            "cannot tell whether `{}` was written with this model: an earlier version of the program began it, which did not keep what the model's files held",
            partial.display()
        ))
        .hint("end it with that version, or remove the partial file to start again")),
        Some(name) => {
            let say = |s: &Settings| s.get(name).map_or("not set".to_owned(), |v| format!("`{v}`"));
            Err(Error::new(format!(
                "`{}` was written with other settings: `{name}` was {}, now it is {}",
                partial.display(),
                say(&then),
                say(settings)
            ))
            .hint("give the same settings, or remove the partial file to start again"))
        }
    }
}

fn not_records(path: &Path, why: &str) -> Error {
    Error::new(format!("`{}` does not hold the records of a run: {why}", path.display()))
        .hint("`--resume` goes on with what `decode -f jsonl -o FILE` wrote; give another FILE or remove this one")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// What is gone already need not be removed.
fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

fn unwritable(path: &Path, why: &str) -> Error {
    Error::new(format!("cannot write `{}`: {why}", path.display()))
}

pub(super) fn failed(path: &Path, e: &std::io::Error) -> Error {
    unwritable(path, &reason(e)).hint("check the directory's permissions and free space")
}

#[cfg(test)]
#[path = "partial_tests.rs"]
mod tests;
