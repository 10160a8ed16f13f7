"""Reading the data bundle, and the text rules shared by training and scoring."""
import json
import lzma
import re
from pathlib import Path

SOURCES = ("debian", "scitldr", "scisummnet", "rust-rfc", "kep", "eip", "plos")
SENTENCE_END = re.compile(r"""[.!?]+[)\]"'”’]*\s+(?=[(\["'“‘`]*[A-Z0-9])""")
ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|et al|etc|vs|cf|resp|approx|ca|viz|al|Fig|Figs|Eq|Eqs|Sec|Sect|Ref|Refs|Tab|Vol|No|pp"
    r"|Dr|Mr|Mrs|Ms|Prof|St|Inc|Ltd|Jr)|\b[A-Z])\.$")


def read(folder, split):
    """The records of `split`: dicts with id, source, document and summaries."""
    with lzma.open(Path(folder) / "summarization" / f"{split}.jsonl.xz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def is_heading(paragraph):
    return re.match(r"#{1,6} ", paragraph) is not None


def prose(document):
    """The paragraphs that are not headings."""
    return [p for p in document.split("\n\n") if not is_heading(p)]


def split_sentences(paragraph):
    """The bundle's sentence rule: ROUGE-Lsum and the lead baselines depend on it."""
    sentences, start = [], 0
    for end in SENTENCE_END.finditer(paragraph):
        sentence = paragraph[start:end.end()].strip()
        if not ABBREVIATION.search(sentence):
            sentences.append(sentence)
            start = end.end()
    rest = paragraph[start:].strip()
    return sentences + [rest] if rest else sentences
