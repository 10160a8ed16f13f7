//! The machine as a run of `bench` sees it: what it is, how fast it reads, how much memory is left, and what time it is.

use super::plan::Plan;
use crate::command::interrupt;
use crate::command::threads::pool;
use crate::error::Result;
use crate::kernel::stream::{buffer_size, passes, read_bandwidth};
use crate::machine::Machine;
use crate::machine::memory::{self, Gauge, Process};
use crate::timing::{Clock, System};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// The machine. Tests bring their own.
pub struct Environment<'a> {
    /// Tells how long things take.
    pub clock: Arc<dyn Clock>,
    /// What the machine is.
    pub machine: Machine,
    /// Bytes a second that it reads at best, by the number of threads.
    pub bandwidth: BTreeMap<usize, f64>,
    /// Whether that is memory's rate: the buffer was larger than the caches.
    pub beyond_cache: bool,
    /// Bytes of memory that may be taken.
    pub available: Option<usize>,
    /// Tells how much memory is taken.
    pub gauge: &'a dyn Gauge,
    /// Whether the user wants out: looked at between runs and between tokens.
    pub stop: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Tells the date and time (RFC 3339).
    pub now: fn() -> String,
}

impl Environment<'_> {
    /// This machine. Reads memory for about a second for each number of threads.
    pub fn real(plan: &Plan) -> Result<Self> {
        let machine = Machine::read();
        let size = buffer_size(machine.last_level_cache);
        let clock: Arc<dyn Clock> = Arc::new(System::start());
        let (mut bandwidth, mut beyond_cache) = (BTreeMap::new(), true);
        for case in &plan.cases {
            if let Entry::Vacant(place) = bandwidth.entry(case.threads) {
                let rate = pool(case.threads)?.install(|| read_bandwidth(size, passes(size), &|| clock.now()));
                beyond_cache &= rate.beyond_cache(machine.last_level_cache);
                place.insert(rate.best);
            }
        }
        memory::give_back();
        let now = || jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Ok(Self {
            clock,
            machine,
            bandwidth,
            beyond_cache,
            available: memory::available(),
            gauge: &Process,
            stop: Arc::new(interrupt::raised),
            now,
        })
    }

    /// Bytes a second that the machine reads at best with so many threads.
    pub fn rate(&self, threads: usize) -> Option<f64> {
        self.bandwidth.get(&threads).copied()
    }

    /// Now.
    pub fn today(&self) -> String {
        (self.now)()
    }

    /// What is to be said of the bandwidth, if anything is.
    pub fn bandwidth_note(&self) -> Option<String> {
        (!self.beyond_cache).then(|| "memory was too short to measure its bandwidth beyond the caches: `of best` is too low".to_owned())
    }
}
