//! A checkpoint: config.json, generation_config.json, tokenizer.json and weights of a directory, or of the program itself.

use crate::adapter::Adapter;
use crate::arch;
use crate::error::{Error, Result};
use crate::files;
use crate::hub::{Found, Snapshot};
use crate::kernel::precision::Precision;
use crate::machine::memory;
use crate::model::Model;
use crate::report::bytes;
use crate::weights::{Held, Store};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokenizers::Tokenizer;

mod embedded;
mod words;

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
    /// tokenizer.json, if there is one.
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
}

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
        let files = Files { config: self.config, set, generation_config: None, tokenizer: None };
        Checkpoint::assemble(self.name.to_owned(), files, weights, options)
    }
}

impl From<Checkpoint> for Outline {
    fn from(c: Checkpoint) -> Self {
        Self {
            parameters: c.store.parameters(),
            bytes: c.store.bytes_in_memory(),
            name: c.name,
            model: c.model,
            config: c.config,
            held: c.held,
        }
    }
}

/// How to load a checkpoint.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Make the weights up from this seed instead of reading them.
    pub random_weights: Option<u64>,
    /// How weights are held; none: what suits checkpoint and machine ([`Store::natural`]).
    pub weights: Option<Precision>,
    /// How keys and values are held.
    pub cache: Precision,
    /// Whether what a step reads row by row stays in its file ([`Held::mapped`]).
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
    fn check(&self) -> Result<()> {
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
}

impl Options {
    /// The store with the adapter, if there is one; a blueprint has no numbers that it could change.
    fn adapt(&self, store: Store, config: &Value) -> Result<Store> {
        match &self.adapter {
            Some(dir) if !store.is_blueprint() => {
                // transformers ties tables unless the configuration says otherwise; T5's says so of its scale
                let t5 = config["model_type"].as_str().is_some_and(|t| t.ends_with("t5"));
                store.adapted(Adapter::open(dir)?, t5 || config["tie_word_embeddings"] != Value::Bool(false))
            }
            _ => Ok(store),
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
        Ok(Outline { parameters: on_disk.parameters(), ..sizes })
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
        let files = Files { config: &config, set, generation_config: read("generation_config.json")?, tokenizer: read("tokenizer.json")? };
        let name = dir.canonicalize().ok().and_then(|d| d.file_name().map(|n| n.to_string_lossy().into_owned()));
        let loaded = Self::assemble(name.unwrap_or_else(|| dir.display().to_string()), files, weights, options).map_err(|e| {
            // errors of weights name their file already
            let ours = ["config.json", "generation_config.json", "tokenizer.json"].iter().any(|f| e.message().starts_with(f));
            if ours { e.within(dir) } else { e }
        })?;
        Ok(Self { dir: Some(dir.to_owned()), ..loaded })
    }

    /// What the user should know of its adapter, if it has one.
    pub fn adapter_notes(&self) -> Vec<String> {
        let Some(adapter) = self.store.adapter() else { return Vec::new() };
        let dir = self.dir.as_ref().map(|d| d.canonicalize().unwrap_or_else(|_| d.clone()).display().to_string());
        let names = [Some(self.name.as_str()), dir.as_deref(), self.config["_name_or_path"].as_str()];
        adapter.notes.iter().cloned().chain(adapter.stranger(&names.into_iter().flatten().collect::<Vec<_>>())).collect()
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
            tokenizer: Some(shipped.tokenizer.to_vec()),
        };
        Self::assemble(shipped.name.into(), files, || Store::from_static(shipped.name, shipped.weights), options)
    }

    fn assemble(name: String, files: Files, weights: impl FnOnce() -> Result<Store> + Send, options: &Options) -> Result<Self> {
        let mut config = json("config.json", files.config)?;
        files.set.into_iter().for_each(|set| merge(&mut config, set));
        let generation_config = files.generation_config.map(|g| json("generation_config.json", &g)).transpose()?;
        let arch = arch::find(&config)?;
        let load = || -> Result<_> {
            let store = weights()?;
            if store.is_random() {
                fits(arch, &asked(arch, started(&config, generation_config.as_ref()), options)?, options)?;
            }
            let held = Held { weights: options.weights.unwrap_or_else(|| store.natural()), cache: options.cache, mapped: options.mapped };
            let store = Arc::new(options.adapt(store.held(held).moved(options.moved), &config)?);
            let loaded = (arch.load)(&asked(arch, started(&config, generation_config.as_ref()), options)?, &store.root())?;
            Ok((store, held, loaded))
        };
        // a tokenizer takes as long to read as a small model
        let (tokenizer, loaded) = rayon::join(|| files.tokenizer.map(|t| tokenizer(&t)).transpose(), load);
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
        })
    }
}

struct Files<'a> {
    config: &'a [u8],
    /// Keys that the configuration has instead.
    set: Option<&'a Value>,
    generation_config: Option<Vec<u8>>,
    tokenizer: Option<Vec<u8>>,
}

/// config.json with the decoder's start token: where there is a generation_config.json, its `decoder_start_token_id`, else its `bos_token_id`
/// (`GenerationMixin._prepare_special_tokens` of transformers 5).
fn started(config: &Value, generation_config: Option<&Value>) -> Value {
    let mut config = config.clone();
    let of = |g: &Value| ["decoder_start_token_id", "bos_token_id"].iter().find_map(|key| g[*key].as_u64());
    if let Some(start) = generation_config.and_then(of) {
        config["decoder_start_token_id"] = start.into();
    }
    config
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

/// The configuration with what the caller asks of it.
fn asked(arch: &arch::Arch, mut config: Value, options: &Options) -> Result<Value> {
    if options.quirks && !arch.quirks.is_empty() {
        config["reference_quirks"] = true.into();
    }
    if options.attention != arch::Choice::Auto {
        options.attention.check(arch)?;
        config[arch::choice::KEY] = options.attention.to_string().into();
    }
    if let Some(init) = options.init_mem {
        if !arch.segments {
            return Err(Error::usage(format!("`--init-mem` is for models with memories of segments, which `{}` has not", arch.model_type))
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
fn fits(arch: &arch::Arch, config: &Value, options: &Options) -> Result<()> {
    let held = Held { weights: options.weights.unwrap_or_default(), cache: options.cache, mapped: false };
    let sizes = Arc::new(Store::blueprint().held(held));
    (arch.load)(config, &sizes.root())?;
    match memory::available().filter(|left| sizes.bytes_in_memory() > *left) {
        None => Ok(()),
        Some(left) => Err(Error::new(format!("the weights would take {}, {} are available", bytes(sizes.bytes_in_memory()), bytes(left)))
            .hint("choose a smaller configuration, or `--dtype bf16` or `int8`; is a size in config.json mistyped?")),
    }
}

fn json(name: &str, bytes: &[u8]) -> Result<Value> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| Error::new(format!("{name}: not valid JSON ({e})")))?;
    if value.is_object() { Ok(value) } else { Err(Error::new(format!("{name}: not a JSON object"))) }
}

fn tokenizer(bytes: &[u8]) -> Result<Tokenizer> {
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|e| Error::new(format!("tokenizer.json: {e}")))?;
    // what is too long is for `--on-overflow` to say, never a silent cut
    tokenizer.with_truncation(None).map_err(|e| Error::new(format!("tokenizer.json: {e}")))?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}
