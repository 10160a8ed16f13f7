//! What control groups leave of the memory (Linux): a container's limit is one of them.
//!
//! A limit may sit on the group of the process or on any group above it, in version 1 or 2 of the interface, mounted anywhere.

use super::{Read, file};

/// Bytes that this process's control groups still allow; none where nothing limits it.
pub fn left() -> Option<usize> {
    left_by(&file)
}

fn left_by(read: Read) -> Option<usize> {
    let groups = read("/proc/self/cgroup")?;
    let mounts: Vec<Mount> = read("/proc/self/mountinfo")?.lines().filter_map(Mount::parse).collect();
    groups
        .lines()
        .filter_map(|line| Group::parse(line, &mounts))
        .flat_map(|g| g.path_upwards().filter_map(move |dir| g.version.left(read, &dir)).min())
        .min()
}

/// The two interfaces, which name their files differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    /// What the group in `dir` allows besides what it has taken. Of the cached files that it holds, those that nobody has used
    /// lately go as soon as memory is needed.
    fn left(self, read: Read, dir: &str) -> Option<usize> {
        let number = |name: &str| read(&format!("{dir}/{name}"))?.trim().parse::<usize>().ok();
        // `memory.high` does not kill but slows down and swaps out
        let (limits, usage, cached): (&[&str], _, _) = match self {
            Version::One => (&["memory.limit_in_bytes"], "memory.usage_in_bytes", "total_inactive_file"),
            Version::Two => (&["memory.max", "memory.high"], "memory.current", "inactive_file"),
        };
        let limit = limits.iter().filter_map(|name| number(name)).min()?;
        let stat = read(&format!("{dir}/memory.stat")).unwrap_or_default();
        let reclaimable = stat.lines().find_map(|line| line.strip_prefix(cached)?.trim().parse().ok()).unwrap_or(0);
        Some(limit.saturating_sub(number(usage)?.saturating_sub(reclaimable)))
    }
}

/// A mounted hierarchy of control groups that knows about memory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    version: Version,
    /// The group that is visible at `point`: `/`, or a container's.
    root: String,
    point: String,
}

impl Mount {
    /// A line of `/proc/self/mountinfo`: `id parent device root point options [tags] - type source options`.
    fn parse(line: &str) -> Option<Mount> {
        let (place, kind) = line.split_once(" - ")?;
        let (kind, options) = kind.split_once(' ')?;
        let version = match kind {
            "cgroup2" => Version::Two,
            "cgroup" if options.rsplit(' ').next()?.split(',').any(|o| o == "memory") => Version::One,
            _ => return None,
        };
        let mut place = place.split(' ').skip(3).map(str::to_owned);
        Some(Mount { version, root: place.next()?, point: place.next()? })
    }
}

/// The process's group in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    version: Version,
    /// Where its hierarchy is mounted.
    point: String,
    /// Its place below that, without a slash at either end.
    path: String,
}

impl Group {
    /// A line of `/proc/self/cgroup`, `number:controllers:path` (version 2 names no controllers), if its hierarchy is mounted.
    fn parse(line: &str, mounts: &[Mount]) -> Option<Group> {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let version = if controllers.is_empty() { Version::Two } else { Version::One };
        if version == Version::One && controllers.split(',').all(|c| c != "memory") {
            return None;
        }
        let mount = mounts.iter().find(|m| m.version == version)?;
        // in a container the path may be the host's, of which only the part below the mounted group can be seen
        let below =
            if mount.root == "/" { Some(path) } else { path.strip_prefix(&mount.root).filter(|p| p.is_empty() || p.starts_with('/')) };
        let below = below.filter(|p| !p.split('/').any(|part| part == "..")).unwrap_or("");
        Some(Group { version, point: mount.point.clone(), path: below.trim_matches('/').to_owned() })
    }

    /// Its directory and those of all groups above it that can be seen.
    fn path_upwards(&self) -> impl Iterator<Item = String> {
        let own = if self.path.is_empty() { self.point.clone() } else { format!("{}/{}", self.point, self.path) };
        let top = self.point.len();
        std::iter::successors(Some(own), move |dir| dir.rfind('/').filter(|at| *at >= top).map(|at| dir[..at].to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Files;
    use super::*;

    const TWO: &str =
        "24 23 0:22 / /sys rw,nosuid - sysfs sysfs rw\n31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const ONE: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:10 - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:11 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    fn files<const N: usize>(groups: &str, mounts: &str, limits: [(&str, &str); N]) -> Files {
        let mut files = Files::new(limits);
        files.put("/proc/self/cgroup", groups);
        files.put("/proc/self/mountinfo", mounts);
        files
    }

    fn left_of(files: &Files) -> Option<usize> {
        left_by(&|path| files.get(path))
    }

    #[test]
    fn version_two_takes_the_tightest_group_above() {
        let mut f = files(
            "0::/user.slice/app.scope\n",
            TWO,
            [
                ("/sys/fs/cgroup/user.slice/app.scope/memory.max", "max\n"),
                ("/sys/fs/cgroup/user.slice/app.scope/memory.high", "max\n"),
                ("/sys/fs/cgroup/user.slice/app.scope/memory.current", "100\n"),
                ("/sys/fs/cgroup/user.slice/memory.max", "1000\n"),
                ("/sys/fs/cgroup/user.slice/memory.high", "max\n"),
                ("/sys/fs/cgroup/user.slice/memory.current", "700\n"),
                ("/sys/fs/cgroup/user.slice/memory.stat", "anon 500\nfile 200\nactive_file 50\ninactive_file 150\nslab 3\n"),
            ],
        );
        assert_eq!(left_of(&f), Some(450));
        f.put("/sys/fs/cgroup/user.slice/memory.high", "900\n");
        assert_eq!(left_of(&f), Some(350));
        f.put("/sys/fs/cgroup/user.slice/app.scope/memory.max", "400\n");
        assert_eq!(left_of(&f), Some(300));
        f.put("/sys/fs/cgroup/user.slice/app.scope/memory.current", "500\n");
        assert_eq!(left_of(&f), Some(0));
        // the group at the mount point itself, as in a container
        f = files("0::/a/b\n", TWO, [("/sys/fs/cgroup/memory.max", "70\n"), ("/sys/fs/cgroup/memory.current", "50\n")]);
        assert_eq!(left_of(&f), Some(20));
    }

    #[test]
    fn version_one_reads_its_own_files_where_both_are_mounted() {
        let f = files(
            "9:name=systemd:/\n4:memory:/box/7\n1:cpu:/box\n0::/\n",
            ONE,
            [
                ("/sys/fs/cgroup/memory/box/7/memory.limit_in_bytes", "9223372036854771712\n"),
                ("/sys/fs/cgroup/memory/box/7/memory.usage_in_bytes", "100\n"),
                ("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "2000\n"),
                ("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "900\n"),
                ("/sys/fs/cgroup/memory/box/memory.stat", "inactive_file 7\ntotal_inactive_file 100\n"),
                ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "5000\n"),
            ],
        );
        assert_eq!(left_of(&f), Some(1200));
        let mut other = f.clone();
        // another controller's group says nothing about memory, wherever it is
        other.put("/proc/self/cgroup", "1:cpu:/box\n4:memory:/7\n");
        assert_eq!(left_of(&other), Some(9_223_372_036_854_771_712 - 5000));
        let mut turned: Vec<&str> = ONE.lines().collect();
        turned.reverse();
        other = f;
        other.put("/proc/self/mountinfo", turned.join("\n"));
        assert_eq!(left_of(&other), Some(1200));
    }

    #[test]
    fn a_container_sees_only_its_own_part() {
        let limits = [("/sys/fs/cgroup/memory/memory.limit_in_bytes", "500"), ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "200")];
        let mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        for path in ["/docker/abc", "/docker/abc/", "/", "/../other", "/docker/abcdef"] {
            assert_eq!(left_of(&files(&format!("4:memory:{path}\n"), mounts, limits)), Some(300), "{path}");
        }
        let mut f = files("4:cpu,memory:/docker/abc/inner\n", mounts, limits);
        f.put("/sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "150");
        f.put("/sys/fs/cgroup/memory/inner/memory.usage_in_bytes", "50");
        assert_eq!(left_of(&f), Some(100));
        // groups whose names only look like part of this one
        f = files("4:memory:/docker/abcdef\n", mounts, limits);
        f.put("/sys/fs/cgroup/memory/def/memory.limit_in_bytes", "10");
        f.put("/sys/fs/cgroup/memory/def/memory.usage_in_bytes", "5");
        assert_eq!(left_of(&f), Some(300));
        f = files("4:memory:/../def\n", ONE, limits);
        f.put("/sys/fs/cgroup/memory/../def/memory.limit_in_bytes", "10");
        f.put("/sys/fs/cgroup/memory/../def/memory.usage_in_bytes", "5");
        assert_eq!(left_of(&f), Some(300));
    }

    #[test]
    fn no_limit_is_none() {
        let current = ("/sys/fs/cgroup/memory.current", "5");
        assert_eq!(left_of(&files("0::/\n", TWO, [current])), None);
        assert_eq!(left_of(&files("0::/\n", TWO, [current, ("/sys/fs/cgroup/memory.max", "max\n")])), None);
        assert_eq!(left_of(&files("0::/\n", TWO, [("/sys/fs/cgroup/memory.max", "12\n")])), None);
        assert_eq!(left_of(&files("0::/\n", "", [current, ("/sys/fs/cgroup/memory.max", "12\n")])), None);
        assert_eq!(left_of(&files("nonsense\n1:cpu\n\n", "nor is this - one\n", [])), None);
        assert_eq!(left_of(&Files::default()), None);
    }
}
