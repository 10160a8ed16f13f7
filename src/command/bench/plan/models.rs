//! Which models are measured.

use super::super::args::BenchArgs;
use super::super::entry::{Entry, Origin};
use crate::arch::Choice;
use crate::checkpoint::{Options, Shipped};
use crate::command::locate::{locate, nameless};
use crate::error::{Error, Result};
use crate::suite::{self, Suite};
use std::path::PathBuf;

/// The models that the command line names, else the default one. Fails if one is named twice.
pub(super) fn of_arguments(args: &BenchArgs, quiet: bool) -> Result<Vec<Entry>> {
    let (random, options) = (args.weights.random_weights.then_some(args.running.seed), args.weights.options());
    let mut models: Vec<Entry> = Vec::new();
    if args.model.is_empty() {
        nameless(&args.hub)?;
        let shipped = Shipped::all()
            .into_iter()
            .find(|s| s.weights)
            .ok_or_else(|| Error::usage("this program was built without the default model").hint("name a checkpoint with `-m DIR`"))?;
        models.push(Entry::new(None, Origin::Shipped(shipped), random, options.clone())?);
    }
    for name in &args.model {
        let dir = PathBuf::from(name);
        let (origin, snapshot) = match Shipped::find(name).filter(|_| !dir.is_dir()) {
            Some(shipped) => (Origin::Shipped(shipped), None),
            None => match locate(Some(&dir), &args.hub, random.is_none(), quiet)? {
                Some(found) => (Origin::Directory(found.dir), found.snapshot),
                None => (Origin::Directory(dir), None),
            },
        };
        let same = |m: &Entry| {
            m.origin == origin
                || matches!((&m.origin, &origin), (Origin::Directory(a), Origin::Directory(b)) if a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b)))
        };
        if models.iter().any(same) {
            return Err(Error::usage(format!("`{name}` is named twice")).hint("name each model once"));
        }
        models.push(Entry::new(None, origin, random, options.clone())?.known_as(snapshot));
    }
    distinct_names(&mut models);
    Ok(models)
}

/// The models of a suite. Fails where one cannot be planned, or cannot be compared with what it is said to be.
pub(super) fn of_suite(suite: &Suite, args: &BenchArgs) -> Result<Vec<Entry>> {
    let options = args.weights.options();
    let mut models = Vec::new();
    for model in &suite.models {
        let origin = match &model.origin {
            suite::Origin::Directory(path) => Origin::Directory(path.clone()),
            suite::Origin::Shipped(name) => Origin::Shipped(shipped(suite, model.line, name)?),
        };
        let at = |e: Error| e.at(format!("{}:{}", suite.file, model.line));
        let options = match model.attention {
            Choice::Auto => options.clone(),
            attention => Options { attention, ..options.clone() },
        };
        let mut entry = Entry::with_set(Some(&model.name), origin, model.random_weights, (options, model.set.clone())).map_err(at)?;
        if model.distance_from.is_some() {
            entry.outline.model.info().decodes().map_err(|e| e.at(format!("{}:{}: `distance-from`", suite.file, model.line)))?;
        }
        entry.distance_from = model.distance_from;
        models.push(entry);
    }
    Ok(models)
}

/// The shipped model or configuration that a suite names.
fn shipped(suite: &Suite, line: usize, name: &str) -> Result<Shipped> {
    Shipped::find(name).ok_or_else(|| {
        let all = Shipped::all().iter().map(|s| format!("`{}`", s.name)).collect::<Vec<_>>().join(", ");
        suite
            .error(line, format_args!("nothing of the name `{name}` is part of this program"))
            .hint(format!("there is {all}; `path` names a directory"))
    })
}

/// Models of the same name are told apart by their directories.
fn distinct_names(models: &mut [Entry]) {
    let names: Vec<String> = models.iter().map(|m| m.name.clone()).collect();
    for (i, model) in models.iter_mut().enumerate() {
        if names.iter().enumerate().any(|(j, n)| i != j && *n == model.name) {
            model.name = model.filename();
        }
    }
}
