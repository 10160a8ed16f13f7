//! Model types: config.json's fields, and which blocks stand where. One file each, one line in [`REGISTRY`].

use crate::error::{Error, Result};
use crate::model::Model;
use crate::weights::Weights;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

mod bart;
mod bart_like;
mod bigbird_pegasus;
pub(crate) mod choice;
mod compressive_transformer_lm;
mod effattn_lm;
mod gpt2;
mod led;
mod linformer_lm;
mod linformer_roberta;
mod linformer_tatp22;
mod longt5;
mod mbart;
mod pegasus;
mod pegasus_x;
mod performer_lm;
mod t5;
mod t5_like;
mod transfo_xl;
mod trax;

pub use choice::Choice;
pub use trax::Layer;

/// A loaded model, and the keys of config.json that nobody read.
pub struct Loaded {
    /// The model.
    pub model: Box<dyn Model>,
    /// Keys without effect here.
    pub unread: Vec<String>,
}

/// One line of the registry.
pub struct Arch {
    /// `model_type` of config.json.
    pub model_type: &'static str,
    /// What it is, in a few words.
    pub summary: &'static str,
    /// Checkpoints that people know.
    pub checkpoints: &'static str,
    /// Names of [`crate::mixer::REGISTRY`] that it uses.
    pub mixers: &'static [&'static str],
    /// What `--attention` may choose besides `auto`, on the same weights: see [`Choice`].
    pub attentions: &'static [&'static str],
    /// Ends of tensor names that a checkpoint may hold and nobody needs.
    pub ignored: &'static [&'static str],
    /// What its reference does wrong and this program does only when asked to (`reference_quirks` in the configuration that [`Arch::load`] gets): sentences.
    pub quirks: &'static [&'static str],
    /// Whether it may keep memories of earlier segments, whose beginning `init_mem` in the configuration sets.
    pub segments: bool,
    /// A configuration small enough for tests.
    pub tiny: &'static str,
    /// Builds the model.
    pub load: fn(&Value, &Weights) -> Result<Loaded>,
}

/// All model types.
pub const REGISTRY: &[Arch] = &[
    bart::ARCH,
    bigbird_pegasus::ARCH,
    compressive_transformer_lm::ARCH,
    effattn_lm::ARCH,
    gpt2::ARCH,
    led::ARCH,
    linformer_lm::ARCH,
    linformer_roberta::ARCH,
    linformer_tatp22::ARCH,
    longt5::ARCH,
    mbart::ARCH,
    pegasus::ARCH,
    pegasus_x::ARCH,
    performer_lm::ARCH,
    trax::scaling_transformer::ARCH,
    t5::ARCH,
    trax::terraformer::ARCH,
    transfo_xl::ARCH,
    trax::reformer_lm::ARCH,
];

/// The architecture that `config` asks for.
pub fn find(config: &Value) -> Result<&'static Arch> {
    let known = REGISTRY.iter().map(|a| a.model_type).collect::<Vec<_>>().join(", ");
    let Some(wanted) = config["model_type"].as_str() else {
        return Err(Error::new("config.json: no `model_type`").hint(format!("known are {known}")));
    };
    if wanted == Layer::MODEL_TYPE {
        return Err(Error::new("config.json: a layer alone is no model").hint("`effattn verify` compares it with its reference"));
    }
    REGISTRY
        .iter()
        .find(|a| a.model_type == wanted)
        .ok_or_else(|| Error::new(format!("config.json: `model_type` `{wanted}` is not implemented")).hint(format!("known are {known}")))
}

/// Reads a configuration with the field names of config.json.
fn parse<C: DeserializeOwned>(config: &Value) -> Result<C> {
    serde_json::from_value(config.clone())
        .map_err(|e| Error::new(format!("config.json: {e}")).hint("compare it with the published checkpoint's"))
}

/// Fails if a size is 0 or beyond the most that is no typing error: (key, size, most).
fn sizes(all: &[(&str, usize, usize)]) -> Result<()> {
    match all.iter().find(|(_, n, most)| *n == 0 || n > most) {
        Some((key, n, most)) => Err(Error::new(format!("config.json: `{key}` is {n}, not between 1 and {most}"))),
        None => Ok(()),
    }
}

/// Keys that generation reads.
const GENERATION: &[&str] = &[
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "decoder_start_token_id",
    "do_sample",
    "early_stopping",
    "eos_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "mask_token_id",
    "max_length",
    "max_new_tokens",
    "min_length",
    "no_repeat_ngram_size",
    "num_beams",
    "num_return_sequences",
    "pad_token_id",
    "repetition_penalty",
    "suppress_tokens",
    "temperature",
    "top_k",
    "top_p",
];
/// Keys that say what the checkpoint is, or how it was trained, not how it computes.
const DESCRIPTION: &[&str] = &[
    choice::KEY,
    "reference_quirks",
    "init_mem",
    "model_type",
    "architectures",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "_name_or_path",
    "use_cache",
    "is_encoder_decoder",
];

/// The keys of `rest` that neither generation nor anybody else reads.
fn unread(rest: &Map<String, Value>) -> Vec<String> {
    rest.keys().filter(|k| !GENERATION.contains(&k.as_str()) && !DESCRIPTION.contains(&k.as_str())).cloned().collect()
}

/// Fails if `rest` sets `key` to anything but `value`: an option that changes the mathematics and is not implemented.
fn expect(rest: &Map<String, Value>, key: &str, value: &Value) -> Result<()> {
    match rest.get(key) {
        Some(found) if found != value && !found.is_null() => {
            Err(Error::new(format!("config.json: `{key}: {found}` is not implemented, only `{value}`"))
                .hint("the option changes what the model computes, so it is not ignored"))
        }
        _ => Ok(()),
    }
}
