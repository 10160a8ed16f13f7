"""llama.cpp, through the C interface that llama-cpp-python makes reachable.

    python llama_peer.py MODEL.gguf

A step is one `llama_decode` of one token and the choice of the best of its logits. `encode_ns` is the `llama_decode` of the prompt. Weights are
in the memory map or repacked as llama.cpp sees fit, flash attention is left to it, the cache is f16: its defaults.
"""

import os
import sys
import time
from pathlib import Path

from peer import THREADS, ids, peak_bytes, serve

os.environ.update(OMP_NUM_THREADS=str(THREADS))
import llama_cpp
import numpy as np


class Llama:
    def __init__(self, path):
        self.path = path

    def describe(self):
        llama_cpp.llama_backend_init()
        self.quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.quiet, None)
        self.model = llama_cpp.llama_model_load_from_file(self.path.encode(), llama_cpp.llama_model_default_params())
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        return dict(peer="llama.cpp", version=llama_cpp.__version__, dtype=Path(self.path).stem.rsplit("-", 1)[1], threads=THREADS,
                    system=llama_cpp.llama_print_system_info().decode())

    def context(self, length):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = -(-length // 256) * 256
        params.n_threads = params.n_threads_batch = THREADS
        return llama_cpp.llama_init_from_model(self.model, params)

    def decode(self, context, tokens):
        """The best next token and the time."""
        row = (llama_cpp.llama_token * len(tokens))(*tokens)
        start = time.perf_counter_ns()
        if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(row, len(tokens))):
            raise ValueError("llama_decode failed")
        best = int(np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, -1), (self.vocabulary,)).argmax())
        return best, time.perf_counter_ns() - start

    def answer(self, context, tokens, batch=1, beams=1):
        if batch != 1 or beams != 1:
            raise ValueError("one row only")
        state, steps, written = self.context(context + tokens + 1), [], []
        token, encode = self.decode(state, ids(context))
        for _ in range(tokens):
            token, ns = self.decode(state, [token])
            steps.append(ns)
            written.append(token)
        llama_cpp.llama_free(state)
        return dict(encode_ns=encode, step_ns=steps[1:], first_ns=steps[0], peak_bytes=peak_bytes(), written=written)


if __name__ == "__main__":
    peer = Llama(sys.argv[1])
    serve(peer.describe, peer.answer)
