//! Model types: config.json's fields, and which blocks stand where. One file each, one line in [`REGISTRY`].

use crate::error::{Error, Result};
use crate::model::Model;
use crate::typed::typed;
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
mod mt5;
mod pegasus;
mod pegasus_x;
mod performer_lm;
mod t5;
mod t5_like;
mod transfo_xl;
mod trax;
mod umt5;

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
    mt5::ARCH,
    pegasus::ARCH,
    pegasus_x::ARCH,
    performer_lm::ARCH,
    trax::scaling_transformer::ARCH,
    t5::ARCH,
    trax::terraformer::ARCH,
    transfo_xl::ARCH,
    trax::reformer_lm::ARCH,
    umt5::ARCH,
];

/// Model types whose library has values for keys that config.json lacks, sizes among them.
const DEFAULTS: &[(&str, &str)] = &[(mt5::ARCH.model_type, mt5::DEFAULTS), (umt5::ARCH.model_type, mt5::DEFAULTS)];

/// `config` with the keys that it lacks and that its library has values for.
fn completed(config: &Value) -> Value {
    let defaults = DEFAULTS.iter().find(|(model_type, _)| config["model_type"] == *model_type);
    let defaults = defaults.and_then(|(_, text)| serde_json::from_str::<Map<String, Value>>(text).ok()).unwrap_or_default();
    let keys = config.as_object().cloned().unwrap_or_default();
    defaults.into_iter().chain(keys).collect()
}

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
    typed(&completed(config)).map_err(|what| Error::new(format!("config.json: {what}")).hint("compare it with the published checkpoint's"))
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
    "tokenizer_class",
];

/// The keys of `rest` that neither generation nor anybody else reads.
fn unread(rest: &Map<String, Value>) -> Vec<String> {
    rest.keys().filter(|k| !GENERATION.contains(&k.as_str()) && !DESCRIPTION.contains(&k.as_str())).cloned().collect()
}

/// Fails if a size of config.json is 0, or beyond the most that is no typing error: (key, size, most).
fn sizes(all: &[(&str, usize, usize)]) -> Result<()> {
    match all.iter().find(|(_, n, most)| *n == 0 || n > most) {
        None => Ok(()),
        Some((key, n, most)) => {
            Err(Error::new(format!("config.json: `{key}` is {n}, not between 1 and {most}")).hint("is a digit mistyped?"))
        }
    }
}

/// The token that a decoder starts with. Fails if there is none of that number.
fn start_token(start: u32, vocabulary: usize) -> Result<u32> {
    match (start as usize) < vocabulary {
        true => Ok(start),
        false => Err(Error::new(format!("config.json: the decoder starts with token {start}, and `vocab_size` is {vocabulary}"))
            .hint("look at `decoder_start_token_id` and `bos_token_id`, of generation_config.json where there is one")),
    }
}

/// A norm's ε of config.json's `key`. Fails where it is none, or as an f32 is none.
fn epsilon(key: &str, epsilon: f64) -> Result<f64> {
    match epsilon >= 0.0 && (epsilon as f32).is_finite() {
        true => Ok(epsilon),
        false => Err(Error::new(format!("config.json: `{key}` is {epsilon:e}, not between 0 and the largest f32"))
            .hint("it is added to a variance, or to a mean of squares: 0 or a little more, such as 1e-5")),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Store;
    use serde_json::json;
    use std::sync::Arc;

    /// Places of everything in a configuration: as JSON pointers, with the key that an error has to name.
    fn places(value: &Value, pointer: &str, key: &str) -> Vec<(String, String)> {
        let below: Vec<(String, String, &Value)> = match value {
            Value::Object(keys) => keys.iter().map(|(k, v)| (format!("{pointer}/{k}"), k.clone(), v)).collect(),
            Value::Array(list) => list.iter().enumerate().map(|(i, v)| (format!("{pointer}/{i}"), key.to_owned(), v)).collect(),
            _ => Vec::new(),
        };
        below.into_iter().flat_map(|(p, k, v)| [vec![(p.clone(), k.clone())], places(v, &p, &k)].concat()).collect()
    }

    /// Values of another kind are told with their key, though most are read through structures that do not keep it.
    #[test]
    fn a_value_of_another_kind_names_its_key() {
        let (mut told, mut nameless) = (0, Vec::new());
        for arch in REGISTRY {
            let tiny: Value = serde_json::from_str(arch.tiny).unwrap();
            for (pointer, key) in places(&tiny, "", "").into_iter().filter(|(_, key)| key != "model_type") {
                for bad in [json!("x"), json!([]), json!({"a": 1}), json!(-1), json!(1.5), json!(true)] {
                    let mut config = tiny.clone();
                    *config.pointer_mut(&pointer).unwrap() = bad.clone();
                    let Err(e) = (arch.load)(&config, &Arc::new(Store::blueprint()).root()).map(drop) else { continue };
                    let typed = ["invalid type", "invalid value", "invalid length", "unknown variant", "did not match"];
                    if typed.iter().any(|words| e.message().contains(words)) {
                        told += 1;
                        // the whole place, its last part, or an entry of it
                        let ways = [format!("`{key}`: "), format!(".{key}`: "), format!("{key}[")];
                        if !e.message().starts_with("config.json: ") || !ways.iter().any(|way| e.message().contains(way)) {
                            nameless.push(format!("{} {pointer} {bad}: {e}", arch.model_type));
                        }
                    }
                }
            }
        }
        assert!(told > 500 && nameless.is_empty(), "{told}: {nameless:#?}");
        let mut config: Value = serde_json::from_str(bart::ARCH.tiny).unwrap();
        config.as_object_mut().unwrap().remove("d_model");
        let e = (bart::ARCH.load)(&config, &Arc::new(Store::blueprint()).root()).map(drop).unwrap_err();
        assert_eq!(e.message(), "config.json: missing field `d_model`");
    }

    #[test]
    fn sizes_out_of_proportion_name_their_key() {
        for key in ["vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner"] {
            for bad in [json!(0), json!(1u64 << 31), json!(u64::MAX)] {
                let mut config: Value = serde_json::from_str(gpt2::ARCH.tiny).unwrap();
                config[key] = bad.clone();
                let e = (gpt2::ARCH.load)(&config, &Arc::new(Store::blueprint()).root()).map(drop).unwrap_err();
                assert!(e.message().starts_with(&format!("config.json: `{key}` is {bad}, not between 1 and ")), "{e}");
                assert!(e.remedy().is_some());
            }
        }
    }

    /// Memory is asked for only where there is some.
    #[test]
    fn made_up_weights_beyond_memory_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut config: Value = serde_json::from_str(mbart::ARCH.tiny).unwrap();
        let options = crate::checkpoint::Options { random_weights: Some(1), ..Default::default() };
        let load = |config: &Value| {
            std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
            crate::checkpoint::Checkpoint::open(dir.path(), &options).map(drop)
        };
        assert!(load(&config).is_ok());
        (config["vocab_size"], config["d_model"]) = (json!(1 << 24), json!(3 << 15));
        let e = load(&config).unwrap_err();
        assert!(e.message().starts_with("the weights would take ") && e.message().ends_with(" are available"), "{e}");
        assert!(e.remedy().is_some());
    }

    /// Where BART's kin begin, and how they split, is told by key.
    #[test]
    fn heads_and_starts_that_cannot_be_name_their_key() {
        let kin = ["bart", "bigbird_pegasus", "led", "mbart", "pegasus", "pegasus_x"];
        for arch in REGISTRY.iter().filter(|a| kin.contains(&a.model_type)) {
            for key in ["encoder_attention_heads", "decoder_attention_heads"] {
                for bad in [json!(0), json!(5), json!(u64::MAX)] {
                    let mut config: Value = serde_json::from_str(arch.tiny).unwrap();
                    config[key] = bad.clone();
                    let e = (arch.load)(&config, &Arc::new(Store::blueprint()).root()).map(drop).unwrap_err();
                    let wanted = format!("config.json: `{key}` is {bad}: ");
                    assert!(e.message().starts_with(&wanted) && e.remedy().is_some(), "{}: {e}", arch.model_type);
                }
            }
        }
        let mut config: Value = serde_json::from_str(bart::ARCH.tiny).unwrap();
        ["decoder_start_token_id", "bos_token_id"].iter().for_each(|key| config[*key] = Value::Null);
        let e = (bart::ARCH.load)(&config, &Arc::new(Store::blueprint()).root()).map(drop).unwrap_err();
        assert!(e.message().contains("neither `decoder_start_token_id`") && e.remedy().is_some());
    }

    /// Of every family that starts with one: the last of the vocabulary is one, the next is none.
    #[test]
    fn a_decoder_starts_with_a_token_that_there_is() {
        let mut families = 0;
        for arch in REGISTRY {
            let tiny: Value = serde_json::from_str(arch.tiny).unwrap();
            let Some(size) = tiny["vocab_size"].as_u64().filter(|_| tiny["decoder_start_token_id"].is_number()) else { continue };
            let load = |start: u64| {
                let mut config = tiny.clone();
                config["decoder_start_token_id"] = start.into();
                (arch.load)(&config, &Arc::new(Store::blueprint()).root()).map(drop)
            };
            assert!(load(size - 1).is_ok(), "{}", arch.model_type);
            let e = load(size).unwrap_err();
            let wanted = format!("config.json: the decoder starts with token {size}, and `vocab_size` is {size}");
            assert!(e.message() == wanted && e.remedy().is_some(), "{}: {e}", arch.model_type);
            families += 1;
        }
        assert!(families >= 12, "{families}");
    }

    /// Of every family whose configuration has one.
    #[test]
    fn an_epsilon_is_small_and_finite() {
        let mut families = 0;
        for arch in REGISTRY.iter().filter(|a| ["effattn_lm", "gpt2", "longt5", "mt5", "t5", "transfo-xl", "umt5"].contains(&a.model_type))
        {
            let load = |epsilon: f64| {
                let mut config: Value = serde_json::from_str(arch.tiny).unwrap();
                config["layer_norm_epsilon"] = epsilon.into();
                (arch.load)(&config, &Arc::new(Store::blueprint()).root()).map(drop)
            };
            assert!(load(1e-3).is_ok() && load(0.0).is_ok(), "{}", arch.model_type);
            for bad in [1e308, -1e-5, 1e39] {
                let e = load(bad).unwrap_err();
                let wanted = format!("config.json: `layer_norm_epsilon` is {bad:e}, not between 0 and the largest f32");
                assert!(e.message() == wanted && e.remedy().is_some(), "{}: {e}", arch.model_type);
            }
            families += 1;
        }
        assert_eq!(families, 7);
        assert!(epsilon("e", f64::NAN).is_err() && epsilon("e", f64::INFINITY).is_err());
    }
}
