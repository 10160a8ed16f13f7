//! T5 (Raffel et al. 2020, <https://arxiv.org/abs/1910.10683>) and T5 v1.1, as FLAN has it (Chung et al. 2022, <https://arxiv.org/abs/2210.11416>): pre-norm
//! encoder-decoder without biases, whose scores get a number for the distance between query and key and are divided by nothing.
//!
//! Reference: transformers:src/transformers/models/t5/modeling_t5.py. Version 1.1 has a gate in its feed-forward layers, an output matrix of its own,
//! and hidden states go to it as they are; before, they were multiplied by 1/√d and the matrix was the token table.

use super::t5_like::full::{self, Kind};
use super::{Arch, Loaded};
use crate::error::Result;
use crate::weights::Weights;
use serde_json::Value;

pub(super) const ARCH: Arch = Arch {
    model_type: "t5",
    summary: "encoder-decoder, full attention, pre-norm, biases by distance",
    checkpoints: "google-t5/t5-small, google/t5-v1_1-base, google/flan-t5-base, google/flan-t5-xl",
    mixers: &["softmax"],
    attentions: &["full", "window=N"],
    ignored: UNUSED,
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "t5", "vocab_size": 61, "d_model": 24, "d_kv": 10, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 3,
        "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20, "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-6,
        "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}"#,
    load,
};

/// The reference's first version gave cross-attention a table by distance, and used it for nothing.
pub(super) const UNUSED: &[&str] = &["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"];

fn load(config: &Value, w: &Weights) -> Result<Loaded> {
    let kind = Kind { arch: &ARCH, class: "T5", own_biases: false, output: |s, _| s.output() };
    full::load(config, w, &kind)
}
