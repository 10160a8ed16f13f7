//! How much last-level cache the processor has.

use super::{Read, cpu_list, file};

/// Bytes of last-level cache of all cores together (on many servers each group of cores has its own); Linux only.
pub fn last_level() -> Option<usize> {
    found(&file)
}

fn found(read: Read) -> Option<usize> {
    let cpus = read("/sys/devices/system/cpu/present").map_or_else(|| vec![0], |list| cpu_list(&list));
    largest(cpus.into_iter().flat_map(|cpu| (0..).map_while(move |i| Cache::listed(read, cpu, i)).flatten()))
}

/// A cache as the system lists it for each core that uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cache {
    level: u32,
    bytes: usize,
    /// The cores that share it, which tell it from others of its level.
    shared: String,
}

impl Cache {
    /// Entry `i` of a core: none behind the last, an inner none for what keeps no data or cannot be read.
    fn listed(read: Read, cpu: usize, i: usize) -> Option<Option<Cache>> {
        let field = |name| read(&format!("/sys/devices/system/cpu/cpu{cpu}/cache/index{i}/{name}"));
        let level = field("level")?;
        let shared = field("shared_cpu_list").unwrap_or_default().trim().to_owned();
        Some(Cache::parse(&level, &field("type").unwrap_or_default(), &field("size").unwrap_or_default(), shared))
    }

    fn parse(level: &str, kind: &str, size: &str, shared: String) -> Option<Cache> {
        let data = matches!(kind.trim(), "Data" | "Unified");
        Some(Cache { level: level.trim().parse().ok().filter(|_| data)?, bytes: bytes(size)?, shared })
    }
}

/// The bytes of all caches of the highest level, each once.
fn largest(caches: impl Iterator<Item = Cache>) -> Option<usize> {
    let mut last: Vec<Cache> = Vec::new();
    for cache in caches {
        let level = last.first().map_or(0, |c| c.level);
        if cache.level > level {
            last.clear();
        }
        if cache.level >= level && last.iter().all(|c| c.shared != cache.shared) {
            last.push(cache);
        }
    }
    last.iter().map(|c| c.bytes).reduce(usize::saturating_add)
}

/// `32768K` or `32M` in bytes; none for zero and what is no size.
fn bytes(size: &str) -> Option<usize> {
    let size = size.trim();
    let digits = size.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: usize = match &size[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit).filter(|b| *b > 0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Files;
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn sizes_as_the_kernel_writes_them() {
        for (text, want) in [("32768K\n", 32 * MIB), ("32M", 32 * MIB), ("512", 512), (" 1G ", 1024 * MIB)] {
            assert_eq!(bytes(text), Some(want), "{text}");
        }
        for text in ["", "K", "0K", "-1K", "12Q", "1.5M", "99999999999999999999K", "18446744073709551615G", "3 2K", "K12"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    /// Two groups of two cores with 32 MiB each.
    fn server() -> Files {
        let mut files = Files::new([("/sys/devices/system/cpu/present", "0-3\n")]);
        for (cpu, group) in [(0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3")] {
            let own = cpu.to_string();
            let caches = [
                ("1", "Data", "32K", own.as_str()),
                ("1", "Instruction", "64K", &own),
                ("2", "Unified", "512K", &own),
                ("3", "Unified", "32768K", group),
            ];
            for (i, (level, kind, size, shared)) in caches.into_iter().enumerate() {
                for (name, text) in [("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)] {
                    files.put(format!("/sys/devices/system/cpu/cpu{cpu}/cache/index{i}/{name}"), format!("{text}\n"));
                }
            }
        }
        files
    }

    #[test]
    fn each_cache_of_the_last_level_counts_once() {
        assert_eq!(found(&|p| server().get(p)), Some(64 * MIB));
    }

    #[test]
    fn cores_that_are_off_and_lists_that_lack_do_not_matter() {
        let mut files = server();
        files.put("/sys/devices/system/cpu/present", "0-7\n");
        files.drop("/sys/devices/system/cpu/cpu2");
        assert_eq!(found(&|p| files.get(p)), Some(64 * MIB));
        files.drop("/sys/devices/system/cpu/present");
        assert_eq!(found(&|p| files.get(p)), Some(32 * MIB));
        files.drop("/sys/devices/system/cpu/cpu0/cache/index3");
        assert_eq!(found(&|p| files.get(p)), Some(MIB / 2));
    }

    #[test]
    fn an_instruction_cache_is_none_and_so_is_nonsense() {
        let of = |level, kind, size| Cache::parse(level, kind, size, String::new());
        assert!(of("3", "Unified", "8M").is_some() && of("1", "Data", "32K").is_some());
        assert_eq!(of("4", "Instruction", "8M"), None);
        assert_eq!(of("x", "Unified", "8M"), None);
        assert_eq!(of("3", "Unified", ""), None);
        assert_eq!(largest([].into_iter()), None);
        assert_eq!(found(&|_| None), None);
    }
}
