//! What the program runs on, as far as a measurement depends on it.
//!
//! Nothing here tells whose machine it is: no host name, no user name, no path.
//!
//! - [`memory`]: what is left, what this process takes
//! - [`cache`], [`cgroup`]: what [`Machine`] and [`memory`] read from the system's files

pub mod cache;
pub mod cgroup;
pub mod memory;

use std::collections::HashSet;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// The machine, as results name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The processor by its maker's name, `unknown` where the system does not tell.
    pub cpu: String,
    /// Cores that this process may use, see [`physical_cores`].
    pub physical_cores: usize,
    /// Hardware threads that this process may use.
    pub logical_cores: usize,
    /// Bytes of last-level cache, all cores together; Linux only.
    pub last_level_cache: Option<usize>,
    /// Bytes of memory of the whole machine, whatever this process may take of them.
    pub memory: Option<usize>,
    /// The system and its version, `Linux 6.12`.
    pub os: String,
    /// The instruction set that the program was built for, `x86_64`.
    pub arch: String,
}

impl Machine {
    /// Asks the system; what it does not tell is left open.
    pub fn read() -> Self {
        let wanted = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()).with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(wanted);
        Self {
            cpu: brand(system.cpus().first().map_or("", |c| c.brand())),
            physical_cores: physical_cores(),
            logical_cores: logical_cores(),
            last_level_cache: cache::last_level(),
            memory: usize::try_from(system.total_memory()).ok().filter(|m| *m > 0),
            os: os(),
            arch: std::env::consts::ARCH.to_owned(),
        }
    }
}

/// Physical cores that this process may use: the second thread of a core brings nothing to arithmetic.
pub fn physical_cores() -> usize {
    let cores = if cfg!(target_os = "linux") { cores(&file) } else { System::physical_core_count() };
    cores.unwrap_or(usize::MAX).clamp(1, logical_cores())
}

/// Hardware threads that this process may use, quotas regarded.
fn logical_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Looks into a file of the system; none where there is no such file.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

fn file(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// How many cores the hardware threads belong to that the calling thread may run on; none where Linux does not tell.
fn cores(read: Read) -> Option<usize> {
    let allowed = cpu_list(field(&read("/proc/thread-self/status")?, "Cpus_allowed_list")?);
    let siblings = |cpu| read(&format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"));
    let cores: HashSet<String> = allowed.into_iter().filter_map(siblings).collect();
    (!cores.is_empty()).then_some(cores.len())
}

/// The rest of the line `name:` of a file of `/proc`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// `0-3,8` as the kernel lists processors; what is no number is left out.
fn cpu_list(list: &str) -> Vec<usize> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

/// The system and its version without what whoever built it has added.
fn os() -> String {
    let known = if cfg!(target_os = "linux") {
        System::kernel_version().map(|v| format!("Linux {}", main_version(&v)))
    } else {
        System::long_os_version()
    };
    known.unwrap_or_else(|| std::env::consts::OS.to_owned())
}

/// `6.12.9-custom` → `6.12`.
fn main_version(version: &str) -> String {
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = version.split(|c: char| !c.is_ascii_alphanumeric()).take(2).take_while(digits).collect();
    parts.join(".")
}

/// One line with single spaces, or `unknown`.
fn brand(name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().collect();
    if words.is_empty() { "unknown".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod testing {
    use std::collections::BTreeMap;

    /// Stored files in place of the system's.
    #[derive(Debug, Clone, Default)]
    pub struct Files(BTreeMap<String, String>);

    impl Files {
        pub fn new<const N: usize>(files: [(&str, &str); N]) -> Self {
            Files(files.map(|(path, text)| (path.to_owned(), text.to_owned())).into())
        }

        pub fn get(&self, path: &str) -> Option<String> {
            self.0.get(path).cloned()
        }

        pub fn put(&mut self, path: impl Into<String>, text: impl Into<String>) {
            self.0.insert(path.into(), text.into());
        }

        /// Takes away all files whose path begins so.
        pub fn drop(&mut self, prefix: &str) {
            self.0.retain(|path, _| !path.starts_with(prefix));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Files;
    use super::*;

    #[test]
    fn this_machine_makes_sense_and_stays_anonymous() {
        let m = Machine::read();
        assert!(m.physical_cores >= 1 && m.physical_cores <= m.logical_cores, "{m:?}");
        assert!(!m.cpu.is_empty() && !m.os.is_empty() && !m.arch.is_empty(), "{m:?}");
        if cfg!(target_os = "linux") {
            assert!(m.memory.unwrap() > 1 << 24, "{m:?}");
            assert!(m.os.strip_prefix("Linux ").unwrap().bytes().all(|b| b.is_ascii_digit() || b == b'.'), "{m:?}");
        }
        let cpuinfo = file("/proc/cpuinfo").filter(|_| cfg!(target_arch = "x86_64"));
        if let Some(named) = cpuinfo.as_deref().and_then(|t| t.lines().find_map(|l| l.strip_prefix("model name\t: "))) {
            assert_eq!(m.cpu, brand(named));
        }
        if let Some(host) = System::host_name().filter(|h| h.len() > 3) {
            assert!(!format!("{m:?}").contains(&host));
        }
    }

    #[test]
    fn lists_of_processors() {
        assert_eq!(cpu_list("0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(cpu_list("5"), [5]);
        for text in ["", "\n", "x", "3-", "-3", "4-2"] {
            assert_eq!(cpu_list(text), [0usize; 0], "{text}");
        }
    }

    /// Two cores of two threads each; the second numbering is that of most servers.
    fn smt(allowed: &str) -> Files {
        let mut files = Files::default();
        let status = format!("Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t{allowed}\nVmRSS:\t   12 kB\n");
        files.put("/proc/thread-self/status", status);
        for (cpu, siblings) in [(0, "0,2\n"), (1, "1,3\n"), (2, "0,2\n"), (3, "1,3\n")] {
            files.put(format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"), siblings);
        }
        files
    }

    #[test]
    fn a_core_counts_once_and_only_where_one_may_run() {
        for (allowed, want) in [("0-3", 2), ("0,2", 1), ("0-1", 2), ("3", 1), ("0-7", 2)] {
            assert_eq!(cores(&|p| smt(allowed).get(p)), Some(want), "{allowed}");
        }
        let mut files = smt("0-3");
        files.drop("/sys");
        assert_eq!(cores(&|p| files.get(p)), None);
        assert_eq!(cores(&|_| None), None);
    }

    #[test]
    fn versions_and_names_are_cut_to_what_matters() {
        for (version, want) in [("6.18.44-someone", "6.18"), ("5.15", "5.15"), ("6.1-rc2", "6.1"), ("7", "7"), ("6.x9.1", "6"), ("", "")] {
            assert_eq!(main_version(version), want);
        }
        assert_eq!(brand("Intel(R) Xeon(R)   CPU @ 2.20GHz  \n"), "Intel(R) Xeon(R) CPU @ 2.20GHz");
        assert_eq!(brand(" "), "unknown");
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "VmRSSX:\t1 kB\nVmRSS:\t  2 kB\n";
        assert_eq!(field(text, "VmRSS"), Some("2 kB"));
        assert_eq!(field(text, "Vm"), None);
    }
}
