//! mBART (Liu et al. 2020, <https://arxiv.org/abs/2001.08210>) and mBART-50 (Tang et al. 2020, <https://arxiv.org/abs/2008.00401>): BART with pre-norm
//! layers, a norm behind the embeddings and another at the end of each stack.
//!
//! Reference: transformers:src/transformers/models/mbart/modeling_mbart.py. Position p is row p + 2 of the table. The language of a summary is its first
//! token: `decoder_start_token_id`, or `forced_bos_token_id` behind it, of generation_config.json or config.json.

use super::bart_like::{Config, Plan, build, full, full_name};
use super::{Arch, Choice, Loaded, expect, parse, unread};
use crate::block::{Order, Positions};
use crate::error::Result;
use crate::weights::Weights;
use serde_json::{Value, json};

pub(super) const ARCH: Arch = Arch {
    model_type: "mbart",
    summary: "encoder-decoder, full attention, pre-norm, learned positions, many languages",
    checkpoints: "facebook/mbart-large-cc25, facebook/mbart-large-50, facebook/mbart-large-50-many-to-many-mmt",
    mixers: &["softmax"],
    attentions: &["full", "window=N"],
    ignored: &[],
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "mbart", "vocab_size": 61, "d_model": 24, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 3,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 36, "max_position_embeddings": 80, "scale_embedding": true,
        "decoder_start_token_id": 2, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}"#,
    load,
};

/// Rows before position 0.
const OFFSET: usize = 2;

fn load(config: &Value, w: &Weights) -> Result<Loaded> {
    let c: Config = parse(config)?;
    let choice = Choice::of(config, &ARCH)?;
    for (key, value) in [
        ("normalize_before", true),
        ("normalize_embedding", true),
        ("static_position_embeddings", false),
        ("add_final_layer_norm", true),
        ("add_bias_logits", false),
    ] {
        expect(&c.rest, key, &json!(value))?;
    }
    let positions = |w: &Weights| Positions::learned(w, (c.max_position_embeddings, c.sizes.d_model), OFFSET);
    let plan = Plan {
        prefix: "model",
        order: Order::Pre,
        input_norm: true,
        stack_norm: Some("layer_norm"),
        attention_bias: true,
        positions: [&positions, &positions],
        reader: &|w, heads, _| full(w, heads, choice),
        default_global: None,
        attention: full_name(choice),
        model_type: ARCH.model_type,
    };
    Ok(Loaded { model: Box::new(build(w, &c.sizes, &plan)?), unread: unread(&c.rest) })
}
