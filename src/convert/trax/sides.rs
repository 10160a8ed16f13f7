//! What only encoder-decoders have: cross-attention, and Terraformer's way from encoder to decoder.

use super::leaves::Leaves;
use crate::convert::gin::{Literal, Params};
use crate::error::Result;
use serde_json::{Map, Value, json};

/// Attention of the decoder to the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cross {
    /// Four matrices.
    Dense,
    /// Sparse queries and no output layer.
    Queries(usize),
    /// Sparse queries and a sparse output layer.
    Both(usize, usize),
}

impl Cross {
    /// Reads `enc_dec_attention_sparsity`.
    pub fn read(params: &Params) -> Result<Self> {
        const NAME: &str = "enc_dec_attention_sparsity";
        let Some(value) = params.get(NAME)? else { return Ok(Cross::Dense) };
        match value.items() {
            None => Ok(match params.whole(NAME, &value)? {
                0 => Cross::Dense,
                s => Cross::Queries(s),
            }),
            Some([Literal::None, Literal::None]) => Ok(Cross::Dense),
            Some([q, Literal::Text(word)]) if word == "noop" => params.whole(NAME, q).map(Cross::Queries),
            Some([q, r]) if *q != Literal::None && *r != Literal::None => Ok(Cross::Both(params.whole(NAME, q)?, params.whole(NAME, r)?)),
            Some(_) => Err(params
                .error(NAME, format!("is {value}, which is not supported"))
                .hint("it can be 0, a number, or (a number, a number)")),
        }
    }

    /// Its words in config.json; four matrices have none.
    pub fn json(&self, out: &mut Map<String, Value>) {
        let value = match self {
            Cross::Dense => return,
            Cross::Queries(s) => json!(s),
            Cross::Both(q, r) => json!([q, r]),
        };
        out.insert("enc_dec_attention_sparsity".to_owned(), value);
    }

    /// Its weights below the path of a layer.
    pub fn leaves(&self, out: &mut Leaves, layer: &str, d: usize) -> Result<()> {
        out.norm(&format!("{layer}.cross.norm"), d);
        let [q, k, v, o] = ["q", "k", "v", "o"].map(|n| format!("{layer}.cross.{n}"));
        let sparse = |out: &mut Leaves, path: &str, s: usize| {
            out.factored(&format!("{path}.mult"), s, d, d)?;
            out.conv(path, s, d, [3, 3], d)
        };
        match self {
            Cross::Dense => out.dense(&q, d, d),
            Cross::Queries(s) | Cross::Both(s, _) => sparse(out, &q, *s)?,
        }
        out.dense(&k, d, d);
        out.dense(&v, d, d);
        match self {
            Cross::Dense => out.dense(&o, d, d),
            Cross::Queries(_) => (),
            Cross::Both(_, s) => sparse(out, &o, *s)?,
        }
        Ok(())
    }
}

/// What Terraformer has beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reversible {
    /// Attention layers in a decoder block.
    pub sublayers: usize,
    /// Whether both streams of the encoder go to the decoder.
    pub encoder: bool,
    two_swaps: bool,
    center: bool,
}

impl Reversible {
    /// Reads it.
    pub fn read(params: &Params) -> Result<Self> {
        let zero = [Literal::Int(0), Literal::None];
        params.only("n_layers_forget", &zero)?;
        params.only("half_before_layer", &zero)?;
        params.only("double_after_layer", &zero)?;
        Ok(Self {
            sublayers: params.size("n_decoder_attention_layers", Some(2))?,
            encoder: params.truth("reversible_encoder", false)?,
            two_swaps: params.truth("use_two_swaps_per_encoder_block", true)?,
            center: params.truth("center_layernorm", true)?,
        })
    }

    /// Its words in config.json.
    pub fn json(&self, out: &mut Map<String, Value>) {
        out.insert("n_decoder_attention_layers".to_owned(), json!(self.sublayers));
        out.insert("reversible_encoder".to_owned(), json!(self.encoder));
        out.insert("use_two_swaps_per_encoder_block".to_owned(), json!(self.two_swaps));
        if !self.center {
            out.insert("center_layernorm".to_owned(), json!(false));
        }
    }
}
