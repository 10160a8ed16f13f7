//! `LinformerLM` of the package `linformer` (lucidrains:linformer/linformer.py, version 0.2.3): a pre-norm encoder with learned positions whose attention is
//! Linformer's (Wang et al. 2020, <https://arxiv.org/abs/2006.04768>), E and F applied to keys and values, shared by the heads of a layer.
//!
//! | config.json (the constructor's arguments) | here |
//! |---|---|
//! | `num_tokens`, `dim`, `depth`, `heads`, `dim_head` | V, d, layers, h, features of a head (d / h) |
//! | `seq_len`, `k` | N, the longest text; rows that it is projected to |
//! | `one_kv_head` | all heads look at the same keys and values |
//! | `share_kv` | the keys are the values, E is F |
//! | `reversible` | two streams in turns, their sum at the end |
//!
//! `proj_k` and `proj_v` are (N, k): Eᵀ and Fᵀ. There is no norm behind the last layer. The package's gated feed-forward cannot be reached from this class's constructor, so
//! there is none here. What is recorded behind a reversible layer is the sum of its streams.

use super::{Arch, Loaded, expect, parse, unread};
use crate::block::{
    Activation, Dense, Embedding, Encoder, EncoderLayer, EncoderOnly, FeedForward, Heads, LayerNorm, Linear, Order, Positions,
};
use crate::error::Result;
use crate::kernel::attention::Visible;
use crate::kernel::linear::Layout;
use crate::mixer::{Linformer, Squeeze, When, linformer_columns};
use crate::model::Info;
use crate::weights::Weights;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) const ARCH: Arch = Arch {
    model_type: "linformer_lm",
    summary: "encoder only, Linformer, pre-norm or reversible, learned positions",
    checkpoints: "of the package `linformer`: one's own",
    mixers: &["linformer"],
    attentions: &[],
    ignored: &[],
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "linformer_lm", "num_tokens": 61, "dim": 24, "seq_len": 70, "depth": 2, "heads": 3, "k": 9, "one_kv_head": true}"#,
    load,
};

#[derive(Deserialize)]
struct Config {
    num_tokens: usize,
    dim: usize,
    seq_len: usize,
    depth: usize,
    #[serde(default = "k")]
    k: usize,
    #[serde(default = "heads")]
    heads: usize,
    dim_head: Option<usize>,
    #[serde(default)]
    one_kv_head: bool,
    #[serde(default)]
    share_kv: bool,
    #[serde(default)]
    reversible: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn k() -> usize {
    256
}

fn heads() -> usize {
    8
}

/// Of `nn.LayerNorm`.
const EPS: f64 = 1e-5;

/// [`super::sizes`] where config.json has the arguments of a constructor.
pub(super) fn sizes(all: &[(&str, usize, usize)]) -> Result<()> {
    super::sizes(all).map_err(|e| e.hint("compare it with the arguments that the model was made with"))
}

fn load(config: &Value, root: &Weights) -> Result<Loaded> {
    let c: Config = parse(config)?;
    expect(&c.rest, "glu", &json!(false))?;
    sizes(&[
        ("num_tokens", c.num_tokens, 1 << 24),
        ("dim", c.dim, 1 << 20),
        ("seq_len", c.seq_len, 1 << 24),
        ("depth", c.depth, 1 << 12),
        ("k", c.k, 1 << 16),
        ("heads", c.heads, 1 << 16),
        ("dim_head", c.dim_head.unwrap_or(1), 1 << 16),
    ])?;
    // the package wants `heads` to divide `dim` even where `dim_head` is given
    let plain = Heads::new(c.dim, c.heads)?;
    let width = c.dim_head.unwrap_or(plain.width);
    let heads = Heads { width, scale: (width as f32).powf(-0.5), ..plain };
    let (v, d, net) = (c.num_tokens, c.dim, root.pp("linformer").pp("net"));
    let model = EncoderOnly {
        info: Info {
            model_type: ARCH.model_type,
            encoder_decoder: false,
            vocab_size: v,
            max_source: Some(c.seq_len),
            max_target: Some(c.seq_len),
            attention: "linformer".into(),
            default_global: None,
            layers: (c.depth, 0),
            prompt_start: None,
            reads_only: Some("every key that a position sees is a sum over the whole text, later positions included"),
        },
        tokens: Embedding::rows(root, "token_emb.weight", (v, d))?,
        positions: Positions::learned(&root.pp("pos_emb"), (c.seq_len, d), 0)?,
        embedding_norm: None,
        encoder: Encoder {
            order: if c.reversible { Order::Reversible } else { Order::Pre },
            layers: (0..c.depth).map(|i| layer(&c, heads, &net, i)).collect::<Result<_>>()?,
            norm: None,
            globals: None,
        },
        head: None,
        output: Linear::load(&root.pp("to_logits"), (v, d))?.into(),
    };
    Ok(Loaded { model: Box::new(model), unread: described(&c.rest) })
}

/// What nobody read of the rest, the package's own description and its dropouts left out.
pub(super) fn described(rest: &Map<String, Value>) -> Vec<String> {
    unread(rest).into_iter().filter(|k| !["package", "class"].contains(&k.as_str()) && !k.starts_with("dropout")).collect()
}

/// Layer `i` of those below `net`.
fn layer(c: &Config, heads: Heads, net: &Weights, i: usize) -> Result<EncoderLayer> {
    let (f, g) = if c.reversible {
        let block = net.pp("blocks").pp(i);
        (block.pp("f").pp("net"), block.pp("g").pp("net"))
    } else {
        let layer = net.pp("layers").pp(i);
        (layer.pp("0"), layer.pp("1"))
    };
    let (d, inner) = (c.dim, g.pp("fn"));
    let (up, down) = (Linear::load(&inner.pp("w1"), (4 * d, d))?, Linear::load(&inner.pp("w2"), (d, 4 * d))?);
    Ok(EncoderLayer {
        reader: Box::new(attention(c, heads, &f.pp("fn"))?),
        reader_norm: LayerNorm::load(&f.pp("norm"), d, EPS)?,
        feed_forward: FeedForward::new(up, down, Activation::Gelu),
        feed_forward_norm: LayerNorm::load(&g.pp("norm"), d, EPS)?,
        recurrent: None,
    })
}

fn attention(c: &Config, heads: Heads, w: &Weights) -> Result<Linformer> {
    let (d, inner) = (c.dim, heads.count * heads.width);
    let kept = if c.one_kv_head { heads.width } else { inner };
    let plain = |name: &str, outputs: usize| -> Result<Dense> { Ok(Linear::load_plain(&w.pp(name), (outputs, d))?.into()) };
    let matrix = |name: &str| -> Result<Vec<Arc<Squeeze>>> {
        let numbers = w.numbers(name, &[c.seq_len, c.k])?;
        Ok(vec![Arc::new(Squeeze::Matrix(linformer_columns(w, &numbers, (c.k, c.seq_len), Layout::InOut, None)))])
    };
    Ok(Linformer {
        heads,
        q: plain("to_q", inner)?,
        k: plain("to_k", kept)?,
        v: (!c.share_kv).then(|| plain("to_v", kept)).transpose()?,
        out: Linear::load(&w.pp("to_out"), (d, inner))?.into(),
        squeeze: (matrix("proj_k")?, (!c.share_kv).then(|| matrix("proj_v")).transpose()?),
        when: When::Keys,
        visible: Visible::All,
    })
}
