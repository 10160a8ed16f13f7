//! Which part of a model takes the time: a [`Phases`] adds up what each [`Phase`] took, for whoever asks through a
//! [`crate::model::Probe`].
//!
//! Looking costs: two looks at the clock a phase and layer. So nobody looks unless asked, and the figures of a table
//! are never those of a run that was looked at.

use super::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A part of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Tables of tokens and positions, and the norm behind them.
    Embed,
    /// Self-attention or what stands in its place, its norm and residual included.
    SelfAttention,
    /// Attention over the encoder's output, its norm and residual included; while encoding: its keys and values.
    CrossAttention,
    /// The feed-forward layers, their norms and residuals included.
    FeedForward,
    /// The output product.
    Logits,
    /// What the strategy does with the logits: copying, processors, the choice, reordering of the state.
    Sampling,
}

impl Phase {
    /// All, in the order in which a token meets them.
    pub const ALL: [Phase; 6] =
        [Phase::Embed, Phase::SelfAttention, Phase::CrossAttention, Phase::FeedForward, Phase::Logits, Phase::Sampling];

    /// As tables and records name it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Embed => "embed",
            Phase::SelfAttention => "self_attention",
            Phase::CrossAttention => "cross_attention",
            Phase::FeedForward => "feed_forward",
            Phase::Logits => "logits",
            Phase::Sampling => "sampling",
        }
    }
}

/// Time by phase, added up until somebody takes it.
pub struct Phases {
    clock: Arc<dyn Clock>,
    nanos: [AtomicU64; Phase::ALL.len()],
}

impl Phases {
    /// All zero.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, nanos: Default::default() }
    }

    /// Runs `f` and counts its time for `phase`. Phases do not nest: the inner one would count twice.
    pub fn time<T>(&self, phase: Phase, f: impl FnOnce() -> T) -> T {
        let before = self.clock.now();
        let out = f();
        let took = self.clock.now().saturating_sub(before);
        self.nanos[phase as usize].fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        out
    }

    /// What each took, in the order of [`Phase::ALL`]; zero from then on.
    pub fn take(&self) -> [Duration; Phase::ALL.len()] {
        std::array::from_fn(|i| Duration::from_nanos(self.nanos[i].swap(0, Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::Fake;

    #[test]
    fn times_add_up_by_phase() {
        let phases = Phases::new(Arc::new(Fake::scripted(|look| look + 1, Duration::from_nanos(1)))); // ticks of 1, 2, 3, …
        assert_eq!(phases.time(Phase::Logits, || 7), 7);
        phases.time(Phase::Embed, || ());
        phases.time(Phase::Logits, || ());
        let nanos = phases.take().map(|d| d.as_nanos());
        assert_eq!(nanos, [3, 0, 0, 0, 1 + 5, 0]);
        assert!(phases.take().iter().all(Duration::is_zero));
        assert!(Phase::ALL.iter().enumerate().all(|(i, p)| *p as usize == i));
    }
}
