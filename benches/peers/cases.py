"""What is compared with what, and what is asked for."""

from pathlib import Path

HERE = Path(__file__).parent

# what the programs call their types
CLASS = {"f32": "f32", "float32": "f32", "bf16": "bf16", "int8": "int8", "q8_0": "int8"}
TYPES = ("f32", "bf16", "int8")


class Peer:
    """A child process: the module, what it is given, what it is asked."""

    def __init__(self, program, dtype, words, note="", **request):
        self.program, self.dtype, self.words, self.note, self.request = program, dtype, words, note, request
        self.name = " ".join(filter(None, [program, dtype, note]))


def effattn(checkpoint, program, types=TYPES, **request):
    return [Peer("effattn", t, ["effattn_peer.py", checkpoint, t, program], **request) for t in types]


def torch(checkpoint, types=("f32", "bf16"), compiled=()):
    peers = [Peer("PyTorch", t, ["torch_peer.py", checkpoint, t]) for t in types]
    return peers + [Peer("PyTorch", t, ["torch_peer.py", checkpoint, t, "--compile"], "compiled") for t in compiled]


def ctranslate2(checkpoint):
    return [Peer("CTranslate2", CLASS[t], ["ctranslate2_peer.py", f"{checkpoint}-ct2-{t}", t]) for t in ("float32", "int8")]


def llama(checkpoint):
    return [Peer("llama.cpp", t, ["llama_peer.py", f"{checkpoint}-{t}.gguf"]) for t in ("f32", "bf16", "q8_0")]


def beams(checkpoint, program):
    one, four = (effattn(checkpoint, program, beams=n) for n in (1, 4))
    for peer in four:
        peer.note, peer.name = "4 beams", peer.name + " 4 beams"
    return [p for pair in zip(one, four) for p in pair]


# encoders of long documents, at base size
SPARSE = {"longt5-local": "LongT5 local", "longt5-global": "LongT5 transient-global", "bigbird": "BigBird-Pegasus", "pegasus-x": "Pegasus-X", "led-base": "LED"}


class Case:
    def __init__(self, title, peers, request, shown, once=False):
        """`shown`: what of a reply is a result. `once`: no warm-up and one round, for what takes minutes."""
        self.title, self.peers, self.request, self.shown, self.once = title, peers, request, shown, once


def cases(root, program, tokens):
    at = lambda name: str(Path(root) / name)
    return {
        "gpt2": Case("GPT-2, 124M, 128 tokens of context", effattn(at("gpt2"), program) + torch(at("gpt2"), compiled=["f32"])
                     + ctranslate2(at("gpt2")) + llama(at("gpt2")), dict(context=128, tokens=tokens), ["step"]),
        "bart-large": Case("BART-large, 406M, source of 1,024 tokens", effattn(at("bart-large"), program)
                           + torch(at("bart-large"), compiled=["f32"]) + ctranslate2(at("bart-large")),
                           dict(context=1024, tokens=tokens), ["step", "encode"]),
        "beams": Case("BART-base, source of 4,096 tokens", beams(at("bart-base-4k"), program), dict(context=4096, tokens=tokens), ["step"]),
        **{name: Case(f"{title}, source of 16,384 tokens", effattn(at(name), program, ["f32"], warm=False) + torch(at(name), ["f32"]),
                      dict(context=16384, tokens=4), ["encode", "peak"], once=True) for name, title in SPARSE.items()},
        "led-large": Case("LED-large, 460M, source of 16,384 tokens", effattn(at("led-large"), program, ("bf16", "f32"), warm=False)
                          + torch(at("led-large"), ("bf16", "f32")), dict(context=16384, tokens=4), ["encode", "peak"], once=True),
    }


# case, what, ours, better of theirs, at most so many times theirs
ASKED = [
    ("gpt2", "step", "effattn bf16", ["PyTorch f32", "PyTorch bf16"], 0.45),
    ("gpt2", "step", "effattn int8", ["CTranslate2 int8"], 0.75),
    ("gpt2", "step", "effattn f32", ["PyTorch f32"], 1.0),
    ("gpt2", "step", "effattn f32", ["CTranslate2 f32"], 1.0),
    ("bart-large", "step", "effattn bf16", ["PyTorch f32", "PyTorch bf16"], 0.50),
    ("bart-large", "step", "effattn int8", ["CTranslate2 int8"], 0.75),
    ("bart-large", "step", "effattn f32", ["PyTorch f32"], 1.0),
    ("bart-large", "step", "effattn f32", ["CTranslate2 f32"], 1.0),
    ("bart-large", "encode", "effattn f32", ["PyTorch f32"], 1.0),
    ("bart-large", "encode", "effattn bf16", ["PyTorch bf16"], 0.8),
    ("bart-large", "encode", "effattn int8", ["CTranslate2 int8"], 0.6),
    ("led-large", "encode", "effattn bf16", ["PyTorch f32", "PyTorch bf16"], 0.5),
    ("led-large", "peak", "effattn bf16", ["PyTorch f32", "PyTorch bf16"], 0.4),
    *((name, what, "effattn f32", ["PyTorch f32"], limit) for name in SPARSE for what, limit in [("encode", 0.6), ("peak", 0.5)]),
    *(("beams", "step", f"effattn {t} 4 beams", [f"effattn {t}"], 1.6) for t in TYPES),
]

# case, ours, at least this share of the read bandwidth
SHARES = [(case, f"effattn {t}", 0.70 if t == "int8" else 0.85) for case in ("gpt2", "bart-large") for t in TYPES]

START_MS = 60
