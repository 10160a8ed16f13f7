"""Trains the model: pretraining on gap sentences, then the summaries, on one schedule.

    python train.py --examples examples.pickle --model MODEL_DIR --out checkpoint.pt --minutes 80      (or --steps 4000)

The learning rate, the mixture of tasks and the share of long sources follow the part of the budget that is spent: of the
minutes, or of the steps. Batches hold about TOKENS source tokens of similar length. An average of the weights is kept and saved.
"""
import argparse
import math
import os
import pickle
import random
import time

import numpy as np
import torch
from tokenizers import Tokenizer

from model import PAD, Lean, new_model

TOKENS = 4096
RATE, WARMUP = 1.2e-3, 100
SMOOTHING, DROPOUT, DECAY, CLIP = 0.1, 0.1, 0.01, 1.0
AVERAGE = 0.998
LONGEST = 4096
POOL = 2000                                 # examples sorted by length together
LONG = ("scisummnet", "rust-rfc", "kep", "eip", "plos")
# share of the examples: (until this part of the budget, {task: share})
MIXTURES = [
    (0.25, {"gap": 0.45, "debian": 0.35, "scitldr": 0.07, "sentence": 0.08, "title": 0.02,
            "scisummnet": 0.012, "kep": 0.006, "eip": 0.009, "rust-rfc": 0.003}),
    (0.60, {"gap": 0.17, "debian": 0.57, "scitldr": 0.09, "sentence": 0.10, "title": 0.02,
            "scisummnet": 0.020, "kep": 0.010, "eip": 0.014, "rust-rfc": 0.004, "plos": 0.002}),
    (1.00, {"gap": 0.04, "debian": 0.69, "scitldr": 0.12, "sentence": 0.08, "title": 0.01,
            "scisummnet": 0.024, "kep": 0.012, "eip": 0.016, "rust-rfc": 0.005, "plos": 0.003}),
]
LONG_CROPS = [(0.05, 4096), (0.10, 1536), (0.85, 640)]      # share of the long sources that is cut at this length
SHORT_CROP = 224                                            # of Debian's rare long descriptions and of the title task


class Batches:
    """An endless stream of (sources, targets); each task goes round its own shuffled examples."""

    def __init__(self, examples, seed):
        self.examples, self.rng, self.queues, self.ready = examples, random.Random(seed), {}, []
        self.seen = dict.fromkeys(examples, 0)

    def draw(self, task):
        if not self.queues.get(task):
            self.queues[task] = self.rng.sample(range(len(self.examples[task])), len(self.examples[task]))
        source, target = self.examples[task][self.queues[task].pop()]
        self.seen[task] += 1
        crop = SHORT_CROP if task in ("debian", "title") else LONGEST
        if task in LONG:
            crop = self.rng.choices([c for _, c in LONG_CROPS], [w for w, _ in LONG_CROPS])[0]
        return (np.append(source[:crop - 1], source[-1]) if len(source) > crop else source), target

    def next(self, spent):
        if not self.ready:
            mixture = next(m for until, m in MIXTURES if spent <= until or until == 1)
            pool = [self.draw(t) for t in self.rng.choices(list(mixture), list(mixture.values()), k=POOL)]
            pool.sort(key=lambda e: (len(e[0]) + self.rng.random() * 8, len(e[1])))
            batch = []
            for example in pool:
                if batch and (len(batch) + 1) * len(example[0]) > TOKENS:
                    self.ready.append(batch)
                    batch = []
                batch.append(example)
            self.ready.append(batch)
            self.rng.shuffle(self.ready)
        return [padded(side) for side in zip(*self.ready.pop())]


class Threads:
    """One thread while other processes keep a core busy (a step waits for its slowest thread), else all."""

    def __init__(self, most):
        self.most, self.last = most, self.read()

    def read(self):
        with open("/proc/stat") as f:
            ticks = [int(n) for n in f.readline().split()[1:9]]
        return time.time(), (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"), time.process_time()

    def adapt(self):
        now = self.read()
        wall, busy, own = (b - a for a, b in zip(self.last, now))
        if wall > 1.5:
            torch.set_num_threads(1 if (busy - own) / wall > 0.35 else self.most)
            self.last = now


def padded(rows):
    out = torch.full((len(rows), max(map(len, rows))), PAD)
    for i, row in enumerate(rows):
        out[i, :len(row)] = torch.from_numpy(row.astype(np.int64))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--model", required=True, help="the directory with tokenizer.json")
    parser.add_argument("--out", required=True)
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float)
    budget.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=int, default=300, metavar="STEPS")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    threads = Threads(args.threads)
    with open(args.examples, "rb") as f:
        batches = Batches(pickle.load(f), args.seed)
    model = new_model(Tokenizer.from_file(f"{args.model}/tokenizer.json").get_vocab_size(), args.seed)
    lean = Lean(model, torch.bfloat16, DROPOUT, args.seed)
    matrices = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
    vectors = [p for p in model.parameters() if p.requires_grad and p.dim() == 1]
    optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}],
                                  betas=(0.9, 0.98), eps=1e-8, fused=True)
    average = {k: v.clone() for k, v in model.state_dict().items()}
    start, step, sums, tokens = time.time(), 0, [0.0, 0.0, 0], 0

    def save():
        torch.save({"config": model.config.to_dict(), "average": average, "step": step, "source_tokens": tokens,
                    "examples": batches.seen, "seconds": time.time() - start}, args.out)

    while True:
        spent = step / args.steps if args.steps else (time.time() - start) / 60 / args.minutes
        if spent >= 1:
            break
        rate = RATE * min(1, (step + 1) / WARMUP) * (0.02 + 0.98 * (1 + math.cos(math.pi * spent)) / 2)
        for group in optimiser.param_groups:
            group["lr"] = rate
        threads.adapt()
        sources, targets = batches.next(spent)
        loss, plain = lean.loss(sources, targets, SMOOTHING)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(matrices + vectors, CLIP)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
        weight = 1 - min(AVERAGE, step / (step + 10))
        with torch.no_grad():
            for k, v in model.state_dict().items():
                if average[k].is_floating_point() and k != "final_logits_bias" and "embed_positions" not in k:
                    average[k].lerp_(v, weight)
        n = int((targets != PAD).sum())
        tokens += int((sources != PAD).sum())
        sums = [sums[0] + float(plain) * n, sums[1] + float(norm), sums[2] + n]
        if step % 50 == 0:
            print(f"step {step} spent {spent:.3f} rate {rate:.2e} loss {sums[0] / sums[2]:.3f} norm {sums[1] / 50:.2f} "
                  f"tokens/s {tokens / (time.time() - start):.0f} source {tokens:,} threads {torch.get_num_threads()}", flush=True)
            sums = [0.0, 0.0, 0]
        if step % args.save_every == 0:
            save()
    save()
    print(f"{step} steps, {tokens:,} source tokens, {(time.time() - start) / 60:.1f} minutes; examples {batches.seen}")


if __name__ == "__main__":
    main()
