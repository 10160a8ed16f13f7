//! fairseq's Linformer: RoBERTa (Liu et al. 2019, <https://arxiv.org/abs/1907.11692>) with Linformer's attention (Wang et al. 2020,
//! <https://arxiv.org/abs/2006.04768>); fairseq:examples/linformer, fairseq:fairseq/models/roberta/model.py.
//!
//! A post-norm encoder over learned positions, whose numbers begin at pad + 1, and a head norm(f(W x + b)) before the output. The projections multiply what k_proj and
//! v_proj read, not keys and values ([`When::Inputs`]); there are max_positions / compressed rows, whatever the text's length.
//!
//! | config.json | here |
//! |---|---|
//! | `max_positions` (else `tokens_per_sample`), `compressed` | columns of E; columns over rows |
//! | `shared_kv_compressed` | E is F |
//! | `shared_layer_kv_compressed` | one E for keys and values of all layers; its bias is stored and never used |
//! | `encoder_normalize_before` | pre-norm, with a norm behind the last layer |
//! | `untie_weights_roberta` | the output matrix is its own, not the token table |
//!
//! Old checkpoints (no `encoder.version`, or one below 2) have E copies of their own in every layer where newer ones share it, may have an output matrix that was meant to be the token table
//! and is not, and hold queries, keys and values in one `in_proj_weight`. What the file says wins whatever its version: each layer's own `compress_k`, and an output
//! matrix that differs from the table. Copies that are the same are held once.
//!
//! Departs from the reference where it pads: there the padding of a batch goes through E and moves a text's logits (by up to 11 in a batch of three texts of up to 32
//! tokens, logits of deviation 3.4); here a text's numbers are those that it has alone.

use super::linformer_lm::sizes;
use super::{Arch, Loaded, expect, parse, unread};
use crate::block::{
    Activation, Dense, Embedding, Encoder, EncoderLayer, EncoderOnly, FeedForward, Heads, LayerNorm, Linear, Order, Positions,
};
use crate::error::{Error, Result};
use crate::kernel::attention::Visible;
use crate::kernel::linear::Layout;
use crate::mixer::{Linformer, Squeeze, When, linformer_columns};
use crate::model::Info;
use crate::weights::{Form, Weights};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) const ARCH: Arch = Arch {
    model_type: "linformer_roberta",
    summary: "encoder only, Linformer before the projections of keys and values, RoBERTa's embeddings and head",
    checkpoints: "of fairseq's examples/linformer: one's own",
    mixers: &["linformer"],
    attentions: &[],
    ignored: &[
        "version",
        ".compress_k.bias",
        ".compress_v.bias",
        ".compress_layer.weight",
        ".compress_layer.bias",
        ".shared_compress_layer.weight",
        ".shared_compress_layer.bias",
    ],
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "linformer_roberta", "vocab_size": 61, "encoder_embed_dim": 24, "encoder_layers": 2, "encoder_attention_heads": 3,
        "encoder_ffn_embed_dim": 40, "max_positions": 70, "compressed": 4, "pad_token_id": 1, "mask_token_id": 60, "bos_token_id": 0, "eos_token_id": 2}"#,
    load,
};

#[derive(Deserialize)]
struct Config {
    vocab_size: usize,
    #[serde(default = "base_d")]
    encoder_embed_dim: usize,
    #[serde(default = "base_layers")]
    encoder_layers: usize,
    #[serde(default = "base_layers")]
    encoder_attention_heads: usize,
    #[serde(default = "base_inner")]
    encoder_ffn_embed_dim: usize,
    max_positions: Option<usize>,
    tokens_per_sample: Option<usize>,
    #[serde(default = "base_compressed")]
    compressed: usize,
    #[serde(default)]
    shared_kv_compressed: usize,
    #[serde(default)]
    shared_layer_kv_compressed: usize,
    #[serde(default = "gelu")]
    activation_fn: Activation,
    #[serde(default = "pad")]
    pad_token_id: usize,
    #[serde(default = "yes")]
    layernorm_embedding: bool,
    #[serde(default)]
    untie_weights_roberta: bool,
    #[serde(default)]
    encoder_normalize_before: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn base_d() -> usize {
    768
}

fn base_layers() -> usize {
    12
}

fn base_inner() -> usize {
    3072
}

fn base_compressed() -> usize {
    4
}

fn gelu() -> Activation {
    Activation::Gelu
}

fn pad() -> usize {
    1
}

fn yes() -> bool {
    true
}

/// Of fairseq's `LayerNorm`.
const EPS: f64 = 1e-5;

/// [`Config`] with what follows.
struct Plan {
    c: Config,
    heads: Heads,
    /// k and N.
    sizes: (usize, usize),
}

fn plan(config: &Value) -> Result<Plan> {
    let c: Config = parse(config)?;
    let n = c.max_positions.or(c.tokens_per_sample).ok_or_else(|| {
        Error::new("config.json: neither `max_positions` nor `tokens_per_sample`")
            .hint("say how many positions the projections have columns for")
    })?;
    sizes(&[
        ("vocab_size", c.vocab_size, 1 << 24),
        ("encoder_embed_dim", c.encoder_embed_dim, 1 << 20),
        ("encoder_layers", c.encoder_layers, 1 << 12),
        ("encoder_attention_heads", c.encoder_attention_heads, 1 << 16),
        ("encoder_ffn_embed_dim", c.encoder_ffn_embed_dim, 1 << 24),
        ("max_positions", n, 1 << 24),
        ("compressed", c.compressed, n),
        ("pad_token_id", c.pad_token_id.saturating_add(1), c.vocab_size),
    ])?;
    for (key, n) in [("shared_kv_compressed", c.shared_kv_compressed), ("shared_layer_kv_compressed", c.shared_layer_kv_compressed)] {
        if n > 1 {
            return Err(Error::new(format!("config.json: `{key}` is {n}")).hint("it is 0 or 1"));
        }
    }
    for (key, value) in [
        ("encoder_learned_pos", json!(true)),
        ("no_scale_embedding", json!(true)),
        ("no_token_positional_embeddings", json!(false)),
        ("encoder_layerdrop", json!(0)),
        ("add_bias_kv", json!(false)),
    ] {
        expect(&c.rest, key, &value)?;
    }
    let heads = Heads::new(c.encoder_embed_dim, c.encoder_attention_heads)?;
    Ok(Plan { heads, sizes: (n / c.compressed, n), c })
}

fn load(config: &Value, root: &Weights) -> Result<Loaded> {
    let p = plan(config)?;
    let (c, n) = (&p.c, p.sizes.1);
    let (v, d) = (c.vocab_size, c.encoder_embed_dim);
    let (w, head) = (root.pp("encoder").pp("sentence_encoder"), root.pp("encoder").pp("lm_head"));
    let bias = Some(head.get("bias", &[v])?);
    let (table, matrix) = ("encoder.sentence_encoder.embed_tokens.weight", "encoder.lm_head.weight");
    // a file says by itself whether they are one; without a file config.json does
    let tied = if root.has(matrix) { root.same(matrix, table) } else { !c.untie_weights_roberta };
    let (tokens, output) = if tied {
        root.skip(matrix);
        let packed = Embedding::packed(root, table, (v, d), bias)?;
        (Embedding::new(packed.clone(), 1.0), Linear::from_packed(packed))
    } else {
        (Embedding::rows(root, table, (v, d))?, Linear::from_packed(Embedding::packed(root, matrix, (v, d), bias)?))
    };
    let norm = |w: &Weights, name: &str| LayerNorm::load(&w.pp(name), d, EPS);
    let mut shared = None;
    let layers = (0..c.encoder_layers).map(|i| layer(&p, &w.pp("layers").pp(i), &mut shared)).collect::<Result<_>>()?;
    let model = EncoderOnly {
        info: Info {
            model_type: ARCH.model_type,
            encoder_decoder: false,
            vocab_size: v,
            max_source: Some(n),
            max_target: Some(n),
            attention: "linformer".into(),
            default_global: None,
            layers: (c.encoder_layers, 0),
            prompt_start: None,
            reads_only: Some("it was trained to fill in masked tokens, and every key that a position sees is a sum over the whole text"),
        },
        tokens,
        positions: Positions::learned(&w.pp("embed_positions"), (n, d), c.pad_token_id + 1)?,
        embedding_norm: c.layernorm_embedding.then(|| norm(&w, "layernorm_embedding")).transpose()?,
        encoder: Encoder {
            order: if c.encoder_normalize_before { Order::Pre } else { Order::Post },
            layers,
            norm: c.encoder_normalize_before.then(|| norm(&w, "layer_norm")).transpose()?,
            globals: None,
        },
        head: Some((Linear::load(&head.pp("dense"), (d, d))?.into(), c.activation_fn, norm(&head, "layer_norm")?)),
        output: output.into(),
    };
    // what fairseq stores of a model's training
    let words = ["dropout", "quant_noise", "freeze_compress", "package", "class", "tokens_per_sample", "pooler_"];
    let unread = unread(&c.rest).into_iter().filter(|key| !words.iter().any(|w| key.contains(w))).collect();
    Ok(Loaded { model: Box::new(model), unread })
}

fn layer(p: &Plan, w: &Weights, shared: &mut Option<(Weights, Arc<Squeeze>)>) -> Result<EncoderLayer> {
    let (c, d) = (&p.c, p.c.encoder_embed_dim);
    let norm = |name: &str| LayerNorm::load(&w.pp(name), d, EPS);
    let (up, down) = (Linear::load(&w.pp("fc1"), (c.encoder_ffn_embed_dim, d))?, Linear::load(&w.pp("fc2"), (d, c.encoder_ffn_embed_dim))?);
    Ok(EncoderLayer {
        reader: Box::new(attention(p, &w.pp("self_attn"), shared)?),
        reader_norm: norm("self_attn_layer_norm")?,
        feed_forward: FeedForward::new(up, down, c.activation_fn),
        feed_forward_norm: norm("final_layer_norm")?,
        recurrent: None,
    })
}

/// Attention below `w`; `shared` is the first E that layers share, and where it stands.
fn attention(p: &Plan, w: &Weights, shared: &mut Option<(Weights, Arc<Squeeze>)>) -> Result<Linformer> {
    let d = p.c.encoder_embed_dim;
    let one = |part: usize, name: &str| -> Result<Dense> {
        if !w.has("in_proj_weight") {
            return Ok(Linear::load(&w.pp(name), (d, d))?.into());
        }
        let bias = w.get("in_proj_bias", &[3 * d])?;
        let form = Form { outputs: d, inputs: d, layout: Layout::OutIn, of: (part * d, 3 * d) };
        Ok(Linear::from_packed(Arc::new(w.packed("in_proj_weight", &form, Some(bias[part * d..(part + 1) * d].to_vec()))?)).into())
    };
    let matrix = |w: &Weights| -> Result<Arc<Squeeze>> {
        let numbers = w.numbers("weight", &[p.sizes.0, p.sizes.1])?;
        Ok(Arc::new(Squeeze::Matrix(linformer_columns(w, &numbers, p.sizes, Layout::OutIn, None))))
    };
    let (k, v) = (w.pp("compress_k"), w.pp("compress_v"));
    let (both, layerwise) = (p.c.shared_kv_compressed == 1, p.c.shared_layer_kv_compressed == 1);
    let (e, f) = if layerwise {
        // the reference has one module under both names, and what it loads last stays
        let own = if !both && v.has("weight") { &v } else { &k };
        [&k, &v].iter().for_each(|copy| copy.skip("weight"));
        let e = match shared {
            Some((first, e)) if !own.has("weight") || own.holds_same("weight", (first, "weight")) => e.clone(),
            _ => matrix(own)?,
        };
        shared.get_or_insert_with(|| (own.clone(), e.clone()));
        (e, None)
    } else {
        (matrix(&k)?, (!both).then(|| matrix(&v)).transpose()?.map(|f| vec![f]))
    };
    Ok(Linformer {
        heads: p.heads,
        q: one(0, "q_proj")?,
        k: one(1, "k_proj")?,
        v: Some(one(2, "v_proj")?),
        out: Linear::load(&w.pp("out_proj"), (d, d))?.into(),
        squeeze: (vec![e], f),
        when: When::Inputs,
        visible: Visible::All,
    })
}
