//! How many threads compute.

use crate::cli::CommonArgs;
use crate::error::{Error, Result};
use crate::machine::physical_cores;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// The numbers of threads that were asked for; none: the physical cores.
pub fn asked(common: &CommonArgs) -> Result<Vec<usize>> {
    let asked = common.threads.as_ref().map_or_else(|| vec![physical_cores()], |list| list.0.clone());
    asked.into_iter().map(possible).collect()
}

/// Refuses what no machine has.
pub fn possible(n: usize) -> Result<usize> {
    let most = std::thread::available_parallelism().map_or(1, usize::from).max(64) * 4;
    match n {
        0 => Err(Error::usage("0 threads compute nothing").hint("ask for 1 at least")),
        n if n > most => Err(Error::usage(format!("{n} threads are too many for this machine")).hint(format!("ask for {most} at most"))),
        n => Ok(n),
    }
}

/// Sets the number of threads once for the whole program. Only who asks for `several` may be given more than one number: the program
/// then starts with the largest.
pub fn limit(common: &CommonArgs, several: bool) -> Result<()> {
    let asked = asked(common)?;
    if asked.len() > 1 && !several {
        return Err(Error::usage("`--threads` takes one number here").hint("several are for `effattn bench`"));
    }
    let n = asked.iter().copied().max().unwrap_or(1);
    ThreadPoolBuilder::new().num_threads(n).build_global().map_err(|e| cannot(n, &e))
}

/// A pool of its own.
pub fn pool(n: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new().num_threads(n).build().map_err(|e| cannot(n, &e))
}

fn cannot(n: usize, e: &rayon::ThreadPoolBuildError) -> Error {
    Error::new(format!("cannot start {n} threads: {e}")).hint("ask for fewer with `--threads`")
}
