//! BigBird-PEGASUS (Zaheer et al. 2020, <https://arxiv.org/abs/2007.14062>, section 4): PEGASUS with BigBird's sparse attention in its encoder.
//!
//! Reference: transformers:src/transformers/models/bigbird_pegasus/modeling_bigbird_pegasus.py. Learned positions without an offset; the norm at the end of each stack is called
//! `layernorm_embedding`. The encoder's layers hold the same weights for sparse and for full attention, so `attention_type` is a choice that `--attention` may make anew.

use super::bart_like::{Plan, Sizes, build};
use super::{Arch, Choice, Loaded, expect, parse, unread};
use crate::block::{Order, Positions, Projections};
use crate::error::{Error, Result};
use crate::mixer::{BigBird, Draw, Pattern, Softmax};
use crate::weights::Weights;
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub(super) const ARCH: Arch = Arch {
    model_type: "bigbird_pegasus",
    summary: "encoder-decoder, blocks with global and random ones, pre-norm, learned positions",
    checkpoints: "google/bigbird-pegasus-large-arxiv, google/bigbird-pegasus-large-pubmed, google/bigbird-pegasus-large-bigpatent",
    mixers: &["bigbird", "softmax"],
    attentions: &["full", "sparse", "block=N", "paper=SEED"],
    ignored: &[],
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "bigbird_pegasus", "vocab_size": 61, "d_model": 24, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 3,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 36, "max_position_embeddings": 80, "scale_embedding": true,
        "attention_type": "block_sparse", "block_size": 4, "num_random_blocks": 2, "use_bias": false, "activation_function": "gelu_new",
        "decoder_start_token_id": 2, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}"#,
    load,
};

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    sizes: Sizes,
    max_position_embeddings: usize,
    #[serde(default = "block_sparse")]
    attention_type: String,
    #[serde(default = "sixty_four")]
    block_size: usize,
    #[serde(default = "three")]
    num_random_blocks: usize,
    #[serde(default)]
    use_bias: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn block_sparse() -> String {
    "block_sparse".to_owned()
}

fn sixty_four() -> usize {
    64
}

fn three() -> usize {
    3
}

/// What the reference takes where config.json says nothing, and BART does otherwise.
fn with_defaults(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(keys) = config.as_object_mut() {
        for (key, value) in [
            ("activation_function", json!("gelu_new")),
            ("scale_embedding", json!(true)),
            ("decoder_start_token_id", json!(2)),
            ("bos_token_id", json!(2)),
        ] {
            keys.entry(key).or_insert(value);
        }
    }
    config
}

fn load(config: &Value, w: &Weights) -> Result<Loaded> {
    let c: Config = parse(&with_defaults(config))?;
    let choice = Choice::of(config, &ARCH)?;
    expect(&c.rest, "is_decoder", &json!(false))?;
    let pattern = pattern(&c, choice)?;
    let d = c.sizes.d_model;
    let positions = |w: &Weights| Positions::learned(w, (c.max_position_embeddings, d), 0);
    let plan = Plan {
        prefix: "model",
        order: Order::Pre,
        input_norm: false,
        stack_norm: Some("layernorm_embedding"),
        attention_bias: c.use_bias,
        positions: [&positions, &positions],
        reader: &|w, heads, layer| {
            let projections = Projections::named(w, ["self.query", "self.key", "self.value", "output"], (d, d), c.use_bias)?;
            Ok(match pattern {
                Some(pattern) => Box::new(BigBird::new(heads, projections, pattern, layer)?),
                None => Box::new(Softmax::new(heads, projections)),
            })
        },
        default_global: None,
        attention: pattern.map_or_else(|| Ok("full".to_owned()), |p| p.describe())?,
        model_type: ARCH.model_type,
    };
    Ok(Loaded { model: Box::new(build(w, &c.sizes, &plan)?), unread: unread(&c.rest) })
}

/// How the encoder reads by blocks, if it does.
fn pattern(c: &Config, choice: Choice) -> Result<Option<Pattern>> {
    let sparse = match c.attention_type.as_str() {
        "block_sparse" => true,
        "original_full" => false,
        other => {
            return Err(Error::new(format!("config.json: `attention_type` is `{other}`"))
                .hint("it is `block_sparse` or `original_full`; the weights are the same"));
        }
    };
    let own = Pattern { block: c.block_size, random: c.num_random_blocks, draw: Draw::Evaluation, always: false };
    own.switch()?;
    Ok(match choice {
        Choice::Auto => sparse.then_some(own),
        Choice::Sparse => Some(Pattern { always: true, ..own }),
        Choice::Block(block) => Some(Pattern { block, ..own }),
        Choice::Paper(seed) => Some(Pattern { draw: Draw::Paper { seed, positions: c.max_position_embeddings }, ..own }),
        Choice::Full | Choice::Window(_) => None,
    })
}
