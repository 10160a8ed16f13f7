//! trax's Reformer language model, with full attention or LSH attention: reversible layers over two streams, which stand side by side at the end.
//!
//! Reference: trax:trax/models/reformer/reformer.py `ReformerLM`, with trax:trax/layers/research/efficient_attention.py `SelfAttention`, whose projections
//! belong to the heads and have no bias.

use super::super::{Arch, Loaded, expect};
use super::{EPS, Sizes, count, known, terraformer};
use crate::block::{
    Activation, Dense, Embedding, Heads, LayerNorm, Linear, Positions, Projections, Reversible, Streams, check_ids, prompts,
};
use crate::error::{Error, Result};
use crate::memory::State;
use crate::model::{Info, Model, Source};
use crate::timing::phases::Phase;
use crate::weights::Weights;
use candle_core::Tensor;
use serde_json::{Value, json};
use std::sync::Arc;

pub(in crate::arch) const ARCH: Arch = Arch {
    model_type: "trax_reformer_lm",
    summary: "decoder only, reversible, full or LSH attention by heads",
    checkpoints: "trax's ReformerLM with SelfAttention, through `effattn convert`",
    mixers: &["softmax", "lsh"],
    attentions: &[],
    ignored: &[],
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "trax_reformer_lm", "vocab_size": 64, "d_model": 24, "d_ff": 40, "n_layers": 2, "n_heads": 3, "d_head": 10, "max_len": 80,
        "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}"#,
    load,
};

struct ReformerLm {
    info: Info,
    tokens: Embedding,
    positions: Positions,
    decoder: Reversible,
    norm: LayerNorm,
    output: Dense,
}

fn load(config: &Value, w: &Weights) -> Result<Loaded> {
    let mut s = Sizes::read(config)?;
    let mut rest = s.rest.clone();
    let d_head = count(&mut rest, "d_head", 64, 1 << 16)?;
    expect(&rest, "is_encoder_decoder", &json!(false))?;
    for key in ["d_attention_key", "d_attention_value"] {
        expect(&rest, key, &json!(d_head))?;
        rest.remove(key);
    }
    s.ff_activation = s.ff_activation.or(Some(Activation::GeluTanh));
    match s.attention.kind.as_deref().unwrap_or("self") {
        "self" => s.attention.kind = Some("self".into()),
        "lsh" => s.attention.weights = s.attention.weights.or(Some("heads".into())),
        other => {
            return Err(Error::new(format!("config.json: `attention` \"{other}\" is not that of a Reformer")).hint("known are self, lsh"));
        }
    }
    let heads = Heads { count: s.n_heads, width: d_head, scale: (d_head as f32).powf(-0.5) };
    let n = s.need("n_layers", s.n_layers)?;
    let positions = s.positions(&w.pp("dec_pos"))?;
    let model = ReformerLm {
        info: Info {
            model_type: ARCH.model_type,
            encoder_decoder: false,
            vocab_size: s.vocab_size,
            max_source: positions.limit(),
            max_target: positions.limit(),
            attention: s.attention.told(),
            default_global: None,
            layers: (0, n),
            prompt_start: Some(s.start()?),
            reads_only: None,
        },
        tokens: Embedding::rows(&w.pp("embed"), "weight", (s.vocab_size, s.d_model))?,
        positions,
        decoder: Reversible((0..n).map(|i| terraformer::layer(&w.pp("decoder").pp(i), &s, heads, 1)).collect::<Result<_>>()?),
        norm: LayerNorm::load_scale(&w.pp("final_norm"), 2 * s.d_model, EPS, true)?,
        output: s.loss(w, 2 * s.d_model)?,
    };
    known(&rest)?;
    Ok(Loaded { model: Box::new(model), unread: Vec::new() })
}

/// `w_q`, `w_k`, `w_v` (h, d, w) and `w_o` (h, w, d) below `w`.
pub(super) fn by_heads(w: &Weights, d: usize, heads: Heads) -> Result<Projections> {
    let read = |name: &str| into_heads(w, name, d, heads);
    Ok(Projections { q: read("w_q")?, k: read("w_k")?, v: read("w_v")?, out: out_of_heads(w, d, heads)? })
}

/// `name` (h, d, w) below `w`: d features to those of the heads.
pub(super) fn into_heads(w: &Weights, name: &str, d: usize, heads: Heads) -> Result<Dense> {
    let (h, width) = (heads.count, heads.width);
    let inner = h * width;
    let numbers = w.numbers(name, &[h, d, width])?;
    let rows = (0..inner).flat_map(|o| (0..d).map(move |i| ((o / width) * d + i) * width + o % width));
    let rows = rows.map(|at| numbers.get(at).copied().unwrap_or(0.0)).collect();
    Ok(Linear::from_packed(Arc::new(w.made(rows, (inner, d)))).into())
}

/// `w_o` (h, w, d) below `w`: features of the heads to d.
pub(super) fn out_of_heads(w: &Weights, d: usize, heads: Heads) -> Result<Dense> {
    let inner = heads.count * heads.width;
    let numbers = w.numbers("w_o", &[heads.count, heads.width, d])?;
    let rows = (0..d).flat_map(|o| (0..inner).map(move |i| i * d + o)).map(|at| numbers.get(at).copied().unwrap_or(0.0)).collect();
    Ok(Linear::from_packed(Arc::new(w.made(rows, (d, inner)))).into())
}

impl ReformerLm {
    /// Reads t tokens a row, (b, t, d) twice.
    fn read(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Streams> {
        let (b, t) = (tokens.len(), tokens.first().map_or(0, Vec::len));
        let ids = tokens.concat();
        check_ids(&ids, self.info.vocab_size)?;
        let probe = state.probe.clone();
        let xs = probe.time(Phase::Embed, || self.tokens.forward_at(&ids, &self.positions, state.positions(t).into_iter()))?;
        let xs = self.decoder.forward(Streams::both(&xs.reshape((b, t, ()))?), &mut state.layers, &probe)?;
        state.seen.iter_mut().for_each(|s| *s += t);
        Ok(xs)
    }
}

impl Model for ReformerLm {
    fn info(&self) -> &Info {
        &self.info
    }

    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        let fresh = |rows| Ok(State { seen: vec![0; rows], layers: self.decoder.memories(rows)?, probe: source.probe.clone() });
        prompts(&self.info, source, fresh, |tokens, state| self.read(tokens, state))
    }

    fn state_bytes(&self, _source: usize, target: usize) -> usize {
        self.decoder.state_bytes(target)
    }

    fn step_bytes(&self) -> usize {
        self.tokens.row_bytes() + self.positions.row_bytes() + self.decoder.step_bytes() + self.norm.bytes() + self.output.bytes()
    }

    fn encode_bytes(&self, source: usize) -> usize {
        self.decoder.work_bytes(source) + self.state_bytes(0, source)
    }

    fn score(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let Streams(a, b) = self.read(tokens, state)?;
        let probe = state.probe.clone();
        probe.time(Phase::Logits, || self.output.forward(&self.norm.forward(&Tensor::cat(&[a, b], 2)?)?))
    }
}
