"""From the start of a process to the first token of a summary: the program, and Python with a model of the same size.

    python start.py transformers|ctranslate2 MODEL FOLDER_OF_TOKENIZER     one peer; reads a document, prints its first token

Files are in the page cache; nothing else is warm. The program has its model in the binary, PyTorch loads the same one, CTranslate2 one of as
many parameters (it has no LED). Each gets a text, tokenises it, and writes one token.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DOCUMENT = """The council met on Tuesday to talk about the bridge over the river. Engineers had found cracks in two of its eight piers in
spring, and lorries have been sent over the motorway since then. Repairing the piers would take until next autumn; a new bridge would take
four years, and cost three times as much. The mayor said that she would rather wait for the report of a second expert. Residents of the lower
town, who have had the lorries in front of their houses for seven months, asked for a speed limit until something is decided.\n"""


def transformers(model, _):
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    torch.set_num_threads(2)
    tokenizer, model = AutoTokenizer.from_pretrained(model), AutoModelForSeq2SeqLM.from_pretrained(model)
    inputs = tokenizer(sys.stdin.read(), return_tensors="pt")
    with torch.inference_mode():
        print(tokenizer.decode(model.generate(**inputs, max_new_tokens=1, min_new_tokens=1, num_beams=1)[0]))


def ctranslate2(model, tokenizer):
    import ctranslate2
    from tokenizers import Tokenizer

    pieces = Tokenizer.from_file(f"{tokenizer}/tokenizer.json").encode(sys.stdin.read())
    words = [f"t{i}" for i in pieces.ids]
    translator = ctranslate2.Translator(model, compute_type="default", intra_threads=2)
    print(translator.translate_batch([words], beam_size=1, max_decoding_length=1, max_input_length=0)[0].hypotheses[0])


def first_byte(words, document):
    """Nanoseconds from the start of a process to the first byte that it writes."""
    with open(document, "rb") as given:
        begun = time.perf_counter_ns()
        process = subprocess.Popen(words, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        got = process.stdout.read(1)
        ns = time.perf_counter_ns() - begun
    process.stdout.read()
    if process.wait() or not got:
        raise ValueError(f"exit code {process.returncode} of {words[0]}")
    return ns


def compare(program, shipped, checkpoints, rounds, settle):
    """{name: [ns]}, alternating, after one run of each."""
    me = [sys.executable, str(Path(__file__).resolve())]
    peers = {
        "effattn": [str(Path(program).resolve()), "decode", "-t", "2", "-q", "--num-beams", "1", "--stream", "-"],
        "PyTorch": [*me, "transformers", str(shipped), str(shipped)],
        "CTranslate2": [*me, "ctranslate2", str(Path(checkpoints) / "bart-9m-ct2-float32"), str(shipped)],
    }
    times = {name: [] for name in peers}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as document:
        document.write(DOCUMENT)
        document.flush()
        for i in range(rounds + 1):
            for name, words in peers.items():
                settle()
                ns = first_byte(words, document.name)
                print(f"  {name:24} {ns / 1e6:.0f} ms", file=sys.stderr, flush=True)
                times[name] += [ns] if i else []
    return dict(times=times, words=len(DOCUMENT.split()))


if __name__ == "__main__":
    {"transformers": transformers, "ctranslate2": ctranslate2}[sys.argv[1]](*sys.argv[2:4])
