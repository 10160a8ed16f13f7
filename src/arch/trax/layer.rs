//! One layer of trax alone, as its goldens have them: `model_type` "trax_layer".

use super::super::{epsilon, parse};
use super::EPS;
use super::attention::Attention;
use super::feed_forward;
use crate::block::{Cells, Dense, Experts, FeedForward, Heads, History, LayerNorm, Linear, Local, Positions, Sru};
use crate::error::{Error, Result};
use crate::kernel::{slice, tensor};
use crate::memory::{AnyMemory, Memory};
use crate::mixer::AnyMixer;
use crate::weights::Weights;
use candle_core::Tensor;
use serde::Deserialize;
use serde_json::{Value, json};

/// A layer that reads (1, t, d) and may remember.
pub enum Layer {
    /// An attention.
    Mixer(Box<dyn AnyMixer>),
    /// Each row by itself.
    Dense(Dense),
    /// Each row by itself.
    FeedForward(Box<FeedForward>),
    /// Recurrent.
    Sru(Sru),
    /// A convolution over positions.
    Local(Local),
    /// Each row by itself.
    Norm(LayerNorm),
    /// What is added at each position.
    Positions(Positions),
}

/// How many positions a layer has read.
#[derive(Clone)]
struct Seen(usize);

impl Memory for Seen {
    fn select(&mut self, _rows: &[usize]) -> Result<()> {
        Ok(())
    }

    fn join(&mut self, _others: Vec<Self>) -> Result<()> {
        Ok(())
    }

    fn bytes(&self) -> usize {
        size_of::<usize>()
    }
}

#[derive(Deserialize)]
struct Config {
    layer: String,
    d_model: usize,
    args: Value,
}

impl Layer {
    /// `model_type` of the configurations that [`Layer::load`] reads.
    pub const MODEL_TYPE: &'static str = "trax_layer";

    /// The layer that config.json names, of the tensors of `w`.
    pub fn load(config: &Value, w: &Weights) -> Result<Self> {
        let c: Config = parse(config)?;
        let (d, args) = (c.d_model, &c.args);
        let other = |key: &str, wanted: &str| {
            Error::new(format!("config.json: `args.{key}` of {} is {}, not {wanted}", c.layer, args[key]))
                .hint("mend it, or leave it out for the default of trax")
        };
        let number = |key: &str, default: Option<usize>| match &args[key] {
            Value::Null => default.ok_or_else(|| Error::new(format!("config.json: `args.{key}` of {} is missing", c.layer))),
            found => found.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or_else(|| other(key, "a whole number from 0 on")),
        };
        let truth = |key: &str, default: bool| match &args[key] {
            Value::Null => Ok(default),
            found => found.as_bool().ok_or_else(|| other(key, "true or false")),
        };
        let small = || match &args["epsilon"] {
            Value::Null => Ok(EPS),
            found => epsilon("args.epsilon", found.as_f64().ok_or_else(|| other("epsilon", "a number"))?),
        };
        let attention = |kind: &str| -> Result<Self> {
            let mut args = args.clone();
            args["type"] = json!(kind);
            let attention: Attention = parse(&args)?;
            Ok(Self::Mixer(attention.mixer(w, d, Heads::new(d, number("n_heads", Some(1))?)?)?))
        };
        match c.layer.as_str() {
            "CausalAttention" => attention("dense"),
            "CausalFavor" => attention("favor"),
            "MultiplicativeConvCausalAttention" => attention("mult_conv"),
            "MultiplicativeCausalAttention" => attention("mult"),
            "ConvCausalAttention" => attention("conv"),
            "LowRankCausalAttention" => attention("lowrank"),
            "ModularCausalAttention" => attention("modular"),
            "MultiplicativeModularCausalAttention" => attention("mult_modular"),
            "FactoredDense" => {
                let sizes = (number("d_out", None)?, number("d_in", None)?);
                Ok(Self::Dense(Dense::factored(w, number("n_modules", None)?, sizes)?))
            }
            "MultiplicativeModularSparseDense" => Ok(Self::Dense(Dense::mult_modular(w, number("sparsity", None)?, d)?)),
            "LocallyConvDense" => {
                let (s, u) = (number("n_modules", None)?, number("n_units", None)?);
                let span = (number("kernel_size", Some(1))?, number("length_kernel_size", Some(1))?);
                Ok(Self::Local(Local::load(w, s, (s * u, d), span)?))
            }
            "LocallyConnectedDense" => {
                let (s, u) = (number("n_modules", None)?, number("n_units", None)?);
                Ok(Self::Dense(Dense::modular(w, s, number("kernel_size", Some(1))?, (s * u, d))?))
            }
            "LayerNorm" => {
                let centred = truth("center", true)?;
                Ok(Self::Norm(LayerNorm::load_scale(w, d, small()?, centred)?))
            }
            "PositionalEncoding" => Ok(Self::Positions(Positions::learned(w, (number("max_len", Some(2048))?, d), 0)?)),
            "SinCosPositionalEncoding" => Ok(Self::Positions(Positions::waves(d)?)),
            "FixedBasePositionalEncoding" => Ok(Self::Positions(Positions::digits(w, d)?)),
            "TimeBinPositionalEncoding" => Ok(Self::Positions(Positions::bins(number("time_bin_length", None)?, d)?)),
            "SparseFF" => {
                let block = (number("n_elements_in_block", Some(32))?, number("d_lowrank", Some(64))?);
                let weighted = truth("multiply_by_controller_output", false)?;
                let sparse = feed_forward::sparse(w, (d, number("d_ff", None)?), block, weighted)?;
                Ok(Self::FeedForward(Box::new(FeedForward::Sparse(Box::new(sparse)))))
            }
            "BlockSparseFF" | "SwitchSparseFF" => {
                let experts = Experts::load(w, (d, number("d_ff", None)?), number("n_experts", Some(64))?, c.layer == "SwitchSparseFF")?;
                Ok(Self::FeedForward(Box::new(FeedForward::Experts(Box::new(experts)))))
            }
            "SRU" => Ok(Self::Sru(Sru::new(vec![Linear::load_in_out(w, (3 * d, d))?]))),
            other => Err(Error::new(format!("config.json: layer `{other}` is not known"))
                .hint("known are trax's causal attentions, its dense layers (FactoredDense, LocallyConvDense, …), sparse feed-forwards, SRU, LayerNorm and positions")),
        }
    }

    /// A fresh memory.
    pub fn memory(&self) -> Result<Box<dyn AnyMemory>> {
        match self {
            Self::Mixer(mixer) => mixer.memory(1),
            Self::Sru(sru) => Ok(Box::new(sru.cells(1))),
            Self::Local(local) => Ok(Box::new(local.history(1))),
            Self::Dense(_) | Self::FeedForward(_) | Self::Norm(_) | Self::Positions(_) => Ok(Box::new(Seen(0))),
        }
    }

    /// (1, t, d) -> (1, t, d'). Any cut into calls gives the same numbers.
    pub fn forward(&self, xs: &Tensor, memory: &mut dyn AnyMemory) -> Result<Tensor> {
        let foreign = || Error::new("the memory belongs to another layer");
        let (_, t, _) = xs.dims3()?;
        match self {
            Self::Mixer(mixer) => mixer.forward(xs, memory),
            Self::Dense(dense) => dense.forward(xs),
            Self::FeedForward(ff) => ff.forward(xs),
            Self::Norm(norm) => norm.forward(xs),
            Self::Positions(positions) => {
                let seen = memory.as_any_mut().downcast_mut::<Seen>().ok_or_else(foreign)?;
                let mut out = slice(xs, <[f32]>::to_vec)?;
                positions.add_to(&mut out, seen.0..seen.0 + t)?;
                seen.0 += t;
                tensor(out, xs.shape())
            }
            Self::Local(local) => {
                let history = memory.as_any_mut().downcast_mut::<History>().ok_or_else(foreign)?;
                let out = slice(xs, |x| local.apply(x, history))?;
                let wide = out.len() / t.max(1);
                tensor(out, (1, t, wide))
            }
            Self::Sru(sru) => {
                let cells = memory.as_any_mut().downcast_mut::<Cells>().ok_or_else(foreign)?;
                tensor(slice(xs, |x| sru.apply(x.to_vec(), cells))?, xs.shape())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Store;
    use std::sync::Arc;

    fn load(layer: &str, args: Value) -> Result<Layer> {
        Layer::load(&json!({"model_type": "trax_layer", "layer": layer, "d_model": 8, "args": args}), &Arc::new(Store::blueprint()).root())
    }

    /// None of them is taken for one that is not there.
    #[test]
    fn arguments_of_another_kind_are_errors() {
        for (layer, key, bads, wanted) in [
            ("LayerNorm", "epsilon", vec![json!("1e-6"), json!(true), json!([]), json!({})], "a number"),
            ("LayerNorm", "center", vec![json!("no"), json!(0)], "true or false"),
            ("CausalAttention", "n_heads", vec![json!("2"), json!(-2), json!(2.5), json!(1e300)], "a whole number from 0 on"),
            ("PositionalEncoding", "max_len", vec![json!("x")], "a whole number from 0 on"),
            ("SparseFF", "n_elements_in_block", vec![json!("x")], "a whole number from 0 on"),
            ("SparseFF", "multiply_by_controller_output", vec![json!(1)], "true or false"),
        ] {
            let base = if layer == "SparseFF" { json!({"d_ff": 8, "n_elements_in_block": 4, "d_lowrank": 2}) } else { json!({}) };
            assert!(load(layer, base.clone()).is_ok(), "{layer}");
            let with = |value: Value| {
                let mut args = base.clone();
                args[key] = value;
                load(layer, args).map(drop)
            };
            assert!(key == "n_elements_in_block" || with(Value::Null).is_ok(), "{layer}: null is as nothing");
            for bad in bads {
                let error = with(bad.clone()).unwrap_err();
                assert_eq!(error.message(), format!("config.json: `args.{key}` of {layer} is {bad}, not {wanted}"));
                assert!(error.remedy().is_some());
            }
        }
        assert!(load("LayerNorm", json!({"epsilon": 1})).is_ok() && load("LayerNorm", json!({"epsilon": 1e-5})).is_ok());
        let error = load("LayerNorm", json!({"epsilon": -1.0})).map(drop).unwrap_err();
        assert!(error.message().starts_with("config.json: `args.epsilon` is -1e0, not between 0 and"), "{error}");
    }
}
