//! Feed-forward layers of which one expert, a run of neighbouring units, works on a row.
//!
//! Reference: trax:trax/layers/research/sparsity.py `BlockSparseFF`, `SwitchSparseFF`. The controller chooses e = argmax x M₁, the first of equals;
//! with W₁ᵉ, W₂ᵉ the units of e and p the softmax of the controller at e,
//!
//! out = max(0, c · x W₁ᵉ) W₂ᵉ + b₂, where c = 1 (block) or p (switch)

use super::Linear;
use crate::error::{Error, Result};
use crate::kernel::first_greatest;
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::rows::Rows;
use crate::weights::{Form, Weights};
use std::sync::Arc;

/// The weights, by experts.
#[derive(Debug)]
pub struct Experts {
    controller: Linear,
    /// For each expert, its units (units, d).
    up: Vec<Packed>,
    /// Unit by unit, rows of d numbers.
    down: Rows,
    bias: Vec<f32>,
    /// Whether an expert's units are multiplied by its probability.
    switch: bool,
}

impl Experts {
    /// `m1` (d, experts), `w1` (d, d_ff), `w2` (d_ff, d), `b2` (d) below `w`. Fails if the experts do not divide d_ff.
    pub fn load(w: &Weights, (d, d_ff): (usize, usize), experts: usize, switch: bool) -> Result<Self> {
        if experts == 0 || !d_ff.is_multiple_of(experts) {
            return Err(Error::new(format!("config.json: `d_ff` {d_ff} does not split into {experts} experts"))
                .hint("`ff_sparsity` is the number of experts here, and must divide `d_ff`"));
        }
        let units = d_ff / experts;
        let controller = Linear::from_packed(Arc::new(w.packed("m1", &Form::whole((experts, d), Layout::InOut), None)?));
        let up = (0..experts).map(|e| {
            let form = Form { outputs: units, inputs: d, layout: Layout::InOut, of: (e * units, d_ff) };
            w.packed("w1", &form, None)
        });
        let up = up.collect::<Result<_>>()?;
        let down = w.rows("w2", &[d_ff, d], &Form::whole((d_ff, d), Layout::OutIn))?;
        Ok(Self { controller, up, down, bias: w.get("b2", &[d])?, switch })
    }

    /// Units of all experts, and d.
    pub fn shape(&self) -> (usize, usize) {
        (self.down.count, self.down.width)
    }

    /// Bytes of weights that one row reads.
    pub fn step_bytes(&self) -> usize {
        let one = self.up.first().map_or(0, |up| up.bytes() + up.outputs * self.down.row_bytes());
        self.controller.bytes() + one + self.bias.len() * size_of::<f32>()
    }

    /// Rows of numbers, (n, d) -> (n, d).
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let logits = self.controller.apply(x); // (n, experts)
        let rows = x.chunks_exact(self.down.width).zip(logits.chunks_exact(self.up.len()));
        rows.flat_map(|(x, logits)| {
            let Some(e) = first_greatest(logits) else { return vec![f32::NAN; x.len()] };
            let p = if self.switch { 1.0 / logits.iter().map(|l| (l - logits[e]).exp()).sum::<f32>() } else { 1.0 };
            let mut sum = self.bias.clone();
            for (i, unit) in self.up[e].apply(x).into_iter().enumerate() {
                let unit = unit * p;
                // not `max`, which would drop a NaN
                let unit = if unit <= 0.0 { 0.0 } else { unit };
                self.down.add_to(e * self.up[e].outputs + i, unit, &mut sum);
            }
            sum
        })
        .collect()
    }
}
