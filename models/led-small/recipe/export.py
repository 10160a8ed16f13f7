"""Writes the averaged weights of a checkpoint as a transformers model in float16, and checks the lean forward pass against it.

    python export.py --checkpoint checkpoint.pt --model MODEL_DIR
"""
import argparse

import torch
from transformers import GenerationConfig, LEDConfig, LEDForConditionalGeneration

from model import EOS, PAD, START, Lean

# chosen on the dev split, see README.md
GENERATION = dict(num_beams=4, length_penalty=1.5, no_repeat_ngram_size=3, early_stopping=True, min_length=0, max_length=250)


@torch.no_grad()
def difference(model):
    """Largest difference of the logits of transformers and of the lean pass, on random input longer than a window."""
    generator = torch.Generator().manual_seed(0)
    sources, targets = (torch.randint(5, model.config.vocab_size, (2, n), generator=generator) for n in (700, 20))
    sources[1, 400:] = PAD
    focus = torch.zeros_like(sources)
    focus[:, 0] = 1
    expected = model(input_ids=sources, attention_mask=(sources != PAD).long(), global_attention_mask=focus, decoder_input_ids=targets).logits
    lean = Lean(model)
    return float((lean.logits(lean.decode(targets, *lean.encode(sources))) - expected).abs().max())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--model", required=True)
    args = parser.parse_args()

    saved = torch.load(args.checkpoint, weights_only=True)
    model = LEDForConditionalGeneration(LEDConfig(**saved["config"]))
    model.load_state_dict(saved["average"])
    model.half()
    model.generation_config = GenerationConfig(decoder_start_token_id=START, bos_token_id=0, eos_token_id=EOS, pad_token_id=PAD, **GENERATION)
    model.save_pretrained(args.model)
    model = LEDForConditionalGeneration.from_pretrained(args.model, dtype=torch.float32).eval()
    print(f"step {saved['step']}; {model.num_parameters():,} parameters; lean pass differs by {difference(model):.1e}")


if __name__ == "__main__":
    main()
