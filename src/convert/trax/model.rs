//! A model of trax: its sizes, its config.json, its weights in order.

use super::attention::{Attention, Size};
use super::feed_forward::FeedForward;
use super::leaves::Leaves;
use super::loss::Loss;
use super::positions::Positions;
use super::sides::{Cross, Reversible};
use crate::error::Result;
use serde_json::{Map, Value, json};

/// What a decoder stands on.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Nothing: a language model.
    Alone,
    /// An encoder, read by cross-attention.
    Cross { layers: usize, attention: Attention, cross: Cross },
    /// An encoder whose output stands before the decoder's input.
    Joined { layers: usize, attention: Attention, reversible: Reversible },
    /// Nothing, and it works in two streams: the width of a head.
    Streams { head: usize },
}

/// A model.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its function in trax.
    pub function: String,
    /// Tokens.
    pub vocab: usize,
    /// Width.
    pub d: usize,
    /// Inner units of the feed-forward blocks.
    pub d_ff: usize,
    /// Heads.
    pub heads: usize,
    /// Positions.
    pub max_len: usize,
    /// Layers of the decoder.
    pub layers: usize,
    /// Attention of the decoder to itself.
    pub attention: Attention,
    /// Feed-forward blocks.
    pub ff: FeedForward,
    /// What makes the logits.
    pub loss: Loss,
    /// Positional encodings, encoder and decoder alike.
    pub positions: Positions,
    /// What there is besides the decoder.
    pub kind: Kind,
    /// Bound parameters that change nothing outside training.
    pub ignored: Vec<String>,
    /// Bindings of functions that have nothing to do with the model.
    pub others: usize,
}

/// The tokens that trax gives a meaning.
pub fn special() -> Value {
    json!({"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0})
}

impl Model {
    /// config.json.
    pub fn config(&self) -> Value {
        let (model_type, paired) = match self.kind {
            Kind::Alone => ("scaling_transformer", false),
            Kind::Cross { .. } => ("scaling_transformer", true),
            Kind::Joined { .. } => ("terraformer", true),
            Kind::Streams { .. } => ("trax_reformer_lm", false),
        };
        let mut out = Map::new();
        let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
        put("model_type", json!(model_type));
        put("is_encoder_decoder", json!(paired));
        put("vocab_size", json!(self.vocab));
        put("d_model", json!(self.d));
        put("d_ff", json!(self.d_ff));
        match &self.kind {
            Kind::Alone | Kind::Streams { .. } => put("n_layers", json!(self.layers)),
            Kind::Cross { layers, .. } | Kind::Joined { layers, .. } => {
                put("n_encoder_layers", json!(layers));
                put("n_decoder_layers", json!(self.layers))
            }
        };
        put("n_heads", json!(self.heads));
        put("max_len", json!(self.max_len));
        let plain = Attention::Heads { share_qk: false, bias: false, more: Map::new() };
        match &self.kind {
            Kind::Streams { head } => {
                put("d_head", json!(head));
                if self.attention != plain {
                    put("attention", self.attention.json());
                }
            }
            _ => {
                put("attention", self.attention.json());
            }
        }
        if let Kind::Cross { attention, .. } | Kind::Joined { attention, .. } = &self.kind
            && *attention != Attention::Dense
        {
            put("encoder_attention", attention.json());
        }
        self.ff.json(&mut out);
        self.loss.json(&mut out);
        self.positions.json(&mut out);
        match &self.kind {
            Kind::Cross { cross, .. } => cross.json(&mut out),
            Kind::Joined { reversible, .. } => reversible.json(&mut out),
            _ => (),
        }
        if let Value::Object(special) = special() {
            out.extend(special);
        }
        Value::Object(out)
    }

    /// Its weights in trax's order. Fails where sizes do not fit each other.
    pub fn leaves(&self) -> Result<Leaves> {
        let mut out = Leaves::default();
        let d = self.d;
        out.add("embed.weight", [self.vocab, d]);
        match &self.kind {
            Kind::Alone | Kind::Streams { .. } => self.positions.leaves(&mut out, "dec_pos", self.max_len, d),
            Kind::Cross { layers, attention, .. } => {
                self.positions.leaves(&mut out, "enc_pos", self.max_len, d);
                self.encoder(&mut out, *layers, attention)?;
                out.norm("encoder_norm", d);
                self.positions.leaves(&mut out, "dec_pos", self.max_len, d);
            }
            Kind::Joined { layers, attention, reversible } => {
                self.positions.leaves(&mut out, "enc_pos", self.max_len, d);
                self.positions.leaves(&mut out, "dec_pos", self.max_len, d);
                self.encoder(&mut out, *layers, attention)?;
                if !reversible.encoder {
                    out.dense("encoder_out", d, d);
                    out.norm("encoder_norm", d);
                }
            }
        }
        self.decoder(&mut out)?;
        // the two streams of a Reformer are laid side by side
        let wide = if matches!(self.kind, Kind::Streams { .. }) { 2 * d } else { d };
        out.norm("final_norm", wide);
        self.loss.leaves(&mut out, wide, self.vocab)?;
        out.parameters()?;
        Ok(out)
    }

    fn encoder(&self, out: &mut Leaves, layers: usize, attention: &Attention) -> Result<()> {
        let size = Size { d: self.d, heads: self.heads, head: self.d / self.heads };
        for i in 0..layers {
            out.room(layers)?;
            let layer = format!("encoder.{i}");
            out.norm(&format!("{layer}.attn_norm"), self.d);
            attention.leaves(out, &format!("{layer}.attn"), &size)?;
            self.ff.leaves(out, &layer, self.d, self.d_ff);
        }
        Ok(())
    }

    fn decoder(&self, out: &mut Leaves) -> Result<()> {
        let (sublayers, head) = match &self.kind {
            Kind::Joined { reversible, .. } => (reversible.sublayers, self.d / self.heads),
            Kind::Streams { head } => (1, *head),
            _ => (1, self.d / self.heads),
        };
        let size = Size { d: self.d, heads: self.heads, head };
        for i in 0..self.layers {
            let layer = format!("decoder.{i}");
            for a in 0..sublayers {
                out.room(self.layers.max(sublayers))?;
                out.norm(&format!("{layer}.attn.{a}.norm"), self.d);
                self.attention.leaves(out, &format!("{layer}.attn.{a}"), &size)?;
            }
            if let Kind::Cross { cross, .. } = &self.kind {
                cross.leaves(out, &layer, self.d)?;
            }
            self.ff.leaves(out, &layer, self.d, self.d_ff);
        }
        Ok(())
    }
}
