//! From the text of a suite file to a [`Suite`].

use super::case::{Facets, dtypes};
use super::fields::{Entry, Fields};
use super::sections::{CASE, MODEL, PROTOCOL, REPORTED, TOP};
use super::text::{Text, all, shown};
use super::{Case, Grid, LONGEST, MOST_CASES, Model, Origin, Protocol, Statistic, Strategy, Suite, reported};
use crate::arch::Choice;
use crate::cli::Dtype;
use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::report::grouped;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;
use toml::de::DeTable;

/// The longest pause between two runs, in seconds.
const LONGEST_DELAY: f64 = 3600.0;

impl Suite {
    /// The suite of a file's text.
    ///
    /// `file` is its name in messages; `dir` is where its relative paths begin, none for a suite without a directory, which can name absolute ones only.
    /// Fails with one error, `file:line: …`, at the first thing that is wrong.
    pub fn parse(file: &str, text: &str, dir: Option<&Path>) -> Result<Suite> {
        if text.len() > LONGEST {
            let long = Text::new(file, b"").error(0, "the file is longer than 1 MiB, which no suite is");
            return Err(long.hint("name a suite file: TOML with `[[model]]` and `[[case]]`"));
        }
        // some editors put a mark there, and a file with nothing else is empty
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let place = Text::new(file, text.as_bytes());
        if text.trim().is_empty() {
            return Err(place.error(0, "the file is empty").hint("a suite has `summary`, `[[model]]` and `[[case]]`"));
        }
        let root = DeTable::parse(text).map_err(|e| syntax(&place, &e))?;
        let top = Fields::new(&place, root.get_ref(), &TOP, 0)?;
        let summary = top.need("summary")?.string()?.to_owned();
        let protocol = protocol(&top)?;
        let models = models(&top, dir)?;
        let suite = Suite {
            file: file.to_owned(),
            summary,
            source: top.get("source").map(|e| e.string().map(str::to_owned)).transpose()?,
            cases: cases(&top, &models, protocol.drop)?,
            protocol,
            models: models.into_iter().map(|(model, _)| model).collect(),
            reported: Vec::new(),
        };
        let reported = reported::rows(&top.tables("reported", &REPORTED, true)?, &suite)?;
        Ok(Suite { reported, ..suite })
    }
}

/// An error of the TOML parser. What it says chooses the remedy, and where it says something new the last one still helps.
fn syntax(place: &Text, e: &toml::de::Error) -> Error {
    let what = e.message().split_whitespace().collect::<Vec<_>>().join(" ");
    let hint = match what.as_str() {
        w if w.starts_with("duplicate key") => "a table has a key once; one more model or case begins with `[[model]]` or `[[case]]`",
        w if w.starts_with("key with no value") || w.starts_with("invalid key-value") => {
            "a line is `key = value`, `[table]` or `[[table]]`"
        }
        w if w.starts_with("unclosed") || w.contains("string, expected") && w.starts_with("invalid") => {
            "each quote and bracket needs its other half"
        }
        _ => "text and ranges stand in quotes, lists in brackets: `n-prompt = \"512-16384*2\"`, `models = [\"led\", \"bart\"]`",
    };
    place.error(e.span().map_or(0, |s| s.start), format!("not TOML: {what}")).hint(hint)
}

fn protocol(top: &Fields) -> Result<Protocol> {
    let default = Protocol::default();
    let Some(fields) = top.tables("protocol", &PROTOCOL, false)?.into_iter().next() else { return Ok(default) };
    let repetitions = match fields.get("repetitions") {
        Some(entry) if entry.count()? == 0 => {
            return Err(entry.error("`repetitions` must be at least 1").hint("for instance `repetitions = 5`"));
        }
        Some(entry) => entry.count()?,
        None => default.repetitions,
    };
    let delay = match fields.get("delay") {
        Some(entry) => match entry.number()? {
            seconds if (0.0..=LONGEST_DELAY).contains(&seconds) => Duration::from_secs_f64(seconds),
            _ => return Err(entry.error("`delay` must be from 0 to 3,600 seconds").hint("for instance `delay = 0.5`")),
        },
        None => default.delay,
    };
    Ok(Protocol {
        repetitions,
        warmup: fields.get("warmup").map_or(Ok(default.warmup), |e| e.flag())?,
        drop: fields.get("drop").map_or(Ok(default.drop), |e| e.count())?,
        statistic: fields.get("statistic").map_or(Ok(default.statistic), |e| e.choice(&Statistic::NAMES))?,
        delay,
        take_turns: fields.get("take-turns").map_or(Ok(default.take_turns), |e| e.flag())?,
    })
}

/// The models, each with the table that says so.
fn models<'a>(top: &Fields<'a>, dir: Option<&Path>) -> Result<Vec<(Model, Fields<'a>)>> {
    let tables = top.tables("model", &MODEL, true)?;
    if tables.is_empty() {
        return Err(top.error("the suite has no `[[model]]`").hint("add `[[model]]` with `name` and `path` or `shipped`"));
    }
    let (mut models, mut lines) = (Vec::new(), HashMap::new());
    for fields in tables {
        let name = fields.need("name")?;
        if let Some(line) = lines.insert(name.string()?, name.line()) {
            let error = name.error(format!("a second model is called {}", shown(name.string()?)));
            return Err(error.hint(format!("line {line} names the first: give each a name of its own")));
        }
        let distance_from = distance_from(&fields, &models)?;
        models.push((Model { distance_from, ..model(&fields, name.string()?, dir)? }, fields));
    }
    Ok(models)
}

fn model(fields: &Fields, name: &str, dir: Option<&Path>) -> Result<Model> {
    let called = shown(name);
    let (origin, line) = match (fields.get("path"), fields.get("shipped")) {
        (Some(_), Some(shipped)) => {
            let error = shipped.error(format!("model {called} has `path` and `shipped`"));
            return Err(error.hint("keep `path` for a directory, `shipped` for what is part of the program"));
        }
        (None, None) => {
            let error = fields.error(format!("model {called} has neither `path` nor `shipped`"));
            return Err(error.hint("name a directory with `path`, or with `shipped` what is part of the program"));
        }
        (Some(path), None) => match (dir, Path::new(path.string()?)) {
            (None, relative) if relative.is_relative() => {
                let error = path.error(format!("`path` of model {called} is relative, and this suite has no directory"));
                return Err(error.hint("name what is part of the program with `shipped`"));
            }
            (dir, given) => (Origin::Directory(dir.map_or(given.to_owned(), |dir| dir.join(given))), path.line()),
        },
        (None, Some(shipped)) => (Origin::Shipped(shipped.string()?.to_owned()), shipped.line()),
    };
    let random = fields.get("random-weights").map_or(Ok(false), |e| e.flag())?;
    let seed = match fields.get("seed") {
        Some(seed) if !random => {
            let error = seed.error(format!("model {called} has a `seed` without `random-weights = true`"));
            return Err(error.hint("the seed is that of random weights: add them, or leave it out"));
        }
        Some(seed) => seed.integer()?,
        None => 0,
    };
    let set = fields.get("set").map(|e| e.json()).transpose()?;
    if let (Some(set), false) = (fields.get("set"), random) {
        let error = set.error(format!("model {called} has a `set` without `random-weights = true`"));
        return Err(error.hint("a checkpoint's weights fit its own config.json: add them, or leave it out"));
    }
    let attention = match fields.get("attention") {
        Some(entry) => entry
            .string()?
            .parse()
            .map_err(|e: String| entry.error(format!("`attention` is {e}")).hint("for instance `attention = \"full\"`"))?,
        None => Choice::Auto,
    };
    Ok(Model { name: name.to_owned(), origin, random_weights: random.then_some(seed), set, attention, distance_from: None, line })
}

/// The index of the model that `distance-from` names: one before this one.
fn distance_from(fields: &Fields, before: &[(Model, Fields)]) -> Result<Option<usize>> {
    let Some(entry) = fields.get("distance-from") else { return Ok(None) };
    let names: HashMap<&str, usize> = before.iter().enumerate().map(|(i, (model, _))| (model.name.as_str(), i)).collect();
    if names.is_empty() {
        return Err(entry.error("`distance-from` stands in the first model").hint("it names a model before this one"));
    }
    index(&entry, &names).map(Some)
}

/// All cases, where each model has one and none is there twice.
fn cases(top: &Fields, models: &[(Model, Fields)], drop: usize) -> Result<Vec<Case>> {
    let tables = top.tables("case", &CASE, true)?;
    if tables.is_empty() {
        return Err(top.error("the suite has no `[[case]]`").hint("add `[[case]]` with `n-prompt` and `n-gen`"));
    }
    let names: HashMap<&str, usize> = models.iter().enumerate().map(|(i, (model, _))| (model.name.as_str(), i)).collect();
    let mut cases: Vec<Case> = Vec::new();
    let mut lines: HashMap<(usize, Facets), usize> = HashMap::new();
    for fields in tables {
        let grid = grid(&fields, &names, drop)?;
        if cases.len().saturating_add(grid.len()) > MOST_CASES {
            let error = fields.error(format!("the suite has more than {} cases", grouped(MOST_CASES)));
            return Err(error.hint("a `[[case]]` is the product of its lists: shorten them"));
        }
        for case in grid.cases() {
            if let Some(line) = lines.insert((case.model, case.facets()), case.line) {
                let error =
                    fields.error(format!("a case of model {} is listed twice: {}", shown(&models[case.model].0.name), label(&case)));
                return Err(error.hint(format!("the `[[case]]` of line {line} has it already")));
            }
            cases.push(case);
        }
    }
    let used: HashSet<usize> = cases.iter().map(|c| c.model).collect();
    match models.iter().enumerate().find(|(i, _)| !used.contains(i)) {
        Some((_, (model, fields))) => {
            let error = fields.error(format!("no case uses model {}", shown(&model.name)));
            Err(error.hint("name it in the `models` of a `[[case]]`, or leave it out"))
        }
        None => Ok(cases),
    }
}

fn grid(fields: &Fields, names: &HashMap<&str, usize>, drop: usize) -> Result<Grid> {
    let list = |key, least, default| fields.get(key).map_or(Ok(vec![default]), |e: Entry| e.list(least));
    let grid = Grid {
        models: match fields.get("models") {
            Some(entry) => entry.each(|e| index(e, names))?,
            None => (0..names.len()).collect(),
        },
        n_prompt: fields.need("n-prompt")?.list(0)?,
        n_gen: fields.need("n-gen")?.list(0)?,
        n_depth: list("n-depth", 0, 0)?,
        batch_size: list("batch-size", 1, 1)?,
        threads: fields.get("threads").map_or(Ok(vec![None]), |e| e.list(1).map(|all| all.into_iter().map(Some).collect()))?,
        dtypes: fields.get("dtype").map_or(Ok(vec![Dtype::Auto]), |e| e.each(dtype))?,
        strategies: fields.get("strategy").map_or(Ok(vec![Strategy::Greedy]), |e| e.each(strategy))?,
        line: fields.line(),
    };
    let n_gen = fields.need("n-gen")?;
    if grid.n_prompt.contains(&0) && grid.n_gen.contains(&0) {
        return Err(n_gen.error("a case with `n-prompt` 0 and `n-gen` 0 runs nothing").hint("leave 0 out of one of them"));
    }
    // a case that generates nothing has no token times to drop
    match grid.n_gen.iter().find(|n| drop > 0 && **n > 0 && drop >= **n - 1) {
        Some(n) => {
            let error = n_gen
                .error(format!("`n-gen` {n} leaves no token time: the first is the time to first token, and `drop` takes {drop} more"));
            Err(error.hint(format!("generate at least {} tokens, or drop fewer", drop.saturating_add(2))))
        }
        None => Ok(grid),
    }
}

/// The index of the model that an entry names.
pub(super) fn index(entry: &Entry, names: &HashMap<&str, usize>) -> Result<usize> {
    let name = entry.string()?;
    names.get(name).copied().ok_or_else(|| {
        let mut known: Vec<&str> = names.keys().copied().collect();
        known.sort_by_key(|name| names[name]);
        let near = nearest(name, known.iter().copied()).map(|near| format!("did you mean {}?", shown(near)));
        let hint = near.unwrap_or_else(|| format!("the models of this suite are {}", all(known)));
        entry.error(format!("no model is called {}", shown(name))).hint(hint)
    })
}

/// The type of weights that an entry names.
pub(super) fn dtype(entry: &Entry) -> Result<Dtype> {
    let (name, known) = (entry.string()?, dtypes());
    let found = known.iter().find(|(n, _)| n == name).map(|(_, dtype)| *dtype);
    found.ok_or_else(|| entry.odd(name).hint(format!("it is one of {}", all(known.iter().map(|(n, _)| n.as_str())))))
}

/// The strategy that an entry names.
pub(super) fn strategy(entry: &Entry) -> Result<Strategy> {
    let name = entry.string()?;
    name.parse().map_err(|known: String| entry.odd(name).hint(known))
}

/// A case without its model, for messages.
pub(super) fn label(case: &Case) -> String {
    case.facets().map(|(key, value)| format!("{key} {value}")).join(", ")
}
