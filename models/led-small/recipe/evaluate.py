"""Summarises a split with transformers' generate, scores it and prints the table as Markdown.

    python evaluate.py --data DIR --model MODEL_DIR [--split dev] [--sources debian,scitldr] [--limit 200] [--out predictions.json]
                       [--set length_penalty=0.8] [--predictions records.jsonl]

With --predictions it scores the records of `effattn decode SPLIT.jsonl -f jsonl --on-overflow truncate` instead, SPLIT.jsonl being the
unpacked split.

ROUGE: rouge_score, use_stemmer, F x 100, mean over documents, best reference; ROUGE-Lsum with one sentence a line. The interval is the
2.5th to 97.5th percentile of the mean over 1,000 bootstrap samples of the documents (seed 0).
"""
import argparse
import json
import statistics

import numpy as np
import torch
from rouge_score import rouge_scorer
from tokenizers import Tokenizer
from transformers import LEDForConditionalGeneration

import corpus
from model import PAD

KINDS = ("rouge1", "rouge2", "rougeLsum")
SCORER = rouge_scorer.RougeScorer(list(KINDS), use_stemmer=True)
LONGEST = 4096
TOKENS = 16384                              # source tokens in a batch


def encode(tokenizer, document):
    ids = tokenizer.encode(document).ids
    return ids if len(ids) <= LONGEST else ids[:LONGEST - 1] + ids[-1:]


@torch.inference_mode()
def summarise(model, tokenizer, documents, **settings):
    """Summaries in the order of the documents."""
    rows = [encode(tokenizer, d) for d in documents]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    out = [None] * len(rows)
    while order:
        size = max(1, min(32, TOKENS // len(rows[order[-1]])))
        batch, order = order[-size:], order[:-size]
        ids = torch.full((len(batch), len(rows[batch[-1]])), PAD)
        for i, at in enumerate(batch):
            ids[i, :len(rows[at])] = torch.tensor(rows[at])
        focus = torch.zeros_like(ids)
        focus[:, 0] = 1
        made = model.generate(input_ids=ids, attention_mask=(ids != PAD).long(), global_attention_mask=focus, **settings)
        for at, text in zip(batch, tokenizer.decode_batch(made.tolist())):
            out[at] = text.strip()
    return out


def lines(paragraphs):
    return "\n".join(s for p in paragraphs for s in corpus.split_sentences(p))


def rouge(prediction, references):
    """F of each kind, times 100; `prediction` is a list of paragraphs."""
    scores = SCORER.score_multi([lines([r]) for r in references], lines(prediction))
    return [100 * scores[k].fmeasure for k in KINDS]


def first_words(paragraphs, n):
    out = []
    for paragraph in paragraphs:
        words = paragraph.split()[:n]
        if words:
            out.append(" ".join(words))
        n -= len(words)
    return out


def leads(records, training):
    """Name and scores [documents, kinds] of the lead baselines."""
    length = round(statistics.mean(len(s.split()) for r in training for s in r["summaries"]))
    makers = {"lead-1 sentence": lambda p: lines(p).split("\n")[:1], "lead-3 sentences": lambda p: lines(p).split("\n")[:3],
              f"lead-{length} words": lambda p: first_words(p, length)}
    return {name: np.array([rouge(make(corpus.prose(r["document"])), r["summaries"]) for r in records]) for name, make in makers.items()}


def with_interval(scores):
    """'mean (low, high)' per kind."""
    picks = np.random.default_rng(0).integers(0, len(scores), (1000, len(scores)))
    low, high = np.percentile(scores[picks].mean(1), [2.5, 97.5], axis=0)
    return [f"{m:.2f} ({l:.1f}–{h:.1f})" for m, l, h in zip(scores.mean(0), low, high)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--sources", default=",".join(corpus.SOURCES))
    parser.add_argument("--limit", type=int, help="documents per source")
    parser.add_argument("--out", help="write the predictions there")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another generation setting")
    parser.add_argument("--predictions", help="score these records instead of decoding")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    settings = {name: json.loads(value) for name, value in (s.split("=") for s in args.set)}
    tokenizer = Tokenizer.from_file(f"{args.model}/tokenizer.json")
    model = LEDForConditionalGeneration.from_pretrained(args.model, dtype=torch.float32).eval()
    data, training = corpus.read(args.data, args.split), corpus.read(args.data, "train")
    predictions, given = {}, None
    if args.predictions:
        with open(args.predictions, encoding="utf-8") as f:
            given = {record["id"]: record["summary_text"] for record in map(json.loads, f)}
    print("| source | documents | system | words | ROUGE-1 | ROUGE-2 | ROUGE-Lsum |\n|---|--:|---|--:|--:|--:|--:|", flush=True)
    for source in args.sources.split(","):
        records = [r for r in data if r["source"] == source][:args.limit]
        if given:
            made = [given[r["id"]] for r in records]
        else:
            made = summarise(model, tokenizer, [r["document"] for r in records], **settings)
        predictions |= {r["id"]: text for r, text in zip(records, made)}
        scores = np.array([rouge([text], r["summaries"]) for r, text in zip(records, made)])
        words = statistics.mean(len(t.split()) for t in made)
        print(f"| {source} | {len(records):,} | this model | {words:.1f} | " + " | ".join(with_interval(scores)) + " |", flush=True)
        baselines = leads(records, [r for r in training if r["source"] == source])
        for name, scores in baselines.items():
            print(f"| | | {name} | | " + " | ".join(f"{x:.2f}" for x in scores.mean(0)) + " |", flush=True)
    if args.out:
        with open(args.out, "w", encoding="utf-8") as f:
            json.dump(predictions, f, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    main()
