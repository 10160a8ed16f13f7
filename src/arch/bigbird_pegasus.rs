//! BigBird-PEGASUS (Zaheer et al. 2020, <https://arxiv.org/abs/2007.14062>, section 4): PEGASUS with BigBird's sparse attention in its encoder.
//!
//! Reference: transformers:src/transformers/models/bigbird_pegasus/modeling_bigbird_pegasus.py. Learned positions without an offset; the norm at the end of each stack is called
//! `layernorm_embedding`. With `reference_quirks` the longest document of a batch cuts for all. The encoder's layers hold the same weights for sparse and for full attention, so `attention_type` is a choice that `--attention` may make anew.

use super::bart_like::{Plan, Sizes, build};
use super::{Arch, Choice, Loaded, expect, parse, unread};
use crate::block::{Order, Positions, Projections};
use crate::error::{Error, Result};
use crate::mixer::{BigBird, Draw, Pattern, Softmax};
use crate::weights::Weights;
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub(super) const ARCH: Arch = Arch {
    model_type: "bigbird_pegasus",
    summary: "encoder-decoder, blocks with global and random ones, pre-norm, learned positions",
    checkpoints: "google/bigbird-pegasus-large-arxiv, google/bigbird-pegasus-large-pubmed, google/bigbird-pegasus-large-bigpatent",
    mixers: &["bigbird", "softmax"],
    attentions: &["full", "sparse", "block=N", "paper=SEED"],
    ignored: &[],
    quirks: &[QUIRK],
    segments: false,
    tiny: r#"{"model_type": "bigbird_pegasus", "vocab_size": 61, "d_model": 24, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 3,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 36, "max_position_embeddings": 80, "scale_embedding": true,
        "attention_type": "block_sparse", "block_size": 4, "num_random_blocks": 2, "use_bias": false, "activation_function": "gelu_new",
        "decoder_start_token_id": 2, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}"#,
    load,
};

const QUIRK: &str = "the longest document of a batch decides for all where blocks end, which of them is the last that all see, and whether attention is full, so that a \
document's numbers depend on its neighbours (by up to 0.6 in the logits of a made-up model)";

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    sizes: Sizes,
    max_position_embeddings: usize,
    #[serde(default = "block_sparse")]
    attention_type: String,
    #[serde(default = "sixty_four")]
    block_size: usize,
    #[serde(default = "three")]
    num_random_blocks: usize,
    #[serde(default)]
    use_bias: bool,
    #[serde(default)]
    reference_quirks: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn block_sparse() -> String {
    "block_sparse".to_owned()
}

fn sixty_four() -> usize {
    64
}

fn three() -> usize {
    3
}

/// What the reference takes where config.json says nothing, and BART does otherwise.
fn with_defaults(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(keys) = config.as_object_mut() {
        for (key, value) in [
            ("activation_function", json!("gelu_new")),
            ("scale_embedding", json!(true)),
            ("decoder_start_token_id", json!(2)),
            ("bos_token_id", json!(2)),
        ] {
            keys.entry(key).or_insert(value);
        }
    }
    config
}

fn load(config: &Value, w: &Weights) -> Result<Loaded> {
    let c: Config = parse(&with_defaults(config))?;
    let choice = Choice::of(config, &ARCH)?;
    expect(&c.rest, "is_decoder", &json!(false))?;
    let pattern = pattern(&c, choice)?;
    let d = c.sizes.d_model;
    let positions = |w: &Weights| Positions::learned(w, (c.max_position_embeddings, d), 0);
    let plan = Plan {
        prefix: "model",
        order: Order::Pre,
        input_norm: false,
        stack_norm: Some("layernorm_embedding"),
        attention_bias: c.use_bias,
        positions: [&positions, &positions],
        reader: &|w, heads, layer| {
            let projections = Projections::named(w, ["self.query", "self.key", "self.value", "output"], (d, d), c.use_bias)?;
            Ok(match pattern {
                Some(pattern) => Box::new(BigBird::new(heads, projections, pattern, layer)?),
                None => Box::new(Softmax::new(heads, projections)),
            })
        },
        default_global: None,
        attention: pattern.map_or_else(|| Ok("full".to_owned()), |p| p.describe())?,
        model_type: ARCH.model_type,
    };
    Ok(Loaded { model: Box::new(build(w, &c.sizes, &plan)?), unread: unread(&c.rest) })
}

/// How the encoder reads by blocks, if it does.
fn pattern(c: &Config, choice: Choice) -> Result<Option<Pattern>> {
    let sparse = match c.attention_type.as_str() {
        "block_sparse" => true,
        "original_full" => false,
        other => {
            return Err(Error::new(format!("config.json: `attention_type` is `{other}`"))
                .hint("it is `block_sparse` or `original_full`; the weights are the same"));
        }
    };
    let own =
        Pattern { block: c.block_size, random: c.num_random_blocks, draw: Draw::Evaluation, always: false, padded: c.reference_quirks };
    own.switch()?;
    Ok(match choice {
        Choice::Auto => sparse.then_some(own),
        Choice::Sparse => Some(Pattern { always: true, ..own }),
        Choice::Block(block) => Some(Pattern { block, ..own }),
        Choice::Paper(seed) => Some(Pattern { draw: Draw::Paper { seed, positions: c.max_position_embeddings }, ..own }),
        Choice::Full | Choice::Window(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::choice::KEY;
    use crate::model::{Model, Source};
    use crate::weights::Store;
    use std::sync::Arc;

    /// The tiny configuration with these keys, null for none.
    fn config(keys: Value) -> Value {
        let mut config: Value = serde_json::from_str(ARCH.tiny).unwrap();
        for (key, value) in keys.as_object().unwrap() {
            match value {
                Value::Null => drop(config.as_object_mut().unwrap().remove(key)),
                value => config[key] = value.clone(),
            }
        }
        config
    }

    fn model(keys: Value) -> Result<Box<dyn Model>> {
        Ok(load(&config(keys), &Arc::new(Store::random(3)).root())?.model)
    }

    fn logits(keys: Value, n: u32) -> Vec<f32> {
        let model = model(keys).unwrap();
        let (mut state, _) = model.encode(&Source::new(vec![(0..n).map(|i| 3 + i * 7 % 50).collect()])).unwrap();
        model.score(&[vec![2, 5, 9]], &mut state).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Keys that are not there mean what the reference means by that, which is not what BART means.
    #[test]
    fn absent_keys_have_the_defaults_of_the_reference() {
        let own = logits(json!({}), 60);
        for key in ["activation_function", "scale_embedding", "attention_type", "use_bias", "decoder_start_token_id"] {
            assert_eq!(logits(json!({key: null}), 60), own, "{key}");
        }
        assert_ne!(logits(json!({"activation_function": "gelu"}), 60), own);
        assert_ne!(logits(json!({"scale_embedding": false}), 60), own);
        let c: Config = parse(&config(json!({"block_size": null, "num_random_blocks": null}))).unwrap();
        assert_eq!((c.block_size, c.num_random_blocks), (64, 3));
    }

    /// On the same weights, and each under its name.
    #[test]
    fn attention_is_a_choice_on_the_same_weights() {
        let run = |choice: &str, kind: &str| {
            let keys = json!({"attention_type": kind, KEY: choice});
            let model = model(keys.clone()).unwrap();
            (
                model.info().attention.clone(),
                model.attention(37),
                model.attention(36),
                logits(keys, 37),
                logits(json!({"attention_type": kind, KEY: choice}), 36),
            )
        };
        let sparse = "bigbird block=4 blocks=10 random=2 plan=evaluation";
        let (own, full) = (run("auto", "block_sparse"), run("auto", "original_full"));
        assert_eq!(
            [&own.0, &own.1, &own.2],
            ["bigbird block=4 random=2 plan=evaluation (block 0 counts 3 times), full up to 36 tokens", sparse, "full"]
        );
        assert_eq!([&full.0, &full.1, &full.2], ["full"; 3]);
        assert!(own.3 != full.3 && own.4 == full.4);
        for kind in ["block_sparse", "original_full"] {
            assert_eq!(run("full", kind), full);
            let always = run("sparse", kind);
            assert_eq!([&always.0, &always.1], ["bigbird block=4 random=2 plan=evaluation (block 0 counts 3 times)", sparse]);
            assert_eq!(always.2, "bigbird block=4 blocks=9 random=2 plan=evaluation");
            assert!(always.3 == own.3 && always.4 != own.4);
            let three = run("block=3", kind);
            assert_eq!([&three.1, &three.2], [13, 12].map(|m| format!("bigbird block=3 blocks={m} random=2 plan=evaluation")).each_ref());
            let paper = run("paper=5", kind);
            assert_eq!([&paper.1, &paper.2], ["bigbird block=4 blocks=10 random=2 plan=paper seed=5", "full"]);
            assert!(paper.3 != own.3 && paper.3 != run("paper", kind).3);
        }
        let e = model(json!({KEY: "window=8"})).err().unwrap();
        assert!(e.remedy().is_some_and(|r| r.contains("`paper=SEED`")), "{}", e.message());
    }

    #[test]
    fn what_makes_no_sense_is_an_error_that_names_the_key() {
        for (key, value) in [
            ("attention_type", json!("sparse")),
            ("block_size", json!(0)),
            ("block_size", json!(usize::MAX)),
            ("num_random_blocks", json!(usize::MAX)),
            ("is_decoder", json!(true)),
        ] {
            let e = model(json!({key: value})).err().unwrap();
            assert!(e.message().contains(key) && e.remedy().is_some(), "{}", e.message());
        }
        assert!(model(json!({"num_random_blocks": 0, KEY: "paper"})).is_ok());
    }
}
