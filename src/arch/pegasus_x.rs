//! PEGASUS-X (Phang et al. 2022, <https://arxiv.org/abs/2208.04347>): PEGASUS with an encoder that attends within staggered blocks and to global tokens.
//!
//! Reference: transformers:src/transformers/models/pegasus_x/modeling_pegasus_x.py. No attention biases, no bias of the logits; positions are waves of any
//! length, of which `max_position_embeddings` are used. See [`PegasusX`] and [`Globals`] for what the encoder does.

use super::bart_like::{Plan, Sizes, build};
use super::{Arch, Choice, Loaded, expect, parse, unread};
use crate::block::{Globals, Order, Positions, Projections};
use crate::error::{Error, Result};
use crate::mixer::PegasusX;
use crate::weights::Weights;
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub(super) const ARCH: Arch = Arch {
    model_type: "pegasus_x",
    summary: "encoder-decoder, staggered blocks and global tokens, pre-norm, sinusoidal positions",
    checkpoints: "google/pegasus-x-base, google/pegasus-x-large, pszemraj/pegasus-x-large-book-summary",
    mixers: &["pegasus_x", "softmax"],
    attentions: &["full", "block=N"],
    ignored: &[],
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "pegasus_x", "vocab_size": 61, "d_model": 24, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 3,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 36, "max_position_embeddings": 80, "block_size": 10,
        "num_global_tokens": 3, "stagger_local_blocks": true, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}"#,
    load,
};

/// ε of the norms, as everywhere in this family.
const EPS: f64 = 1e-5;

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    sizes: Sizes,
    #[serde(default = "positions")]
    max_position_embeddings: usize,
    #[serde(default = "globals")]
    num_global_tokens: usize,
    #[serde(default = "block")]
    block_size: usize,
    #[serde(default = "staggered")]
    stagger_local_blocks: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn positions() -> usize {
    16_384
}

fn globals() -> usize {
    32
}

fn block() -> usize {
    512
}

fn staggered() -> bool {
    true
}

/// What the reference takes where config.json does not say, and BART would take otherwise.
fn with_defaults(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(keys) = config.as_object_mut() {
        keys.entry("scale_embedding").or_insert(json!(true));
        keys.entry("decoder_start_token_id").or_insert(json!(0));
    }
    config
}

/// The blocks of every encoder layer, or none where every token sees every token.
struct Blocks {
    size: Option<usize>,
    staggered: bool,
    globals: usize,
}

impl Blocks {
    fn of(c: &Config, choice: Choice) -> Result<Self> {
        let staggered = c.stagger_local_blocks && c.sizes.encoder_layers > 1;
        let size = match choice {
            Choice::Full => None,
            Choice::Block(n) if staggered && n % 2 == 1 => {
                return Err(Error::usage(format!("`--attention {choice}`: the model staggers its blocks by half of one"))
                    .hint("choose an even number"));
            }
            Choice::Block(n) => Some(n),
            _ => Some(c.block_size),
        };
        Ok(Self { size, staggered, globals: c.num_global_tokens })
    }

    /// Of layer i.
    fn layer(&self, attention: PegasusX, i: usize) -> Result<PegasusX> {
        let attention = attention.named(self.name());
        match self.size {
            None => Ok(attention),
            Some(size) => attention.with_blocks(size, self.staggered && i % 2 == 1),
        }
    }

    fn name(&self) -> String {
        let size = self.size.map_or("all".to_owned(), |n| n.to_string());
        let staggered = if self.staggered && self.size.is_some() { " staggered" } else { "" };
        format!("pegasus_x block={size} global={}{staggered}", self.globals)
    }
}

fn load(config: &Value, w: &Weights) -> Result<Loaded> {
    let c: Config = parse(&with_defaults(config))?;
    let blocks = Blocks::of(&c, Choice::of(config, &ARCH)?)?;
    for (key, value) in
        [("normalize_before", true), ("normalize_embedding", false), ("add_final_layer_norm", true), ("add_bias_logits", false)]
    {
        expect(&c.rest, key, &json!(value))?;
    }
    let d = c.sizes.d_model;
    let positions = |_: &Weights| Ok(Positions::angles(d)?.up_to(c.max_position_embeddings));
    let plan = Plan {
        prefix: "model",
        order: Order::Pre,
        input_norm: false,
        stack_norm: Some("layer_norm"),
        attention_bias: false,
        positions: [&positions, &positions],
        reader: &|w, heads, i| {
            let projections = Projections::load(w, (d, d), false)?;
            Ok(Box::new(blocks.layer(PegasusX::new(heads, projections, c.num_global_tokens), i)?))
        },
        default_global: None,
        attention: blocks.name(),
        model_type: ARCH.model_type,
    };
    let mut model = build(w, &c.sizes, &plan)?;
    let globals = Globals::load(&w.pp("model.encoder"), (c.num_global_tokens, d), c.sizes.encoder_layers, EPS)?;
    model.encoder.globals = Some(globals);
    Ok(Loaded { model: Box::new(model), unread: unread(&c.rest) })
}
