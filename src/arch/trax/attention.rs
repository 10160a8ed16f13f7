//! `attention` of config.json: which of trax's attentions stands in a stack.

use crate::block::{Dense, Heads, Linear, Local, Projections, Stage};
use crate::error::{Error, Result};
use crate::kernel::linear::Layout;
use crate::mixer::{AnyMixer, Concat, Favor, Hashing, Lsh, MultConv, Output, Reader, Shape, Softmax};
use crate::weights::{Form, Weights};
use serde::Deserialize;
use std::sync::Arc;

/// An attention and its sizes; the names are trax's parameters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attention {
    /// Which; none is "dense".
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub sparsity: Option<usize>,
    pub length_kernel_size: Option<usize>,
    pub kernel_size: Option<usize>,
    pub share_qk: Option<bool>,
    /// Of "lsh" with weights "model": whether its layers have biases.
    pub bias: Option<bool>,
    pub output_layer_type: Option<String>,
    pub v_concat_type: Option<String>,
    pub lowrank: Option<usize>,
    pub numerical_stabilizer: Option<f64>,
    /// Of "lsh", with the next six: whose tensors it has.
    pub weights: Option<String>,
    pub n_hashes: Option<usize>,
    pub n_buckets: Option<usize>,
    pub chunk_len: Option<usize>,
    pub n_chunks_before: Option<usize>,
    pub n_chunks_after: Option<usize>,
    pub seed: Option<u64>,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

/// What every kind of LSH attention reads.
const LSH: &[&str] = &["weights", "n_hashes", "n_buckets", "chunk_len", "n_chunks_before", "n_chunks_after", "seed"];
/// Keys without effect on what is computed.
const TRAINING: &[&str] = &["max_inference_length", "dropout", "force_no_dropout", "mode", "d_feature", "n_heads"];

impl Attention {
    fn name(&self) -> &str {
        self.kind.as_deref().unwrap_or("dense")
    }

    /// What [`crate::model::Info::attention`] says of it.
    pub fn told(&self) -> String {
        match self.name() {
            "dense" | "self" => "full".into(),
            other => other.into(),
        }
    }

    /// Fails at a key that this kind of attention does not read: it would change what is computed.
    fn check(&self) -> Result<()> {
        let sparse = self.weights.as_deref() == Some("sparse");
        let own: &[&str] = match self.name() {
            "mult_conv" => &["sparsity", "length_kernel_size", "share_qk", "output_layer_type", "v_concat_type"],
            "mult" | "mult_modular" => &["sparsity"],
            "conv" | "modular" => &["sparsity", "kernel_size"],
            "lowrank" => &["lowrank"],
            "favor" => &["numerical_stabilizer"],
            "lsh" if sparse => &[LSH, &["sparsity", "length_kernel_size", "share_qk"]].concat(),
            "lsh" if self.weights.as_deref() == Some("heads") => LSH,
            "lsh" => &[LSH, &["share_qk", "bias"]].concat(),
            // chunks that are not there have no neighbours
            "self" if self.chunk_len.is_none() => &["n_chunks_before", "n_chunks_after"],
            _ => &[],
        };
        let given = [
            ("sparsity", self.sparsity.is_some()),
            ("length_kernel_size", self.length_kernel_size.is_some()),
            ("kernel_size", self.kernel_size.is_some()),
            ("share_qk", self.share_qk.is_some_and(|share| share || own.contains(&"share_qk"))),
            ("bias", self.bias.is_some()),
            ("output_layer_type", self.output_layer_type.is_some()),
            ("v_concat_type", self.v_concat_type.is_some()),
            ("lowrank", self.lowrank.is_some()),
            ("numerical_stabilizer", self.numerical_stabilizer.is_some()),
            ("weights", self.weights.is_some()),
            ("n_hashes", self.n_hashes.is_some()),
            ("n_buckets", self.n_buckets.is_some()),
            ("chunk_len", self.chunk_len.is_some()),
            ("n_chunks_before", self.n_chunks_before.is_some()),
            ("n_chunks_after", self.n_chunks_after.is_some()),
            ("seed", self.seed.is_some()),
        ];
        let foreign = given.into_iter().find(|(key, given)| *given && !own.contains(key)).map(|(key, _)| key);
        match foreign.or_else(|| self.rest.keys().map(String::as_str).find(|k| !TRAINING.contains(k))) {
            Some(key) => Err(Error::new(format!("config.json: `attention.{key}` is not known to \"{}\"", self.name()))
                .hint("it may change what the model computes, so it is not ignored")),
            None => Ok(()),
        }
    }

    /// Fails where a number is out of all proportion; `of` is the key that the attention stands under.
    pub fn limits(&self, of: &str) -> Result<()> {
        let sizes = [
            ("sparsity", self.sparsity, super::MOST),
            ("lowrank", self.lowrank, super::MOST),
            ("kernel_size", self.kernel_size, 1 << 12),
            ("length_kernel_size", self.length_kernel_size, 1 << 12),
        ];
        sizes.into_iter().try_for_each(|(key, value, most)| super::within(&format!("{of}.{key}"), value.unwrap_or(1), 1, most))
    }

    /// The causal attention of the tensors below `w`.
    pub fn mixer(&self, w: &Weights, d_model: usize, heads: Heads) -> Result<Box<dyn AnyMixer>> {
        self.check()?;
        let cache = w.cache();
        match self.name() {
            "mult_conv" => Ok(Box::new(MultConv::load(w, heads, self.shape(heads)?)?)),
            "favor" => {
                let stabiliser = self.numerical_stabilizer.unwrap_or(1e-3) as f32;
                Ok(Box::new(Favor::new(heads, self.projections(w, d_model, heads)?, stabiliser)))
            }
            "lsh" if self.n_chunks_after.unwrap_or(0) > 0 => {
                Err(Error::new("config.json: `attention.n_chunks_after` is above 0, but a decoder does not see what comes after")
                    .hint("leave it out, or set it to 0"))
            }
            "lsh" => Ok(Box::new(self.lsh(w, d_model, heads)?.with_cache(cache))),
            _ => Ok(Box::new(Softmax::new(heads, self.projections(w, d_model, heads)?).with_cache(cache))),
        }
    }

    /// The attention of an encoder.
    pub fn reader(&self, w: &Weights, d_model: usize, heads: Heads) -> Result<Box<dyn Reader>> {
        self.check()?;
        match self.name() {
            "mult_conv" => Err(Error::new("config.json: `encoder_attention` \"mult_conv\" is causal")
                .hint("an encoder reads in both directions: \"dense\", \"favor\", \"lsh\"")),
            "favor" => {
                let stabiliser = self.numerical_stabilizer.unwrap_or(1e-3) as f32;
                Ok(Box::new(Favor::new(heads, self.projections(w, d_model, heads)?, stabiliser)))
            }
            "lsh" => Ok(Box::new(self.lsh(w, d_model, heads)?)),
            _ => Ok(Box::new(Softmax::new(heads, self.projections(w, d_model, heads)?))),
        }
    }

    /// LSH attention; what is not said is as in trax, but for the buckets, which there depend on the length.
    fn lsh(&self, w: &Weights, d_model: usize, heads: Heads) -> Result<Lsh> {
        let buckets = self.n_buckets.ok_or_else(|| {
            Error::new("config.json: `attention` \"lsh\" without `n_buckets`").hint("an even number of buckets, or 1 for no hashing")
        })?;
        let hashing = Hashing {
            rounds: self.n_hashes.unwrap_or(1),
            buckets,
            chunk: self.chunk_len.unwrap_or(128),
            before: self.n_chunks_before.unwrap_or(1),
            after: self.n_chunks_after.unwrap_or(0),
            seed: self.seed.unwrap_or(0),
        };
        let d = heads.count * heads.width;
        match self.weights.as_deref().unwrap_or("model") {
            "model" => {
                let one = |name: &str| -> Result<Dense> {
                    let w = w.pp(name);
                    if self.bias.unwrap_or(true) {
                        return Ok(Linear::load_in_out(&w, (d, d))?.into());
                    }
                    Ok(Linear::from_packed(Arc::new(w.packed("w", &Form::whole((d, d), Layout::InOut), None)?)).into())
                };
                let k = if self.share_qk.unwrap_or(false) { None } else { Some(one("k")?) };
                Lsh::dense(heads, hashing, (one("q")?, k, one("v")?, one("o")?))
            }
            "heads" => {
                let read = |name: &str| super::reformer_lm::into_heads(w, name, d_model, heads);
                let out = super::reformer_lm::out_of_heads(w, d_model, heads)?;
                Lsh::dense(heads, hashing, (read("w_q")?, None, read("w_v")?, out))
            }
            "sparse" => {
                let sizes = (self.sparsity.unwrap_or(16), self.length_kernel_size.unwrap_or(3));
                Lsh::sparse(w, heads, hashing, sizes, self.share_qk.unwrap_or(false))
            }
            other => {
                Err(Error::new(format!("config.json: `attention.weights` \"{other}\" is not known")).hint("known are model, sparse, heads"))
            }
        }
    }

    fn shape(&self, heads: Heads) -> Result<Shape> {
        let odd = |key: &str, value: &str, known: &str| {
            Err(Error::new(format!("config.json: `{key}` \"{value}\" is not known")).hint(format!("known are {known}")))
        };
        let concat = match self.v_concat_type.as_deref().unwrap_or("none") {
            "none" => Concat::None,
            "original" => Concat::Original,
            "fixed" => Concat::Fixed,
            other => return odd("v_concat_type", other, "none, original, fixed"),
        };
        let (mult, conv) = match self.output_layer_type.as_deref().unwrap_or("none") {
            "none" => (false, false),
            "mult" => (true, false),
            "conv" => (false, true),
            "multconv" => (true, true),
            other => return odd("output_layer_type", other, "none, mult, conv, multconv"),
        };
        Ok(Shape {
            modules: self.sparsity.unwrap_or(heads.count),
            positions: self.length_kernel_size.unwrap_or(3),
            share_qk: self.share_qk.unwrap_or(false),
            concat,
            output: Output { mult, conv },
        })
    }

    /// `q`, `k`, `v` and `o` below `w`, as this attention has them in place of dense layers.
    fn projections(&self, w: &Weights, d_model: usize, heads: Heads) -> Result<Projections> {
        let d = heads.count * heads.width;
        let s = self.sparsity.unwrap_or(heads.count);
        let one = |name: &str| -> Result<Dense> {
            let w = w.pp(name);
            match self.name() {
                "dense" | "favor" => Ok(Linear::load_in_out(&w, (d, d))?.into()),
                "mult" => Dense::factored(&w, s, (d, d)),
                "lowrank" => Dense::low_rank(&w, self.lowrank.unwrap_or(64), (d, d)),
                "conv" => Dense::local(Local::load(&w, s, (d, d), (self.kernel_size.unwrap_or(1), 1))?),
                "modular" => Dense::modular(&w, s, self.kernel_size.unwrap_or(1), (d, d)),
                "mult_modular" => Dense::mult_modular(&w, s, d),
                other => Err(Error::new(format!("config.json: `attention` \"{other}\" is not implemented"))
                    .hint("known are dense, mult_conv, mult, conv, lowrank, modular, mult_modular, favor, lsh, self")),
            }
        };
        if self.name() == "self" {
            return super::reformer_lm::by_heads(w, d_model, heads);
        }
        Ok(Projections { q: one("q")?, k: one("k")?, v: one("v")?, out: one("o")? })
    }
}

/// What stands before or behind the heads of a cross-attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// A dense layer.
    Dense,
    /// A multiplicative layer of so many modules, and a local convolution.
    Sparse(usize),
    /// Nothing.
    Nothing,
}

/// The cross-attention of the tensors below `w`, with what stands before and behind its heads.
pub(super) fn cross(w: &Weights, heads: Heads, sides: [Side; 2]) -> Result<crate::block::Cross> {
    let d = heads.count * heads.width;
    let dense = |name: &str| -> Result<Dense> { Ok(Linear::load_in_out(&w.pp(name), (d, d))?.into()) };
    let stage = |name: &str, side: Side| match side {
        Side::Dense => dense(name).map(Stage::Dense),
        // a kernel of three positions whatever the self-attention has (trax:trax/layers/attention.py `AttentionQKV`)
        Side::Sparse(s) => Stage::sparse(&w.pp(name), s, d, true, Some(3)),
        Side::Nothing => Ok(Stage::Sparse(None, None)),
    };
    let (q, out) = (stage("q", sides[0])?, stage("o", sides[1])?);
    Ok(crate::block::Cross::of(heads, q, (dense("k")?, dense("v")?), out).with_cache(w.cache()))
}
