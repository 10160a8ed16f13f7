//! A model of the table: where it comes from, and its sizes.

use crate::checkpoint::{Checkpoint, Options, Outline, Shipped};
use crate::error::Result;
use crate::hub::Snapshot;
use crate::kernel::precision::Precision;
use std::path::PathBuf;

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A checkpoint's directory.
    Directory(PathBuf),
    /// Part of the program.
    Shipped(Shipped),
}

/// One model of the table.
pub struct Entry {
    /// What the table calls it.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The state of a repository that its directory is, if it is one.
    snapshot: Option<Snapshot>,
    /// Seed of its weights if they are made up.
    pub random: Option<u64>,
    /// Its sizes, as `auto` would hold it.
    pub outline: Outline,
    /// Number of the model from whose logits its own are told to be how far.
    pub distance_from: Option<usize>,
    /// Keys of its configuration that it has instead of the file's.
    set: Option<serde_json::Value>,
    /// How it is loaded, but for the precision of its weights.
    options: Options,
    /// Its sizes in the other precisions that a table asks for.
    others: Vec<(Precision, Outline)>,
}

impl Entry {
    /// Of a model that nobody has loaded yet; without a name of its own it has that of its directory.
    pub fn new(name: Option<&str>, origin: Origin, random: Option<u64>, options: Options) -> Result<Self> {
        Self::with_set(name, origin, random, (options, None))
    }

    /// The same with other keys in its configuration.
    pub fn with_set(
        name: Option<&str>,
        origin: Origin,
        random: Option<u64>,
        (options, set): (Options, Option<serde_json::Value>),
    ) -> Result<Self> {
        let options = Options { random_weights: random, weights: None, ..options };
        let outline = outline(&origin, &options, set.as_ref())?;
        let name = name.map_or_else(|| outline.name.clone(), str::to_owned);
        Ok(Self { name, origin, snapshot: None, random, outline, distance_from: None, set, options, others: Vec::new() })
    }

    /// The same under the name of the repository that its directory is a snapshot of.
    pub fn known_as(self, snapshot: Option<Snapshot>) -> Self {
        let name = snapshot.as_ref().map_or(self.name, |s| s.name.clone());
        Self { name, snapshot, ..self }
    }

    /// The same, with its sizes in these precisions.
    pub fn with(mut self, precisions: impl IntoIterator<Item = Precision>) -> Result<Self> {
        for precision in precisions {
            if precision != self.outline.held.weights && self.others.iter().all(|(p, _)| *p != precision) {
                self.others.push((precision, outline(&self.origin, &self.options(precision), self.set.as_ref())?));
            }
        }
        Ok(self)
    }

    /// Its sizes when it is held as `precision`, which [`Entry::with`] was told of.
    pub fn sizes(&self, precision: Precision) -> &Outline {
        self.others.iter().find(|(p, _)| *p == precision).map_or(&self.outline, |(_, o)| o)
    }

    /// Loads it.
    pub fn load(&self, precision: Precision) -> Result<Checkpoint> {
        let options = self.options(precision);
        match &self.origin {
            Origin::Directory(dir) => Checkpoint::open_with(dir, &options, self.set.as_ref()),
            Origin::Shipped(shipped) => shipped.load_with(&options, self.set.as_ref()),
        }
    }

    fn options(&self, precision: Precision) -> Options {
        Options { weights: Some(precision), ..self.options.clone() }
    }

    /// The directory of the adapter that is merged into it.
    pub fn adapter(&self) -> Option<String> {
        self.options.adapter.as_ref().map(|dir| dir.display().to_string())
    }

    /// The name under which the command line finds it.
    pub fn filename(&self) -> String {
        match &self.origin {
            Origin::Directory(dir) => self.snapshot.as_ref().map_or_else(|| dir.display().to_string(), Snapshot::to_string),
            Origin::Shipped(shipped) => shipped.name.to_owned(),
        }
    }
}

fn outline(origin: &Origin, options: &Options, set: Option<&serde_json::Value>) -> Result<Outline> {
    match origin {
        Origin::Directory(dir) => Checkpoint::outline_with(dir, options, set),
        Origin::Shipped(s) if !s.weights && options.random_weights.is_none() => s.load(options).map(Outline::from),
        Origin::Shipped(shipped) => shipped.outline_with(options, set),
    }
}
