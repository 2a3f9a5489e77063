"""Ids equal Hugging Face's, and the door to them behaves."""

import gzip
import random
import re

import numpy as np
import pytest
import tokenizers

from magnetite.text import Tokenizer

WORDS = "The quick brown fox, naïve façade; 1234.5 a@b.org don't ﬁne Straße ǅ \uff37\uff29"


def folders(shared):
    return sorted(p.parent for p in (shared / "tokenizers").glob("*/tokenizer.json*"))


def read_json(folder):
    (path,) = folder.glob("tokenizer.json*")
    return (gzip.open(path) if path.suffix == ".gz" else path.open("rb")).read().decode()


def rows(tokens):
    return [part.tolist() for part in np.split(tokens.ids, tokens.starts[1:-1])]


def random_texts(n, seed, added):
    """Texts of every plane: letters, marks, CJK, emoji, controls, added tokens inside words."""
    rng = random.Random(seed)
    spans = [
        (0x20, 0x7E), (0x00, 0x1F), (0x7F, 0x24F), (0x300, 0x36F), (0x370, 0x5FF), (0x600, 0x6FF),
        (0x900, 0xDFF), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2190, 0x2BFF),
        (0x3000, 0x30FF), (0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xF8FF), (0xFB00, 0xFEFF),
        (0xFF00, 0xFFFF), (0x10000, 0x1D7FF), (0x1F000, 0x1FAFF), (0x20000, 0x3134F),
        (0xE0000, 0xE01EF), (0xF0000, 0x10FFFF),
    ]  # fmt: skip
    words = WORDS.split() + added

    def piece():
        kind = rng.random()
        if kind < 0.3:
            return rng.choice(words)
        if kind < 0.4:
            return rng.choice(
                [" ", "  ", "\t", "\n", "\r\n", "\u200d", "\ufe0f", "\u3000", "\u00a0", "\0"]
            )
        low, high = rng.choice(spans)
        return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 6)))

    return ["".join(piece() for _ in range(rng.randint(0, 30))) for _ in range(n)]


def compare(ours, theirs, texts, **asked):
    """Ids of both, where neither refuses; texts that Hugging Face refuses we refuse too."""
    try:
        wanted = theirs.encode_batch(texts, add_special_tokens=asked.get("special_tokens", True))
    except Exception as error:  # Hugging Face raises nothing narrower
        if len(texts) == 1:
            with pytest.raises(ValueError, match=f"^tokenizer: {re.escape(str(error))}$"):
                ours.encode_batch(texts, **asked)
            return
        for text in texts:
            compare(ours, theirs, [text], **asked)
        return
    got = ours.encode_batch(texts, offsets=True, **asked)
    assert np.array_equal(got.ids, ours.encode_batch(texts, **asked).ids)
    seen = [np.array(row.attention_mask, bool) for row in wanted]
    assert rows(got) == [np.array(w.ids)[m].tolist() for w, m in zip(wanted, seen, strict=True)]
    spans = [np.array(w.offsets).reshape(-1, 2)[m] for w, m in zip(wanted, seen, strict=True)]
    assert np.array_equal(got.offsets, np.concatenate(spans))
    if theirs.padding:
        ids, mask = got.padded()
        assert ids.tolist() == [row.ids for row in wanted]
        assert mask.tolist() == [row.attention_mask for row in wanted]


def test_ids_and_offsets_equal_hugging_face_on_random_unicode(shared):
    for seed, folder in enumerate(folders(shared)):
        json = read_json(folder)
        ours, theirs = Tokenizer.from_json(json), tokenizers.Tokenizer.from_str(json)
        added = [token.content for token in theirs.get_added_tokens_decoder().values()][:30]
        texts = random_texts(300, seed, added)
        compare(ours, theirs, texts)
        compare(ours, theirs, texts, special_tokens=False)
