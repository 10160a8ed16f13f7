"""Times the program and its peers side by side, in one go.

    python run.py CHECKPOINTS --effattn PROGRAM [-o results.json] [--cases gpt2,bart-large,beams,led-large,start] [--rounds 9]

CHECKPOINTS is the folder that checkpoints.py filled. For each case all peers are started and load their models; each works once to warm up; then
it goes round, one request to each, as often as `--rounds` says, each round beginning with the next peer. Only one of them works at a time, on
two threads: before a request the machine has to be idle (`--settle` seconds are waited for that at most), and a request during which others
took more than `--others` of the machine is repeated, twice at most. A peer that needs more than a minute for the warm-up is asked no more
(compiling does not count); that one request is its result. One that has not answered in `--limit` seconds is given up.

Every time goes into the output, after each case. `table.py` makes a table of it.
"""

import argparse
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import cases
import machine
import start
from peer import THREADS

SLOW = 60


class Child:
    """A peer's process."""

    def __init__(self, peer, limit):
        self.peer, self.limit, self.replies, self.error = peer, limit, [], None
        words = [sys.executable, str(cases.HERE / peer.words[0]), *peer.words[1:]]
        env = os.environ | {"OMP_NUM_THREADS": str(THREADS), "MKL_NUM_THREADS": str(THREADS)}
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
        self.about = self.reply()

    def reply(self):
        """The next line, or None and `error`."""
        if not select.select([self.process.stdout], [], [], self.limit)[0]:
            self.error = f"no answer in {self.limit} s"
            self.end()
            return None
        line = self.process.stdout.readline()
        record = json.loads(line) if line else {"error": "the process ended"}
        self.error = record.get("error")
        return None if self.error else record

    def ask(self, request):
        self.process.stdin.write((json.dumps(request | self.peer.request) + "\n").encode())
        self.process.stdin.flush()
        begun, used, mine = time.monotonic(), machine.busy(), machine.own(self.process.pid)
        record = self.reply()
        if record is None:
            return None
        wall = time.monotonic() - begun
        others = machine.busy() - used - (machine.own(self.process.pid) - mine)
        return record | {"wall_s": round(wall, 3), "others": round(max(others, 0) / wall / os.cpu_count(), 4)}

    def end(self):
        if self.process.poll() is None:
            if not self.error:
                self.process.stdin.close()
                try:
                    return self.process.wait(10)
                except subprocess.TimeoutExpired:
                    pass
            self.process.kill()
        self.process.wait()


def settle(seconds):
    """Waits until nothing runs, so long at most."""
    end = time.monotonic() + seconds
    while True:
        used = machine.busy()
        time.sleep(0.4)
        if machine.busy() - used < 0.4 * os.cpu_count() * 0.05 or time.monotonic() > end:
            return


def measure(child, request, args):
    """A reply during which nobody else worked, or the quietest of three."""
    tried = []
    for _ in range(3):
        settle(args.settle)
        reply = child.ask(request)
        if reply is None:
            return None
        tried.append(reply)
        if reply["others"] <= args.others:
            break
    return min(tried, key=lambda r: r["others"])


def tell(child, reply):
    steps = sorted(reply["step_ns"])
    ms = f"{steps[len(steps) // 2] / 1e6:.2f} ms a step, " if steps else ""
    print(f"  {child.peer.name:24} {ms}encode {reply['encode_ns'] / 1e6:.0f} ms, others {100 * reply['others']:.0f} %", file=sys.stderr, flush=True)


def one_by_one(case, args):
    """A case that takes minutes: each peer alone, once."""
    children = []
    for peer in case.peers:
        child = Child(peer, args.limit)
        children.append(child)
        reply = None if child.error else measure(child, case.request, argparse.Namespace(settle=args.settle, others=1))
        if reply:
            child.replies.append(reply)
            tell(child, reply)
        child.end()
    return children


def side_by_side(case, args):
    children = [Child(peer, args.limit) for peer in case.peers]
    going = []
    for child in children:
        compiled = child.peer.note == "compiled"
        for _ in range(2 if compiled else 1):  # the second request compiles once more
            reply = None if child.error else child.ask(case.request)
        if reply and reply["wall_s"] > SLOW and not compiled:
            child.replies.append(reply | {"warm": False})
            tell(child, reply)
        elif reply:
            going.append(child)
    for i in range(args.rounds):
        print(f" round {i + 1} of {args.rounds}", file=sys.stderr)
        for child in going[i % len(going):] + going[:i % len(going)] if going else []:
            reply = None if child.error else measure(child, case.request, args)
            if reply:
                child.replies.append(reply | {"round": i})
                tell(child, reply)
    for child in children:
        child.end()
    return children


def record(child):
    p = child.peer
    if child.error:
        print(f"  {p.name}: {child.error}", file=sys.stderr, flush=True)
    return dict(name=p.name, program=p.program, dtype=p.dtype, note=p.note, about=child.about, error=child.error, replies=child.replies)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path)
    parser.add_argument("--effattn", required=True, help="the program")
    parser.add_argument("-o", "--output", type=Path, default=Path("results.json"))
    parser.add_argument("--cases", default="gpt2,bart-large,beams,led-large,start")
    parser.add_argument("--peers", default="", help="only peers whose names begin with one of these, separated by commas")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=32, help="tokens that are written a round")
    parser.add_argument("--settle", type=float, default=20, help="seconds to wait at most until the machine is idle")
    parser.add_argument("--others", type=float, default=0.03, help="share of the machine that others may take during a request")
    parser.add_argument("--limit", type=float, default=1200, help="seconds that an answer may take")
    parser.add_argument("--shipped", type=Path, default=cases.HERE.parent.parent / "models" / "led-small", help="the model in the program")
    args = parser.parse_args()
    table = cases.cases(args.checkpoints, str(Path(args.effattn).resolve()), args.tokens)
    results = dict(machine=machine.describe(), threads=THREADS, rounds=args.rounds, cases={})
    for name in args.cases.split(","):
        print(name, file=sys.stderr, flush=True)
        if name == "start":
            results["start"] = start.compare(args.effattn, args.shipped, args.checkpoints, args.rounds, lambda: settle(args.settle))
        else:
            case = table[name]
            case.peers = [p for p in case.peers if p.name.startswith(tuple(args.peers.split(",")))]
            children = (one_by_one if case.once else side_by_side)(case, args)
            results["cases"][name] = dict(title=case.title, request=case.request, shown=case.shown, peers=[record(c) for c in children])
        args.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
