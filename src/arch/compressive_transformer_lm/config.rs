//! The arguments of the package's constructor, as config.json has them.

use super::super::sizes;
use crate::error::{Error, Result};
use crate::mixer::segments::{Padding, Queues};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
pub(super) struct Config {
    pub num_tokens: usize,
    pub dim: usize,
    pub seq_len: usize,
    pub depth: usize,
    pub emb_dim: Option<usize>,
    pub memory_layers: Option<Vec<usize>>,
    #[serde(default = "yes")]
    pub enhanced_recurrence: bool,
    pub mem_len: Option<usize>,
    pub cmem_len: Option<usize>,
    #[serde(default = "four")]
    pub cmem_ratio: usize,
    #[serde(default = "eight")]
    pub heads: usize,
    #[serde(default = "yes")]
    pub gru_gated_residual: bool,
    #[serde(default)]
    pub mogrify_gru: bool,
    #[serde(default)]
    pub ff_glu: bool,
    #[serde(default)]
    pub reference_quirks: bool,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

fn yes() -> bool {
    true
}

fn four() -> usize {
    4
}

fn eight() -> usize {
    8
}

/// Keys that only training reads, or that say where the checkpoint is from.
pub(super) const WITHOUT_EFFECT: &[&str] =
    &["package", "class", "attn_dropout", "ff_dropout", "attn_layer_dropout", "reconstruction_attn_dropout", "reconstruction_loss_weight"];

fn wrong(what: String, hint: &str) -> Error {
    Error::new(format!("config.json: {what}")).hint(hint)
}

impl Config {
    /// The queues, and which layers have memories. Fails at sizes that make no sense.
    pub fn checked(&self) -> Result<(Queues, Vec<bool>)> {
        sizes(&[
            ("num_tokens", self.num_tokens, 1 << 24),
            ("dim", self.dim, 1 << 20),
            ("emb_dim", self.emb_dim.unwrap_or(1), 1 << 20),
            ("depth", self.depth, 1 << 12),
            ("heads", self.heads, 1 << 16),
            ("seq_len", self.seq_len, 1 << 20),
            ("cmem_ratio", self.cmem_ratio, 1 << 20),
        ])
        .map_err(|e| e.hint("compare it with the checkpoint's constructor arguments"))?;
        let memory = self.mem_len.unwrap_or(self.seq_len);
        let compressed = self.cmem_len.unwrap_or(memory / self.cmem_ratio);
        let padding = if self.reference_quirks { Padding::Lucidrains } else { Padding::Left };
        let queues = Queues { segment: self.seq_len, memory, compressed, ratio: self.cmem_ratio, padding }.checked()?;
        if memory < self.seq_len {
            return Err(wrong(format!("`mem_len` is {memory}, `seq_len` {}", self.seq_len), "the memory holds a segment at least"));
        }
        if compressed < memory / self.cmem_ratio {
            let what = format!("`cmem_len` is {compressed}, `mem_len` over `cmem_ratio` {}", memory / self.cmem_ratio);
            return Err(wrong(what, "the compressed memory holds a compressed memory at least"));
        }
        if self.gru_gated_residual && self.mogrify_gru && self.dim < 4 {
            return Err(wrong(
                format!("`mogrify_gru` with a `dim` of {}", self.dim),
                "its layers have a quarter of `dim` between them: 4 at least",
            ));
        }
        Ok((queues, self.remembers()?))
    }

    /// Which layers have memories.
    fn remembers(&self) -> Result<Vec<bool>> {
        let Some(layers) = &self.memory_layers else { return Ok(vec![true; self.depth]) };
        let mut all = vec![false; self.depth];
        for &l in layers {
            match l.checked_sub(1).and_then(|l| all.get_mut(l)) {
                Some(has) if !*has => *has = true,
                _ => return Err(wrong(format!("`memory_layers` has {l}"), "it is a list of different numbers from 1 to `depth`")),
            }
        }
        if layers.is_empty() {
            return Err(wrong(
                "`memory_layers` is empty".into(),
                "the reference needs one layer with memories at least; null is all of them",
            ));
        }
        Ok(all)
    }
}
