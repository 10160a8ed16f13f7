//! The Scaling Transformer (Jaszczur et al. 2021, "Sparse is Enough in Scaling Transformers", <https://arxiv.org/abs/2111.12763>): a pre-norm
//! Transformer, with an encoder or without, whose feed-forward, query-key-value and output layers may each be sparse.
//!
//! Reference: trax:trax/models/research/configurable_transformer.py `ConfigurableTransformer`, `ConfigurableTransformerLM`. Encoder and decoder share the
//! token table and have positions of their own; the output matrix is not tied. Source padding (id 0) is not read. A language model reads the start token 0
//! first ([`Info::prompt_start`]): it stands in front of every prompt.

use super::super::{Arch, Loaded, expect};
use super::attention::Side;
use super::{Sizes, attention, known};
use crate::block::{Decoder, DecoderLayer, DecoderOnly, Embedding, Encoder, EncoderLayer, Heads, Input, Order, Seq2Seq};
use crate::error::{Error, Result};
use crate::model::{Info, Model};
use crate::weights::Weights;
use serde_json::{Value, json};

pub(in crate::arch) const ARCH: Arch = Arch {
    model_type: "scaling_transformer",
    summary: "encoder-decoder or decoder only, sparse feed-forward, sparse QKV, sparse loss, pre-norm",
    checkpoints: "trax's ConfigurableTransformer and ConfigurableTransformerLM, through `effattn convert`",
    mixers: &["mult_conv", "softmax", "favor", "lsh"],
    attentions: &[],
    ignored: &[],
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "scaling_transformer", "is_encoder_decoder": true, "vocab_size": 64, "d_model": 24, "d_ff": 60, "n_encoder_layers": 1,
        "n_decoder_layers": 2, "n_heads": 3, "max_len": 80, "attention": {"type": "mult_conv", "sparsity": 6, "output_layer_type": "conv"},
        "ff_sparsity": [5, 7], "loss_sparsity": 4, "ff_use_sru": [1, 5], "enc_dec_attention_sparsity": 4,
        "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}"#,
    load,
};

fn load(config: &Value, w: &Weights) -> Result<Loaded> {
    let s = Sizes::read(config)?;
    let mut rest = s.rest.clone();
    for (key, value) in [("output_vocab_size", json!(s.vocab_size)), ("center_layernorm", json!(true))] {
        expect(&rest, key, &value)?;
    }
    if !s.center_layernorm {
        return Err(Error::new("config.json: `center_layernorm: false` is Terraformer's alone"));
    }
    let sparsity = rest.remove("enc_dec_attention_sparsity").map_or(Ok([Side::Dense; 2]), |v| cross_sparsity(&v))?;
    let paired = super::flag(&mut rest, "is_encoder_decoder", s.n_layers.is_none())?;
    let heads = Heads::new(s.d_model, s.n_heads)?;
    let tokens = Embedding::rows(&w.pp("embed"), "weight", (s.vocab_size, s.d_model))?;
    let attention = if paired { s.encoder_attention.told() } else { s.attention.told() };
    let target = s.positions(&w.pp("dec_pos"))?;
    let (encoder_layers, decoder_layers) = match paired {
        true => (s.need("n_encoder_layers", s.n_encoder_layers)?, s.need("n_decoder_layers", s.n_decoder_layers)?),
        false => (0, s.need("n_layers", s.n_layers)?),
    };
    let layers =
        (0..decoder_layers).map(|i| decoder_layer(&w.pp("decoder").pp(i), &s, heads, paired.then_some(sparsity))).collect::<Result<_>>()?;
    let decoder = Decoder { order: Order::Pre, layers, norm: Some(s.last_norm(&w.pp("final_norm"))?) };
    let output = s.loss(w, s.d_model)?;
    let source = if paired { Some(s.positions(&w.pp("enc_pos"))?) } else { None };
    let info = Info {
        model_type: ARCH.model_type,
        encoder_decoder: paired,
        vocab_size: s.vocab_size,
        max_source: source.as_ref().map_or(target.limit(), |p| p.limit()),
        max_target: target.limit(),
        attention,
        default_global: None,
        layers: (encoder_layers, decoder_layers),
        prompt_start: if paired { None } else { Some(s.start()?) },
        reads_only: None,
    };
    let model: Box<dyn Model> = match source {
        None => Box::new(DecoderOnly { info, tokens, positions: target, decoder, output }),
        Some(source) => Box::new(Seq2Seq {
            info,
            start: s.start()?,
            source: Input { tokens: tokens.clone(), positions: source, norm: None },
            encoder: Encoder {
                order: Order::Pre,
                layers: encoder(w, &s, heads, encoder_layers)?,
                norm: Some(s.last_norm(&w.pp("encoder_norm"))?),
                globals: None,
            },
            target: Input { tokens, positions: target, norm: None },
            decoder,
            output,
            output_scale: None,
        }),
    };
    known(&rest)?;
    Ok(Loaded { model, unread: Vec::new() })
}

/// The decoder layer below `w`; `sides` say how its cross-attention is projected, if it has one.
fn decoder_layer(w: &Weights, s: &Sizes, heads: Heads, sides: Option<[Side; 2]>) -> Result<DecoderLayer> {
    let (mixer, beside) = (w.pp("attn").pp(0), w.pp("cross"));
    let cross = |sparsity| -> Result<_> { Ok((attention::cross(&beside, heads, sparsity)?, s.norm(&beside.pp("norm"))?)) };
    Ok(DecoderLayer {
        mixer: s.attention.mixer(&mixer, s.d_model, heads)?,
        mixer_norm: s.norm(&mixer.pp("norm"))?,
        cross: sides.map(cross).transpose()?,
        feed_forward: s.feed_forward(w)?,
        feed_forward_norm: s.norm(&w.pp("ff_norm"))?,
        recurrent: s.recurrent(w)?,
    })
}

/// The encoder's layers below `w`.
pub(super) fn encoder(w: &Weights, s: &Sizes, heads: Heads, layers: usize) -> Result<Vec<EncoderLayer>> {
    let layer = |i: usize| -> Result<EncoderLayer> {
        let w = w.pp("encoder").pp(i);
        Ok(EncoderLayer {
            reader: s.encoder_attention.reader(&w.pp("attn"), s.d_model, heads)?,
            reader_norm: s.norm(&w.pp("attn_norm"))?,
            feed_forward: s.feed_forward(&w)?,
            feed_forward_norm: s.norm(&w.pp("ff_norm"))?,
            recurrent: s.recurrent(&w)?,
        })
    };
    (0..layers).map(layer).collect()
}

/// `enc_dec_attention_sparsity`: 0, that of the queries, or that of queries and results; of these, null is dense and "noop" nothing.
fn cross_sparsity(value: &Value) -> Result<[Side; 2]> {
    let side = |v: &Value| match v {
        Value::Null => Some(Side::Dense),
        Value::String(noop) if noop == "noop" => Some(Side::Nothing),
        one => one.as_u64().map(|s| Side::Sparse(s as usize)),
    };
    match value {
        Value::Null => Some([Side::Dense; 2]),
        Value::Array(pair) if pair.len() == 2 => side(&pair[0]).zip(side(&pair[1])).map(|(q, result)| [q, result]),
        one => one.as_u64().map(|s| if s == 0 { [Side::Dense; 2] } else { [Side::Sparse(s as usize), Side::Nothing] }),
    }
    .ok_or_else(|| Error::new(format!("config.json: `enc_dec_attention_sparsity: {value}` is neither a number nor [queries, results]")))
}
