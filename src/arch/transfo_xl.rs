//! Transformer-XL (Dai et al. 2019, <https://arxiv.org/abs/1901.02860>): memories of earlier segments, relative positions, adaptive input and softmax.
//!
//! Reference: transformers:src/transformers/models/deprecated/transfo_xl/modeling_transfo_xl.py (4.x; later releases dropped it). Attention is
//! [`crate::mixer::TransformerXl`], the vocabulary [`crate::block::Adaptive`]. Logits are logarithms of probabilities.
//!
//! Departs from the reference where `same_length` is false: there a query sees all that its call has read, and `mem_len` positions before the call, so that numbers
//! depend on how a text was cut into calls. Here segments are `tgt_len` tokens long if config.json says so, else one token, which is what
//! generation token by token gives. With `reference_quirks` a call is a segment; the last token of a prompt belongs to the call that read the prompt.

use super::{Arch, Loaded, epsilon, expect, parse, sizes, unread};
use crate::block::{
    Activation, Adaptive, AdaptiveEmbedding, AdaptiveSoftmax, ClusterOrder, Decoder, DecoderLayer, Dense, FeedForward, Heads, LayerNorm,
    Linear, Order, Projections, check_ids, prompts,
};
use crate::error::{Error, Result};
use crate::kernel::linear::Layout;
use crate::memory::State;
use crate::mixer::{Past, Reach, Segment, Start, TransformerXl};
use crate::model::{Info, Model, Source};
use crate::timing::phases::Phase;
use crate::weights::{Form, Weights};
use candle_core::Tensor;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) const ARCH: Arch = Arch {
    model_type: "transfo-xl",
    summary: "decoder only, memories of earlier segments, relative positions, adaptive softmax",
    checkpoints: "transfo-xl/transfo-xl-wt103",
    mixers: &["transformer_xl"],
    attentions: &[],
    ignored: &["pos_emb.inv_freq"],
    quirks: &[QUIRK],
    segments: true,
    tiny: r#"{"model_type": "transfo-xl", "vocab_size": 61, "cutoffs": [20, 45], "d_model": 24, "d_embed": 24, "n_head": 3, "d_head": 8, "d_inner": 40,
        "n_layer": 2, "mem_len": 16, "clamp_len": 11, "div_val": 2, "eos_token_id": 0}"#,
    load,
};

const QUIRK: &str = "without `same_length`, a query sees all that its call has read and `mem_len` positions before the call, so numbers depend on how a text was cut into calls (0.5 to 13 in the logits of made-up models)";

#[derive(Deserialize)]
struct Config {
    vocab_size: usize,
    cutoffs: Vec<usize>,
    d_model: usize,
    d_embed: usize,
    n_head: usize,
    d_head: usize,
    d_inner: usize,
    n_layer: usize,
    mem_len: usize,
    #[serde(default = "none")]
    clamp_len: i64,
    #[serde(default = "one")]
    div_val: usize,
    #[serde(default)]
    pre_lnorm: bool,
    #[serde(default = "yes")]
    same_length: bool,
    #[serde(default = "yes")]
    untie_r: bool,
    tgt_len: Option<usize>,
    tie_projs: Option<Vec<bool>>,
    #[serde(default = "yes")]
    proj_share_all_but_first: bool,
    tie_word_embeddings: Option<bool>,
    tie_weight: Option<bool>,
    #[serde(default)]
    cluster_order: ClusterOrder,
    #[serde(default = "eps")]
    layer_norm_epsilon: f64,
    #[serde(default)]
    reference_quirks: bool,
    init_mem: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn none() -> i64 {
    -1
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

fn eps() -> f64 {
    1e-5
}

impl Config {
    fn check(&self) -> Result<()> {
        sizes(&[
            ("vocab_size", self.vocab_size, 1 << 24),
            ("d_model", self.d_model, 1 << 20),
            ("d_embed", self.d_embed, 1 << 20),
            ("n_head", self.n_head, 1 << 16),
            ("d_head", self.d_head, 1 << 16),
            ("d_inner", self.d_inner, 1 << 24),
            ("n_layer", self.n_layer, 1 << 12),
        ])?;
        epsilon("layer_norm_epsilon", self.layer_norm_epsilon)?;
        expect(&self.rest, "attn_type", &json!(0))?;
        expect(&self.rest, "adaptive", &json!(true))?;
        if !self.d_model.is_multiple_of(2) {
            return Err(Error::new(format!("config.json: `d_model` is {}, an odd number", self.d_model))
                .hint("distances take a sine and a cosine of each frequency: it must be even"));
        }
        self.reach().check(("mem_len", "tgt_len"))
    }

    fn reach(&self) -> Reach {
        let segment = match (self.same_length, self.reference_quirks) {
            (true, _) => Segment::Sliding,
            (false, true) => Segment::Call,
            (false, false) => Segment::Fixed(self.tgt_len.unwrap_or(1)),
        };
        Reach { memory: self.mem_len, segment, clamp: usize::try_from(self.clamp_len).ok().filter(|c| *c > 0) }
    }

    fn adaptive(&self) -> Adaptive {
        let mut ends = self.cutoffs.clone();
        ends.push(self.vocab_size);
        let shared = || (0..ends.len()).map(|i| i > 0 && self.proj_share_all_but_first).collect();
        Adaptive {
            d: self.d_model,
            d_embed: self.d_embed,
            div: self.div_val,
            tie_tables: self.tie_word_embeddings.or(self.tie_weight).unwrap_or(true),
            tie_projections: self.tie_projs.clone().unwrap_or_else(shared),
            order: self.cluster_order,
            ends,
        }
    }
}

fn load(config: &Value, root: &Weights) -> Result<Loaded> {
    let c: Config = parse(config)?;
    c.check()?;
    let w = root.pp("transformer");
    let (tokens, output) = c.adaptive().load(&w.pp("word_emb"), &root.pp("crit"))?;
    let biases = |w: &Weights| -> Result<[Vec<f32>; 2]> {
        let one = |name: &str| w.get(name, &[c.n_head, c.d_head]);
        Ok([one("r_w_bias")?, one("r_r_bias")?])
    };
    let shared = if c.untie_r { None } else { Some(biases(&w)?) };
    let layer = |i: usize| {
        let w = w.pp("layers").pp(i);
        let own = match &shared {
            Some(shared) => {
                // copies of them, which some checkpoints hold
                ["dec_attn.r_w_bias", "dec_attn.r_r_bias"].into_iter().filter(|name| w.has(name)).for_each(|name| w.skip(name));
                shared.clone()
            }
            None => biases(&w.pp("dec_attn"))?,
        };
        layer(&w, &c, own)
    };
    let model = TransfoXl {
        info: Info {
            model_type: ARCH.model_type,
            encoder_decoder: false,
            vocab_size: c.vocab_size,
            max_source: None,
            max_target: None,
            attention: "transformer_xl".into(),
            default_global: None,
            layers: (0, c.n_layer),
            prompt_start: None,
            reads_only: None,
        },
        tokens,
        decoder: Decoder {
            order: if c.pre_lnorm { Order::Pre } else { Order::Post },
            layers: (0..c.n_layer).map(layer).collect::<Result<_>>()?,
            norm: None,
        },
        output,
    };
    Ok(Loaded { model: Box::new(model), unread: unread(&c.rest) })
}

fn layer(w: &Weights, c: &Config, biases: [Vec<f32>; 2]) -> Result<DecoderLayer> {
    let (d, inner, attention) = (c.d_model, c.n_head * c.d_head, w.pp("dec_attn"));
    let heads = Heads { count: c.n_head, width: c.d_head, scale: (c.d_head as f32).powf(-0.5) };
    // `qkv_net` holds queries, keys and values one below the other
    let part = |p: usize| -> Result<Dense> {
        let form = Form { outputs: inner, inputs: d, layout: Layout::OutIn, of: (p * inner, 3 * inner) };
        Ok(Linear::from_packed(Arc::new(attention.packed("qkv_net.weight", &form, None)?)).into())
    };
    let projections =
        Projections { q: part(0)?, k: part(1)?, v: part(2)?, out: Linear::load_plain(&attention.pp("o_net"), (d, inner))?.into() };
    let position = Linear::load_plain(&attention.pp("r_net"), (inner, d))?.into();
    let mixer = TransformerXl::new(heads, projections, (position, biases), c.reach())?.with_cache(w.cache());
    let mixer = match Start::of(c.init_mem.as_deref(), Start::Zeros)? {
        Start::Empty => mixer,
        // zeros are what the layer reads: its norm, where it comes first, makes its bias of them
        Start::Zeros if c.pre_lnorm => mixer.after(attention.numbers("layer_norm.bias", &[d])?),
        Start::Zeros => mixer.after(vec![0.0; d]),
    };
    w.holds(mixer.made());
    let net = w.pp("pos_ff").pp("CoreNet");
    let (up, down) = (Linear::load(&net.pp(0), (c.d_inner, d))?, Linear::load(&net.pp(3), (d, c.d_inner))?);
    Ok(DecoderLayer {
        mixer: Box::new(mixer),
        mixer_norm: LayerNorm::load(&attention.pp("layer_norm"), d, c.layer_norm_epsilon)?,
        cross: None,
        feed_forward: FeedForward::new(up, down, Activation::Relu),
        feed_forward_norm: LayerNorm::load(&w.pp("pos_ff").pp("layer_norm"), d, c.layer_norm_epsilon)?,
        recurrent: None,
    })
}

/// The model.
struct TransfoXl {
    info: Info,
    tokens: AdaptiveEmbedding,
    decoder: Decoder,
    output: AdaptiveSoftmax,
}

impl TransfoXl {
    /// Reads t tokens a row, (b, t, d).
    fn read(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let (b, t) = (tokens.len(), tokens.first().map_or(0, Vec::len));
        let ids = tokens.concat();
        check_ids(&ids, self.info.vocab_size)?;
        let xs = state.probe.time(Phase::Embed, || self.tokens.forward(&ids))?; // (b t, d)
        self.decoder.forward(xs.reshape((b, t, ()))?, state)
    }
}

impl Model for TransfoXl {
    fn info(&self) -> &Info {
        &self.info
    }

    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        let fresh = |rows| self.decoder.state(rows, None, source.probe.clone());
        prompts(&self.info, source, fresh, |tokens, state| {
            self.read(tokens, state)?;
            // the last token of the prompt is read later, but belongs to it
            state.layers.iter_mut().try_for_each(|memory| memory.own().map(Past::keep_open))
        })
    }

    fn state_bytes(&self, source: usize, target: usize) -> usize {
        self.decoder.state_bytes(source, target)
    }

    fn step_bytes(&self) -> usize {
        self.tokens.row_bytes() + self.decoder.step_bytes() + self.output.bytes()
    }

    fn encode_bytes(&self, source: usize) -> usize {
        self.decoder.work_bytes(source) + self.state_bytes(0, source)
    }

    fn score(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let xs = self.read(tokens, state)?;
        state.probe.time(Phase::Logits, || self.output.forward(&xs))
    }
}
