"""The program itself: `effattn bench`, one call for each request.

    python effattn_peer.py CHECKPOINT f32|bf16|int8|auto PROGRAM

A call loads the weights, which is not timed, runs the case once to warm up, and once more, which counts. `encode_ns` and the steps are what the
records of `bench` hold; `peak_bytes` is theirs too. `docs/benchmarking.md` says what is timed.
"""

import json
import subprocess
import sys

from peer import THREADS, serve


class Effattn:
    def __init__(self, folder, dtype, program):
        self.folder, self.dtype, self.program = folder, dtype, program

    def describe(self):
        version = subprocess.run([self.program, "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
        return dict(peer="effattn", version=version, dtype=self.dtype, threads=THREADS)

    def answer(self, context, tokens, batch=1, beams=1, warm=True):
        with open(f"{self.folder}/config.json") as f:
            paired = json.load(f).get("is_encoder_decoder", False)
        words = [self.program, "bench", "-m", self.folder, "-t", THREADS, "-n", tokens, "-b", batch, "-r", 1, "-f", "jsonl", "-q"]
        words += ["-p", context] if paired else ["-p", 0, "-d", context]
        words += ["--dtype", self.dtype, "--strategy", "greedy" if beams == 1 else f"beam{beams}"] + ([] if warm else ["--no-warmup"])
        done = subprocess.run([*map(str, words)], capture_output=True, text=True)
        if done.returncode:
            raise ValueError(done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"exit code {done.returncode}")
        record = json.loads(done.stdout)
        keep = ("isa", "dtype", "build_version", "weight_bytes_per_step", "state_bytes_per_step", "bandwidth_bytes_per_s", "bandwidth_share")
        times = record["token_ns"][0] if tokens else []
        return dict(encode_ns=record["encode_samples_ns"][0], step_ns=times[1:], first_ns=times[0] if times else None,
                    peak_bytes=record["peak_rss_bytes"], **{k: record[k] for k in keep})


if __name__ == "__main__":
    peer = Effattn(*sys.argv[1:4])
    serve(peer.describe, peer.answer)
