//! How many threads compute.

use crate::error::{Error, Result};

/// Sets the number of threads once for the whole program; none: the physical cores.
pub fn limit(threads: Option<usize>) -> Result<()> {
    let n = threads.unwrap_or_else(physical_cores);
    let most = std::thread::available_parallelism().map_or(1, usize::from).max(64) * 4;
    if n > most {
        return Err(Error::usage(format!("{n} threads are too many for this machine")).hint(format!("ask for {most} at most")));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(n)
        .build_global()
        .map_err(|e| Error::new(format!("cannot start {n} threads: {e}")).hint("ask for fewer with `--threads`"))
}

/// Physical cores that this process may use: the second thread of a core brings nothing to arithmetic.
fn physical_cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    let siblings = |cpu: usize| std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")).ok();
    let cores: std::collections::HashSet<String> = (0..).map_while(siblings).collect();
    if cores.is_empty() { allowed } else { cores.len().min(allowed) }
}
