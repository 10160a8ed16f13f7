//! The arguments of the package's constructor, as config.json has them.

use super::super::{sizes, unread};
use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
pub(super) struct Config {
    pub num_tokens: usize,
    pub max_seq_len: usize,
    pub dim: usize,
    pub depth: usize,
    pub heads: usize,
    #[serde(default = "dim_head")]
    pub dim_head: usize,
    #[serde(default)]
    pub local_attn_heads: Value,
    #[serde(default = "window")]
    pub local_window_size: usize,
    #[serde(default)]
    pub causal: bool,
    #[serde(default = "mult")]
    pub ff_mult: usize,
    pub nb_features: Option<usize>,
    #[serde(default)]
    pub reversible: bool,
    #[serde(default)]
    pub ff_glu: bool,
    #[serde(default)]
    pub generalized_attention: bool,
    pub kernel_fn: Option<Value>,
    #[serde(default)]
    pub use_scalenorm: bool,
    #[serde(default)]
    pub use_rezero: bool,
    #[serde(default)]
    pub cross_attend: bool,
    #[serde(default)]
    pub no_projection: bool,
    #[serde(default)]
    pub tie_embed: bool,
    #[serde(default = "yes")]
    pub rotary_position_emb: bool,
    #[serde(default)]
    pub axial_position_emb: bool,
    pub axial_position_shape: Option<Vec<usize>>,
    #[serde(default)]
    pub qkv_bias: bool,
    #[serde(default)]
    pub attn_out_bias: bool,
    #[serde(default)]
    pub shift_tokens: bool,
    #[serde(default)]
    pub reference_quirks: bool,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

fn dim_head() -> usize {
    64
}

fn window() -> usize {
    256
}

fn mult() -> usize {
    4
}

fn yes() -> bool {
    true
}

/// Arguments that matter in training alone, or say where the checkpoint is from.
const TRAINING: &[&str] = &[
    "attn_dropout",
    "auto_check_redraw",
    "class",
    "emb_dropout",
    "feature_redraw_interval",
    "ff_chunks",
    "ff_dropout",
    "greedy",
    "package",
    "vocab_size",
];

impl Config {
    /// Fails at arguments that the package does not have, at sizes that make no sense and at what is not implemented.
    pub fn check(&self) -> Result<()> {
        sizes(&[
            ("num_tokens", self.num_tokens, 1 << 24),
            ("max_seq_len", self.max_seq_len, 1 << 32),
            ("dim", self.dim, 1 << 20),
            ("depth", self.depth, 1 << 12),
            ("heads", self.heads, 1 << 16),
            ("dim_head", self.dim_head, 1 << 16),
            ("local_window_size", self.local_window_size, 1 << 20),
            ("ff_mult", self.ff_mult, 1 << 8),
            ("nb_features", self.features(), 1 << 20),
        ])?;
        if !self.dim.is_multiple_of(self.heads) {
            return Err(Error::new(format!("config.json: {} features do not split into {} heads", self.dim, self.heads)));
        }
        if self.cross_attend {
            return Err(Error::new("config.json: `cross_attend` is not implemented")
                .hint("a decoder of performer-pytorch's PerformerEncDec needs an encoder beside it"));
        }
        if let Some(kernel) = self.kernel_fn.as_ref().filter(|k| !k.is_null() && k.as_str() != Some("relu") && k.as_str() != Some("ReLU()"))
        {
            return Err(Error::new(format!("config.json: `kernel_fn` {kernel} is not implemented, only \"relu\"")));
        }
        let known = |key: &String| TRAINING.contains(&key.as_str());
        let rest: Map<String, Value> = self.rest.iter().filter(|(key, _)| !known(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
        if let Some(key) = unread(&rest).first() {
            return Err(Error::new(format!("config.json: `{key}` is no argument of PerformerLM"))
                .hint("it may change what the model computes, so it is not ignored"));
        }
        Ok(())
    }

    /// m.
    pub fn features(&self) -> usize {
        let width = self.dim_head as f64;
        self.nb_features.unwrap_or((width * width.ln()) as usize)
    }

    /// Heads with windows in each layer.
    pub fn local(&self) -> Result<Vec<usize>> {
        let wrong = || {
            Error::new(format!("config.json: `local_attn_heads` is {}", self.local_attn_heads))
                .hint(format!("it is a number up to {}, or a list of one for each of the {} layers", self.heads, self.depth))
        };
        let number = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= self.heads).ok_or_else(wrong);
        match &self.local_attn_heads {
            Value::Null => Ok(vec![0; self.depth]),
            Value::Array(all) => {
                let all = all.iter().map(number).collect::<Result<Vec<_>>>()?;
                match all.len() {
                    1 => Ok(vec![all[0]; self.depth]),
                    n if n == self.depth => Ok(all),
                    _ => Err(wrong()),
                }
            }
            one => Ok(vec![number(one)?; self.depth]),
        }
    }
}
