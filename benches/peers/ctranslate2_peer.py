"""CTranslate2.

    python ctranslate2_peer.py CONVERTED_CHECKPOINT float32|int8

It has no interface for single steps; its callback for streaming is called once a token, and the times between its calls are the steps'. They
hold for greedy search: with beams there is no callback, and a step is the difference of two lengths. `min_length = max_length` keeps the end
token away.

`encode_ns` is the time to the first token less the median step: the encoder with the keys and values of the cross-attention, or the prompt,
which `include_prompt_in_result=False` passes through the decoder at once.
"""

import os
import sys
import time

from peer import THREADS, ids, one_token_apart, peak_bytes, serve

os.environ.update(OMP_NUM_THREADS=str(THREADS))
import ctranslate2

LEAST = 4  # tokens of the shorter of two lengths


class CTranslate2:
    def __init__(self, folder, dtype):
        self.folder, self.dtype = folder, dtype

    def describe(self):
        files = os.listdir(self.folder)
        self.paired = any(name.startswith(("shared_vocabulary", "source_vocabulary")) for name in files)
        cls = ctranslate2.Translator if self.paired else ctranslate2.Generator
        self.model = cls(self.folder, device="cpu", compute_type=self.dtype, inter_threads=1, intra_threads=THREADS)
        return dict(peer="CTranslate2", version=ctranslate2.__version__, dtype=self.model.compute_type, threads=THREADS,
                    supported=sorted(ctranslate2.get_supported_compute_types("cpu")))

    def work(self, rows, n, beams, callback=None):
        shared = dict(beam_size=beams, callback=callback)
        if self.paired:
            return self.model.translate_batch(rows, max_decoding_length=n, min_decoding_length=n, max_input_length=0, **shared)
        return self.model.generate_batch(rows, max_length=n, min_length=n, include_prompt_in_result=False, **shared)

    def answer(self, context, tokens, batch=1, beams=1):
        rows = [[f"t{i}" for i in ids(context, seed)] for seed in range(batch)]
        if beams == 1:
            seen = []
            start = time.perf_counter_ns()
            found = self.work(rows, tokens, 1, lambda step: seen.append((step.step, time.perf_counter_ns())) and False)
            times = [start] + [max(t for s, t in seen if s == step) for step in sorted({s for s, _ in seen})]
            steps = [b - a for a, b in zip(times[1:], times[2:])]
            if len(steps) != tokens - 1:
                raise ValueError(f"{len(steps) + 1} tokens instead of {tokens}")
            encode, written = one_token_apart(times[1] - start, steps), (found[0].hypotheses if self.paired else found[0].sequences)[0]
        else:
            short, long = (self.seconds(rows, n, beams) for n in (LEAST, tokens))
            steps = [(long - short) // (tokens - LEAST)]
            encode, written = short - LEAST * steps[0], []
        return dict(encode_ns=encode, step_ns=steps, peak_bytes=peak_bytes(), written=[int(word[1:]) for word in written])

    def seconds(self, rows, n, beams):
        start = time.perf_counter_ns()
        self.work(rows, n, beams)
        return time.perf_counter_ns() - start


if __name__ == "__main__":
    peer = CTranslate2(sys.argv[1], sys.argv[2])
    serve(peer.describe, peer.answer)
    del peer.model  # before the interpreter ends
