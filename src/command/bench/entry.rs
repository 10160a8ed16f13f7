//! A model of the table: where it comes from, and its sizes.

use crate::checkpoint::{Checkpoint, Options, Outline, Shipped};
use crate::error::Result;
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
    /// Seed of its weights if they are made up.
    pub random: Option<u64>,
    /// Its sizes.
    pub outline: Outline,
}

impl Entry {
    /// Of a model that nobody has loaded yet; without a name of its own it has that of its directory.
    pub fn new(name: Option<&str>, origin: Origin, random: Option<u64>) -> Result<Self> {
        let options = Options { random_weights: random };
        let outline = match &origin {
            Origin::Directory(dir) => Checkpoint::outline(dir, &options)?,
            Origin::Shipped(s) if !s.weights && random.is_none() => s.load(&options).map(Outline::from)?,
            Origin::Shipped(shipped) => shipped.outline()?,
        };
        Ok(Self { name: name.map_or_else(|| outline.name.clone(), str::to_owned), origin, random, outline })
    }

    /// Loads it.
    pub fn load(&self) -> Result<Checkpoint> {
        let options = Options { random_weights: self.random };
        match &self.origin {
            Origin::Directory(dir) => Checkpoint::open(dir, &options),
            Origin::Shipped(shipped) => shipped.load(&options),
        }
    }

    /// The name under which the command line finds it.
    pub fn filename(&self) -> String {
        match &self.origin {
            Origin::Directory(dir) => dir.display().to_string(),
            Origin::Shipped(shipped) => shipped.name.to_owned(),
        }
    }
}
