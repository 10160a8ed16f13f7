//! mT5 (Xue et al. 2021, <https://arxiv.org/abs/2010.11934>): T5 v1.1 over a vocabulary of 101 languages.
//!
//! Reference: transformers:src/transformers/models/mt5/modeling_mt5.py. It computes as T5 v1.1 whatever config.json says: hidden states go to the output matrix as
//! they are. Before transformers 5 they were multiplied by 1/√d under `tie_word_embeddings: true`, which no published mT5 has; 5 writes it into
//! every config.json and scales nothing, so that here it means nothing either. Loads also mT0 (Muennighoff et al. 2023, <https://arxiv.org/abs/2211.01786>).

use super::t5_like::Output;
use super::t5_like::full::{self, Kind};
use super::{Arch, Loaded};
use crate::error::Result;
use crate::weights::Weights;
use serde_json::Value;

pub(super) const ARCH: Arch = Arch {
    model_type: "mt5",
    summary: "encoder-decoder of 101 languages, full attention, pre-norm, biases by distance",
    checkpoints: "google/mt5-small, csebuetnlp/mT5_multilingual_XLSum, bigscience/mt0-small",
    mixers: &["softmax"],
    attentions: &["full", "window=N"],
    ignored: super::t5::UNUSED,
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "mt5", "vocab_size": 61, "d_model": 24, "d_kv": 10, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 3,
        "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20, "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-6,
        "tie_word_embeddings": false, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}"#,
    load,
};

/// What transformers 5 gives to a config.json that lacks it, umT5's too.
pub(super) const DEFAULTS: &str = r#"{"vocab_size": 250112, "d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6,
    "feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0}"#;

/// Whatever config.json says.
const OUTPUT: Output = Output { scaled: false, own: true };

fn load(config: &Value, w: &Weights) -> Result<Loaded> {
    full::load(config, w, &Kind { arch: &ARCH, class: "MT5", own_biases: false, output: |_, _| OUTPUT })
}
