//! GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"): pre-norm decoder with learned positions.
//!
//! Reference: transformers:src/transformers/models/gpt2/modeling_gpt2.py. Its `Conv1D` weights are (in, out); `c_attn` holds queries, keys
//! and values side by side.

use super::{Arch, Loaded, expect, parse, unread};
use crate::block::{
    Activation, Decoder, DecoderLayer, Embedding, FeedForward, Heads, LayerNorm, Linear, Order, Positions, Projections, check_ids,
};
use crate::error::{Error, Result};
use crate::kernel::linear::Layout;
use crate::memory::State;
use crate::mixer::Softmax;
use crate::model::{Info, Model, Source};
use crate::timing::phases::Phase;
use crate::weights::{Form, Weights};
use candle_core::Tensor;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) const ARCH: Arch = Arch {
    model_type: "gpt2",
    summary: "decoder only, full attention, pre-norm, learned positions",
    checkpoints: "openai-community/gpt2 … gpt2-xl, distilbert/distilgpt2",
    mixers: &["softmax"],
    ignored: &[".attn.bias", ".attn.masked_bias"],
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

struct Gpt2 {
    info: Info,
    tokens: Embedding,
    positions: Positions,
    decoder: Decoder,
    output: Linear,
}

fn load(config: &Value, root: &Weights) -> Result<Loaded> {
    let c: Config = parse(config)?;
    expect(&c.rest, "add_cross_attention", &json!(false))?;
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
    let model = Gpt2 {
        info: Info {
            model_type: ARCH.model_type,
            encoder_decoder: false,
            vocab_size: v,
            max_source: Some(c.n_positions),
            max_target: Some(c.n_positions),
            attention: "full".into(),
            default_global: None,
            layers: (0, c.n_layer),
        },
        tokens: Embedding::new(table, 1.0),
        positions: Positions::learned(&w.pp("wpe"), (c.n_positions, d), 0)?,
        decoder: Decoder {
            order: Order::Pre,
            layers: (0..c.n_layer).map(|i| layer(&w.pp("h").pp(i), &c, i)).collect::<Result<_>>()?,
            norm: Some(LayerNorm::load(&w.pp("ln_f"), d, c.layer_norm_epsilon)?),
        },
        output,
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
    })
}

/// Splits `c_attn` (d, 3d) into its three projections.
fn projections(w: &Weights, d: usize) -> Result<Projections> {
    let bias = w.get("c_attn.bias", &[3 * d])?;
    let part = |p: usize| -> Result<Linear> {
        let form = Form { outputs: d, inputs: d, layout: Layout::InOut, of: (p * d, 3 * d) };
        Ok(Linear::from_packed(Arc::new(w.packed("c_attn.weight", &form, Some(bias[p * d..(p + 1) * d].to_vec()))?)))
    };
    Ok(Projections { q: part(0)?, k: part(1)?, v: part(2)?, out: Linear::load_transposed(&w.pp("c_proj"), (d, d))? })
}

impl Gpt2 {
    /// Reads t tokens a row, (b, t, d).
    fn read(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let (b, t) = (tokens.len(), tokens.first().map_or(0, Vec::len));
        let ids = tokens.concat();
        check_ids(&ids, self.info.vocab_size)?;
        let positions: Vec<usize> = state.seen.iter().flat_map(|&s| s..s + t).collect();
        let embed = || self.tokens.forward_at(&ids, &self.positions, positions.into_iter());
        let xs = state.probe.time(Phase::Embed, embed)?; // (b t, d)
        self.decoder.forward(xs.reshape((b, t, ()))?, state)
    }
}

impl Model for Gpt2 {
    fn info(&self) -> &Info {
        &self.info
    }

    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        self.info.global(source)?; // there is none
        let mut states = Vec::new();
        let mut last = Vec::new();
        for row in &source.rows {
            let (token, before) = row.split_last().ok_or_else(|| Error::new("a prompt has no tokens"))?;
            check_ids([token], self.info.vocab_size)?;
            let mut state = self.decoder.state(1, None, source.probe.clone())?;
            if !before.is_empty() {
                self.read(&[before.to_vec()], &mut state)?;
            }
            states.push(state);
            last.push(*token);
        }
        let mut all = self.decoder.state(0, None, source.probe.clone())?;
        all.join(states)?;
        Ok((all, last))
    }

    fn state_bytes(&self, source: usize, target: usize) -> usize {
        self.decoder.state_bytes(source, target)
    }

    fn step_bytes(&self) -> usize {
        self.tokens.row_bytes() + self.positions.row_bytes() + self.decoder.step_bytes() + self.output.bytes()
    }

    fn encode_bytes(&self, source: usize) -> usize {
        self.decoder.work_bytes(source) + self.state_bytes(0, source)
    }

    fn score(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let xs = self.read(tokens, state)?;
        state.probe.time(Phase::Logits, || self.output.forward(&xs))
    }
}
