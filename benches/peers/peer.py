"""What the peers have in common: a child process that loads its model once and then does what it is asked, a line of JSON for each.

A request is `{"context": 128, "tokens": 32, "batch": 1, "beams": 1}`. A decoder-only model reads `context` tokens and writes `tokens` behind
them; an encoder-decoder encodes a source of `context` tokens and writes `tokens`. Token ids are made up; nothing ends before `tokens`. A reply:

    encode_ns   what comes before the first step: the encoder with the keys and values of the cross-attention, or the prompt
    step_ns     one time for each step after the first: layers, logits, choice of the token
    peak_bytes  high-water mark of the process's resident memory, so far
    written     the ids of the first row, where the peer tells them
    ...         what else a peer has to say

or `{"error": "..."}`. The first line that a child writes says what it is; it ends with its standard input.
"""

import json
import os
import random
import resource
import sys

THREADS = 2


def ids(n, seed=0):
    """Token ids that every vocabulary here has, without the special ones at its beginning."""
    draw = random.Random(seed)
    return [draw.randrange(5, 8000) for _ in range(n)]


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(describe, answer):
    """`describe()` loads and says what the peer is, `answer(context=, tokens=, batch=, beams=)` works."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print too
    say = lambda record: print(json.dumps(record), file=out, flush=True)
    say(describe())
    for line in sys.stdin:
        try:
            say(answer(**json.loads(line)))
        except Exception as e:  # noqa: BLE001, the next request may work
            say({"error": f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"[:300]})


def one_token_apart(encode_and_first, steps):
    """Time before the first step, where only the two together can be seen: less a usual step."""
    return encode_and_first - sorted(steps)[len(steps) // 2]
