//! A checkpoint: config.json, generation_config.json, tokenizer.json and weights of a directory, or of the program itself.

use crate::adapter::Summary;
use crate::arch;
use crate::error::{Error, Result};
use crate::files;
use crate::fingerprint::fingerprint;
use crate::hub::{Found, Snapshot};
use crate::model::Model;
use crate::weights::{Held, Store};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokenizers::Tokenizer;

pub(crate) mod bytes;
mod embedded;
mod options;
mod shipped;
mod words;

pub use options::{InitMem, Options};
pub use shipped::Shipped;
pub use words::no_tokenizer;

/// A loaded checkpoint.
pub struct Checkpoint {
    /// The directory's name, that of the repository, or that of the shipped model.
    pub name: String,
    /// The commit of a repository's snapshot.
    pub commit: Option<String>,
    /// Its directory, if it has one.
    pub dir: Option<PathBuf>,
    /// The model.
    pub model: Box<dyn Model>,
    /// tokenizer.json, or what stands for it where the checkpoint's class has none, if it was asked for ([`Options::ids`]).
    pub tokenizer: Option<Tokenizer>,
    /// config.json.
    pub config: Value,
    /// generation_config.json, if there is one.
    pub generation_config: Option<Value>,
    /// Keys of config.json that nobody read.
    pub unread: Vec<String>,
    /// Where the weights are.
    pub store: Arc<Store>,
    /// How the model holds its numbers.
    pub held: Held,
    /// What its files beside the weights hold, each in one number: `config`, and of those that there are and are read, `generation-config` and `tokenizer`.
    pub texts: Vec<(&'static str, u64)>,
}

/// What is known of a checkpoint before its weights are read. The model tells sizes; it has no numbers and cannot run.
pub struct Outline {
    /// The directory's name, or that of the shipped model.
    pub name: String,
    /// The model.
    pub model: Box<dyn Model>,
    /// Numbers in all tensors.
    pub parameters: usize,
    /// Bytes of the weights in memory: panels with their factors, tables by rows, norms, biases, positions.
    pub bytes: usize,
    /// config.json.
    pub config: Value,
    /// How the model would hold its numbers.
    pub held: Held,
    /// What the user should know of its adapter.
    pub notes: Vec<String>,
}

impl From<Checkpoint> for Outline {
    fn from(c: Checkpoint) -> Self {
        Self {
            parameters: c.store.parameters(),
            bytes: c.store.bytes_in_memory(),
            notes: c.adapter_notes(),
            name: c.name,
            model: c.model,
            config: c.config,
            held: c.held,
        }
    }
}

impl Checkpoint {
    /// Loads a Hugging Face style directory.
    pub fn open(dir: &Path, options: &Options) -> Result<Self> {
        Self::open_with(dir, options, None)
    }

    /// The same; made-up weights may have other keys in their configuration than the file.
    pub fn open_with(dir: &Path, options: &Options, set: Option<&Value>) -> Result<Self> {
        options.check()?;
        let weights = || match options.random_weights {
            Some(seed) => Ok(Store::random(seed)),
            None => Store::open(dir),
        };
        Self::with(dir, weights, options, set)
    }

    /// The same for what was found, under the name by which it was.
    pub fn found(found: &Found, options: &Options, set: Option<&Value>) -> Result<Self> {
        let loaded = Self::open_with(&found.dir, options, set)?;
        Ok(match &found.snapshot {
            Some(Snapshot { name, commit }) => Self { name: name.clone(), commit: Some(commit.clone()), ..loaded },
            None => loaded,
        })
    }

    /// The layer alone that a directory holds in place of a model, if it does.
    pub fn layer(dir: &Path, options: &Options) -> Result<Option<arch::Layer>> {
        let Some(text) = files::read(&dir.join("config.json"))? else { return Ok(None) };
        let config = json("config.json", &text).map_err(|e| e.within(dir))?;
        if config["model_type"] != arch::Layer::MODEL_TYPE {
            return Ok(None);
        }
        if options.adapter.is_some() {
            return Err(Error::usage("`--adapter` goes with a model, this directory holds a layer alone").hint("leave it out"));
        }
        let store = Store::open(dir)?;
        let held = Held { weights: options.weights.unwrap_or_else(|| store.natural()), cache: options.cache, mapped: options.mapped };
        let store = Arc::new(store.held(held));
        let layer = arch::Layer::load(&config, &store.root())
            .map_err(|e| if e.message().starts_with("config.json") { e.within(dir) } else { e })?;
        store.all_read(&[])?;
        Ok(Some(layer))
    }

    /// The sizes of what [`Checkpoint::open`] would load: nothing but config.json and the headers of the weights is read.
    pub fn outline(dir: &Path, options: &Options) -> Result<Outline> {
        Self::outline_with(dir, options, None)
    }

    /// The same with other keys in the configuration.
    pub fn outline_with(dir: &Path, options: &Options, set: Option<&Value>) -> Result<Outline> {
        options.check()?;
        let blueprint = |options: &Options| Self::with(dir, || Ok(Store::blueprint()), options, set).map(Outline::from);
        let sizes = blueprint(options)?;
        if options.random_weights.is_some() {
            return Ok(sizes);
        }
        let on_disk = Store::open(dir)?;
        let weights = options.weights.unwrap_or_else(|| on_disk.natural());
        let on_disk = options.adapt(on_disk, &sizes.config)?;
        let sizes = if sizes.held.weights == weights { sizes } else { blueprint(&Options { weights: Some(weights), ..options.clone() })? };
        let notes = adapter_notes(on_disk.adapter(), &sizes.name, Some(dir), &sizes.config);
        Ok(Outline { parameters: on_disk.parameters(), notes, ..sizes })
    }

    fn with(dir: &Path, weights: impl FnOnce() -> Result<Store> + Send, options: &Options, set: Option<&Value>) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::new(format!("{}: no such directory", dir.display()))
                .hint("`--model` takes a directory with config.json, tokenizer.json and model.safetensors"));
        }
        let read = |name: &str| files::read(&dir.join(name));
        let config = read("config.json")?.ok_or_else(|| {
            Error::new(format!("{}: no config.json", dir.display()))
                .hint("a checkpoint has config.json, tokenizer.json and model.safetensors")
        })?;
        let files = Files {
            config: &config,
            set,
            generation_config: read("generation_config.json")?,
            tokenizer: if options.ids { None } else { read("tokenizer.json")? },
            tokenizer_config: if options.ids { None } else { read("tokenizer_config.json")? },
        };
        let name = dir.canonicalize().ok().and_then(|d| d.file_name().map(|n| n.to_string_lossy().into_owned()));
        let loaded = Self::assemble(name.unwrap_or_else(|| dir.display().to_string()), files, weights, options).map_err(|e| {
            // errors of weights name their file already
            let ours = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
                .iter()
                .any(|f| e.message().starts_with(f));
            if ours { e.within(dir) } else { e }
        })?;
        Ok(Self { dir: Some(dir.to_owned()), ..loaded })
    }

    /// What its files hold, in a number each: those of [`Checkpoint::texts`], and `weights` ([`Store::fingerprint`]) unless they are made up.
    pub fn fingerprints(&self) -> Vec<(&'static str, u64)> {
        self.texts.iter().copied().chain(self.store.fingerprint().map(|weights| ("weights", weights))).collect()
    }

    /// What the user should know of its adapter, if it has one.
    pub fn adapter_notes(&self) -> Vec<String> {
        adapter_notes(self.store.adapter(), &self.name, self.dir.as_deref(), &self.config)
    }

    /// The model that is part of the program.
    pub fn embedded(options: &Options) -> Result<Self> {
        let Some(shipped) = embedded::SHIPPED else {
            return Err(Error::usage("this program was built without the default model").hint("name a checkpoint with `-m DIR`"));
        };
        let files = Files {
            config: shipped.config,
            set: None,
            generation_config: Some(shipped.generation_config.to_vec()),
            tokenizer: (!options.ids).then(|| shipped.tokenizer.to_vec()),
            tokenizer_config: None,
        };
        Self::assemble(shipped.name.into(), files, || Store::from_static(shipped.name, shipped.weights), options)
    }

    fn assemble(name: String, files: Files, weights: impl FnOnce() -> Result<Store> + Send, options: &Options) -> Result<Self> {
        let texts = files.fingerprints();
        let mut config = json("config.json", files.config)?;
        files.set.into_iter().for_each(|set| merge(&mut config, set));
        let generation_config = files.generation_config.map(|g| json("generation_config.json", &g)).transpose()?;
        let arch = arch::find(&config)?;
        let load = || -> Result<_> {
            let store = weights()?;
            let asked = options.asked(arch, started(&config, generation_config.as_ref())?)?;
            if store.is_random() {
                options.fits(arch, &asked)?;
            }
            let held = Held { weights: options.weights.unwrap_or_else(|| store.natural()), cache: options.cache, mapped: options.mapped };
            let store = Arc::new(options.adapt(store.held(held).moved(options.moved), &config)?);
            let loaded = (arch.load)(&asked, &store.root())?;
            Ok((store, held, loaded))
        };
        // a tokenizer takes as long to read as a small model
        let (tokenizer, loaded) = rayon::join(|| words(files.tokenizer, files.tokenizer_config, &config), load);
        let (tokenizer, (store, held, loaded)) = (tokenizer?, loaded?);
        store.all_read(arch.ignored)?;
        Ok(Self {
            name,
            commit: None,
            dir: None,
            model: loaded.model,
            tokenizer,
            config,
            generation_config,
            unread: loaded.unread,
            store,
            held,
            texts,
        })
    }
}

/// What the user should know of an adapter that is merged into the model of this name, directory and configuration.
fn adapter_notes(adapter: Option<&Summary>, name: &str, dir: Option<&Path>, config: &Value) -> Vec<String> {
    let Some(adapter) = adapter else { return Vec::new() };
    let dir = dir.map(|d| d.canonicalize().unwrap_or_else(|_| d.to_owned()).display().to_string());
    let names = [Some(name), dir.as_deref(), config["_name_or_path"].as_str()];
    adapter.notes.iter().cloned().chain(adapter.stranger(&names.into_iter().flatten().collect::<Vec<_>>())).collect()
}

/// What a model is assembled from, besides its weights.
struct Files<'a> {
    config: &'a [u8],
    /// Keys that the configuration has instead.
    set: Option<&'a Value>,
    generation_config: Option<Vec<u8>>,
    tokenizer: Option<Vec<u8>>,
    tokenizer_config: Option<Vec<u8>>,
}

impl Files<'_> {
    fn fingerprints(&self) -> Vec<(&'static str, u64)> {
        let all = [
            ("config", Some(self.config)),
            ("generation-config", self.generation_config.as_deref()),
            ("tokenizer", self.tokenizer.as_deref()),
        ];
        all.into_iter().filter_map(|(name, text)| Some((name, fingerprint(&[text?])))).collect()
    }
}

/// config.json with the decoder's start token: where there is a generation_config.json, its `decoder_start_token_id`, else its `bos_token_id`
/// (`GenerationMixin._prepare_special_tokens` of transformers 5).
fn started(config: &Value, generation_config: Option<&Value>) -> Result<Value> {
    let mut config = config.clone();
    let Some(file) = generation_config else { return Ok(config) };
    if let Some(key) = ["decoder_start_token_id", "bos_token_id"].into_iter().find(|key| !file[*key].is_null()) {
        let start = file[key].as_u64().and_then(|id| u32::try_from(id).ok());
        let start = start.ok_or_else(|| {
            Error::new(format!("generation_config.json: `{key}` is {}, not a token id", file[key])).hint("it is a whole number from 0 on")
        })?;
        config["decoder_start_token_id"] = start.into();
    }
    Ok(config)
}

/// Puts the keys of `set` into `config`, those of tables within tables by themselves.
fn merge(config: &mut Value, set: &Value) {
    match (config, set) {
        (Value::Object(config), Value::Object(set)) => set.iter().for_each(|(key, value)| match config.get_mut(key) {
            Some(old) => merge(old, value),
            None => {
                config.insert(key.clone(), value.clone());
            }
        }),
        (config, set) => *config = set.clone(),
    }
}

fn json(name: &str, bytes: &[u8]) -> Result<Value> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| Error::new(format!("{name}: not valid JSON ({e})")))?;
    if value.is_object() { Ok(value) } else { Err(Error::new(format!("{name}: not a JSON object"))) }
}

/// The tokenizer of tokenizer.json, or one that needs no file.
fn words(file: Option<Vec<u8>>, class: Option<Vec<u8>>, config: &Value) -> Result<Option<Tokenizer>> {
    if let Some(file) = file {
        return tokenizer(&file).map(Some);
    }
    let class = class.map(|text| json("tokenizer_config.json", &text)).transpose()?;
    if bytes::are_meant(config, class.as_ref()) { bytes::byt5().map(Some) } else { Ok(None) }
}

fn tokenizer(bytes: &[u8]) -> Result<Tokenizer> {
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|e| Error::new(format!("tokenizer.json: {e}")))?;
    // what is too long is for `--on-overflow` to say, never a silent cut
    tokenizer.with_truncation(None).map_err(|e| Error::new(format!("tokenizer.json: {e}")))?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}
