//! GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"): pre-norm decoder with learned positions.
//!
//! Reference: transformers:src/transformers/models/gpt2/modeling_gpt2.py. Its `Conv1D` weights are (in, out); `c_attn` holds queries, keys
//! and values side by side.

use super::{Arch, Loaded, epsilon, expect, parse, sizes, unread};
use crate::block::{
    Activation, Decoder, DecoderLayer, DecoderOnly, Dense, Embedding, FeedForward, Heads, LayerNorm, Linear, Order, Positions, Projections,
};
use crate::error::Result;
use crate::kernel::linear::Layout;
use crate::mixer::Softmax;
use crate::model::Info;
use crate::weights::{Form, Weights};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) const ARCH: Arch = Arch {
    model_type: "gpt2",
    summary: "decoder only, full attention, pre-norm, learned positions",
    checkpoints: "openai-community/gpt2 … gpt2-xl, distilbert/distilgpt2",
    mixers: &["softmax"],
    attentions: &[],
    ignored: &[".attn.bias", ".attn.masked_bias"],
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "gpt2", "vocab_size": 61, "n_positions": 80, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_inner": 40,
        "activation_function": "gelu_new", "bos_token_id": 0, "eos_token_id": 0}"#,
    load,
};

#[derive(Deserialize)]
struct Config {
    vocab_size: usize,
    n_positions: usize,
    n_embd: usize,
    n_layer: usize,
    n_head: usize,
    n_inner: Option<usize>,
    #[serde(default = "gelu_new")]
    activation_function: Activation,
    #[serde(default = "eps")]
    layer_norm_epsilon: f64,
    #[serde(default = "yes")]
    scale_attn_weights: bool,
    #[serde(default)]
    scale_attn_by_inverse_layer_idx: bool,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn gelu_new() -> Activation {
    Activation::GeluTanh
}

fn eps() -> f64 {
    1e-5
}

fn yes() -> bool {
    true
}

fn load(config: &Value, root: &Weights) -> Result<Loaded> {
    let c: Config = parse(config)?;
    expect(&c.rest, "add_cross_attention", &json!(false))?;
    epsilon("layer_norm_epsilon", c.layer_norm_epsilon)?;
    sizes(&[
        ("vocab_size", c.vocab_size, 1 << 24),
        ("n_positions", c.n_positions, 1 << 28),
        ("n_embd", c.n_embd, 1 << 17),
        ("n_layer", c.n_layer, 1 << 12),
        ("n_head", c.n_head, 1 << 17),
        ("n_inner", c.n_inner.unwrap_or(1), 1 << 24),
    ])?;
    // the original files have no prefix
    let w = if root.has("wte.weight") { root.clone() } else { root.pp("transformer") };
    let (v, d) = (c.vocab_size, c.n_embd);
    let table = Embedding::packed(&w, "wte.weight", (v, d), None)?;
    let copy = ["wte.weight", "transformer.wte.weight"].iter().any(|name| root.same("lm_head.weight", name));
    let output = if copy {
        root.skip("lm_head.weight");
        Linear::from_packed(table.clone())
    } else if root.has("lm_head.weight") || !c.tie_word_embeddings {
        Linear::from_packed(Embedding::packed(root, "lm_head.weight", (v, d), None)?)
    } else {
        Linear::from_packed(table.clone())
    };
    let model = DecoderOnly {
        info: Info {
            model_type: ARCH.model_type,
            encoder_decoder: false,
            vocab_size: v,
            max_source: Some(c.n_positions),
            max_target: Some(c.n_positions),
            attention: "full".into(),
            default_global: None,
            layers: (0, c.n_layer),
            prompt_start: None,
            reads_only: None,
        },
        tokens: Embedding::new(table, 1.0),
        positions: Positions::learned(&w.pp("wpe"), (c.n_positions, d), 0)?,
        decoder: Decoder {
            order: Order::Pre,
            layers: (0..c.n_layer).map(|i| layer(&w.pp("h").pp(i), &c, i)).collect::<Result<_>>()?,
            norm: Some(LayerNorm::load(&w.pp("ln_f"), d, c.layer_norm_epsilon)?),
        },
        output: output.into(),
    };
    Ok(Loaded { model: Box::new(model), unread: unread(&c.rest) })
}

fn layer(w: &Weights, c: &Config, i: usize) -> Result<DecoderLayer> {
    let (d, inner) = (c.n_embd, c.n_inner.unwrap_or(4 * c.n_embd));
    let mut heads = Heads::new(d, c.n_head)?;
    if !c.scale_attn_weights {
        heads.scale = 1.0;
    }
    if c.scale_attn_by_inverse_layer_idx {
        heads.scale /= (i + 1) as f32;
    }
    let mlp = w.pp("mlp");
    let (up, down) = (Linear::load_transposed(&mlp.pp("c_fc"), (inner, d))?, Linear::load_transposed(&mlp.pp("c_proj"), (d, inner))?);
    Ok(DecoderLayer {
        mixer: Box::new(Softmax::new(heads, projections(&w.pp("attn"), d)?).with_cache(w.cache())),
        mixer_norm: LayerNorm::load(&w.pp("ln_1"), d, c.layer_norm_epsilon)?,
        cross: None,
        feed_forward: FeedForward::new(up, down, c.activation_function),
        feed_forward_norm: LayerNorm::load(&w.pp("ln_2"), d, c.layer_norm_epsilon)?,
        recurrent: None,
    })
}

/// Splits `c_attn` (d, 3d) into its three projections.
fn projections(w: &Weights, d: usize) -> Result<Projections> {
    let bias = w.get("c_attn.bias", &[3 * d])?;
    let part = |p: usize| -> Result<Dense> {
        let form = Form { outputs: d, inputs: d, layout: Layout::InOut, of: (p * d, 3 * d) };
        Ok(Linear::from_packed(Arc::new(w.packed("c_attn.weight", &form, Some(bias[p * d..(p + 1) * d].to_vec()))?)).into())
    };
    Ok(Projections { q: part(0)?, k: part(1)?, v: part(2)?, out: Linear::load_transposed(&w.pp("c_proj"), (d, d))?.into() })
}
