"""Makes the checkpoints that the peers are compared with: the shapes of known models, seeded random weights.

    python checkpoints.py FOLDER [NAME...]

For each name FOLDER/NAME holds config.json and model.safetensors (f32) as transformers saves them; beside it FOLDER/NAME-ct2-float32 and
FOLDER/NAME-ct2-int8 for CTranslate2 and FOLDER/NAME-f32.gguf, -bf16.gguf and -q8_0.gguf for llama.cpp, where these have the architecture.
What is there already is left alone. Times do not depend on the values of the weights; nobody should read what these models write.

Without names all of them are made; they take about 10 GB.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

SPECIAL = dict(bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2, is_encoder_decoder=True, vocab_size=50265)
SIDES = ("encoder", "decoder")


def both(layers, heads, inner):
    """The same stack on both sides of an encoder-decoder."""
    return {f"{s}_{key}": n for s in SIDES for key, n in [("layers", layers), ("attention_heads", heads), ("ffn_dim", inner)]}


# facebook/bart-large's and openai-community/gpt2's fields, allenai/led-large-16384's sizes
GPT2 = dict(model_type="gpt2", vocab_size=50257, n_positions=1024, n_ctx=1024, n_embd=768, n_layer=12, n_head=12,
            activation_function="gelu_new", layer_norm_epsilon=1e-5, bos_token_id=50256, eos_token_id=50256)
BART = dict(model_type="bart", activation_function="gelu", scale_embedding=False, normalize_before=False, add_final_layer_norm=False,
            add_bias_logits=False, **SPECIAL)
LED = dict(model_type="led", activation_function="gelu", **SPECIAL)
CONFIGS = {
    "gpt2": GPT2,
    "bart-large": dict(BART, d_model=1024, max_position_embeddings=1024, **both(12, 16, 4096)),
    "bart-base-4k": dict(BART, d_model=768, max_position_embeddings=4224, **both(6, 12, 3072)),
    "led-large": dict(LED, d_model=1024, attention_window=[1024] * 12, max_encoder_position_embeddings=16384,
                      max_decoder_position_embeddings=1024, **both(12, 16, 4096)),
    # as many parameters as the model in the binary, in an architecture that CTranslate2 has
    "bart-9m": dict(BART, vocab_size=8192, d_model=256, max_position_embeddings=4096, **both(4, 4, 1024) | {"decoder_layers": 2}),
}
# base-size encoders of what reads long documents: google/long-t5-*-base, google/pegasus-x-base, allenai/led-base-16384 with as many layers, and
# google/bigbird-pegasus-large-* at the size of the others. One decoder layer: reading is what is compared
T5 = dict(model_type="longt5", vocab_size=32128, d_model=768, d_kv=64, d_ff=2048, num_layers=12, num_decoder_layers=1, num_heads=12, local_radius=127,
          feed_forward_proj="gated-gelu", tie_word_embeddings=False, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, is_encoder_decoder=True)
BASE = dict(d_model=768, max_position_embeddings=16384, vocab_size=96103, scale_embedding=True, pad_token_id=0, bos_token_id=2, eos_token_id=1,
            is_encoder_decoder=True, **both(12, 12, 3072) | {"decoder_layers": 1})
CONFIGS |= {
    "longt5-local": dict(T5, encoder_attention_type="local"),
    "longt5-global": dict(T5, encoder_attention_type="transient-global", global_block_size=16),
    "bigbird": dict(BASE, model_type="bigbird_pegasus", attention_type="block_sparse", block_size=64, num_random_blocks=3, use_bias=False,
                    activation_function="gelu_new", decoder_start_token_id=2),
    "pegasus-x": dict(BASE, model_type="pegasus_x", block_size=512, num_global_tokens=32, activation_function="gelu", decoder_start_token_id=0),
    "led-base": dict(LED, d_model=768, attention_window=[1024] * 12, max_encoder_position_embeddings=16384, max_decoder_position_embeddings=1024,
                     **both(12, 12, 3072) | {"decoder_layers": 1}),
}
CTRANSLATE2 = ("gpt2", "bart-large", "bart-9m")
GGUF = ("gpt2",)


def make(config, folder):
    """A transformers checkpoint."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    kind = {"gpt2": "GPT2", "bart": "Bart", "led": "LED", "longt5": "LongT5", "bigbird_pegasus": "BigBirdPegasus", "pegasus_x": "PegasusX"}
    kind = kind[config["model_type"]]
    head = "LMHeadModel" if kind == "GPT2" else "ForConditionalGeneration"
    model = getattr(transformers, kind + head)(getattr(transformers, kind + "Config")(**config))
    part = folder.with_name(folder.name + ".part")
    model.save_pretrained(part)
    saved = json.loads((part / "config.json").read_text())
    (part / "config.json").write_text(json.dumps(config | saved, indent=2) + "\n")  # with the keys that transformers does not read
    part.rename(folder)


def ctranslate2(folder, kind, out):
    """CTranslate2's form of it. The converter asks for a tokenizer: it gets one whose words are t0, t1, ..."""
    from ctranslate2.converters import TransformersConverter
    from tokenizers import Tokenizer, models

    config = json.loads((folder / "config.json").read_text())
    words = {f"t{i}": i for i in range(config["vocab_size"])}
    names = {f"{n}_token": f"t{config.get(f'{n}_token_id') or 0}" for n in ("bos", "eos", "pad")}
    with tempfile.TemporaryDirectory() as work:
        for file in ("config.json", "model.safetensors"):
            (Path(work) / file).symlink_to((folder / file).resolve())
        Tokenizer(models.WordLevel(words, unk_token="t3")).save(f"{work}/tokenizer.json")
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "t3", **names}
        (Path(work) / "tokenizer_config.json").write_text(json.dumps(settings))
        TransformersConverter(work).convert(str(out), quantization=kind)


GGUF_NAMES = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "ln_1": "attn_norm", "attn.c_attn": "attn_qkv",
              "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}


def gguf(folder, kind, out):
    """llama.cpp's form of GPT-2, without a tokenizer. Matrices get the type; vectors and positions stay f32, as llama.cpp's tools leave them."""
    import gguf as g
    import numpy as np
    from safetensors.numpy import load_file

    c = json.loads((folder / "config.json").read_text())
    w = g.GGUFWriter(out, "gpt2")
    w.add_block_count(c["n_layer"])
    w.add_context_length(c["n_positions"])
    w.add_embedding_length(c["n_embd"])
    w.add_feed_forward_length(4 * c["n_embd"])
    w.add_head_count(c["n_head"])
    w.add_layer_norm_eps(c["layer_norm_epsilon"])
    w.add_vocab_size(c["vocab_size"])
    w.add_tokenizer_model("none")
    w.add_file_type({"f32": g.LlamaFileType.ALL_F32, "bf16": g.LlamaFileType.MOSTLY_BF16, "q8_0": g.LlamaFileType.MOSTLY_Q8_0}[kind])
    to = {"f32": g.GGMLQuantizationType.F32, "bf16": g.GGMLQuantizationType.BF16, "q8_0": g.GGMLQuantizationType.Q8_0}[kind]
    for name, x in load_file(folder / "model.safetensors").items():
        base, part = name.removeprefix("transformer.").rsplit(".", 1)
        layer = base.split(".")[1] if base.startswith("h.") else None
        inner = base.split(".", 2)[2] if layer else base
        if name == "lm_head.weight" or inner not in GGUF_NAMES:
            continue
        if ".c_" in "." + inner and x.ndim == 2:
            x = np.ascontiguousarray(x.T)
        new = (f"blk.{layer}." if layer else "") + f"{GGUF_NAMES[inner]}.{part}"
        if x.ndim == 2 and inner != "wpe" and kind != "f32":
            w.add_tensor(new, g.quants.quantize(x, to), raw_dtype=to)
        else:
            w.add_tensor(new, x.astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main(root, names):
    root.mkdir(parents=True, exist_ok=True)
    for name in names or CONFIGS:
        folder = root / name
        if not folder.exists():
            print(f"{folder}", flush=True)
            make(CONFIGS[name], folder)
        for kind in ("float32", "int8") if name in CTRANSLATE2 else ():
            if not (out := root / f"{name}-ct2-{kind}").exists():
                print(f"{out}", flush=True)
                ctranslate2(folder, kind, out)
        for kind in ("f32", "bf16", "q8_0") if name in GGUF else ():
            if not (out := root / f"{name}-{kind}.gguf").exists():
                print(f"{out}", flush=True)
                gguf(folder, kind, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
