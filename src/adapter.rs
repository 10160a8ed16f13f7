//! LoRA adapters in PEFT's layout: adapter_config.json and adapter_model.safetensors, merged into a checkpoint's tensors while these are loaded.
//!
//! | question | file |
//! |---|---|
//! | which modules, which rank, and what cannot be merged? | `config` |
//! | what do the names in the file mean? | `tensors` |
//! | which of the checkpoint's tensors are meant? | `base` |
//! | does the file fit the configuration and the checkpoint? | `plan` |
//! | what are the merged numbers? | `change` |
//!
//! The merged model is the one that PEFT's `merge_and_unload` saves. Where a model ties tables (token table and output matrix), PEFT merges into
//! the one tensor that they share, and so does this.

mod base;
mod change;
mod config;
mod plan;
mod tensors;
#[cfg(test)]
mod tests;

pub use change::{Change, LowRank, Merged};
pub use plan::{Plan, Ties};

use crate::error::{Error, Result};
use crate::files;
use crate::fingerprint::fingerprint;
use crate::weights::File;
use base::Base;
use config::Config;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tensors::Part;

/// Whether models tie a table of this name to others.
pub fn may_be_tied(tensor: &str) -> bool {
    tensor.strip_suffix(".weight").is_some_and(base::may_be_tied)
}

/// What an adapter is, in short.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The directory's name.
    pub name: String,
    /// Rank, where `rank_pattern` says no other.
    pub rank: usize,
    /// lora_alpha, where `alpha_pattern` says no other.
    pub alpha: f64,
    /// Modules with matrices of low rank.
    pub modules: usize,
    /// Tensors that it has in place of the checkpoint's: biases, `modules_to_save`, rows of tokens.
    pub replaced: usize,
    /// Numbers in all of its tensors.
    pub parameters: usize,
    /// What its user should know.
    pub notes: Vec<String>,
    /// The base model that it says it was trained for: a name or a path.
    pub base: Option<String>,
    /// What its two files hold, in one number: others have another.
    pub fingerprint: u64,
}

impl Summary {
    /// What to say where the adapter was trained for another model than the one of these names, as far as names tell: the last part of a path or
    /// of `org/name` is compared, since directories are moved. Nothing where the adapter does not say.
    pub fn stranger(&self, names: &[&str]) -> Option<String> {
        let base = self.base.as_deref().filter(|b| !last_part(b).is_empty())?;
        let known = names.iter().any(|n| last_part(n).eq_ignore_ascii_case(last_part(base)));
        let model = names.first().filter(|_| !known)?;
        Some(format!(
            "the adapter `{}` was trained for `{base}` (`base_model_name_or_path` of {CONFIG}), this model is `{model}`: of another base it makes nonsense",
            self.name
        ))
    }
}

/// The name of a model in a path, in `org/name`, or in the Hugging Face cache's `models--org--name/snapshots/COMMIT`.
fn last_part(path: &str) -> &str {
    let mut parts = path.split(['/', '\\']).filter(|p| !p.is_empty() && *p != ".");
    let cached = parts.clone().rev().find_map(|p| p.strip_prefix("models--")?.rsplit("--").next());
    cached.or_else(|| parts.next_back()).unwrap_or_default()
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        write!(f, "{} (r={}, alpha={}, {}", self.name, self.rank, self.alpha, of(self.modules, "module"))?;
        if self.replaced > 0 {
            write!(f, ", {}", of(self.replaced, "whole tensor"))?;
        }
        write!(f, ")")
    }
}

/// An adapter whose file has been opened; nothing of it has been compared with a checkpoint yet.
pub struct Adapter {
    name: String,
    file: File,
    config: Config,
    fingerprint: u64,
    /// The tensors of each module, by what they are: their names in the file.
    modules: BTreeMap<String, BTreeMap<Part, String>>,
}

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

impl Adapter {
    /// The adapter of a directory. Fails if a file is missing or damaged, or holds what cannot be merged.
    pub fn open(dir: &Path) -> Result<Self> {
        let missing = |what: &str, hint: &str| Err(Error::new(format!("{}: {what}", dir.display())).hint(hint));
        let layout = "`--adapter` takes a directory with adapter_config.json and adapter_model.safetensors, as PEFT saves them";
        if !dir.is_dir() {
            return missing(if dir.exists() { "a file, not a directory" } else { "no such directory" }, layout);
        }
        let text = match files::read(&dir.join(CONFIG))? {
            Some(text) => text,
            None => return missing("no adapter_config.json", layout),
        };
        let json: Value = serde_json::from_slice(&text)
            .map_err(|e| Error::new(format!("{CONFIG}: not valid JSON ({e})")).within(dir).hint(config::DAMAGED))?;
        let config = Config::parse(&json).map_err(|e| e.within(dir))?;
        let path = dir.join(WEIGHTS);
        if !path.exists() {
            let bin = dir.join("adapter_model.bin").exists();
            return missing(
                "no adapter_model.safetensors",
                if bin {
                    "there is only `adapter_model.bin`: load it with PEFT and save it with `safe_serialization=True`"
                } else {
                    layout
                },
            );
        }
        let file = File::open(&path)?;
        let name = dir.canonicalize().ok().and_then(|d| d.file_name().map(|n| n.to_string_lossy().into_owned()));
        let mut modules: BTreeMap<String, BTreeMap<Part, String>> = BTreeMap::new();
        for tensor in file.entries.keys() {
            let Some((module, part)) = tensors::parse(tensor) else {
                return Err(Error::new(format!("{}: tensor `{tensor}` is none of an adapter of LoRA", file.name)).hint(config::REMEDY));
            };
            if let Some(other) = modules.entry(module.clone()).or_default().insert(part, tensor.clone()) {
                return Err(Error::new(format!("{}: tensors `{other}` and `{tensor}` are the same part of `{module}`", file.name))
                    .hint("the file holds several adapters: save each by itself"));
            }
        }
        for parts in modules.values_mut() {
            let twice = |part: &Part| matches!(part, Part::Again(p) if parts.contains_key(&Part::Whole(p.clone())));
            let aside: Vec<Part> = parts.keys().filter(|p| matches!(p, Part::Before(_)) || twice(p)).cloned().collect();
            aside.iter().for_each(|part| drop(parts.remove(part)));
        }
        let fingerprint = fingerprint(&[&text, file.stored()]);
        Ok(Self { name: name.unwrap_or_else(|| dir.display().to_string()), file, config, fingerprint, modules })
    }

    /// Where its configuration is.
    pub fn config_file(&self) -> String {
        Path::new(&self.file.name).with_file_name(CONFIG).display().to_string()
    }

    /// Where its tensors are.
    pub fn into_file(self) -> File {
        self.file
    }

    /// What becomes of a checkpoint with tensors of these shapes, whose configuration ties its tables or not. Fails if they do not fit together.
    pub fn plan(&self, base: &BTreeMap<&str, &[usize]>, tied: bool) -> Result<Plan> {
        Plan::of(self, &Base::new(base), tied)
    }
}
