"""PyTorch with transformers.

    python torch_peer.py CHECKPOINT f32|bf16 [--compile]

A hand-written loop over forward passes with a cache, in inference mode: no `generate`, whose bookkeeping costs a millisecond or two a token.
`attn_implementation="sdpa"` where the architecture has it. `--compile` compiles the decoder's steps, with static caches, as
transformers' guide says; the encoder and the prompt stay as they are. What compiling costs is in the first two requests, which are not counted.

The keys and values of the cross-attention are worked out in the first step, so `encode_ns` is the encoder and the first step less the median
of the others; `encoder_ns` is the encoder alone.
"""

import os
import sys
import time

from peer import THREADS, ids, one_token_apart, peak_bytes, serve

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", OMP_NUM_THREADS=str(THREADS), TOKENIZERS_PARALLELISM="false")
import torch
import transformers
from transformers.modeling_outputs import BaseModelOutput

transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(THREADS)
torch.set_num_interop_threads(1)
torch.set_grad_enabled(False)


def load(folder, dtype):
    config = transformers.AutoConfig.from_pretrained(folder)
    cls = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
    try:
        return cls.from_pretrained(folder, dtype=kind, attn_implementation="sdpa").eval()
    except ValueError:  # LED has an attention of its own
        return cls.from_pretrained(folder, dtype=kind).eval()


class Torch:
    def __init__(self, folder, dtype, compiled):
        self.folder, self.dtype, self.compiled, self.caches = folder, dtype, compiled, {}

    def describe(self):
        self.model = load(self.folder, self.dtype)
        self.paired = self.model.config.is_encoder_decoder
        self.step = self.model
        if self.compiled:
            torch._inductor.config.freezing = True  # weights may be packed for the matrix library
            self.step = torch.compile(self.model, dynamic=False)
        return dict(peer="PyTorch", version=torch.__version__, transformers=transformers.__version__, dtype=self.dtype,
                    attention=self.model.config._attn_implementation, isa=torch.backends.cpu.get_cpu_capability(), compiled=self.compiled,
                    onednn=torch.backends.mkldnn.is_available(), mkl=torch.backends.mkl.is_available(), threads=torch.get_num_threads())

    def cache(self, length):
        """None lets the model make a cache that grows. What is compiled holds on to its cache: one for each length."""
        if not self.compiled:
            return None
        if length in self.caches:
            self.caches[length].reset()
        else:
            self.caches[length] = self.new_cache(length)
        return self.caches[length]

    def new_cache(self, length):
        new = lambda: transformers.StaticCache(config=self.model.config.get_text_config(decoder=True), max_cache_len=length)
        return transformers.EncoderDecoderCache(new(), transformers.DynamicCache()) if self.paired else new()

    @torch.inference_mode()
    def answer(self, context, tokens, batch=1, beams=1):
        if beams != 1:
            raise ValueError("no beams here")
        source = torch.tensor([ids(context, seed) for seed in range(batch)])
        extra, steps, written = {}, [], []
        start = time.perf_counter_ns()
        if self.paired:
            extra["encoder_ns"], given, token = *self.encode(source), torch.full((batch, 1), self.model.config.decoder_start_token_id)
            past = self.cache(-(-(tokens + 1) // 64) * 64)
            call = lambda token, past: self.step(**given, decoder_input_ids=token, past_key_values=past, use_cache=True)
        else:
            out = self.model(input_ids=source, past_key_values=self.cache(context + tokens + 1), use_cache=True, logits_to_keep=1)
            past, token = out.past_key_values, out.logits[:, -1:].argmax(-1)
            call = lambda token, past: self.step(input_ids=token, past_key_values=past, use_cache=True)
        before = time.perf_counter_ns() - start
        for _ in range(tokens):
            start = time.perf_counter_ns()
            out = call(token, past)
            past, token = out.past_key_values, out.logits[:, -1:].argmax(-1)
            steps.append(time.perf_counter_ns() - start)
            written.append(token[0, 0])
        encode = before + one_token_apart(steps[0], steps[1:]) if self.paired else before
        return dict(encode_ns=encode, step_ns=steps[1:], first_ns=steps[0], peak_bytes=peak_bytes(),
                    written=[int(t) for t in written], **extra)

    def encode(self, source):
        """(ns, what the decoder is given)"""
        given = {}
        if self.model.config.model_type == "led":  # the first token sees and is seen by all
            given["global_attention_mask"] = torch.zeros_like(source)
            given["global_attention_mask"][:, 0] = 1
        start = time.perf_counter_ns()
        hidden = self.model.get_encoder()(input_ids=source, **given).last_hidden_state
        return time.perf_counter_ns() - start, dict(encoder_outputs=BaseModelOutput(last_hidden_state=hidden))


if __name__ == "__main__":
    peer = Torch(sys.argv[1], sys.argv[2], "--compile" in sys.argv)
    serve(peer.describe, peer.answer)
