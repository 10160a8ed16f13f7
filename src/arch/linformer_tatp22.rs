//! `LinformerLM` of the package `linformer_pytorch` (tatp22:linformer_pytorch/linformer_pytorch.py, version 0.19.3): a post-norm encoder with Linformer's attention (Wang
//! et al. 2020, <https://arxiv.org/abs/2006.04768>), E and F applied to keys and values.
//!
//! | config.json (the constructor's arguments) | here |
//! |---|---|
//! | `num_tokens`, `channels`, `depth`, `nhead`, `dim_d` | V, d, layers, h, features of a head (d / h) |
//! | `input_size`, `dim_k` | n, the one length that texts may have; k |
//! | `k_reduce_by_layer` | so many rows fewer in each next layer, one at least (not where layers share E) |
//! | `parameter_sharing` | "none": E and F for each head; "headwise": for each layer; "kv": E = F; "layerwise": one for all |
//! | `method` | "learnable": E x + b; "convolution": windows of ⌊n/k⌋ positions side by side; "no_params": numbers drawn once, without b |
//! | `full_attention` | no projection |
//! | `emb_dim` | features of the embeddings, projected to d and back |
//! | `ff_intermediate` | features between the layers; where they change, the residual goes through `resample` |
//! | `w_o_intermediate_dim` | features between two output projections |
//! | `include_ff` | false: attentions alone |
//!
//! Each part is norm(x + f(x)). Positions are \[sin; cos\](p / 100000^(2j/d)), in f64 here (the reference rounds angles to f32: by 0.004 at position 65,536). A checkpoint holds
//! shared matrices once a head; they are held once here, and copies that differ are an error.
//!
//! With `causal` the reference masks rows of E K behind the number of the query. Those rows are sums over the whole text, so the future shows: changing the last
//! token moves earlier logits by up to 0.82 where logits deviate by 0.90. Loaded only as a quirk of the reference; with `full_attention` the mask is a causal one.
//! `decoder_mode` needs an encoder beside it and is not loaded.

use super::linformer_lm::described;
use super::{Arch, Loaded, parse};
use crate::block::{Dense, Embedding, FeedForward, Heads, LayerNorm, Linear, Positions};
use crate::error::Result;
use crate::kernel::attention::Visible;
use crate::mixer::{Linformer, Squeeze, When};
use crate::model::Info;
use crate::weights::Weights;
use config::Config;
use model::{Fixed, Function, Part};
use projections::squeeze;
use serde_json::Value;
use std::sync::Arc;

mod config;
mod model;
mod projections;

pub(super) const ARCH: Arch = Arch {
    model_type: "linformer_tatp22_lm",
    summary: "encoder only, Linformer, post-norm, texts of one length",
    checkpoints: "of the package `linformer_pytorch`: one's own",
    mixers: &["linformer"],
    attentions: &[],
    ignored: &["pos_emb.inv_freq"],
    quirks: &["`causal` masks projected rows, each a sum over the whole text: changing the last token moves earlier logits by up to 0.82 \
               (of deviation 0.90)"],
    segments: false,
    tiny: r#"{"model_type": "linformer_tatp22_lm", "num_tokens": 61, "input_size": 66, "channels": 24, "dim_k": 9, "dim_ff": 40, "nhead": 3, "depth": 2,
        "parameter_sharing": "kv"}"#,
    load,
};

/// Of `nn.LayerNorm`.
const EPS: f64 = 1e-5;
/// The base of the positions' wavelengths.
const BASE: f64 = 100_000.0;

fn load(config: &Value, root: &Weights) -> Result<Loaded> {
    let c: Config = parse(config)?;
    c.check()?;
    let (v, d) = (c.num_tokens, c.channels);
    let e = c.emb_dim.unwrap_or(d);
    let outer = root.pp("linformer");
    let (layers, project) = if e == d {
        (outer.pp("seq"), None)
    } else {
        let one = |name: &str, sizes| Linear::load(&outer.pp(name), sizes);
        (outer.pp("fn").pp("seq"), Some((one("project_in", (d, e))?, one("project_out", (e, d))?)))
    };
    let mut parts = Vec::new();
    let mut shared = None;
    for i in 0..c.depth {
        let (inputs, outputs) = c.features(i);
        let at = layers.pp(parts.len());
        let norm = |w: &Weights, d: usize| LayerNorm::load(&w.pp("norm"), d, EPS);
        parts.push(Part { f: Function::Attention(attention(&c, i, &at.pp("fn"), &mut shared)?), resample: None, norm: norm(&at, inputs)? });
        if c.include_ff {
            let at = layers.pp(parts.len());
            let (up, down) =
                (Linear::load(&at.pp("fn").pp("w_1"), (c.dim_ff, inputs))?, Linear::load(&at.pp("fn").pp("w_2"), (outputs, c.dim_ff))?);
            let resample = (inputs != outputs).then(|| Linear::load(&at.pp("resample"), (outputs, inputs))).transpose()?;
            parts.push(Part { f: Function::FeedForward(FeedForward::new(up, down, c.activation()?)), resample, norm: norm(&at, outputs)? });
        }
    }
    let model = Fixed {
        info: Info {
            model_type: ARCH.model_type,
            encoder_decoder: false,
            vocab_size: v,
            max_source: Some(c.input_size),
            max_target: Some(c.input_size),
            attention: if c.full_attention { "full" } else { "linformer" }.into(),
            default_global: None,
            layers: (c.depth, 0),
            prompt_start: None,
            reads_only: Some("it reads texts of one length, whole: every key that a position sees is a sum over all of it"),
        },
        size: c.input_size,
        tokens: Embedding::rows(root, "to_token_emb.weight", (v, e))?,
        positions: Positions::sines_of(e, BASE)?.up_to(c.input_size),
        project,
        parts,
        output: Linear::load(&root.pp("to_logits"), (v, e))?,
    };
    Ok(Loaded { model: Box::new(model), unread: described(&c.rest).into_iter().filter(|k| k != "checkpoint_level").collect() })
}

/// The matrices of all heads below `name`, one on top of the other.
fn stacked(w: &Weights, name: &str, heads: Heads, d: usize) -> Result<Dense> {
    let parts = (0..heads.count).map(|h| w.pp(name).pp(h).numbers("weight", &[heads.width, d]));
    let numbers = parts.collect::<Result<Vec<_>>>()?.concat();
    Ok(Linear::from_packed(Arc::new(w.made(numbers, (heads.count * heads.width, d)))).into())
}

/// Layer `i`, whose attention is below `w`; `shared` is the E of all layers, and where it stands.
fn attention(c: &Config, i: usize, w: &Weights, shared: &mut Option<(Weights, Arc<Squeeze>)>) -> Result<Linformer> {
    let (heads, (d, _)) = (c.heads()?, c.features(i));
    let inner = heads.count * heads.width;
    let out = match c.w_o_intermediate_dim {
        None => Linear::load(&w.pp("w_o"), (d, inner))?.into(),
        Some(m) => Dense::LowRank(Linear::load(&w.pp("w_o_1"), (m, inner))?, Linear::load(&w.pp("w_o_2"), (d, m))?),
    };
    Ok(Linformer {
        heads,
        q: stacked(w, "to_q", heads, d)?,
        k: stacked(w, "to_k", heads, d)?,
        v: Some(stacked(w, "to_v", heads, d)?),
        out,
        squeeze: squeeze(c, i, w, shared)?,
        when: When::Keys,
        visible: if c.causal { Visible::Causal { first: 0 } } else { Visible::All },
    })
}
