"""What the machine is, and what others do on it meanwhile."""

import datetime
import os
import platform
import re
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
EXTENSIONS = r"avx\S*|fma|f16c|amx\S*|asimd\S*|sve\S*|bf16|i8mm"


def read(path):
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def caches():
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (read(index / key) for key in ("level", "type", "size"))
        found[f"L{level}{'' if kind == 'Unified' else kind[0].lower()}"] = size
    return found


def describe():
    info = read("/proc/cpuinfo")
    field = lambda key: (re.search(rf"^{key}\s*: (.*)$", info, re.M) or [None, ""])[1]
    flags = (field("flags") or field("Features")).split()
    memory = int(re.search(r"MemTotal:\s*(\d+)", read("/proc/meminfo"))[1]) * 1024
    cpu = " ".join(filter(None, [field("model name") or platform.machine(), f"family {field('cpu family')} model {field('model')}"]))
    return dict(cpu=cpu, cores=os.cpu_count(), caches=caches(), isa=[f for f in flags if re.fullmatch(EXTENSIONS, f)], memory_bytes=memory,
                kernel=platform.release(), python=platform.python_version(), date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))


def busy():
    """Seconds that all cores together have worked since the machine started; a core that a hypervisor took away counts too."""
    t = [int(x) for x in read("/proc/stat").split("\n", 1)[0].split()[1:]]
    return (sum(t[:8]) - t[3] - t[4]) / TICK


def own(pid):
    """Seconds of a process and of its children that have ended."""
    stat = read(f"/proc/{pid}/stat").rsplit(")", 1)
    return sum(int(x) for x in stat[1].split()[11:15]) / TICK if len(stat) == 2 else 0.0


def peak(pid):
    """High-water mark of a process's resident memory."""
    found = re.search(r"VmHWM:\s*(\d+)", read(f"/proc/{pid}/status"))
    return int(found[1]) * 1024 if found else None
