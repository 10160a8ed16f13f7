//! The rows r_δ = W_r \[sin ; cos\](δ f), which do not depend on the text: worked out once, and again when a longer distance comes up.

use crate::block::{Dense, Heads, Positions};
use crate::error::Result;
use crate::kernel::attention::Distances;
use crate::kernel::slice;
use std::sync::{Arc, PoisonError, RwLock};

/// r_δ for as many distances as were needed so far, the farthest first.
pub(super) struct Rows {
    position: Dense,
    sines: Positions,
    heads: Heads,
    made: RwLock<Option<Arc<Distances>>>,
}

impl Rows {
    /// None yet; `position` is W_r (h w, d). Fails if d is odd.
    pub fn new(position: Dense, heads: Heads) -> Result<Self> {
        let sines = Positions::sines(position.shape().1)?;
        Ok(Self { position, sines, heads, made: RwLock::new(None) })
    }

    /// For `n` distances at least, and `most` at most.
    pub fn up_to(&self, n: usize, most: usize) -> Result<Arc<Distances>> {
        let n = n.min(most);
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(made) = made.filter(|m| m.len() >= n) {
            return Ok(made);
        }
        let n = n.next_power_of_two().max(64).min(most);
        let waves = self.sines.forward((0..n).rev())?;
        let rows = slice(&waves, |waves| self.position.apply(waves))?; // (n, h w)
        let made = Arc::new(Distances::new((self.heads.count, self.heads.width), &rows, None));
        *self.made.write().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        Ok(made)
    }
}
