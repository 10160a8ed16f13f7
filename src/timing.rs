//! Honest times: a [`Clock`] that tests can replace, and what a document's [`Timing`] says.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Something that tells how much time has passed since it was made.
pub trait Clock {
    /// Time since the clock was made; never goes back.
    fn now(&self) -> Duration;
}

/// The machine's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct System(Instant);

impl System {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for System {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock for tests: every look at it takes the same time.
#[derive(Debug, Clone)]
pub struct Fake {
    now: Cell<Duration>,
    tick: Duration,
}

impl Fake {
    /// A clock that moves on by `tick` whenever somebody looks.
    pub fn ticking(tick: Duration) -> Self {
        Self { now: Cell::new(Duration::ZERO), tick }
    }
}

impl Clock for Fake {
    fn now(&self) -> Duration {
        let now = self.now.get();
        self.now.set(now + self.tick);
        now
    }
}

/// What the tokens of one document took, tokenising, detokenising and printing left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timing {
    steps: Vec<Duration>,
}

impl Timing {
    /// Notes one token; the first one's time runs from the start of the encoder (or of the prompt).
    pub fn push(&mut self, took: Duration) {
        self.steps.push(took);
    }

    /// Puts another piece of the same document behind this one.
    pub fn append(&mut self, mut other: Timing) {
        self.steps.append(&mut other.steps);
    }

    /// TTFT, start to first token, in milliseconds.
    pub fn ttft_ms(&self) -> Option<f64> {
        self.steps.first().map(|d| ms(*d))
    }

    /// TPOT, (total − TTFT) / (n − 1), in milliseconds; none for fewer than two tokens.
    pub fn tpot_ms(&self) -> Option<f64> {
        let later: Duration = self.steps.iter().skip(1).sum();
        let n = u32::try_from(self.steps.len().checked_sub(1)?).ok()?;
        (n > 0).then(|| ms(later / n))
    }

    /// Start to last token, in milliseconds.
    pub fn total_ms(&self) -> Option<f64> {
        (!self.steps.is_empty()).then(|| ms(self.steps.iter().sum()))
    }

    /// One number a token, in milliseconds; the first is TTFT, and they add up to the total.
    pub fn token_ms(&self) -> Vec<f64> {
        self.steps.iter().map(|d| ms(*d)).collect()
    }
}

/// Milliseconds, to the microsecond.
fn ms(d: Duration) -> f64 {
    (d.as_nanos() as f64 / 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttft_tpot_and_total_as_vllm_defines_them() {
        let mut t = Timing::default();
        assert_eq!((t.ttft_ms(), t.tpot_ms(), t.total_ms()), (None, None, None));
        t.push(Duration::from_millis(50));
        assert_eq!((t.ttft_ms(), t.tpot_ms(), t.total_ms()), (Some(50.0), None, Some(50.0)));
        t.push(Duration::from_micros(2_000));
        t.push(Duration::from_micros(4_001));
        assert_eq!((t.ttft_ms(), t.tpot_ms(), t.total_ms()), (Some(50.0), Some(3.001), Some(56.001)));
        assert_eq!(t.token_ms(), vec![50.0, 2.0, 4.001]);
    }

    #[test]
    fn the_fake_clock_ticks() {
        let c = Fake::ticking(Duration::from_millis(3));
        assert_eq!((c.now(), c.now()), (Duration::ZERO, Duration::from_millis(3)));
    }
}
