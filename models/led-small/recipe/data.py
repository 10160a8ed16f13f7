"""Turns the train split into tokenised (source, target) examples, one list per task.

    python data.py --data DIR --model MODEL_DIR --out examples.pickle

tasks:
    gap       a chunk of any document -> its principal sentence, which is left in place (85 %) or masked (15 %)
    title     the opening of a document without its title -> the title
    sentence  a SciTLDR abstract -> the sentence of it that is closest to the TLDR
    scitldr, debian, scisummnet, rust-rfc, kep, eip, plos    the pairs themselves
"""
import argparse
import pickle
import random
import re
from collections import Counter, defaultdict

import numpy as np
from tokenizers import Tokenizer

import corpus

LONGEST_SOURCE, LONGEST_TARGET = 4096, 250
MASKED = 0.15
CUE = re.compile(r"\b(?:[Ii]n this (?:paper|work|article)|[Tt]his (?:paper|work|article|RFC|KEP|EIP|ERC|proposal|package|standard)"
                 r"|[Ww]e (?:propose|present|introduce|describe|show|develop|study|investigate|demonstrate))\b")


def words(text):
    return re.findall(r"[a-z0-9]+", text.lower())


def overlap(candidate, reference):
    """Unigram F of two word counters."""
    common = sum((candidate & reference).values())
    return 2 * common / max(1, candidate.total() + reference.total())


def closeness(sentence, reference):
    """Mean of unigram and bigram F."""
    a, b = words(sentence), words(reference)
    return (overlap(Counter(a), Counter(b)) + overlap(Counter(zip(a, a[1:])), Counter(zip(b, b[1:])))) / 2


def chunks(document, rng):
    """Runs of sentences and headings of 60 to 160 words."""
    chunk, size, limit = [], 0, rng.randint(60, 160)
    for paragraph in document.split("\n\n"):
        pieces = [paragraph] if corpus.is_heading(paragraph) else corpus.split_sentences(paragraph)
        for sentence in pieces:
            if chunk and size + len(sentence.split()) > limit:
                yield chunk
                chunk, size, limit = [], 0, rng.randint(60, 160)
            chunk.append(sentence)
            size += len(sentence.split())
    if size >= 40:
        yield chunk


def principal(chunk):
    """Index of the sentence that says most of the rest, with a bonus for 'in this paper we ...'; None when there is no good one."""
    counters = [Counter(words(s)) for s in chunk]
    total = sum(counters, Counter())
    best, where = 0.0, None
    for i, (sentence, mine) in enumerate(zip(chunk, counters)):
        if 6 <= len(sentence.split()) <= 45 and sentence[-1] in ".!?" and not corpus.is_heading(sentence):
            score = overlap(mine, total - mine) + 0.3 * bool(CUE.search(sentence))
            if score > best:
                best, where = score, i
    return where


def gap_examples(document, rng):
    for chunk in chunks(document, rng):
        i = principal(chunk) if len(chunk) >= 3 else None
        if i is not None:
            target = chunk[i]
            if rng.random() < MASKED:
                chunk[i] = "<mask>"
            yield " ".join(chunk), target


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", required=True, help="the directory with tokenizer.json")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()

    rng = random.Random(1)
    pairs = defaultdict(list)
    for record in corpus.read(args.data, "train"):
        source, document, summary = record["source"], record["document"], record["summaries"][0]
        pairs[source].append((document, summary))
        pairs["gap"] += gap_examples(document, rng)
        head, _, rest = document.partition("\n\n")
        if source in ("scisummnet", "plos") and corpus.is_heading(head):
            pairs["title"].append((" ".join(rest.split()[:rng.randint(80, 250)]), head.lstrip("# ")))
        if source == "scitldr":
            sentences = [s for p in corpus.prose(document) for s in corpus.split_sentences(p)]
            pairs["sentence"].append((document, max(sentences, key=lambda s: closeness(s, summary))))

    tokenizer = Tokenizer.from_file(f"{args.model}/tokenizer.json")
    examples = {}
    for task, texts in pairs.items():
        sources = [np.array(e.ids[:LONGEST_SOURCE - 1] + e.ids[-1:] if len(e.ids) > LONGEST_SOURCE else e.ids, np.uint16)
                   for e in tokenizer.encode_batch([s for s, _ in texts])]
        targets = [np.array(e.ids[1:][:LONGEST_TARGET], np.uint16) for e in tokenizer.encode_batch([t for _, t in texts])]
        examples[task] = list(zip(sources, targets))
        print(f"{task}: {len(texts):,} examples, {sum(map(len, sources)):,} source and {sum(map(len, targets)):,} target tokens")
    with open(args.out, "wb") as f:
        pickle.dump(examples, f)


if __name__ == "__main__":
    main()
