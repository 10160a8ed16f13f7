//! Logits -> negative log-likelihoods.

use crate::block::check_ids;
use crate::error::{Error, Result};
use crate::kernel::elementwise::log_sum_exp;
use crate::kernel::slice;
use candle_core::Tensor;
use rayon::prelude::*;

/// −ln softmax(logits)[target] of each target, in nats: logits (1, t, v) in f32, the rest in f64 with the largest logit subtracted.
///
/// Fails if a target is outside of the vocabulary or the logits are no numbers.
pub(crate) fn losses(logits: &Tensor, targets: &[u32]) -> Result<Vec<f64>> {
    let (b, t, v) = logits.dims3()?;
    if (b, t) != (1, targets.len()) {
        return Err(Error::new(format!("logits of {b} x {t} tokens for {} targets", targets.len())));
    }
    check_ids(targets, v)?;
    let losses: Vec<f64> = slice(logits, |all| all.par_chunks(v).zip(targets).map(|(row, &target)| loss(row, target as usize)).collect())?;
    match losses.iter().position(|x| x.is_nan()) {
        Some(i) => Err(Error::new(format!("the logits for token {} are not numbers", targets[i]))
            .hint("the weights are damaged, or too large for this precision")),
        None => Ok(losses),
    }
}

fn loss(row: &[f32], target: usize) -> f64 {
    let (most, sum) = log_sum_exp(row);
    sum.ln() - (f64::from(row[target]) - f64::from(most))
}
