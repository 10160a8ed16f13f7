//! How a checkpoint is loaded.

use crate::adapter::Adapter;
use crate::arch;
use crate::error::{Error, Result};
use crate::kernel::precision::Precision;
use crate::machine::memory;
use crate::report::bytes;
use crate::weights::{Held, Store};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// How to load a checkpoint.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Make the weights up from this seed instead of reading them.
    pub random_weights: Option<u64>,
    /// How weights are held; none: what suits checkpoint and machine ([`Store::natural`]).
    pub weights: Option<Precision>,
    /// How keys and values are held.
    pub cache: Precision,
    /// Whether what a step reads row by row stays in its file ([`Held::mapped`](crate::weights::Held::mapped)).
    pub mapped: bool,
    /// Whether what a reference does wrong is done as it does it ([`arch::Arch::quirks`]).
    pub quirks: bool,
    /// What memories of segments begin with, where an architecture leaves the choice.
    pub init_mem: Option<InitMem>,
    /// Which attention an encoder runs.
    pub attention: arch::Choice,
    /// Seed of a unit in the last place by which every weight is moved ([`Store::moved`]).
    pub moved: Option<u64>,
    /// Directory of an adapter that is merged into the weights.
    pub adapter: Option<PathBuf>,
    /// Whether texts are token ids, and tokenizer.json is not looked at.
    pub ids: bool,
}

/// What a memory of earlier segments holds before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitMem {
    /// Nothing.
    Empty,
    /// Rows of zeros, as many as it has room for, which are attended to.
    Zeros,
}

impl Options {
    /// Fails if what stays in its file has no file, or what is to be changed has no numbers.
    pub(super) fn check(&self) -> Result<()> {
        if self.adapter.is_some() && self.random_weights.is_some() {
            return Err(Error::usage("`--adapter` changes the weights that it was trained for, not made-up ones")
                .hint("leave out `--random-weights`, or write made-up weights to a checkpoint with `effattn convert --from random`"));
        }
        if self.mapped && self.random_weights.is_some() {
            return Err(Error::usage("`--mapped` leaves weights in their file, made-up ones have none")
                .hint("write them to one with `effattn convert --from random`, and name its directory"));
        }
        Ok(())
    }

    /// The store with the adapter, if there is one; a blueprint has no numbers that it could change.
    pub(super) fn adapt(&self, store: Store, config: &Value) -> Result<Store> {
        match &self.adapter {
            Some(dir) if !store.is_blueprint() => {
                // transformers ties tables unless the configuration says otherwise; T5's says so of its scale
                let t5 = config["model_type"].as_str().is_some_and(|t| t.ends_with("t5"));
                store.adapted(Adapter::open(dir)?, t5 || config["tie_word_embeddings"] != Value::Bool(false))
            }
            _ => Ok(store),
        }
    }

    /// The configuration of a model of this architecture with what is asked of it. Fails where the architecture does not have that.
    pub(super) fn asked(&self, arch: &arch::Arch, mut config: Value) -> Result<Value> {
        if self.quirks && !arch.quirks.is_empty() {
            config["reference_quirks"] = true.into();
        }
        if self.attention != arch::Choice::Auto {
            self.attention.check(arch)?;
            config[arch::choice::KEY] = self.attention.to_string().into();
        }
        if let Some(init) = self.init_mem {
            if !arch.segments {
                return Err(Error::usage(format!(
                    "`--init-mem` is for models with memories of segments, which `{}` has not",
                    arch.model_type
                ))
                .hint("leave it out"));
            }
            config["init_mem"] = match init {
                InitMem::Empty => "empty",
                InitMem::Zeros => "zeros",
            }
            .into();
        }
        Ok(config)
    }

    /// Fails where made-up weights do not fit into memory: nobody has such a file, so that a size may well be mistyped.
    pub(super) fn fits(&self, arch: &arch::Arch, config: &Value) -> Result<()> {
        let held = Held { weights: self.weights.unwrap_or_default(), cache: self.cache, mapped: false };
        let sizes = Arc::new(Store::blueprint().held(held));
        (arch.load)(config, &sizes.root())?;
        match memory::available().filter(|left| sizes.bytes_in_memory() > *left) {
            None => Ok(()),
            Some(left) => {
                Err(Error::new(format!("the weights would take {}, {} are available", bytes(sizes.bytes_in_memory()), bytes(left)))
                    .hint("choose a smaller configuration, or `--dtype bf16` or `int8`; is a size in config.json mistyped?"))
            }
        }
    }
}
