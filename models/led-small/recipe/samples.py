"""Summarises the texts in samples/.

    python samples.py --model MODEL_DIR
"""
import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LEDForConditionalGeneration

from evaluate import summarise


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(f"{args.model}/tokenizer.json")
    model = LEDForConditionalGeneration.from_pretrained(args.model, dtype=torch.float32).eval()
    for path in sorted((Path(__file__).parent / "samples").glob("*.txt")):
        print(f"{path.name}: {summarise(model, tokenizer, [path.read_text(encoding='utf-8')])[0]}\n")


if __name__ == "__main__":
    main()
