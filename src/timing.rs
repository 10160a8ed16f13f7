//! Honest times: a [`Clock`] that tests can replace, what a document's [`Timing`] says, and the statistics of many.
//!
//! | question | where |
//! |---|---|
//! | what time is it, and how long since I asked? | [`Clock`], [`Laps`] |
//! | what did the tokens of one document take? | [`Timing`] |
//! | which part of the model took it? | [`phases`] |
//! | what do many times say, and how surely? | [`summary`], [`student`] |
//! | how many times faster is one than another? | [`ratio`] |
//! | how do times grow with the length, and where does one overtake another? | [`fit`], [`crossing`] |

pub mod crossing;
#[cfg(test)]
mod expected;
pub mod fit;
pub mod phases;
pub mod ratio;
pub mod student;
pub mod summary;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Something that tells how much time has passed since it was made.
pub trait Clock: Send + Sync {
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

/// A clock for tests: it moves on whenever somebody looks.
#[derive(Debug)]
pub struct Fake {
    looks: AtomicU64,
    now: AtomicU64, // nanoseconds
    tick: fn(u64) -> u64,
    scale: u64,
}

impl Fake {
    /// A clock that moves on by `tick` whenever somebody looks.
    pub fn ticking(tick: Duration) -> Self {
        Self::scripted(|_| 1, tick)
    }

    /// A clock that moves on by `tick(i)` times `unit` after look number i, counted from 0.
    pub fn scripted(tick: fn(u64) -> u64, unit: Duration) -> Self {
        let scale = u64::try_from(unit.as_nanos()).unwrap_or(u64::MAX);
        Self { looks: AtomicU64::new(0), now: AtomicU64::new(0), tick, scale }
    }
}

impl Clock for Fake {
    fn now(&self) -> Duration {
        let look = self.looks.fetch_add(1, Ordering::Relaxed);
        Duration::from_nanos(self.now.fetch_add((self.tick)(look) * self.scale, Ordering::Relaxed))
    }
}

/// Laps on a clock: each ends where the next begins, so that they add up to the time from first to last look.
pub struct Laps<'c> {
    clock: &'c dyn Clock,
    last: Duration,
}

impl<'c> Laps<'c> {
    /// The first lap begins now.
    pub fn start(clock: &'c dyn Clock) -> Self {
        Self { clock, last: clock.now() }
    }

    /// Ends a lap and begins the next.
    pub fn lap(&mut self) -> Duration {
        let now = self.clock.now();
        let took = now.saturating_sub(self.last);
        self.last = now;
        took
    }

    /// The lap begins anew: what happened since the last one counts for nobody.
    pub fn skip(&mut self) {
        self.last = self.clock.now();
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
        let c = Fake::scripted(|look| look + 1, Duration::from_nanos(5));
        assert_eq!([c.now(), c.now(), c.now()].map(|d| d.as_nanos()), [0, 5, 15]);
    }

    #[test]
    fn laps_add_up_but_for_what_is_skipped() {
        let c = Fake::scripted(|look| look + 1, Duration::from_nanos(1));
        let mut laps = Laps::start(&c); // 0, then 1, 3, 6, 10
        assert_eq!([laps.lap(), laps.lap()].map(|d| d.as_nanos()), [1, 2]);
        laps.skip();
        assert_eq!(laps.lap().as_nanos(), 4);
    }
}
