//! Feed-forward blocks: dense, sparse in one of three ways, with recurrent units beside them.

use super::leaves::Leaves;
use crate::convert::gin::{Literal, Params};
use crate::error::Result;
use serde_json::{Map, Value, json};

/// How the inner units are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Units {
    /// All.
    Dense,
    /// One of `n` in each block, by a controller of rank `rank`.
    OneIn { n: usize, rank: usize },
    /// Those of one expert.
    Block(usize),
    /// Those of one expert, times its probability.
    Switch(usize),
}

/// A feed-forward block.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedForward {
    units: Units,
    /// `ff_sparsity` as config.json has it.
    given: Value,
    activation: &'static str,
    /// Layers and units of the recurrent branch.
    sru: Option<(usize, usize)>,
    /// `ff_use_sru` as config.json has it.
    given_sru: Value,
    usual: &'static str,
}

/// Reads it; `usual` is the activation that the model has where none is bound, `types` whether `ff_sparsity_type` can be bound.
pub fn read(params: &Params, d_ff: usize, usual: &'static str, types: bool) -> Result<FeedForward> {
    let (units, given) = units(params, d_ff, types)?;
    let activation = match params.get("ff_activation")? {
        None => usual,
        Some(Literal::Reference(r)) => match r.name.as_str() {
            "Relu" => "relu",
            "Gelu" => "gelu",
            "FastGelu" => "gelu_fast",
            name => {
                return Err(params
                    .error("ff_activation", format!("is @{name}, which is not supported"))
                    .hint("known are @Relu, @Gelu and @FastGelu"));
            }
        },
        Some(other) => return Err(params.error("ff_activation", format!("is {other}, not the reference of a layer"))),
    };
    let (sru, given_sru) = sru(params)?;
    Ok(FeedForward { units, given, activation, sru, given_sru, usual })
}

/// A feed-forward block without options: only its activation can be bound.
pub fn plain(params: &Params) -> Result<FeedForward> {
    let activation = match params.get("ff_activation")? {
        Some(Literal::Reference(r)) if r.name != "Relu" => {
            return Err(params
                .error("ff_activation", format!("is @{}, which is not supported", r.name))
                .hint("only @Relu can be converted"));
        }
        _ => "relu",
    };
    Ok(FeedForward { units: Units::Dense, given: json!(0), activation, sru: None, given_sru: json!(0), usual: "relu" })
}

fn units(params: &Params, d_ff: usize, types: bool) -> Result<(Units, Value)> {
    let sizes: Vec<usize> = match params.get("ff_sparsity")? {
        None => vec![0],
        Some(Literal::Text(text)) => {
            let words = text.split_whitespace().take(2).map(|w| w.parse().map_err(|_| params.error("ff_sparsity", format!("is '{text}'"))));
            words.collect::<Result<_>>()?
        }
        // temperature and quant_prob, the third and fourth, are for training
        Some(value) => match value.items() {
            None => vec![params.whole("ff_sparsity", &value)?],
            Some(items) if matches!(items.len(), 2 | 4) => {
                items[..2].iter().map(|v| params.whole("ff_sparsity", v)).collect::<Result<_>>()?
            }
            Some(_) => {
                return Err(params
                    .error("ff_sparsity", format!("is {value}"))
                    .hint("it is N, (N, d_lowrank) or (N, d_lowrank, temperature, quant_prob)"));
            }
        },
    };
    let kind = if types { params.choice("ff_sparsity_type", &["1inN", "Block", "Switch"])? } else { "1inN" };
    let n = sizes.first().copied().unwrap_or(0);
    if n == 0 {
        return Ok((Units::Dense, json!(0)));
    }
    if !d_ff.is_multiple_of(n) {
        return Err(params.error("ff_sparsity", format!("is {n}, which does not divide d_ff = {d_ff}")));
    }
    let units = match kind {
        "Block" => Units::Block(n),
        "Switch" => Units::Switch(n),
        _ => Units::OneIn { n, rank: sizes.get(1).copied().unwrap_or(d_ff / n) },
    };
    Ok((units, if sizes.len() > 1 { json!(sizes) } else { json!(n) }))
}

fn sru(params: &Params) -> Result<(Option<(usize, usize)>, Value)> {
    let Some(value) = params.get("ff_use_sru")? else { return Ok((None, json!(0))) };
    match value.items() {
        None => {
            // True is 1 in Python
            let n = if value == Literal::Bool(true) {
                1
            } else if matches!(value, Literal::None | Literal::Bool(false)) {
                0
            } else {
                params.whole("ff_use_sru", &value)?
            };
            Ok(((n > 0).then_some((n, 32)), json!(n)))
        }
        Some([layers, units]) => {
            let (n, units) = (params.whole("ff_use_sru", layers)?, params.whole("ff_use_sru", units)?);
            Ok((Some((n, units)), json!([n, units])))
        }
        Some(_) => Err(params.error("ff_use_sru", format!("is {value}")).hint("it is a number of layers, or (layers, units)")),
    }
}

impl FeedForward {
    /// Its words in config.json; what is as usual is left out.
    pub fn json(&self, out: &mut Map<String, Value>) {
        let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
        if self.units != Units::Dense {
            put("ff_sparsity", self.given.clone());
        }
        match self.units {
            Units::Block(_) => put("ff_sparsity_type", json!("Block")),
            Units::Switch(_) => put("ff_sparsity_type", json!("Switch")),
            _ => None,
        };
        // sparse units have a ReLU whatever is bound
        if self.units == Units::Dense && self.activation != self.usual {
            put("ff_activation", json!(self.activation));
        }
        if self.sru.is_some() {
            put("ff_use_sru", self.given_sru.clone());
        }
    }

    /// Its weights below the path of a layer.
    pub fn leaves(&self, out: &mut Leaves, layer: &str, d: usize, d_ff: usize) {
        out.norm(&format!("{layer}.ff_norm"), d);
        let mut ff = |name: &str, shape: &[usize]| out.add(&format!("{layer}.ff.{name}"), shape);
        match self.units {
            Units::Dense => {
                ff("w1", &[d, d_ff]);
                ff("b1", &[d_ff]);
                ff("w2", &[d_ff, d]);
            }
            Units::OneIn { n, rank } => {
                let blocks = d_ff / n;
                ff("m1", &[d, rank]);
                ff("m2", &[rank, blocks, n]);
                ff("mb", &[blocks, n]);
                ff("w1", &[d, blocks, n]);
                ff("w2", &[n, blocks, d]);
            }
            Units::Block(experts) | Units::Switch(experts) => {
                ff("m1", &[d, experts]);
                ff("w1", &[d, d_ff]);
                ff("w2", &[d_ff, d]);
            }
        }
        ff("b2", &[d]);
        let Some((layers, units)) = self.sru else { return };
        out.norm(&format!("{layer}.sru_norm"), d);
        out.dense(&format!("{layer}.sru_in"), d, units);
        for j in 0..layers.min(100_000) {
            out.dense(&format!("{layer}.sru.{j}"), units, 3 * units);
        }
        out.dense(&format!("{layer}.sru_out"), units, d);
    }
}
