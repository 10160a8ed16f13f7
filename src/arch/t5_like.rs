//! What T5, mT5, umT5 and LongT5 have in common: the fields of their config.json, the names of their tensors, their decoder.

use super::bart_like::{Tables, tied};
use super::{epsilon, sizes, start_token};
use crate::block::{
    Activation, Cross, Decoder, DecoderLayer, Embedding, Encoder, EncoderLayer, FeedForward, Heads, Input, LayerNorm, Linear, Order,
    Positions, Projections, Seq2Seq,
};
use crate::error::{Error, Result};
use crate::kernel::attention::Biases;
use crate::mixer::{DistanceBuckets, Reader, Relation, Sides, Softmax};
use crate::model::Info;
use crate::weights::Weights;
use serde::Deserialize;
use std::sync::Arc;

pub(super) mod full;

/// The fields that their config.json share. Those with defaults were not always written.
#[derive(Debug, Deserialize)]
pub(super) struct Sizes {
    vocab_size: usize,
    pub d_model: usize,
    d_kv: usize,
    d_ff: usize,
    num_layers: usize,
    /// As many as the encoder's where it is left out.
    num_decoder_layers: Option<usize>,
    num_heads: usize,
    #[serde(default = "thirty_two")]
    relative_attention_num_buckets: usize,
    #[serde(default = "hundred_twenty_eight")]
    relative_attention_max_distance: usize,
    #[serde(default = "millionth")]
    pub layer_norm_epsilon: f64,
    #[serde(default = "relu")]
    feed_forward_proj: String,
    /// What follows from the line above, but the reference lets these have the last word.
    dense_act_fn: Option<String>,
    is_gated_act: Option<bool>,
    tie_word_embeddings: Option<bool>,
    scale_decoder_outputs: Option<bool>,
    decoder_start_token_id: Option<u32>,
    bos_token_id: Option<u32>,
    is_encoder_decoder: Option<bool>,
    architectures: Option<Vec<String>>,
}

fn thirty_two() -> usize {
    32
}

fn hundred_twenty_eight() -> usize {
    128
}

fn millionth() -> f64 {
    1e-6
}

fn relu() -> String {
    "relu".to_owned()
}

/// Numbers in all matrices, and in norms and tables by distance, that are no typing errors.
const MOST_IN_ALL: u128 = 1 << 42;
const MOST_IN_VECTORS: u128 = 1 << 27;

/// The classes that a checkpoint may be of: encoder, decoder and output matrix.
const WHOLE: [&str; 3] = ["ForConditionalGeneration", "WithLMHeadModel", "Model"];

impl Sizes {
    /// Layers of encoder and decoder.
    fn layers(&self) -> (usize, usize) {
        (self.num_layers, self.num_decoder_layers.unwrap_or(self.num_layers))
    }

    /// Fails at numbers out of all proportion and at what is no encoder-decoder. `class` is how the classes of its library begin, `own_biases` whether
    /// every layer has a table by distance.
    pub fn check(&self, class: &str, own_biases: bool) -> Result<()> {
        let (encoder, decoder) = self.layers();
        sizes(&[
            ("vocab_size", self.vocab_size, 1 << 24),
            ("d_model", self.d_model, 1 << 20),
            ("d_kv", self.d_kv, 1 << 16),
            ("d_ff", self.d_ff, 1 << 24),
            ("num_layers", encoder, 1 << 12),
            ("num_decoder_layers", decoder, 1 << 12),
            ("num_heads", self.num_heads, 1 << 16),
        ])
        .map_err(|e| e.hint("is a size mistyped?"))?;
        let most = self.buckets()?.most();
        let [d, v, d_ff, heads, encoder, decoder, most] =
            [self.d_model, self.vocab_size, self.d_ff, self.num_heads, encoder, decoder, most].map(|n| n as u128);
        let attention = 4 * d * heads * self.d_kv as u128;
        let all = 2 * v * d + (encoder + 2 * decoder) * attention + (encoder + decoder) * 3 * d * d_ff;
        let tables = if own_biases { encoder + decoder } else { 3 };
        let vectors = (3 * (encoder + decoder) + 2) * d + tables * most * heads;
        if all > MOST_IN_ALL || vectors > MOST_IN_VECTORS {
            return Err(Error::new(format!(
                "config.json: {all} numbers in matrices and {vectors} in norms and tables of {most} distances: `d_model`, `d_ff`, `num_heads`, `num_layers` or `relative_attention_max_distance` is out of proportion"
            ))
            .hint(format!("at most {MOST_IN_ALL} and {MOST_IN_VECTORS} are possible; is a size mistyped?")));
        }
        epsilon("layer_norm_epsilon", self.layer_norm_epsilon)?;
        let other = self.architectures.iter().flatten().find(|name| !WHOLE.iter().any(|end| **name == format!("{class}{end}")));
        if let Some(name) = other {
            return Err(Error::new(format!("config.json: `architectures` names {name}, which is not implemented"))
                .hint(format!("`{class}ForConditionalGeneration` is: encoder, decoder and output matrix")));
        }
        if self.is_encoder_decoder == Some(false) {
            return Err(Error::new("config.json: `is_encoder_decoder: false`: an encoder alone is not implemented")
                .hint("a checkpoint with a decoder says `true`, or nothing"));
        }
        Ok(())
    }

    /// How distances fall into buckets.
    pub fn buckets(&self) -> Result<DistanceBuckets> {
        DistanceBuckets::new(self.relative_attention_num_buckets, self.relative_attention_max_distance)
    }

    /// T5's and LongT5's: scaled at first, from version 1.1 on not, and then with a matrix of its own.
    ///
    /// transformers 5 writes `scale_decoder_outputs` and `tie_word_embeddings: true` for all; before, `tie_word_embeddings` meant both.
    pub fn output(&self) -> Output {
        let scaled = self.scale_decoder_outputs.unwrap_or(self.tied());
        Output { scaled, own: !scaled }
    }

    /// What `tie_word_embeddings` said before transformers 5, which writes `true` whatever it was.
    pub fn tied(&self) -> bool {
        self.tie_word_embeddings != Some(false)
    }

    /// The feed-forward layer's activation, and whether it has a gate: `relu`, `gated-gelu`, …
    fn activation(&self) -> Result<(Activation, bool)> {
        let proj = &self.feed_forward_proj;
        let wrong = || {
            Error::new(format!("config.json: `feed_forward_proj` is \"{proj}\""))
                .hint("it is an activation, or `gated-` and one: \"relu\", \"gated-gelu\"")
        };
        let (gated, name) = match proj.split_once('-') {
            None => (false, proj.as_str()),
            // the only place where `gelu` is not itself
            Some(("gated", "gelu")) => (true, "gelu_new"),
            Some(("gated", name)) if !name.contains('-') => (true, name),
            _ => return Err(wrong()),
        };
        let name = self.dense_act_fn.as_deref().unwrap_or(name);
        let activation = Activation::try_from(name.to_owned())
            .map_err(|e| Error::new(format!("config.json: {}", e.message())).hint("`feed_forward_proj` and `dense_act_fn` name it"))?;
        Ok((activation, self.is_gated_act.unwrap_or(gated)))
    }

    /// Heads of d_kv features, scores as they are.
    pub fn heads(&self) -> Result<Heads> {
        Heads::unscaled(self.num_heads, self.d_kv)
    }

    /// `q`, `k`, `v` (h d_kv, d) and `o` (d, h d_kv) below `w`.
    pub fn projections(&self, w: &Weights) -> Result<Projections> {
        Projections::named(w, ["q", "k", "v", "o"], (self.num_heads * self.d_kv, self.d_model), false)
    }

    /// A norm's `weight` below `w`.
    pub fn norm(&self, w: &Weights) -> Result<LayerNorm> {
        LayerNorm::load_root_mean_square(w, self.d_model, self.layer_norm_epsilon)
    }

    /// The table of what scores get by distance, of `weight` (buckets, heads) below `w`. Made once for all layers.
    pub fn biases(&self, w: &Weights, sides: Sides) -> Result<Arc<Biases>> {
        let buckets = self.buckets()?;
        let rows = w.numbers("weight", &[buckets.count(), self.num_heads])?;
        let biases = buckets.biases(&rows, self.num_heads, sides);
        w.holds(biases.bytes() / size_of::<f32>());
        Ok(Arc::new(biases))
    }

    fn feed_forward(&self, w: &Weights) -> Result<FeedForward> {
        let (activation, gated) = self.activation()?;
        let up = |name: &str| Linear::load_plain(&w.pp(name), (self.d_ff, self.d_model));
        let down = Linear::load_plain(&w.pp("wo"), (self.d_model, self.d_ff))?;
        Ok(if gated {
            FeedForward::Gated { gate: up("wi_0")?, up: up("wi_1")?, down, activation }
        } else {
            FeedForward::new(up("wi")?, down, activation)
        })
    }
}

/// Loads the self-attention of an encoder layer from the tensors below `encoder.block.{i}.layer.0`.
type LoadReader<'a> = dyn Fn(&Weights) -> Result<Box<dyn Reader>> + 'a;

/// What becomes of the decoder's hidden states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Output {
    /// Whether they are multiplied by 1/√d before the output matrix.
    pub scaled: bool,
    /// Whether made-up weights have an output matrix of their own, as published ones of these settings have. A checkpoint's tensors say it themselves.
    pub own: bool,
}

/// Where they differ.
pub(super) struct Plan<'a> {
    pub reader: &'a LoadReader<'a>,
    /// Whether every layer of the decoder has its own table by distance; else the first one's is for all.
    pub own_biases: bool,
    pub output: Output,
    /// What [`Info::attention`] says.
    pub attention: String,
    pub model_type: &'static str,
}

/// Builds the model.
pub(super) fn build(root: &Weights, s: &Sizes, plan: &Plan) -> Result<Seq2Seq> {
    let (encoder_layers, decoder_layers) = s.layers();
    let (we, wd) = (root.pp("encoder"), root.pp("decoder"));
    let [source, target, output] = tables(root, s, plan.output.own)?;
    let input = |table| Input { tokens: Embedding::new(table, 1.0), positions: Positions::none(s.d_model), norm: None };
    let encoder = (0..encoder_layers).map(|i| encoder_layer(&we.pp("block").pp(i).pp("layer"), s, plan)).collect::<Result<_>>()?;
    let past = |i: usize| s.biases(&wd.pp("block").pp(i).pp("layer.0.SelfAttention.relative_attention_bias"), Sides::Past);
    let shared = if plan.own_biases { None } else { Some(past(0)?) };
    let decoder = (0..decoder_layers)
        .map(|i| decoder_layer(&wd.pp("block").pp(i).pp("layer"), s, shared.clone().map_or_else(|| past(i), Ok)?))
        .collect::<Result<_>>()?;
    let start = s.decoder_start_token_id.or(s.bos_token_id).map(|start| start_token(start, s.vocab_size)).transpose()?;
    Ok(Seq2Seq {
        info: Info {
            model_type: plan.model_type,
            encoder_decoder: true,
            vocab_size: s.vocab_size,
            max_source: None,
            max_target: None,
            attention: plan.attention.clone(),
            default_global: None,
            layers: (encoder_layers, decoder_layers),
            prompt_start: None,
            reads_only: None,
        },
        start: start.ok_or_else(|| {
            Error::new("config.json: no `decoder_start_token_id`").hint("T5's is that of its padding: `\"decoder_start_token_id\": 0`")
        })?,
        source: input(source),
        encoder: Encoder { order: Order::Pre, layers: encoder, norm: Some(s.norm(&we.pp("final_layer_norm"))?), globals: None },
        target: input(target),
        decoder: Decoder { order: Order::Pre, layers: decoder, norm: Some(s.norm(&wd.pp("final_layer_norm"))?) },
        output: Linear::from_packed(output).into(),
        output_scale: plan.output.scaled.then(|| (s.d_model as f64).powf(-0.5) as f32),
    })
}

/// Encoder table, decoder table, output matrix.
///
/// transformers 5 ties all of them whatever `tie_word_embeddings` says, but a tensor that the checkpoint holds is used. Where there is no checkpoint,
/// `own` says whether there is an output matrix of its own.
fn tables(root: &Weights, s: &Sizes, own: bool) -> Result<Tables> {
    let names = ["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"];
    let made_up = !names.iter().any(|name| root.has(name));
    tied(root, names.map(str::to_owned), (s.vocab_size, s.d_model), made_up && own, None)
}

fn encoder_layer(w: &Weights, s: &Sizes, plan: &Plan) -> Result<EncoderLayer> {
    Ok(EncoderLayer {
        reader: (plan.reader)(&w.pp(0))?,
        reader_norm: s.norm(&w.pp("0.layer_norm"))?,
        feed_forward: s.feed_forward(&w.pp("1.DenseReluDense"))?,
        feed_forward_norm: s.norm(&w.pp("1.layer_norm"))?,
        recurrent: None,
    })
}

fn decoder_layer(w: &Weights, s: &Sizes, past: Arc<Biases>) -> Result<DecoderLayer> {
    let mixer = Softmax::new(s.heads()?, s.projections(&w.pp("0.SelfAttention"))?).with_relation(Relation::Biases(past));
    let cross = Cross::new(s.heads()?, s.projections(&w.pp("1.EncDecAttention"))?);
    Ok(DecoderLayer {
        mixer: Box::new(mixer.with_cache(w.cache())),
        mixer_norm: s.norm(&w.pp("0.layer_norm"))?,
        cross: Some((cross.with_cache(w.cache()), s.norm(&w.pp("1.layer_norm"))?)),
        feed_forward: s.feed_forward(&w.pp("2.DenseReluDense"))?,
        feed_forward_norm: s.norm(&w.pp("2.layer_norm"))?,
        recurrent: None,
    })
}

#[cfg(test)]
mod tests;
