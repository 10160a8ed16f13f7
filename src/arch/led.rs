//! LED, the Longformer Encoder-Decoder (Beltagy et al. 2020, <https://arxiv.org/abs/2004.05150>): BART with a sliding window and global
//! tokens in its encoder.
//!
//! Reference: transformers:src/transformers/models/led/modeling_led.py. Positions have no offset. The reference leaves global attention to its
//! caller; here the first token has it unless the source says otherwise, as the paper's summarisation does.

use super::bart_like::{Plan, Sizes, build};
use super::{Arch, Choice, Loaded, parse, unread};
use crate::block::{Order, Positions};
use crate::error::{Error, Result};
use crate::mixer::Longformer;
use crate::weights::Weights;
use serde::Deserialize;
use serde_json::{Map, Value};

pub(super) const ARCH: Arch = Arch {
    model_type: "led",
    summary: "encoder-decoder, sliding window and global tokens, post-norm, learned positions",
    checkpoints: "allenai/led-base-16384, allenai/led-large-16384-arxiv, pszemraj/led-large-book-summary",
    mixers: &["longformer", "softmax"],
    attentions: &["full", "window=N"],
    ignored: &[],
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "led", "vocab_size": 61, "d_model": 24, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 3,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 36, "max_encoder_position_embeddings": 200,
        "max_decoder_position_embeddings": 64, "attention_window": [4, 10], "decoder_start_token_id": 2, "pad_token_id": 1, "bos_token_id": 0,
        "eos_token_id": 2}"#,
    load,
};

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    sizes: Sizes,
    attention_window: Window,
    max_encoder_position_embeddings: usize,
    max_decoder_position_embeddings: usize,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// One window for all encoder layers, or one each.
#[derive(Deserialize)]
#[serde(untagged)]
enum Window {
    Same(usize),
    Each(Vec<usize>),
}

fn load(config: &Value, w: &Weights) -> Result<Loaded> {
    let c: Config = parse(config)?;
    let choice = Choice::of(config, &ARCH)?;
    let d = c.sizes.d_model;
    let chosen = if let Choice::Window(w) = choice { Some(Window::Same(w)) } else { None };
    let windows = match chosen.as_ref().unwrap_or(&c.attention_window) {
        Window::Same(w) => std::slice::from_ref(w),
        Window::Each(each) if each.len() == c.sizes.encoder_layers => each,
        Window::Each(each) => {
            let (n, layers) = (each.len(), c.sizes.encoder_layers);
            return Err(Error::new(format!("config.json: `attention_window` has {n} windows for {layers} encoder layers"))
                .hint("give one number for all layers, or a list with one a layer"));
        }
    };
    let mut distinct = windows.to_vec();
    distinct.dedup();
    let named = if choice == Choice::Full { "all".to_owned() } else { distinct.iter().map(usize::to_string).collect::<Vec<_>>().join("/") };
    let everything = choice == Choice::Full;
    let plan = Plan {
        prefix: "led",
        order: Order::Post,
        input_norm: true,
        stack_norm: None,
        attention_bias: true,
        positions: [&|w| Positions::learned(w, (c.max_encoder_position_embeddings, d), 0), &|w| {
            Positions::learned(w, (c.max_decoder_position_embeddings, d), 0)
        }],
        reader: &|w, heads, i| {
            let longformer = Longformer::load(w, heads, *windows.get(i).unwrap_or(&windows[0]))?;
            Ok(Box::new(if everything { longformer.over_everything() } else { longformer }))
        },
        default_global: Some(vec![0]),
        attention: format!("longformer window={named}"),
        model_type: ARCH.model_type,
    };
    Ok(Loaded { model: Box::new(build(w, &c.sizes, &plan)?), unread: unread(&c.rest) })
}
