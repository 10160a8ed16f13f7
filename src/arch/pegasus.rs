//! PEGASUS (Zhang et al. 2019, <https://arxiv.org/abs/1912.08777>): pre-norm encoder-decoder with sinusoidal positions.
//!
//! Reference: transformers:src/transformers/models/pegasus/modeling_pegasus.py. No norm after the embeddings, one at the end of each stack.

use super::bart_like::{Config, Plan, build, full, full_name};
use super::{Arch, Choice, Loaded, expect, parse, unread};
use crate::block::{Order, Positions};
use crate::error::Result;
use crate::weights::Weights;
use serde_json::{Value, json};

pub(super) const ARCH: Arch = Arch {
    model_type: "pegasus",
    summary: "encoder-decoder, full attention, pre-norm, sinusoidal positions",
    checkpoints: "google/pegasus-xsum, google/pegasus-cnn_dailymail, google/pegasus-arxiv",
    mixers: &["softmax"],
    attentions: &["full", "window=N"],
    ignored: &[],
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "pegasus", "vocab_size": 61, "d_model": 24, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 3,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 36, "max_position_embeddings": 80, "scale_embedding": true,
        "activation_function": "relu", "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}"#,
    load,
};

fn load(config: &Value, w: &Weights) -> Result<Loaded> {
    let c: Config = parse(config)?;
    let choice = Choice::of(config, &ARCH)?;
    for (key, value) in [
        ("normalize_before", true),
        ("normalize_embedding", false),
        ("static_position_embeddings", true),
        ("add_final_layer_norm", true),
        ("add_bias_logits", false),
    ] {
        expect(&c.rest, key, &json!(value))?;
    }
    let positions = |w: &Weights| Positions::sinusoidal(w, (c.max_position_embeddings, c.sizes.d_model));
    let plan = Plan {
        prefix: "model",
        order: Order::Pre,
        input_norm: false,
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
