//! The feed-forward part of a layer: dense, sparse or experts, and the recurrent units beside it.

use super::Sizes;
use crate::block::{Activation, Experts, FeedForward, LayerNorm, Linear, Recurrent};
use crate::error::{Error, Result};
use crate::kernel::linear::Layout;
use crate::kernel::sparse_ff::SparseFf;
use crate::weights::{Form, Weights};
use std::sync::Arc;

impl Sizes {
    /// `ff` below `w`.
    pub(super) fn feed_forward(&self, w: &Weights) -> Result<FeedForward> {
        let (d, d_ff, n) = (self.d_model, self.d_ff, self.ff_sparsity.n);
        let w = w.pp("ff");
        if n == 0 {
            let part = |i: usize, (outputs, inputs): (usize, usize)| -> Result<Linear> {
                let bias = w.get(&format!("b{i}"), &[outputs])?;
                let form = Form::whole((outputs, inputs), Layout::InOut);
                Ok(Linear::from_packed(Arc::new(w.packed(&format!("w{i}"), &form, Some(bias))?)))
            };
            return Ok(FeedForward::new(part(1, (d_ff, d))?, part(2, (d, d_ff))?, self.ff_activation.unwrap_or(Activation::Relu)));
        }
        match self.ff_sparsity_type.as_deref().unwrap_or("1inN") {
            "1inN" => {
                let rank = self.ff_sparsity.rank.unwrap_or(d_ff / n);
                sparse(&w, (d, d_ff), (n, rank), false).map(|ff| FeedForward::Sparse(Box::new(ff)))
            }
            "Block" => Experts::load(&w, (d, d_ff), n, false).map(|e| FeedForward::Experts(Box::new(e))),
            "Switch" => Experts::load(&w, (d, d_ff), n, true).map(|e| FeedForward::Experts(Box::new(e))),
            other => {
                Err(Error::new(format!("config.json: `ff_sparsity_type` \"{other}\" is not known")).hint("known are 1inN, Block, Switch"))
            }
        }
    }

    /// The recurrent units beside the feed-forward layer of `w`, if there are some.
    pub(super) fn recurrent(&self, w: &Weights) -> Result<Option<Recurrent>> {
        let sizes = (self.ff_use_sru.layers, self.ff_use_sru.units);
        if sizes.0 == 0 {
            return Ok(None);
        }
        let norm = LayerNorm::load_scale(&w.pp("sru_norm"), self.d_model, super::EPS, self.center_layernorm)?;
        Recurrent::load(w, norm, self.d_model, sizes).map(Some)
    }
}

/// `m1` (d, rank), `m2` (rank, d₁, N), `mb` (d₁, N), `w1` (d, d₁, N) or its transpose `w1_rows` (d₁, N, d), `w2` (N, d₁, d), `b2` (d) below `w`.
///
/// Fails if N does not divide d_ff.
pub(super) fn sparse(w: &Weights, (d, d_ff): (usize, usize), (n, rank): (usize, usize), weighted: bool) -> Result<SparseFf> {
    if n == 0 || !d_ff.is_multiple_of(n) {
        return Err(
            Error::new(format!("config.json: `d_ff` {d_ff} does not split into blocks of {n}")).hint("`ff_sparsity` must divide `d_ff`")
        );
    }
    let blocks = d_ff / n;
    let mut bias = w.get("mb", &[blocks, n])?;
    bias.resize(d_ff, 0.0); // a blueprint has no numbers
    // made-up weights have the rows, as whoever wants them mapped
    let w1 = if w.has("w1") {
        w.rows("w1", &[d, blocks, n], &Form::whole((d_ff, d), Layout::InOut))?
    } else {
        w.rows("w1_rows", &[blocks, n, d], &Form::whole((d_ff, d), Layout::OutIn))?
    };
    Ok(SparseFf {
        n,
        down: w.packed("m1", &Form::whole((rank, d), Layout::InOut), None)?,
        up: w.packed_of("m2", &[rank, blocks, n], &Form::whole((d_ff, rank), Layout::InOut), Some(bias))?,
        w1,
        w2: w.rows("w2", &[n, blocks, d], &Form::whole((d_ff, d), Layout::OutIn))?,
        bias: w.get("b2", &[d])?,
        weighted,
    })
}
