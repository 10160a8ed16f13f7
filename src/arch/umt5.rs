//! umT5 (Chung et al. 2023, <https://arxiv.org/abs/2304.09151>): T5 v1.1 over a vocabulary of 107 languages, in which every layer of attention to oneself, of encoder
//! and decoder, has its own numbers by distance.
//!
//! Reference: transformers:src/transformers/models/umt5/modeling_umt5.py. Distances fall into T5's buckets. Before transformers 5 hidden states were multiplied by 1/√d before the
//! output matrix unless config.json said `tie_word_embeddings: false`, as that of every published umT5 does: they were trained without. transformers 5 takes the key
//! for true, and multiplies always: only the quirk does that here. What transformers 5 itself has written says true, and is scaled.

use super::t5_like::full::{self, Kind};
use super::t5_like::{Output, Sizes};
use super::{Arch, Loaded};
use crate::error::Result;
use crate::weights::Weights;
use serde_json::Value;

pub(super) const ARCH: Arch = Arch {
    model_type: "umt5",
    summary: "encoder-decoder of 107 languages, full attention, pre-norm, biases by distance in every layer",
    checkpoints: "google/umt5-small, google/umt5-base, google/umt5-xl",
    mixers: &["softmax"],
    attentions: &["full", "window=N"],
    ignored: super::t5::UNUSED,
    quirks: &[QUIRK],
    segments: false,
    tiny: r#"{"model_type": "umt5", "vocab_size": 61, "d_model": 24, "d_kv": 10, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 3,
        "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20, "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-6,
        "tie_word_embeddings": false, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}"#,
    load,
};

const QUIRK: &str = "`tie_word_embeddings: false` is taken for true: hidden states are multiplied by 1/√d_model before an output matrix that was trained without, which \
    flattens every distribution. The best token stays; beams, samples and perplexity change";

fn load(config: &Value, w: &Weights) -> Result<Loaded> {
    full::load(config, w, &Kind { arch: &ARCH, class: "UMT5", own_biases: true, output })
}

/// What config.json asks for, and what transformers 5 makes of it.
pub(super) fn output(s: &Sizes, quirks: bool) -> Output {
    Output { scaled: quirks || s.tied(), own: !s.tied() }
}
