//! The attention classes of trax: their parameters, their words in config.json, their weights.

use super::leaves::{Leaves, Shape};
use crate::convert::gin::{Gin, Literal, Params, Reference};
use crate::error::{Error, Result};
use serde_json::{Map, Value, json};

/// Parameters of attention that change nothing outside training.
const TRAINING: &[&str] = &["mode", "dropout", "attention_dropout", "output_dropout", "force_no_dropout"];
/// Parameters of attention that change how much memory is taken, or how it is computed.
const COMPUTING: &[&str] =
    &["max_inference_length", "predict_mem_len", "predict_drop_len", "n_parallel_heads", "use_python_loop", "use_reference_code"];
/// Parameters that the model sets itself, whatever gin says.
const GIVEN: &[&str] = &["d_feature", "n_heads", "d_qk", "d_v", "causal", "masked"];

/// An attention layer.
#[derive(Debug, Clone, PartialEq)]
pub enum Attention {
    /// Four matrices.
    Dense,
    /// The multiplicative layer, then convolutions over modules and positions.
    MultConv { sparsity: usize, length: usize, share_qk: bool, output: &'static str, concat: &'static str },
    /// Four multiplicative layers.
    Mult { sparsity: usize },
    /// Four convolutions over modules.
    Conv { sparsity: usize, kernel: usize },
    /// Four matrices of low rank.
    LowRank { rank: usize },
    /// Four matrices a module.
    Modular { sparsity: usize, kernel: usize },
    /// Four multiplicative layers with a matrix a module.
    MultModular { sparsity: usize },
    /// Four matrices and features instead of a softmax.
    Favor { stabilizer: f64 },
    /// Matrices by head, [heads, d, size].
    Heads { share_qk: bool, bias: bool, more: Map<String, Value> },
    /// Hashing over four matrices, or over the layers of `MultConv`.
    Wrapped { sparsity: Option<usize>, bias: bool, more: Map<String, Value> },
}

/// Where an attention stands.
pub struct Place<'p> {
    /// The parameter that names it.
    pub parameter: &'p str,
    /// Whether it sees the whole input.
    pub encoder: bool,
    /// Heads of the model.
    pub heads: usize,
}

/// The attention that a parameter of the model names. Bound parameters that change nothing are noted in `ignored`.
pub fn read(gin: &Gin, model: &Params, place: &Place, default: &str, ignored: &mut Vec<String>) -> Result<Attention> {
    let default = Literal::Reference(Reference { scopes: Vec::new(), name: default.to_owned() });
    let value = model.get(place.parameter)?.unwrap_or(default);
    let mut each = value.items().unwrap_or(std::slice::from_ref(&value)).iter().map(|v| match v {
        Literal::Reference(r) => one(gin, model, place, r, ignored),
        other => Err(model.error(place.parameter, format!("is {other}, not the reference of a layer"))),
    });
    let first = each.next().ok_or_else(|| model.error(place.parameter, "names no layer"))??;
    for other in each {
        if other? != first {
            return Err(model
                .error(place.parameter, "changes from layer to layer, which is not supported")
                .hint("only one attention for all layers can be converted"));
        }
    }
    Ok(first)
}

fn one(gin: &Gin, model: &Params, place: &Place, reference: &Reference, ignored: &mut Vec<String>) -> Result<Attention> {
    let params = gin.params(reference);
    let attention = match (reference.name.as_str(), place.encoder) {
        ("Attention", true) => Attention::Dense,
        ("CausalAttention", false) => {
            params.only("use_dconv", &[Literal::Bool(false)])?;
            Attention::Dense
        }
        ("MultiplicativeConvCausalAttention", false) => Attention::MultConv {
            sparsity: params.size_or("sparsity", place.heads)?,
            length: params.size("length_kernel_size", Some(3))?,
            share_qk: params.truth("share_qk", false)?,
            output: params.choice("output_layer_type", &["none", "mult", "conv", "multconv"])?,
            concat: params.choice("v_concat_type", &["none", "original", "fixed"])?,
        },
        ("MultiplicativeCausalAttention", false) => Attention::Mult { sparsity: params.size_or("sparsity", place.heads)? },
        ("ConvCausalAttention", false) => {
            Attention::Conv { sparsity: params.size_or("sparsity", place.heads)?, kernel: params.size("kernel_size", Some(1))? }
        }
        ("LowRankCausalAttention", false) => Attention::LowRank { rank: params.size("lowrank", Some(64))? },
        ("ModularCausalAttention", false) => {
            Attention::Modular { sparsity: params.size_or("sparsity", place.heads)?, kernel: params.size("kernel_size", Some(1))? }
        }
        ("MultiplicativeModularCausalAttention", false) => Attention::MultModular { sparsity: params.size_or("sparsity", place.heads)? },
        ("CausalFavor", false) => Attention::Favor { stabilizer: number(&params, "numerical_stabilizer", 0.001)? },
        ("Favor", true) => favor(&params)?,
        ("SelfAttention", _) => by_head(&params)?,
        ("LSHSelfAttention", _) => {
            // with biases trax cannot run it
            params.only("bias", &[Literal::Bool(false)])?;
            Attention::Heads { share_qk: true, bias: false, more: hashing(&params)? }
        }
        ("PureLSHSelfAttentionWrapper", _) => wrapped(gin, &params, ignored)?,
        (name, _) => return Err(unknown(model, place, name)),
    };
    params.ignore(GIVEN);
    ignored.extend(params.ignore(TRAINING));
    ignored.extend(params.ignore(COMPUTING));
    params.finish()?;
    Ok(attention)
}

fn unknown(model: &Params, place: &Place, name: &str) -> Error {
    let side = if place.encoder {
        "Attention, Favor, SelfAttention, LSHSelfAttention, PureLSHSelfAttentionWrapper"
    } else {
        "CausalAttention, MultiplicativeConvCausalAttention, MultiplicativeCausalAttention, ConvCausalAttention, LowRankCausalAttention, ModularCausalAttention, MultiplicativeModularCausalAttention, CausalFavor, SelfAttention, LSHSelfAttention, PureLSHSelfAttentionWrapper"
    };
    let hint = match crate::nearest::nearest(name, side.split(", ")) {
        Some(near) => format!("did you mean `@{near}`?"),
        None => format!("known on this side are {side}"),
    };
    model.error(place.parameter, format!("is @{name}, which cannot be converted here")).hint(hint)
}

fn number(params: &Params, name: &str, default: f64) -> Result<f64> {
    match params.get(name)? {
        None => Ok(default),
        Some(Literal::Float(x)) => Ok(x),
        Some(Literal::Int(n)) => Ok(n as f64),
        Some(other) => Err(params.error(name, format!("is {other}, not a number"))),
    }
}

fn favor(params: &Params) -> Result<Attention> {
    params.only("use_approximate_softmax", &[Literal::Bool(false)])?;
    // what shapes random features, of which there are none
    params.ignore(&["n_random_features", "scale_by_norm", "normalize_data", "epsilon"]);
    Ok(Attention::Favor { stabilizer: number(params, "numerical_stabilizer", 0.001)? })
}

fn by_head(params: &Params) -> Result<Attention> {
    let mut more = Map::new();
    let chunk = params.size_or("chunk_len", 0)?;
    let sides =
        [("n_chunks_before", params.size("n_chunks_before", Some(0))?), ("n_chunks_after", params.size("n_chunks_after", Some(0))?)];
    if chunk > 0 {
        more.insert("chunk_len".into(), chunk.into());
        more.extend(sides.map(|(name, n)| (name.to_owned(), n.into())));
    }
    Ok(Attention::Heads { share_qk: params.truth("share_qk", false)?, bias: params.truth("bias", false)?, more })
}

/// The words of hashing, trax's own.
fn hashing(params: &Params) -> Result<Map<String, Value>> {
    let mut more = Map::new();
    more.insert("n_hashes".into(), params.size("n_hashes", Some(1))?.into());
    let buckets = match params.get("n_buckets")? {
        None | Some(Literal::None) => Value::Null,
        Some(value) => match value.items() {
            None => params.whole("n_buckets", &value)?.into(),
            Some(items) => items.iter().map(|v| params.whole("n_buckets", v)).collect::<Result<Vec<_>>>()?.into(),
        },
    };
    more.insert("n_buckets".into(), buckets);
    for (name, default) in [("chunk_len", 128), ("n_chunks_before", 1), ("n_chunks_after", 0)] {
        more.insert(name.into(), params.size(name, Some(default))?.into());
    }
    let most = params.size_or("max_length_for_buckets", 0)?;
    if most > 0 {
        more.insert("max_length_for_buckets".into(), most.into());
    }
    params.ignore(&["share_qk"]);
    Ok(more)
}

fn wrapped(gin: &Gin, params: &Params, ignored: &mut Vec<String>) -> Result<Attention> {
    let Some(Literal::Reference(inner)) = params.get("pure_lsh_implementation")? else {
        return Err(params.error("pure_lsh_implementation", "names no layer").hint("bind it to @PureLSHSelfAttention"));
    };
    if inner.name != "PureLSHSelfAttention" {
        return Err(params
            .error("pure_lsh_implementation", format!("is @{}, which cannot be converted here", inner.name))
            .hint("only @PureLSHSelfAttention can"));
    }
    let hash = gin.params(&inner);
    let more = hashing(&hash)?;
    // the wrapper has the matrices, and so the biases
    hash.ignore(GIVEN);
    hash.ignore(&["bias"]);
    ignored.extend(hash.ignore(TRAINING));
    ignored.extend(hash.ignore(COMPUTING));
    hash.finish()?;
    params.only("rotary_position_emb", &[Literal::Bool(false)])?;
    params.only("num_weights", &[Literal::Int(3)])?;
    let sparsity = params.size("sparsity", Some(16))?;
    let sparse = params.choice("weights_format", &["model", "sparse"])? == "sparse";
    Ok(Attention::Wrapped { sparsity: sparse.then_some(sparsity), bias: params.truth("bias", true)?, more })
}

impl Attention {
    /// Whether its heads have a size of their own.
    pub fn has_heads(&self) -> bool {
        matches!(self, Attention::Heads { .. } | Attention::Wrapped { .. })
    }

    /// Its words in config.json; what is as usual is left out.
    pub fn json(&self) -> Value {
        let with = |kind: &str, words: Vec<(&str, Value)>| {
            let mut map = Map::from_iter([("type".to_owned(), kind.into())]);
            map.extend(words.into_iter().map(|(k, v)| (k.to_owned(), v)));
            map
        };
        Value::Object(match self {
            Attention::Dense => with("dense", vec![]),
            Attention::MultConv { sparsity, length, share_qk, output, concat } => {
                let mut words = vec![("sparsity", json!(sparsity)), ("length_kernel_size", json!(length))];
                words.extend(share_qk.then(|| ("share_qk", json!(true))));
                words.extend((*output != "none").then(|| ("output_layer_type", json!(output))));
                words.extend((*concat != "none").then(|| ("v_concat_type", json!(concat))));
                with("mult_conv", words)
            }
            Attention::Mult { sparsity } => with("mult", vec![("sparsity", json!(sparsity))]),
            Attention::Conv { sparsity, kernel } => with("conv", vec![("sparsity", json!(sparsity)), ("kernel_size", json!(kernel))]),
            Attention::LowRank { rank } => with("lowrank", vec![("lowrank", json!(rank))]),
            Attention::Modular { sparsity, kernel } => with("modular", vec![("sparsity", json!(sparsity)), ("kernel_size", json!(kernel))]),
            Attention::MultModular { sparsity } => with("mult_modular", vec![("sparsity", json!(sparsity))]),
            Attention::Favor { stabilizer } => with("favor", vec![("numerical_stabilizer", json!(stabilizer))]),
            Attention::Heads { share_qk, bias, more } => {
                let hashes = more.contains_key("n_hashes");
                let mut words = vec![];
                words.extend((*share_qk && !hashes).then(|| ("share_qk", json!(true))));
                words.extend(bias.then(|| ("bias", json!(true))));
                words.extend(hashes.then(|| ("weights", json!("heads"))));
                let mut map = with(if hashes { "lsh" } else { "self" }, words);
                map.extend(more.clone());
                map
            }
            Attention::Wrapped { sparsity, bias, more } => {
                let mut words = vec![("weights", json!(if sparsity.is_some() { "sparse" } else { "model" }))];
                words.extend(sparsity.map(|s| ("sparsity", json!(s))));
                words.extend((!bias).then(|| ("bias", json!(false))));
                let mut map = with("lsh", words);
                map.extend(more.clone());
                map
            }
        })
    }

    /// Its weights below `path`, in trax's order.
    pub fn leaves(&self, out: &mut Leaves, path: &str, size: &Size) -> Result<()> {
        let d = size.d;
        let qkvo = ["q", "k", "v", "o"].map(|n| format!("{path}.{n}"));
        match self {
            Attention::Dense | Attention::Favor { .. } | Attention::Wrapped { sparsity: None, bias: true, .. } => {
                qkvo.iter().for_each(|p| out.dense(p, d, d))
            }
            Attention::Wrapped { sparsity: None, .. } => qkvo.iter().for_each(|p| out.add(&format!("{p}.w"), [d, d])),
            Attention::Mult { sparsity } => qkvo.iter().try_for_each(|p| out.factored(p, *sparsity, d, d))?,
            Attention::Conv { sparsity, kernel } => qkvo.iter().try_for_each(|p| out.conv(p, *sparsity, d, [1, *kernel], d))?,
            Attention::LowRank { rank } => qkvo.iter().for_each(|p| {
                out.dense(&format!("{p}.down"), d, *rank);
                out.dense(&format!("{p}.up"), *rank, d);
            }),
            Attention::Modular { sparsity, kernel } => qkvo.iter().try_for_each(|p| out.local(p, *sparsity, *kernel, d))?,
            Attention::MultModular { sparsity } => qkvo.iter().try_for_each(|p| {
                let m = out.divide(d, *sparsity, p)?;
                let shapes: [(&str, Shape); 4] =
                    [("mult", [*sparsity, d].into()), ("kmult", [d, m].into()), ("kmod", [*sparsity, m, m].into()), ("bias", [d].into())];
                shapes.into_iter().for_each(|(name, shape)| out.add(&format!("{p}.{name}"), shape));
                Ok::<_, Error>(())
            })?,
            Attention::Heads { share_qk, bias, .. } => by_head_leaves(out, path, size, *share_qk, *bias),
            Attention::MultConv { sparsity, length, share_qk, output, concat } => {
                mult_conv_leaves(out, path, (*sparsity, *length, d), *share_qk, if *concat == "none" { d } else { 2 * d })?;
                if output.contains("mult") {
                    out.factored(&format!("{path}.out.mult"), *sparsity, d, d)?;
                }
                if output.contains("conv") {
                    out.conv(&format!("{path}.out"), *sparsity, d, [*length, 3], d)?;
                }
            }
            Attention::Wrapped { sparsity: Some(sparsity), .. } => mult_conv_leaves(out, path, (*sparsity, 3, d), false, d)?,
        }
        Ok(())
    }
}

/// What the shapes of an attention follow from.
pub struct Size {
    /// Width of the model.
    pub d: usize,
    /// Heads.
    pub heads: usize,
    /// Width of a head, where heads have matrices of their own.
    pub head: usize,
}

fn by_head_leaves(out: &mut Leaves, path: &str, size: &Size, share_qk: bool, bias: bool) {
    let Size { d, heads, head } = *size;
    let matrices: &[&str] = if share_qk { &["w_q", "w_v"] } else { &["w_q", "w_k", "w_v"] };
    matrices.iter().for_each(|m| out.add(&format!("{path}.{m}"), [heads, d, head]));
    out.add(&format!("{path}.w_o"), [heads, head, d]);
    let biases: &[&str] = if share_qk { &["b_q", "b_v"] } else { &["b_q", "b_k", "b_v"] };
    biases.iter().filter(|_| bias).for_each(|b| out.add(&format!("{path}.{b}"), [heads, head]));
}

/// The shared multiplicative layer and the convolutions; `wide` is what the values' convolution reads.
fn mult_conv_leaves(out: &mut Leaves, path: &str, (sparsity, length, d): (usize, usize, usize), share_qk: bool, wide: usize) -> Result<()> {
    out.factored(&format!("{path}.mult"), sparsity, d, d)?;
    out.conv(&format!("{path}.q"), sparsity, d, [length, 3], d)?;
    if !share_qk {
        out.conv(&format!("{path}.k"), sparsity, d, [length, 3], d)?;
    }
    out.conv(&format!("{path}.v"), sparsity, wide, [length, 1], d)
}
