//! LongT5 (Guo et al. 2021, <https://arxiv.org/abs/2112.07916>): T5 whose encoder sees a window around each token, and with transient global attention slots
//! that sum up blocks of tokens.
//!
//! Reference: transformers:src/transformers/models/longt5/modeling_longt5.py. Its decoder is T5's.

use super::t5::UNUSED;
use super::t5_like::{Plan, Sizes, build};
use super::{Arch, Choice, Loaded, parse, unread};
use crate::error::{Error, Result};
use crate::mixer::{LongT5, Reader, Sides, Slots};
use crate::weights::Weights;
use serde::Deserialize;
use serde_json::{Map, Value};

pub(super) const ARCH: Arch = Arch {
    model_type: "longt5",
    summary: "encoder-decoder, a window and slots for blocks of tokens, pre-norm, biases by distance",
    checkpoints: "google/long-t5-local-base, google/long-t5-tglobal-base, pszemraj/long-t5-tglobal-base-16384-book-summary",
    mixers: &["longt5_local", "longt5_transient_global", "softmax"],
    attentions: &["full", "window=N"],
    ignored: UNUSED,
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "longt5", "vocab_size": 61, "d_model": 24, "d_kv": 10, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 3,
        "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20, "local_radius": 5, "global_block_size": 4,
        "encoder_attention_type": "transient-global", "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-6, "tie_word_embeddings": false,
        "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}"#,
    load,
};

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    sizes: Sizes,
    #[serde(default)]
    encoder_attention_type: Kind,
    #[serde(default = "radius")]
    local_radius: usize,
    #[serde(default = "sixteen")]
    global_block_size: usize,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// `encoder_attention_type`.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    Local,
    TransientGlobal,
}

fn radius() -> usize {
    127
}

fn sixteen() -> usize {
    16
}

impl Config {
    /// Tokens seen on each side, if not all are.
    fn reach(&self, choice: Choice) -> Option<usize> {
        if choice == Choice::Full { None } else { Some(choice.reach().unwrap_or(self.local_radius)) }
    }

    /// What runs over tokens, and the slots beside it.
    fn name(&self, choice: Choice) -> String {
        let local = match choice {
            Choice::Full => "full".to_owned(),
            Choice::Window(_) => choice.to_string(),
            _ => format!("radius={}", self.local_radius),
        };
        match (self.encoder_attention_type, choice) {
            (Kind::Local, Choice::Full | Choice::Window(_)) => local,
            (Kind::Local, _) => format!("longt5 local {local}"),
            (Kind::TransientGlobal, _) => format!("longt5 transient-global {local} slots of {}", self.global_block_size),
        }
    }
}

fn load(config: &Value, w: &Weights) -> Result<Loaded> {
    let c: Config = parse(config)?;
    let (s, choice) = (&c.sizes, Choice::of(config, &ARCH)?);
    s.check("LongT5", false)?;
    if c.global_block_size == 0 {
        return Err(Error::new("config.json: `global_block_size` is 0").hint("it is the tokens that one slot stands for; LongT5 has 16"));
    }
    let own = match c.encoder_attention_type {
        Kind::Local => "LocalSelfAttention",
        Kind::TransientGlobal => "TransientGlobalSelfAttention",
    };
    let first = w.pp("encoder.block.0.layer.0").pp(own);
    let local = s.biases(&first.pp("relative_attention_bias"), Sides::Both)?;
    let global = match c.encoder_attention_type {
        Kind::Local => None,
        Kind::TransientGlobal => Some(s.biases(&first.pp("global_relative_attention_bias"), Sides::Both)?),
    };
    let name = c.name(choice);
    let reader = |w: &Weights| -> Result<Box<dyn Reader>> {
        let w = w.pp(own);
        let window = LongT5::new(s.heads()?, s.projections(&w)?, c.reach(choice), local.clone());
        Ok(Box::new(match &global {
            None => window,
            Some(biases) => {
                let norm = s.norm(&w.pp("global_input_layer_norm"))?;
                window.with_slots(Slots::new(c.global_block_size, norm, biases.clone(), name.clone()))
            }
        }))
    };
    let plan = Plan { reader: &reader, own_biases: false, output: s.output(), attention: name.clone(), model_type: ARCH.model_type };
    Ok(Loaded { model: Box::new(build(w, s, &plan)?), unread: unread(&c.rest) })
}
