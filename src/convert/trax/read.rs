//! From a gin file to a model.

use super::attention::{self, Place};
use super::feed_forward;
use super::loss::Loss;
use super::model::{Kind, Model};
use super::positions::{self, Positions};
use super::sides::{Cross, Reversible};
use crate::convert::gin::{Gin, Literal, Params, Reference};
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// Models that can be converted.
const MODELS: &[&str] =
    &["ConfigurableTransformer", "ConfigurableTransformerLM", "ConfigurableTerraformer", "ReformerLM", "Transformer", "TransformerLM"];
/// Functions with names like those above that are none of them.
const OTHERS: &[&str] = &[
    "Attention",
    "AttentionQKV",
    "BasicCausalAttention",
    "CausalAttention",
    "CausalFavor",
    "CausalFavorAttention",
    "ConfigurableTransformerEncoder",
    "ConvCausalAttention",
    "DotProductCausalAttention",
    "EncDecAttention",
    "Favor",
    "FavorAttention",
    "HourglassLM",
    "LSHSelfAttention",
    "LayerNorm",
    "LowRankCausalAttention",
    "MixedLSHSelfAttention",
    "ModularCausalAttention",
    "MultiplicativeCausalAttention",
    "MultiplicativeConvCausalAttention",
    "MultiplicativeModularCausalAttention",
    "PositionalEncoding",
    "PureLSHSelfAttention",
    "PureLSHSelfAttentionWrapper",
    "ReZeroTransformer",
    "ReZeroTransformerLM",
    "Reformer",
    "ReformerShortenLM",
    "SelfAttention",
    "SkippingTransformerLM",
    "TimeBinPositionalEncoding",
    "Transformer2",
    "TransformerDecoder",
    "TransformerEncoder",
    "InfinitePositionalEncoding",
    "RNNLM",
    "GRULM",
    "train",
    "Train",
    "Trainer",
    "Loop",
];
/// Parameters of models that change nothing outside training: rates, what is drawn in training, the type of the weights in memory, and how
/// much is computed at once.
const TRAINING: &[&str] = &[
    "mode",
    "dropout",
    "dropout_shared_axes",
    "ff_dropout",
    "ff_chunk_size",
    "attention_chunk_size",
    "pos_start_from_zero_prob",
    "pos_max_offset_to_add",
    "use_bfloat16",
    "forget_dense",
];

/// The model of a gin file. Fails on parameters that the model does not have, or that change it in a way that is not supported, naming line
/// and parameter.
pub fn read(gin: &Gin) -> Result<Model> {
    spelling(gin)?;
    let reference = model(gin)?;
    let params = gin.params(&reference);
    let mut model = sizes(gin, &params, &reference.name)?;
    model.ignored.extend(params.ignore(TRAINING));
    params.finish()?;
    layers_of_all(gin, &mut model)?;
    let concerned =
        |f: &str| f == model.function || f == "LayerNorm" || f == "PositionalEncoding" || (f.ends_with("Attention") || f.contains("Favor"));
    model.others = gin.bindings.iter().filter(|b| !concerned(&b.function)).count();
    Ok(model)
}

/// Fails on functions that are nearly the name of a model or a layer.
fn spelling(gin: &Gin) -> Result<()> {
    let known = || MODELS.iter().chain(OTHERS).copied();
    for binding in &gin.bindings {
        let name = binding.function.as_str();
        if name.len() > 6
            && !known().any(|k| k == name)
            && let Some(near) = nearest(name, known().filter(|k| k.len() > 6))
        {
            return Err(gin.at(binding.line, format!("`{name}` is no function of trax")).hint(format!("did you mean `{near}`?")));
        }
    }
    Ok(())
}

/// The model that was trained: `train.model`, else the only one that has parameters here.
fn model(gin: &Gin) -> Result<Reference> {
    let choice = format!("known are {}", MODELS.join(", "));
    let trained = gin.bindings.iter().rev().find(|b| b.parameter == "model" && matches!(b.function.as_str(), "train" | "Loop" | "Trainer"));
    if let Some(binding) = trained {
        let unknown = |what: String| gin.at(binding.line, what).hint(choice.clone());
        return match gin.resolve(&binding.value, binding.line)? {
            Literal::Reference(r) if MODELS.contains(&r.name.as_str()) => Ok(r),
            Literal::Reference(r) => Err(unknown(format!("`train.model` is @{}, which cannot be converted", r.name))),
            other => Err(unknown(format!("`train.model` is {other}, not the reference of a model"))),
        };
    }
    let mut named: Vec<&str> = gin.bindings.iter().map(|b| b.function.as_str()).filter(|f| MODELS.contains(f)).collect();
    named.sort_unstable();
    named.dedup();
    match named.as_slice() {
        [one] => Ok(Reference { scopes: Vec::new(), name: (*one).to_owned() }),
        [] => Err(Error::new(format!("{}: no model is configured here", gin.name)).hint(choice)),
        several => Err(Error::new(format!("{}: several models are configured here: {}", gin.name, several.join(", ")))
            .hint("say which one with a line `train.model = @NAME`")),
    }
}

fn sizes(gin: &Gin, params: &Params, function: &str) -> Result<Model> {
    let d = params.size("d_model", Some(512))?;
    let d_ff = params.size("d_ff", Some(2048))?;
    let heads = params.size("n_heads", Some(8))?;
    if heads == 0 || d % heads != 0 {
        return Err(params.error("n_heads", format!("is {heads}, which does not divide d_model = {d}")));
    }
    let paired = matches!(function, "ConfigurableTransformer" | "ConfigurableTerraformer" | "Transformer");
    let vocab = params.size(if paired { "input_vocab_size" } else { "vocab_size" }, None)?;
    if paired {
        params.only("output_vocab_size", &[Literal::None])?;
    }
    let mut ignored = Vec::new();
    let plain = matches!(function, "Transformer" | "TransformerLM");
    let ff = match function {
        _ if plain => feed_forward::plain(params)?,
        "ReformerLM" => feed_forward::read(params, d_ff, "gelu_fast", false)?,
        "ConfigurableTerraformer" => feed_forward::read(params, d_ff, "relu", false)?,
        _ => feed_forward::read(params, d_ff, "relu", true)?,
    };
    let usual = (function == "ConfigurableTerraformer").then_some("fixed-base");
    let positions = if plain { Positions::Table } else { positions::read(gin, params, usual, d)? };
    let loss = if plain { Loss::DENSE } else { Loss::read(params)? };
    let (parameter, default) = match function {
        "ConfigurableTransformer" => ("encoder_decoder_attention_type", "CausalAttention"),
        "ConfigurableTerraformer" => ("encoder_decoder_attention_type", "SelfAttention"),
        "ReformerLM" => ("attention_type", "SelfAttention"),
        _ => ("attention_type", "CausalAttention"),
    };
    let attention = match plain {
        true => attention::Attention::Dense,
        false => attention::read(gin, params, &Place { parameter, encoder: false, heads }, default, &mut ignored)?,
    };
    let layers = params.size(if paired { "n_decoder_layers" } else { "n_layers" }, Some(6))?;
    let max_len = params.size("max_len", Some(2048))?;
    let mut model = Model {
        function: function.to_owned(),
        vocab,
        d,
        d_ff,
        heads,
        max_len,
        layers,
        attention,
        ff,
        loss,
        positions,
        kind: Kind::Alone,
        ignored,
        others: 0,
    };
    model.kind = kind(gin, params, &mut model)?;
    Ok(model)
}

fn kind(gin: &Gin, params: &Params, model: &mut Model) -> Result<Kind> {
    let place = Place { parameter: "encoder_attention_type", encoder: true, heads: model.heads };
    match model.function.as_str() {
        "ConfigurableTransformer" => Ok(Kind::Cross {
            layers: params.size("n_encoder_layers", Some(6))?,
            attention: attention::read(gin, params, &place, "Attention", &mut model.ignored)?,
            cross: Cross::read(params)?,
        }),
        "Transformer" => Ok(Kind::Cross {
            layers: params.size("n_encoder_layers", Some(6))?,
            attention: attention::Attention::Dense,
            cross: Cross::Dense,
        }),
        "ConfigurableTerraformer" => {
            heads(params, model, model.d / model.heads)?;
            Ok(Kind::Joined {
                layers: params.size("n_encoder_layers", Some(6))?,
                attention: attention::read(gin, params, &place, "SelfAttention", &mut model.ignored)?,
                reversible: Reversible::read(params)?,
            })
        }
        "ReformerLM" => {
            if model.loss.is_mult() {
                return Err(params.error("loss_sparsity", "is not 0, with which trax cannot run this model"));
            }
            Ok(Kind::Streams { head: heads(params, model, 64)? })
        }
        _ => Ok(Kind::Alone),
    }
}

/// The width of a head, where the attention has one. Terraformer's can only be d_model / n_heads.
fn heads(params: &Params, model: &Model, usual: usize) -> Result<usize> {
    let (key, value) = (params.size_or("d_attention_key", usual)?, params.size_or("d_attention_value", usual)?);
    let free = model.function == "ReformerLM";
    if model.attention.has_heads() && (key != value || !free && key != usual) {
        let wanted = if free {
            "the same as `d_attention_value`".to_owned()
        } else {
            format!("d_model / n_heads = {usual}, as `d_attention_value`")
        };
        return Err(params.error("d_attention_key", format!("is {key} and the other {value}")).hint(format!("it has to be {wanted}")));
    }
    Ok(key)
}

/// Layers whose own parameters gin can bind for all models at once.
fn layers_of_all(gin: &Gin, model: &mut Model) -> Result<()> {
    let named = |name: &str| gin.params(&Reference { scopes: Vec::new(), name: name.to_owned() });
    let norm = named("LayerNorm");
    norm.only("center", &[Literal::Bool(true)])?;
    norm.only("epsilon", &[Literal::Float(1e-6)])?;
    norm.finish()?;
    if model.positions == Positions::Table {
        let table = named("PositionalEncoding");
        table.only("d_feature", &[Literal::None])?;
        let training =
            ["max_len", "dropout", "dropout_broadcast_dims", "use_bfloat16", "start_from_zero_prob", "max_offset_to_add", "mode"];
        model.ignored.extend(table.ignore(&training));
        table.finish()?;
    }
    Ok(())
}
