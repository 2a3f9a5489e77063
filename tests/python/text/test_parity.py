"""Ids equal Hugging Face's on random strings: a hundred thousand for each fast path, here in short.

    python tests/python/text/test_parity.py --strings 10000000 --state parity.json [--offsets]

spreads that many over the tokenizers given (default: every one of the shared data), goes on where
the state file says it was stopped, and ends with 1 at the first string whose ids (with `--offsets`:
or offsets) differ.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from magnetite.text import Tokenizer

SHARED = Path(__file__).parents[4] / "shared" / "data" / "tokenizers"
BLOCK = 1000
MOST_CHARS = 64

SPANS = np.array([
    (0x20, 0x7E), (0x61, 0x7A), (0x00, 0x1F), (0x7F, 0xFF), (0x100, 0x24F), (0x250, 0x2FF),
    (0x300, 0x36F), (0x370, 0x5FF), (0x600, 0x6FF), (0x700, 0x8FF), (0x900, 0xDFF), (0xE00, 0x10FF),
    (0x1100, 0x11FF), (0x1200, 0x1DFF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x218F),
    (0x2190, 0x2BFF), (0x2C00, 0x2FFF), (0x3000, 0x30FF), (0x3100, 0x33FF), (0x3400, 0x9FFF),
    (0xA000, 0xABFF), (0xAC00, 0xD7A3), (0xD7B0, 0xD7FF), (0xE000, 0xF8FF), (0xF900, 0xFAFF),
    (0xFB00, 0xFEFF), (0xFF00, 0xFFFF), (0x10000, 0x16FFF), (0x17000, 0x1D7FF), (0x1E000, 0x1EFFF),
    (0x1F000, 0x1FAFF), (0x20000, 0x3134F), (0xE0000, 0xE01EF), (0xF0000, 0x10FFFF),
])  # fmt: skip
"""Letters, controls, marks, every kind of script, private use, every plane."""

TEXT = """
The quick brown fox, naïve façade; 1234.5 a@b.org don't they'LL I'd we'Re C++ x86_64 U.S.A. 20,000
Straße ǅ ▁ ▁▁ unaffable unbelievably transformers 3.14159 (parenthesis) #hash ##ing ' '' 'S
\ufb01ne \uff37\uff49 \u0130I \u0131i \u03a3\u0391\u03a3 '\u017f 각 देवनागरी ไทย 日本語
한국어 عربى 中文字 👍 🇩🇪 <unk> <s> </s> [CLS] [MASK] <0x0A> <|endoftext|>
e\u0301 o\u0308 \u0301 \u0345 \u0f71\u0f72 \u1d165 \u1100\u1161\u11a8 1\ufe0f\u20e3 \u0600a
👩\u200d👩\u200d👧\u200d👦 🏳\ufe0f\u200d🌈
"""
WORDS = TEXT.split()
ODD = "\t\n\r\x0b\0\x85\xa0\xad\u200b\u200d\u2028\u3000\ufe0f\ufffd"
SPACES = [" ", " ", " ", "  ", "    ", "\n\n", "\r\n", " \n ", *ODD]


def random_texts(seed: int, block: int, added: list[str]) -> list[str]:
    """Return `BLOCK` strings of at most 64 code points, the same for the same arguments."""
    rng = np.random.default_rng([seed, block])
    low, high = SPANS[rng.integers(len(SPANS), size=3000)].T
    lengths = rng.integers(1, 7, size=3000)
    codes = rng.integers(np.repeat(low, lengths), np.repeat(high, lengths) + 1).astype("<u4")
    whole = codes.tobytes().decode("utf-32-le")
    ends = np.cumsum(lengths)
    pieces = [whole[a:b] for a, b in zip(ends - lengths, ends, strict=True)]
    english = [word + " " for word in WORDS]
    sources = [
        pieces,
        WORDS,
        english,
        SPACES,
        added or WORDS,
        list("abcdefghijklmnopqrstuvwxyz'0123"),
    ]
    shares = np.array([0.25, 0.15, 0.2, 0.2, 0.08, 0.12])
    counts = rng.integers(0, 24, size=BLOCK)
    kinds = rng.choice(len(sources), size=counts.sum(), p=shares)
    picks = rng.random(counts.sum())
    drawn = [sources[k][int(p * len(sources[k]))] for k, p in zip(kinds, picks, strict=True)]
    ends = np.cumsum(counts)
    return ["".join(drawn[a:b])[:MOST_CHARS] for a, b in zip(ends - counts, ends, strict=True)]


def read_json(folder: Path) -> str:
    """Return the tokenizer.json of a folder, gzipped or not."""
    (path,) = folder.glob("tokenizer.json*")
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")


class Pair:
    """A tokenizer of ours and the one of Hugging Face for the same file."""

    def __init__(self, definition: str) -> None:
        self.ours = Tokenizer.from_json(definition)
        self.theirs = tokenizers.Tokenizer.from_str(definition)
        self.theirs.no_padding()
        decoder = self.theirs.get_added_tokens_decoder()
        self.added = [decoder[token].content for token in sorted(decoder)][:60]

    def difference(self, texts: list[str], *, offsets: bool = False) -> str | None:
        """Return the first text whose ids (or offsets, if asked for) differ, None if none does."""
        encode = self.theirs.encode_batch if offsets else self.theirs.encode_batch_fast
        try:
            wanted = encode(texts)
        except Exception:
            return self.first(texts, offsets=offsets) if len(texts) > 1 else self.refusal(texts)
        got = self.ours.encode_batch(texts, offsets=offsets, threads=1)
        ids = [i for row in wanted for i in row.ids]
        same = np.array_equal(got.ids, np.array(ids, np.int32))
        same &= np.array_equal(np.diff(got.starts), [len(row.ids) for row in wanted])
        if offsets:
            spans = [span for row in wanted for span in row.offsets]
            same &= np.array_equal(got.offsets, np.array(spans).reshape(-1, 2))
        if same:
            return None
        return texts[0] if len(texts) == 1 else self.first(texts, offsets=offsets)

    def first(self, texts: list[str], *, offsets: bool = False) -> str | None:
        """The same of one text after the other."""
        return next(filter(None, (self.difference([t], offsets=offsets) for t in texts)), None)

    def refusal(self, texts: list[str]) -> str | None:
        """The same of one that Hugging Face refuses, which we must refuse too."""
        try:
            self.ours.encode_batch(texts)
        except ValueError:
            return None
        return texts[0]


FAMILIES = {
    "wordpiece": [
        "bert-base-uncased",
        "bert-base-multilingual-cased",
        "synthetic-bert-addedtokens",
    ],
    "byte-level bpe": [
        "cl100k-base",
        "gpt-neox-20b",
        "gpt2",
        "qwen2",
        "roberta-base",
        "whisper-tiny",
    ],
    "unigram": ["t5-small", "xlm-roberta-base"],
    "sentencepiece bpe": ["mistral-7b-v0.1", "synthetic-mistral-metaspace-never"],
}
"""The fast paths, and the files that take them."""


def assert_equal(folder, family, strings, *, first_seed=0, offsets=False):
    """So many random strings, shared out among a family's files, have Hugging Face's tokens."""
    names = FAMILIES[family]
    for seed, name in enumerate(names, first_seed):
        pair = Pair(read_json(folder / name))
        assert pair.ours.engine == family
        for block in range(strings // (BLOCK * len(names)) + 1):
            text = pair.difference(random_texts(seed, block, pair.added), offsets=offsets)
            assert text is None, f"{name}, seed {seed}, block {block}: {text!a}"


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_ids_equal_hugging_face_on_a_hundred_thousand_random_strings_a_family(shared, family):
    assert_equal(shared / "tokenizers", family, 100_000)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_offsets_equal_hugging_face_on_thousands_of_random_strings_a_family(shared, family):
    assert_equal(shared / "tokenizers", family, 6_000, first_seed=100, offsets=True)


def main() -> int:
    """Go on where the state file ends; say what differs."""
    say = functools.partial(print, flush=True)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tokenizers", nargs="*", type=Path, help="folders with a tokenizer.json")
    parser.add_argument("--strings", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--offsets", action="store_true", help="compare them, too")
    parser.add_argument("--state", type=Path, help="where to note what is done")
    asked = parser.parse_args()
    folders = asked.tokenizers or sorted(p.parent for p in SHARED.glob("*/tokenizer.json*"))
    done = json.loads(asked.state.read_text()) if asked.state and asked.state.exists() else {}
    blocks = -(-asked.strings // (BLOCK * len(folders)))
    for folder in folders:
        pair = Pair(read_json(folder))
        for block in range(done.get(folder.name, 0), blocks):
            texts = random_texts(asked.seed, block, pair.added)
            if (text := pair.difference(texts, offsets=asked.offsets)) is not None:
                say(f"{folder.name}: seed {asked.seed}, block {block}: {text!a}")
                ours, theirs = (
                    pair.ours.encode_batch([text], offsets=True),
                    pair.theirs.encode(text),
                )
                say("ours  ", ours.ids.tolist(), ours.offsets.tolist())
                say("theirs", theirs.ids, theirs.offsets)
                return 1
            done[folder.name] = block + 1
            if asked.state:
                asked.state.write_text(json.dumps(done))
        say(f"{folder.name}: {pair.ours.engine}, {blocks * BLOCK} strings equal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
