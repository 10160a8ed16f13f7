//! The layer that makes logits.

use super::leaves::Leaves;
use crate::convert::gin::{Literal, Params};
use crate::error::Result;
use serde_json::{Map, Value, json};

/// What it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dense,
    Mult(usize),
    LowRank(usize, usize),
    Einsum(usize),
}

/// The layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    kind: Kind,
    /// Whether a dense layer stands beside it, of which only training reads.
    beside: bool,
}

impl Loss {
    /// One matrix.
    pub const DENSE: Loss = Loss { kind: Kind::Dense, beside: false };

    /// Reads it.
    pub fn read(params: &Params) -> Result<Self> {
        let sparsity = params.size_or("loss_sparsity", 0)?;
        let rank = params.size_or("loss_d_lowrank", 0)?;
        let beside = params.get("loss_sparsity_prob")?.is_some_and(|v| v != Literal::None);
        let kind = match params.text("loss_sparsity_type", Some("mult"))?.as_deref() {
            None | Some("None") => Kind::Dense,
            _ if sparsity == 0 => Kind::Dense,
            Some("mult") => Kind::Mult(sparsity),
            Some("lowrank") => Kind::LowRank(sparsity, rank),
            Some("einsum") => Kind::Einsum(sparsity),
            Some(other) => {
                return Err(params
                    .error("loss_sparsity_type", format!("is '{other}', which is not supported"))
                    .hint("known are 'mult', 'lowrank' and 'einsum'"));
            }
        };
        Ok(Self { kind, beside })
    }

    /// Whether it is the multiplicative layer.
    pub fn is_mult(&self) -> bool {
        matches!(self.kind, Kind::Mult(_))
    }

    /// Its words in config.json; a dense layer has none.
    pub fn json(&self, out: &mut Map<String, Value>) {
        let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
        match self.kind {
            Kind::Dense => None,
            Kind::Mult(sparsity) => put("loss_sparsity", json!(sparsity)),
            Kind::LowRank(sparsity, rank) => {
                put("loss_sparsity", json!(sparsity));
                put("loss_sparsity_type", json!("lowrank"));
                put("loss_d_lowrank", json!(rank))
            }
            Kind::Einsum(sparsity) => {
                put("loss_sparsity", json!(sparsity));
                put("loss_sparsity_type", json!("einsum"))
            }
        };
    }

    /// Its weights.
    pub fn leaves(&self, out: &mut Leaves, d: usize, vocab: usize) -> Result<()> {
        match self.kind {
            Kind::Dense => out.dense("loss", d, vocab),
            Kind::Mult(sparsity) => out.factored("loss", sparsity, d, vocab)?,
            Kind::LowRank(_, rank) => {
                out.dense("loss.down", d, rank);
                out.dense("loss.up", rank, vocab);
            }
            Kind::Einsum(_) => {
                out.add("loss.w", [vocab, d]);
                out.add("loss.b", [vocab]);
            }
        }
        if self.beside {
            out.skip([d, vocab]);
            out.skip([vocab]);
        }
        Ok(())
    }
}
