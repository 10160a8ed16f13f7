"""Makes the tables of docs/benchmarks.md from what run.py measured.

    python table.py results.json [docs/benchmarks.md]

With a file it writes what is between `<!-- peers:begin -->` and `<!-- peers:end -->` anew, else it prints.

Times are medians of all steps (or of all rounds, for what happens once a round), with the 10th and 90th percentile. A ratio is the median of
the rounds' ratios: in each round both have worked within the same minute. Its interval is the narrowest pair of rounds' ratios that holds
the true median with a probability of 95 % at least, whatever the distribution (sign test); it needs six rounds.
"""

import json
import math
import sys
from pathlib import Path
from statistics import median

from cases import ASKED, SHARES, START_MS

BEGIN, END = "<!-- peers:begin -->", "<!-- peers:end -->"
WHAT = {"step": "a token", "encode": "encode", "peak": "peak memory"}


def quantile(xs, q):
    """Linear between neighbours."""
    xs = sorted(xs)
    at = q * (len(xs) - 1)
    low = math.floor(at)
    return xs[low] + (at - low) * (xs[min(low + 1, len(xs) - 1)] - xs[low])


def interval(xs):
    """Order statistics that hold the median with 95 %, or None."""
    n, tail, rank = len(xs), 0.0, 0
    while rank < n and (tail := tail + math.comb(n, rank) / 2**n) <= 0.025:
        rank += 1
    return (sorted(xs)[rank - 1], sorted(xs)[n - rank]) if rank else None


def samples(peer, what):
    """All times in ns, or bytes."""
    if what == "step":
        return [ns for r in peer["replies"] for ns in r["step_ns"]]
    return [r["encode_ns" if what == "encode" else "peak_bytes"] for r in peer["replies"]]


def by_round(peer, what):
    return [median(samples({"replies": [r]}, what)) for r in peer["replies"] if what != "step" or r["step_ns"]]


def ratios(ours, theirs, what):
    """Of the rounds; a peer that was asked once stands against all rounds."""
    a, b = by_round(ours, what), by_round(theirs, what)
    if len(a) != len(b):
        a, b = [median(a)], [median(b)]
    return [x / y for x, y in zip(a, b)]


def ratio_text(xs):
    around = interval(xs)
    return f"{median(xs):.2f}" + (f" ({around[0]:.2f}–{around[1]:.2f})" if around else "")


def ms(ns):
    return f"{ns / 1e6:,.0f}" if ns >= 1e9 else f"{ns / 1e6:.3g}" if ns >= 1e8 else f"{ns / 1e6:.1f}"


def size(n):
    return f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"


def measured(case, name):
    return next((p for p in case["peers"] if p["name"] == name and p["replies"]), None)


def rows(lines):
    """A markdown table; the first line is the head."""
    line = lambda cells: f"| {' | '.join(cells)} |"
    return [line(lines[0]), "|---|" + "---:|" * (len(lines[0]) - 1), *map(line, lines[1:]), ""]


def case_table(case):
    shown = [w for w in case["shown"] if w != "peak"]
    lines = [["program", *(h for w in shown for h in (f"ms {WHAT[w]}", "p10–p90", "effattn of that type takes")), "peak memory"]]
    for peer in case["peers"]:
        if not peer["replies"]:
            continue
        ours, line = measured(case, f"effattn {'int8' if peer['dtype'] == 'q8_0' else peer['dtype']}"), [peer["name"]]
        for what in shown:
            xs = samples(peer, what)
            line += [ms(median(xs)), f"{ms(quantile(xs, 0.1))}–{ms(quantile(xs, 0.9))}" if len(xs) > 1 else "once"]
            line += ["" if not ours or peer["name"].startswith("effattn") else ratio_text(ratios(ours, peer, what)) + " of it"]
        lines.append([*line, size(max(r["peak_bytes"] for r in peer["replies"]))])
    missing = [f"{p['name']}: {p['error']}" for p in case["peers"] if p["error"]]
    return [f"### {case['title']}", "", *rows(lines), *([f"Not measured: {'; '.join(missing)}.", ""] if missing else [])]


def verdict(holds):
    return "yes" if holds else "**no**"


def asked_line(results, name, what, ours, theirs, limit):
    case = results["cases"].get(name)
    a = case and measured(case, ours)
    others = [p for n in theirs if case and (p := measured(case, n))]
    label = f"{case['title'].split(',')[0] if case else name}: {ours}, {WHAT[what]}"
    against = f"{'better of ' if len(theirs) > 1 else ''}{', '.join(theirs)}"
    if not a or not others:
        return [label, against, f"≤ {limit:.2f}", "not measured", ""]
    best = min(others, key=lambda p: median(samples(p, what)))
    xs = ratios(a, best, what)
    return [label, best["name"] if len(theirs) > 1 else against, f"≤ {limit:.2f}", ratio_text(xs), verdict(median(xs) <= limit)]


def share_line(results, name, ours, limit):
    case = results["cases"].get(name)
    a = case and measured(case, ours)
    label = f"{case['title'].split(',')[0] if case else name}: {ours}, steps"
    xs = [r["bandwidth_share"] for r in a["replies"] if r.get("bandwidth_share")] if a else []
    if not xs:
        return [label, "the machine's read bandwidth", f"≥ {limit:.2f}", "not measured", ""]
    return [label, "the machine's read bandwidth", f"≥ {limit:.2f}", ratio_text(xs), verdict(median(xs) >= limit)]


def asked(results):
    lines = [["asked of", "against", "asked", "measured", "holds"]]
    lines += [asked_line(results, *a) for a in ASKED] + [share_line(results, *s) for s in SHARES]
    if "start" in results:
        ns = median(results["start"]["times"]["effattn"])
        lines.append(["start to first token", "", f"≤ {START_MS} ms", f"{ms(ns)} ms", verdict(ns <= START_MS * 1e6)])
    return ["### What was asked for", "", *rows(lines)]


def start_table(found):
    lines = [["program", "ms to the first token", "p10–p90", "effattn takes"]]
    for name, xs in found["times"].items():
        of = "" if name == "effattn" else ratio_text([a / b for a, b in zip(found["times"]["effattn"], xs)]) + " of it"
        lines.append([name, ms(median(xs)), f"{ms(quantile(xs, 0.1))}–{ms(quantile(xs, 0.9))}", of])
    return [f"### Start of a process to the first token, 9.3M parameters, {found['words']} words", "", *rows(lines)]


def versions(results):
    found = {}
    for case in results["cases"].values():
        for peer in case["peers"]:
            about = peer["about"] or {}
            name = about.get("peer")
            if name == "PyTorch":
                libraries = [about["isa"], *(title for title, key in [("MKL", "mkl"), ("oneDNN", "onednn")] if about[key])]
                found[name] = f"PyTorch {about['version']} with transformers {about['transformers']} ({', '.join(libraries)})"
            elif name == "effattn":
                if peer["replies"] or name not in found:
                    found[name] = " ".join([name, about["version"], *(f"({r['isa']})" for r in peer["replies"][:1])])
            elif name == "llama.cpp":
                found[name] = f"llama.cpp of llama-cpp-python {about['version']}"
            elif name:
                found[name] = f"{name} {about['version']}"
    return "; ".join(found.values())


def conditions(results):
    m = results["machine"]
    cache = ", ".join(f"{k} {v}" for k, v in m["caches"].items())
    others = [r["others"] for c in results["cases"].values() for p in c["peers"] for r in p["replies"]]
    return [
        f"{m['date'][:10]}, {m['cpu']}, {m['cores']} cores, {cache}, {m['memory_bytes'] / 2**30:.0f} GiB, Linux {m['kernel']}; {' '.join(m['isa'])}.",
        f"{versions(results)}. {results['threads']} threads, batch 1, {results['rounds']} rounds.",
        *([f"Other processes took {100 * median(others):.0f} % of the machine in the median request, {100 * max(others):.0f} % at most."] if others else []),
        "",
    ]


def render(results):
    lines = conditions(results) + asked(results)
    for case in results["cases"].values():
        lines += case_table(case)
    return "\n".join(lines + (start_table(results["start"]) if "start" in results else [])).rstrip() + "\n"


def main(source, page=None):
    text = render(json.loads(Path(source).read_text()))
    if not page:
        return print(text, end="")
    before, rest = Path(page).read_text().split(BEGIN)
    Path(page).write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
