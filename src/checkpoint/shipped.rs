//! What is part of the program: the default model, and configurations.

use super::{Checkpoint, Files, Options, Outline, embedded, json};
use crate::arch;
use crate::error::{Error, Result};
use crate::weights::Store;
use serde_json::Value;

/// A checkpoint that is part of the program, or a configuration that is, for weights to be made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Its name: the folder below `models/`.
    pub name: &'static str,
    /// Whether there are weights too.
    pub weights: bool,
    config: &'static [u8],
}

impl Shipped {
    /// All there are.
    pub fn all() -> Vec<Self> {
        let whole = embedded::SHIPPED.iter().map(|s| Self { name: s.name, weights: true, config: s.config });
        whole.chain(embedded::CONFIGS.iter().map(|(name, config)| Self { name, weights: false, config })).collect()
    }

    /// The one of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|s| s.name == name)
    }

    /// `model_type` of its config.json.
    pub fn model_type(&self) -> &'static str {
        let config = json("config.json", self.config).ok();
        config.and_then(|c| arch::find(&c).ok()).map_or("unknown", |a| a.model_type)
    }

    /// Loads it; `random_weights` is the seed of made-up ones, which a mere configuration needs.
    pub fn load(&self, options: &Options) -> Result<Checkpoint> {
        self.load_with(options, None)
    }

    /// The same; made-up weights may have other keys in their configuration than the file.
    pub fn load_with(&self, options: &Options, set: Option<&Value>) -> Result<Checkpoint> {
        options.check()?;
        match options.random_weights {
            Some(seed) => self.assemble(|| Ok(Store::random(seed)), options, set),
            None if self.weights => Checkpoint::embedded(options),
            None => Err(Error::usage(format!("`{}` is a configuration without weights", self.name))
                .hint("have them made up with `--random-weights`, or name a checkpoint's directory")),
        }
    }

    /// Its sizes.
    pub fn outline(&self, options: &Options) -> Result<Outline> {
        self.outline_with(options, None)
    }

    /// The same with other keys in its configuration.
    pub fn outline_with(&self, options: &Options, set: Option<&Value>) -> Result<Outline> {
        options.check()?;
        self.assemble(|| Ok(Store::blueprint()), options, set).map(Outline::from)
    }

    fn assemble(&self, weights: impl FnOnce() -> Result<Store> + Send, options: &Options, set: Option<&Value>) -> Result<Checkpoint> {
        let files = Files { config: self.config, set, generation_config: None, tokenizer: None, tokenizer_config: None };
        Checkpoint::assemble(self.name.to_owned(), files, weights, options)
    }
}
