//! What the models of trax have in common: the keys of their config.json, which are trax's words, and the names of their tensors.
//!
//! Reference: trax:trax/models/research/configurable_transformer.py. Shapes are trax's own: matrices (in, out), convolutions (F, k, in, out).

mod attention;
mod feed_forward;
mod layer;
pub(super) mod reformer_lm;
pub(super) mod scaling_transformer;
pub(super) mod terraformer;

pub use layer::Layer;

use super::start_token;
use crate::block::{Activation, Dense, LayerNorm, Linear, Positions};
use crate::error::{Error, Result};
use crate::kernel::linear::Layout;
use crate::weights::{Form, Weights};
use attention::Attention;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Added to the variance by every norm (trax:trax/layers/normalization.py).
const EPS: f64 = 1e-6;

/// The fields that their config.json share.
#[derive(Debug, Deserialize)]
struct Sizes {
    vocab_size: usize,
    d_model: usize,
    d_ff: usize,
    n_heads: usize,
    max_len: usize,
    n_layers: Option<usize>,
    n_encoder_layers: Option<usize>,
    n_decoder_layers: Option<usize>,
    #[serde(default)]
    attention: Attention,
    #[serde(default)]
    encoder_attention: Attention,
    ff_activation: Option<Activation>,
    #[serde(default)]
    ff_sparsity: FfSparsity,
    ff_sparsity_type: Option<String>,
    #[serde(default)]
    ff_use_sru: SruSizes,
    loss_sparsity_type: Option<String>,
    #[serde(default)]
    loss_sparsity: usize,
    #[serde(default)]
    loss_d_lowrank: usize,
    pos_type: Option<String>,
    pos_axial_shape: Option<Vec<usize>>,
    pos_d_axial_embs: Option<Vec<usize>>,
    time_bin_length: Option<usize>,
    #[serde(default = "yes")]
    center_layernorm: bool,
    decoder_start_token_id: Option<u32>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn yes() -> bool {
    true
}

/// `ff_sparsity`: N, or N with the rank of the controller, or these two and what training alone needs; as a list, a number or words.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "Value")]
struct FfSparsity {
    n: usize,
    rank: Option<usize>,
}

impl TryFrom<Value> for FfSparsity {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        let list = match &value {
            Value::Null => return Ok(Self::default()),
            Value::Number(_) => vec![value.clone()],
            Value::String(words) => words.split_whitespace().map(|w| w.parse::<f64>().map_or(Value::Null, Value::from)).collect(),
            Value::Array(list) => list.clone(),
            _ => Vec::new(),
        };
        let whole =
            |v: &Value| v.as_u64().or_else(|| v.as_f64().filter(|x| x.fract() == 0.0 && *x >= 0.0).map(|x| x as u64)).map(|x| x as usize);
        match &list[..] {
            [n] => whole(n).map(|n| Self { n, rank: None }),
            [n, rank] | [n, rank, _, _] => whole(n).zip(whole(rank)).map(|(n, rank)| Self { n, rank: Some(rank) }),
            _ => None,
        }
        .ok_or_else(|| format!("`ff_sparsity: {value}` is neither N, nor [N, rank], nor [N, rank, temperature, probability]"))
    }
}

/// `ff_use_sru`: how many layers of recurrent units, and of how many; units alone are 32.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "Value")]
struct SruSizes {
    layers: usize,
    units: usize,
}

impl TryFrom<Value> for SruSizes {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        let whole = |v: &Value| v.as_u64().map(|x| x as usize);
        match &value {
            Value::Null => Some(Self::default()),
            Value::Array(pair) if pair.len() == 2 => whole(&pair[0]).zip(whole(&pair[1])).map(|(layers, units)| Self { layers, units }),
            one => whole(one).map(|layers| Self { layers, units: 32 }),
        }
        .ok_or_else(|| format!("`ff_use_sru: {value}` is neither a number of layers nor [layers, units]"))
    }
}

/// Greatest numbers that config.json may ask for: beyond them only memory would be lost.
const MOST: usize = 1 << 24;
const MOST_LAYERS: usize = 1 << 12;

/// Fails if the value of a key is not from `least` to `most`.
fn within(key: &str, value: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::new(format!("config.json: `{key}` is {value}")).hint(format!("it may be {least} to {most}")))
}

/// A key of `rest` that is true or false, else `false`.
fn flag(rest: &mut Map<String, Value>, key: &str, default: bool) -> Result<bool> {
    match rest.remove(key) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(yes)) => Ok(yes),
        Some(other) => Err(Error::new(format!("config.json: `{key}` is {other}, neither true nor false"))),
    }
}

/// A key of `rest` that is a whole number from 1 to `most`.
fn count(rest: &mut Map<String, Value>, key: &str, default: usize, most: usize) -> Result<usize> {
    let value = match rest.remove(key) {
        None | Some(Value::Null) => default,
        Some(other) => match other.as_u64() {
            Some(n) => n as usize,
            None => return Err(Error::new(format!("config.json: `{key}` is {other}, not a whole number"))),
        },
    };
    within(key, value, 1, most)?;
    Ok(value)
}

impl Sizes {
    /// Those of config.json. Fails where a number is out of all proportion.
    fn read(config: &Value) -> Result<Self> {
        let s: Self = super::parse(config)?;
        for (key, value) in [("vocab_size", s.vocab_size), ("d_model", s.d_model), ("d_ff", s.d_ff), ("max_len", s.max_len)] {
            within(key, value, 1, MOST)?;
        }
        within("n_heads", s.n_heads, 1, 1 << 16)?;
        for (key, value) in [("n_layers", s.n_layers), ("n_encoder_layers", s.n_encoder_layers), ("n_decoder_layers", s.n_decoder_layers)] {
            within(key, value.unwrap_or(0), 0, MOST_LAYERS)?;
        }
        if s.ff_sparsity.n > 0 {
            within("ff_sparsity", s.ff_sparsity.rank.unwrap_or(1), 1, MOST)?;
        }
        if s.ff_use_sru.layers > 0 {
            within("ff_use_sru", s.ff_use_sru.layers, 0, MOST_LAYERS)?;
            within("ff_use_sru", s.ff_use_sru.units, 1, 1 << 16)?;
        }
        if s.loss_sparsity_type.as_deref() == Some("lowrank") && s.loss_sparsity > 0 {
            within("loss_d_lowrank", s.loss_d_lowrank, 1, MOST)?;
        }
        let axes = |key: &str, sizes: &Option<Vec<usize>>| sizes.iter().flatten().try_for_each(|n| within(key, *n, 1, MOST));
        axes("pos_axial_shape", &s.pos_axial_shape)?;
        axes("pos_d_axial_embs", &s.pos_d_axial_embs)?;
        let places = s.pos_axial_shape.iter().flatten().try_fold(1, |n: usize, m| n.checked_mul(*m));
        within("pos_axial_shape", places.unwrap_or(usize::MAX), 1, MOST)?;
        s.attention.limits("attention")?;
        s.encoder_attention.limits("encoder_attention")?;
        Ok(s)
    }

    /// A key that a kind of model needs.
    fn need(&self, key: &str, value: Option<usize>) -> Result<usize> {
        value.ok_or_else(|| Error::new(format!("config.json: no `{key}`")).hint("say how many layers there are"))
    }

    /// The token that decoding starts from: `start_id` of trax:trax/supervised/decoding.py, 0 unless config.json says another.
    fn start(&self) -> Result<u32> {
        start_token(self.decoder_start_token_id.unwrap_or(0), self.vocab_size)
    }

    fn norm(&self, w: &Weights) -> Result<LayerNorm> {
        LayerNorm::load_scale(w, self.d_model, EPS, self.center_layernorm)
    }

    /// The norm at the end of a stack, which is always centred.
    fn last_norm(&self, w: &Weights) -> Result<LayerNorm> {
        LayerNorm::load_scale(w, self.d_model, EPS, true)
    }

    /// Positions of the tensors below a view, as `pos_type` says.
    fn positions(&self, w: &Weights) -> Result<Positions> {
        let d = self.d_model;
        match self.pos_type.as_deref() {
            None => Positions::learned(w, (self.max_len, d), 0),
            Some("sin-cos") => Positions::waves(d),
            Some("fixed-base") => Positions::digits(w, d),
            Some("time-bin") => {
                let bin = self.time_bin_length.ok_or_else(|| {
                    Error::new("config.json: `pos_type` \"time-bin\" without `time_bin_length`").hint("say how many positions a bin has")
                })?;
                Positions::bins(bin, d)
            }
            Some("no") => Ok(Positions::none(d)),
            Some("axial") => match (&self.pos_axial_shape, &self.pos_d_axial_embs) {
                (Some(lengths), Some(widths)) if lengths.len() == widths.len() => {
                    let axes: Vec<(usize, usize)> = lengths.iter().copied().zip(widths.iter().copied()).collect();
                    Positions::axial(w, &axes, d)
                }
                _ => Err(Error::new("config.json: `pos_axial_shape` and `pos_d_axial_embs` must both be there, as long as each other")),
            },
            Some(other) => Err(Error::new(format!("config.json: `pos_type` \"{other}\" is not implemented"))
                .hint("known are null (a learned table), sin-cos, fixed-base, time-bin, axial, no; the infinite ones depend on jax's random numbers")),
        }
    }

    /// Hidden states -> logits, `d` features: `loss` below `w`.
    fn loss(&self, w: &Weights, d: usize) -> Result<Dense> {
        let (w, v, s) = (w.pp("loss"), self.vocab_size, self.loss_sparsity);
        if s == 0 {
            return Ok(Linear::load_in_out(&w, (v, d))?.into());
        }
        match self.loss_sparsity_type.as_deref() {
            None | Some("mult") if !v.is_multiple_of(s) => {
                Err(Error::new(format!("config.json: `vocab_size` {v} does not split into `loss_sparsity` {s}"))
                    .hint("choose a sparsity that divides the vocabulary, or pad the vocabulary"))
            }
            None | Some("mult") => Dense::factored(&w, s, (v, d)),
            Some("None") => Ok(Linear::load_in_out(&w, (v, d))?.into()),
            Some("lowrank") => Dense::low_rank(&w, self.loss_d_lowrank, (v, d)),
            Some("einsum") => {
                let bias = w.get("b", &[v])?;
                Ok(Linear::from_packed(Arc::new(w.packed("w", &Form::whole((v, d), Layout::OutIn), Some(bias))?)).into())
            }
            Some("local" | "local3") => {
                let k = if self.loss_sparsity_type.as_deref() == Some("local") { 1 } else { 3 };
                Dense::modular(&w, s, k, (v, d))
            }
            Some(other) => Err(Error::new(format!("config.json: `loss_sparsity_type` \"{other}\" is not known"))
                .hint("known are mult, lowrank, einsum, local, local3")),
        }
    }
}

/// Keys that say how a model was trained or chunked, not what it computes.
const TRAINING: &[&str] =
    &["package", "dropout", "ff_dropout", "ff_chunk_size", "attention_chunk_size", "mode", "use_bfloat16", "loss_sparsity_prob"];

/// Fails at a key that nobody reads: these configurations are written for this program, and a word of trax may change what is computed.
fn known(rest: &Map<String, Value>) -> Result<()> {
    match super::unread(rest).into_iter().find(|k| !TRAINING.contains(&k.as_str())) {
        Some(key) => Err(Error::new(format!("config.json: `{key}` is not known here"))
            .hint("it may change what the model computes, so it is not ignored; docs/formats.md has the keys")),
        None => Ok(()),
    }
}
