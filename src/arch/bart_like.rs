//! What BART, Pegasus and LED have in common: the names of their tensors and the order of their layers.

use super::choice::Choice;
use super::start_token;
use crate::block::{
    Activation, Cross, Decoder, DecoderLayer, Embedding, Encoder, EncoderLayer, FeedForward, Heads, Input, LayerNorm, Linear, Order,
    Positions, Projections, Seq2Seq,
};
use crate::error::{Error, Result};
use crate::kernel::linear::Packed;
use crate::mixer::{Reader, Softmax};
use crate::model::Info;
use crate::weights::Weights;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The fields that their config.json share.
#[derive(Debug, Deserialize)]
pub(super) struct Sizes {
    pub vocab_size: usize,
    pub d_model: usize,
    pub encoder_layers: usize,
    pub decoder_layers: usize,
    encoder_attention_heads: usize,
    decoder_attention_heads: usize,
    encoder_ffn_dim: usize,
    decoder_ffn_dim: usize,
    #[serde(default = "gelu")]
    activation_function: Activation,
    #[serde(default)]
    scale_embedding: bool,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
    decoder_start_token_id: Option<u32>,
    bos_token_id: Option<u32>,
}

/// config.json of those that have nothing of their own: BART, mBART and PEGASUS.
#[derive(Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    pub sizes: Sizes,
    pub max_position_embeddings: usize,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Sizes {
    /// Fails where a size is 0, or so large that it must be a mistake: before anything of that size is asked for.
    fn check(&self) -> Result<()> {
        const WIDE: usize = 1 << 24;
        for (key, size, least, most) in [
            ("vocab_size", self.vocab_size, 1, WIDE),
            ("d_model", self.d_model, 1, 1 << 17),
            ("encoder_layers", self.encoder_layers, 0, 1 << 12),
            ("decoder_layers", self.decoder_layers, 0, 1 << 12),
            ("encoder_ffn_dim", self.encoder_ffn_dim, 1, WIDE),
            ("decoder_ffn_dim", self.decoder_ffn_dim, 1, WIDE),
        ] {
            if !(least..=most).contains(&size) {
                return Err(
                    Error::new(format!("config.json: `{key}` is {size}, not between {least} and {most}")).hint("is a digit mistyped?")
                );
            }
        }
        for (key, heads) in
            [("encoder_attention_heads", self.encoder_attention_heads), ("decoder_attention_heads", self.decoder_attention_heads)]
        {
            if heads == 0 || !self.d_model.is_multiple_of(heads) {
                return Err(Error::new(format!("config.json: `{key}` is {heads}: {} features do not split into so many", self.d_model))
                    .hint("`d_model` must be a multiple of it"));
            }
        }
        Ok(())
    }
}

fn gelu() -> Activation {
    Activation::Gelu
}

fn yes() -> bool {
    true
}

/// Loads positions from the tensors below a view.
type LoadPositions<'a> = dyn Fn(&Weights) -> Result<Positions> + 'a;
/// Loads the self-attention of an encoder layer, by its number.
type LoadReader<'a> = dyn Fn(&Weights, Heads, usize) -> Result<Box<dyn Reader>> + 'a;

/// Where they differ.
pub(super) struct Plan<'a> {
    /// `model` or `led`.
    pub prefix: &'a str,
    pub order: Order,
    /// Whether a norm, `layernorm_embedding`, follows the embeddings.
    pub input_norm: bool,
    /// The norm at the end of each stack, by its name.
    pub stack_norm: Option<&'static str>,
    /// Whether the projections of attention have biases.
    pub attention_bias: bool,
    /// Encoder and decoder positions, of the tensors below the given view.
    pub positions: [&'a LoadPositions<'a>; 2],
    /// The encoder's self-attention in layer i.
    pub reader: &'a LoadReader<'a>,
    /// [`Info::default_global`].
    pub default_global: Option<Vec<usize>>,
    /// What [`Info::attention`] says, unless the encoder's layers know better.
    pub attention: String,
    pub model_type: &'static str,
}

const EPS: f64 = 1e-5;

/// Full self-attention, as BART and Pegasus have it in their encoder, unless a window was chosen.
pub(super) fn full(w: &Weights, heads: Heads, choice: Choice) -> Result<Box<dyn Reader>> {
    let d = heads.count * heads.width;
    Ok(Box::new(Softmax::new(heads, Projections::load(w, (d, d), true)?).with_window(choice.reach())))
}

/// How it is named.
pub(super) fn full_name(choice: Choice) -> String {
    if choice.reach().is_some() { choice.to_string() } else { "full".to_owned() }
}

/// Builds the model.
pub(super) fn build(root: &Weights, s: &Sizes, plan: &Plan) -> Result<Seq2Seq> {
    s.check()?;
    let w = root.pp(plan.prefix);
    let (source, target, output) = tables(root, plan.prefix, s)?;
    let stack_norm = |w: &Weights| plan.stack_norm.map(|name| LayerNorm::load(&w.pp(name), s.d_model, EPS)).transpose();
    let input = |w: &Weights, tokens: Embedding, positions: &LoadPositions<'_>| -> Result<Input> {
        let norm = plan.input_norm.then(|| LayerNorm::load(&w.pp("layernorm_embedding"), s.d_model, EPS)).transpose()?;
        Ok(Input { tokens, positions: positions(&w.pp("embed_positions"))?, norm })
    };
    let (we, wd) = (w.pp("encoder"), w.pp("decoder"));
    let source = input(&we, source, plan.positions[0])?;
    let target = input(&wd, target, plan.positions[1])?;
    let encoder = (0..s.encoder_layers).map(|i| encoder_layer(&we.pp("layers").pp(i), s, plan, i)).collect::<Result<_>>()?;
    let decoder = (0..s.decoder_layers).map(|i| decoder_layer(&wd.pp("layers").pp(i), s, plan)).collect::<Result<_>>()?;
    let start = s.decoder_start_token_id.or(s.bos_token_id).map(|start| start_token(start, s.vocab_size)).transpose()?;
    Ok(Seq2Seq {
        info: Info {
            model_type: plan.model_type,
            encoder_decoder: true,
            vocab_size: s.vocab_size,
            max_source: source.positions.limit(),
            max_target: target.positions.limit(),
            attention: plan.attention.clone(),
            default_global: plan.default_global.clone(),
            layers: (s.encoder_layers, s.decoder_layers),
            prompt_start: None,
            reads_only: None,
        },
        start: start.ok_or_else(|| {
            Error::new("config.json: neither `decoder_start_token_id` nor `bos_token_id`")
                .hint("a decoder begins with a token: name its id, as generation_config.json of its kin does")
        })?,
        source,
        encoder: Encoder { order: plan.order, layers: encoder, norm: stack_norm(&we)?, globals: None },
        target,
        decoder: Decoder { order: plan.order, layers: decoder, norm: stack_norm(&wd)? },
        output: output.into(),
        output_scale: None,
    })
}

fn encoder_layer(w: &Weights, s: &Sizes, plan: &Plan, i: usize) -> Result<EncoderLayer> {
    let norm = |name: &str| LayerNorm::load(&w.pp(name), s.d_model, EPS);
    Ok(EncoderLayer {
        reader: (plan.reader)(&w.pp("self_attn"), Heads::new(s.d_model, s.encoder_attention_heads)?, i)?,
        reader_norm: norm("self_attn_layer_norm")?,
        feed_forward: feed_forward(w, s, s.encoder_ffn_dim)?,
        feed_forward_norm: norm("final_layer_norm")?,
        recurrent: None,
    })
}

fn decoder_layer(w: &Weights, s: &Sizes, plan: &Plan) -> Result<DecoderLayer> {
    let norm = |name: &str| LayerNorm::load(&w.pp(name), s.d_model, EPS);
    let heads = Heads::new(s.d_model, s.decoder_attention_heads)?;
    let cross =
        Cross::new(heads, Projections::load(&w.pp("encoder_attn"), (s.d_model, s.d_model), plan.attention_bias)?).with_cache(w.cache());
    Ok(DecoderLayer {
        mixer: Box::new(
            Softmax::new(heads, Projections::load(&w.pp("self_attn"), (s.d_model, s.d_model), plan.attention_bias)?).with_cache(w.cache()),
        ),
        mixer_norm: norm("self_attn_layer_norm")?,
        cross: Some((cross, norm("encoder_attn_layer_norm")?)),
        feed_forward: feed_forward(w, s, s.decoder_ffn_dim)?,
        feed_forward_norm: norm("final_layer_norm")?,
        recurrent: None,
    })
}

fn feed_forward(w: &Weights, s: &Sizes, inner: usize) -> Result<FeedForward> {
    let (up, down) = (Linear::load(&w.pp("fc1"), (inner, s.d_model))?, Linear::load(&w.pp("fc2"), (s.d_model, inner))?);
    Ok(FeedForward::new(up, down, s.activation_function))
}

/// Encoder table, decoder table, output matrix.
fn tables(root: &Weights, prefix: &str, s: &Sizes) -> Result<(Embedding, Embedding, Linear)> {
    let [shared, encoder, decoder] = ["shared", "encoder.embed_tokens", "decoder.embed_tokens"].map(|n| format!("{prefix}.{n}.weight"));
    let bias = if root.has("final_logits_bias") { Some(root.get("final_logits_bias", &[1, s.vocab_size])?) } else { None };
    let scale = if s.scale_embedding { (s.d_model as f32).sqrt() } else { 1.0 };
    let names = [shared, encoder, decoder, "lm_head.weight".to_owned()];
    let [source, target, output] = tied(root, names, (s.vocab_size, s.d_model), !s.tie_word_embeddings, bias)?;
    Ok((Embedding::new(source, scale), Embedding::new(target, scale), Linear::from_packed(output)))
}

/// What [`tied`] finds: encoder table, decoder table, output matrix.
pub(super) type Tables = [Arc<Packed>; 3];

/// The tables of the names of what is shared, the encoder's, the decoder's and the output matrix, which has the bias.
///
/// As transformers 5 ties them (`PreTrainedModel.tie_weights`): a tensor that the checkpoint holds is used, and shared where it holds the
/// same bytes as another; one that it lacks is the shared one. An output matrix is only replaced so if it is not one of its `own`.
pub(super) fn tied(root: &Weights, names: [String; 4], shape: (usize, usize), own: bool, bias: Option<Vec<f32>>) -> Result<Tables> {
    let [shared, encoder, decoder, head] = names;
    let first = |names: &[&String]| names.iter().find(|n| root.has(n)).map_or(shared.clone(), |n| n.to_string());
    let output = if own { head.clone() } else { first(&[&head, &shared, &decoder, &encoder]) };
    let mut loaded: Vec<(String, Arc<Packed>)> = Vec::new();
    let mut table = |name: String, bias: Option<Vec<f32>>| -> Result<Arc<Packed>> {
        let same = loaded.iter().find(|(n, _)| *n == name || root.same(n, &name)).map(|(_, t)| t.clone());
        if let Some(table) = same {
            root.skip(&name);
            return Ok(table);
        }
        let table = Embedding::packed(root, &name, shape, bias)?;
        loaded.push((name, table.clone()));
        Ok(table)
    };
    let output = table(output, bias)?;
    let source = table(first(&[&encoder, &shared, &decoder, &head]), None)?;
    let target = table(first(&[&decoder, &shared, &encoder, &head]), None)?;
    root.skip(&shared); // only a source of ties, unless one of the above was it
    Ok([source, target, output])
}
