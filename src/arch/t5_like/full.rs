//! Those of T5's kin whose encoder sees every token: T5, mT5, umT5.

use super::{Output, Plan, Sizes, build};
use crate::arch::bart_like::full_name;
use crate::arch::{Arch, Choice, Loaded, parse, unread};
use crate::error::Result;
use crate::mixer::{Relation, Sides, Softmax};
use crate::weights::Weights;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Where they differ.
pub(in crate::arch) struct Kind {
    pub arch: &'static Arch,
    /// How the classes of its library begin.
    pub class: &'static str,
    /// Whether every layer has its own table by distance; else the first one of a side has it for all.
    pub own_biases: bool,
    /// What becomes of the decoder's hidden states, and what does with its reference's quirks.
    pub output: fn(&Sizes, bool) -> Output,
}

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    sizes: Sizes,
    #[serde(default)]
    reference_quirks: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Builds the model.
pub(in crate::arch) fn load(config: &Value, w: &Weights, kind: &Kind) -> Result<Loaded> {
    let c: Config = parse(config)?;
    let (s, choice) = (&c.sizes, Choice::of(config, kind.arch)?);
    s.check(kind.class, kind.own_biases)?;
    let biases = |w: &Weights| s.biases(&w.pp("SelfAttention.relative_attention_bias"), Sides::Both);
    let shared = if kind.own_biases { None } else { Some(biases(&w.pp("encoder.block.0.layer.0"))?) };
    let plan = Plan {
        reader: &|w| {
            let softmax = Softmax::new(s.heads()?, s.projections(&w.pp("SelfAttention"))?);
            let biases = shared.clone().map_or_else(|| biases(w), Ok)?;
            Ok(Box::new(softmax.with_relation(Relation::Biases(biases)).with_window(choice.reach())))
        },
        own_biases: kind.own_biases,
        output: (kind.output)(s, c.reference_quirks),
        attention: full_name(choice),
        model_type: kind.arch.model_type,
    };
    Ok(Loaded { model: Box::new(build(w, s, &plan)?), unread: unread(&c.rest) })
}
