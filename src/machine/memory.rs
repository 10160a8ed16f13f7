//! How much memory is left, and how much this process takes.

use super::{cgroup, field, file};
use std::io::Write;
use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};

/// Bytes that this process may still take without swapping; none where it cannot be told.
///
/// The least of what the system calls available, of what control groups (a container's limit) leave, and of what is left of a limit on
/// address space (`ulimit -v`).
pub fn available() -> Option<usize> {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let free = usize::try_from(system.available_memory()).ok().filter(|b| *b > 0)?;
    Some([cgroup::left(), unaddressed()].into_iter().flatten().fold(free, usize::min))
}

/// Bytes left of the limit on this process's address space, if there is one.
#[cfg(target_os = "linux")]
fn unaddressed() -> Option<usize> {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the call fills the struct, or leaves it as it is
    unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    let most = usize::try_from(limit.rlim_cur).ok().filter(|_| limit.rlim_cur != libc::RLIM_INFINITY)?;
    Some(most.saturating_sub(status("VmSize")?))
}

#[cfg(not(target_os = "linux"))]
fn unaddressed() -> Option<usize> {
    None
}

/// Something that tells how much memory a process takes.
pub trait Gauge {
    /// Bytes resident now; none where it cannot be told.
    fn resident(&self) -> Option<usize>;
    /// Sets the high-water mark back to what is resident now; whether that worked.
    fn reset_peak(&self) -> bool;
    /// Most bytes resident since the mark was set back, or since the process began; none where it cannot be told.
    fn peak(&self) -> Option<usize>;
}

/// This process.
///
/// Linux counts pages on each core and adds up late: what [`Gauge::peak`] tells may be some hundred KiB too low, on machines of
/// many cores some MiB. Elsewhere the mark cannot be set back, and on Windows there is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Process;

impl Gauge for Process {
    fn resident(&self) -> Option<usize> {
        if cfg!(target_os = "linux") { status("VmRSS") } else { listed() }
    }

    fn reset_peak(&self) -> bool {
        // not `fs::write`, which would make a file of that name where there is none
        let mark = std::fs::OpenOptions::new().write(true).open("/proc/self/clear_refs");
        cfg!(target_os = "linux") && mark.is_ok_and(|mut f| f.write_all(b"5").is_ok())
    }

    fn peak(&self) -> Option<usize> {
        if cfg!(target_os = "linux") { status("VmHWM") } else { most() }
    }
}

/// A field of `/proc/self/status` in bytes.
fn status(name: &str) -> Option<usize> {
    kibibytes(field(&file("/proc/self/status")?, name)?)
}

/// `1234 kB` in bytes: the kernel's kB are 1024 bytes.
fn kibibytes(text: &str) -> Option<usize> {
    text.strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// Bytes resident as other systems list them.
fn listed() -> Option<usize> {
    let own = sysinfo::get_current_pid().ok()?;
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, ProcessRefreshKind::nothing().with_memory());
    usize::try_from(system.process(own)?.memory()).ok()
}

/// Most bytes resident since the process began.
#[cfg(unix)]
fn most() -> Option<usize> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the call fills the whole struct where it returns zero, and it is read only then
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) != 0 {
            return None;
        }
        usage.assume_init()
    };
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    usize::try_from(usage.ru_maxrss).ok()?.checked_mul(unit)
}

#[cfg(not(unix))]
fn most() -> Option<usize> {
    None
}

/// Asks the allocator to hand freed memory back to the system, so that one case's peak does not contain what an earlier one left.
///
/// Only glibc can be asked. Without [`keep_pages`] it keeps the upper end, up to 64 MiB, of each heap that threads other than the main one have.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call takes no pointer and locks what it touches
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Asks the allocator to keep what is freed until [`give_back`]: to be called once, before there are threads.
///
/// Else glibc maps every large buffer anew, and Linux clears its pages each time: an encoder of a long document, whose layers ask for
/// the same buffers one after the other, spends a tenth of its time on that. One heap for all threads, so that what one of them frees another takes. Only glibc can be asked.
pub fn keep_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call takes no pointer; settings it does not know it leaves
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}

/// A gauge for tests: fixed answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scripted {
    /// The answer to [`Gauge::resident`].
    pub resident: Option<usize>,
    /// The answer to [`Gauge::reset_peak`].
    pub resets: bool,
    /// The answer to [`Gauge::peak`].
    pub peak: Option<usize>,
}

impl Gauge for Scripted {
    fn resident(&self) -> Option<usize> {
        self.resident
    }

    fn reset_peak(&self) -> bool {
        self.resets
    }

    fn peak(&self) -> Option<usize> {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_less_than_what_there_is() {
        let total = crate::machine::Machine::read().memory;
        if cfg!(target_os = "linux") {
            assert!(available().unwrap() > 0 && available() < total, "{:?} {total:?}", available());
        }
    }

    #[test]
    fn sizes_as_proc_writes_them() {
        assert_eq!(kibibytes("    1640 kB"), Some(1640 << 10));
        for text in ["", "kB", "12", "12 MB", "-1 kB", "x kB", "18446744073709551615 kB"] {
            assert_eq!(kibibytes(text), None, "{text}");
        }
    }

    #[test]
    fn ways_to_ask_agree() {
        // other tests take and free memory meanwhile
        let near = |a: usize, b: usize| a / 4 < b && b / 4 < a;
        if cfg!(target_os = "linux") {
            assert!(near(status("VmRSS").unwrap(), listed().unwrap()));
            assert!(most().unwrap() >= listed().unwrap() / 2);
        }
        assert_eq!(status("NoSuchField"), None);
    }

    #[test]
    fn a_script_answers_what_it_was_told() {
        let gauge: &dyn Gauge = &Scripted { resident: Some(3), resets: true, peak: Some(7) };
        assert_eq!((gauge.resident(), gauge.reset_peak(), gauge.peak()), (Some(3), true, Some(7)));
        let gauge = Scripted::default();
        assert_eq!((gauge.resident(), gauge.reset_peak(), gauge.peak()), (None, false, None));
    }
}
