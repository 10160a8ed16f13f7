//! The arguments of the package's constructor, as config.json has them.

use super::super::expect;
use super::super::linformer_lm::sizes;
use crate::block::{Activation, Heads};
use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
pub(super) struct Config {
    pub num_tokens: usize,
    pub input_size: usize,
    pub channels: usize,
    #[serde(default = "sixty_four")]
    pub dim_k: usize,
    #[serde(default = "thousand")]
    pub dim_ff: usize,
    pub dim_d: Option<usize>,
    #[serde(default = "four")]
    pub nhead: usize,
    #[serde(default = "two")]
    pub depth: usize,
    pub ff_intermediate: Option<usize>,
    #[serde(default = "gelu")]
    pub activation: String,
    #[serde(default)]
    pub parameter_sharing: Sharing,
    #[serde(default)]
    pub k_reduce_by_layer: usize,
    #[serde(default)]
    pub full_attention: bool,
    #[serde(default = "yes")]
    pub include_ff: bool,
    pub w_o_intermediate_dim: Option<usize>,
    pub emb_dim: Option<usize>,
    #[serde(default)]
    pub causal: bool,
    #[serde(default)]
    pub method: Method,
    #[serde(default)]
    pub reference_quirks: bool,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Which E and F are the same.
#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sharing {
    None,
    Headwise,
    Kv,
    #[default]
    Layerwise,
}

/// What E is.
#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Method {
    #[default]
    Learnable,
    Convolution,
    NoParams,
}

fn two() -> usize {
    2
}

fn four() -> usize {
    4
}

fn sixty_four() -> usize {
    64
}

fn thousand() -> usize {
    1024
}

fn gelu() -> String {
    "gelu".into()
}

fn yes() -> bool {
    true
}

impl Config {
    /// Fails at sizes and combinations that the package or the mathematics refuses.
    pub fn check(&self) -> Result<()> {
        sizes(&[
            ("num_tokens", self.num_tokens, 1 << 24),
            ("input_size", self.input_size, 1 << 24),
            ("channels", self.channels, 1 << 20),
            ("dim_k", self.dim_k, 1 << 16),
            ("dim_ff", self.dim_ff, 1 << 24),
            ("dim_d", self.dim_d.unwrap_or(1), 1 << 16),
            ("nhead", self.nhead, 1 << 12),
            ("depth", self.depth, 1 << 12),
            ("ff_intermediate", self.ff_intermediate.unwrap_or(1), 1 << 20),
            ("w_o_intermediate_dim", self.w_o_intermediate_dim.unwrap_or(1), 1 << 20),
            ("emb_dim", self.emb_dim.unwrap_or(1), 1 << 20),
        ])?;
        expect(&self.rest, "decoder_mode", &json!(false))?;
        expect(&self.rest, "return_emb", &json!(false))?;
        let refused = |what: &str, hint: &str| Err(Error::new(format!("config.json: {what}")).hint(hint));
        if self.causal && !self.full_attention && !self.reference_quirks {
            return refused(
                "`causal` of this package lets the future show: each row of E K is a sum over the whole text, masked or not",
                "`--reference-quirks` computes what the reference does; `linformer_blockwise` in an effattn_lm is causal",
            );
        }
        if self.causal && self.k_reduce_by_layer > 0 && !self.full_attention && self.parameter_sharing != Sharing::Layerwise {
            return refused(
                "`causal` with `k_reduce_by_layer`",
                "the reference's mask has `dim_k` columns in every layer, and fails there too",
            );
        }
        if self.ff_intermediate.is_some() && (self.parameter_sharing == Sharing::Layerwise || !self.include_ff) {
            return refused(
                "`ff_intermediate` where layers share E, or without feed-forward layers",
                "the reference refuses the first, and fails at the second",
            );
        }
        if self.method == Method::Convolution && self.rows(0) > self.input_size {
            return refused("`method` \"convolution\" with more rows than positions", "a window would be shorter than a position");
        }
        Ok(())
    }

    /// h heads of `dim_d` features, or of as many as d has for each.
    pub fn heads(&self) -> Result<Heads> {
        match self.dim_d {
            Some(width) => Ok(Heads { count: self.nhead, width, scale: (width as f32).powf(-0.5) }),
            None => Heads::new(self.channels, self.nhead),
        }
    }

    /// k of layer `i`.
    pub fn rows(&self, i: usize) -> usize {
        if self.parameter_sharing == Sharing::Layerwise {
            return self.dim_k;
        }
        self.dim_k.saturating_sub(i.saturating_mul(self.k_reduce_by_layer)).max(1)
    }

    /// Features that layer `i` reads and hands on.
    pub fn features(&self, i: usize) -> (usize, usize) {
        let within = self.ff_intermediate.unwrap_or(self.channels);
        (if i == 0 { self.channels } else { within }, if i + 1 == self.depth { self.channels } else { within })
    }

    /// Of the feed-forward layers.
    pub fn activation(&self) -> Result<Activation> {
        match self.activation.as_str() {
            "gelu" => Ok(Activation::Gelu),
            "relu" => Ok(Activation::Relu),
            other => {
                Err(Error::new(format!("config.json: `activation` \"{other}\" is not implemented")).hint("the package has gelu and relu"))
            }
        }
    }
}
