//! BART (Lewis et al. 2019, <https://arxiv.org/abs/1910.13461>): post-norm encoder-decoder with learned positions.
//!
//! Reference: transformers:src/transformers/models/bart/modeling_bart.py. Position p is row p + 2 of the table.

use super::bart_like::{Config, Plan, build, full, full_name};
use super::{Arch, Choice, Loaded, expect, parse, unread};
use crate::block::{Order, Positions};
use crate::error::Result;
use crate::weights::Weights;
use serde_json::{Value, json};

pub(super) const ARCH: Arch = Arch {
    model_type: "bart",
    summary: "encoder-decoder, full attention, post-norm, learned positions",
    checkpoints: "facebook/bart-large-cnn, facebook/bart-large-xsum, sshleifer/distilbart-cnn-12-6",
    mixers: &["softmax"],
    attentions: &["full", "window=N"],
    ignored: &[],
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "bart", "vocab_size": 61, "d_model": 24, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 3,
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
        ("normalize_before", false),
        ("normalize_embedding", true),
        ("static_position_embeddings", false),
        ("add_final_layer_norm", false),
        ("add_bias_logits", false),
    ] {
        expect(&c.rest, key, &json!(value))?;
    }
    let positions = |w: &Weights| Positions::learned(w, (c.max_position_embeddings, c.sizes.d_model), OFFSET);
    let plan = Plan {
        prefix: "model",
        order: Order::Post,
        input_norm: true,
        stack_norm: None,
        attention_bias: true,
        positions: [&positions, &positions],
        reader: &|w, heads, _| full(w, heads, choice),
        default_global: None,
        attention: full_name(choice),
        model_type: ARCH.model_type,
    };
    Ok(Loaded { model: Box::new(build(w, &c.sizes, &plan)?), unread: unread(&c.rest) })
}
