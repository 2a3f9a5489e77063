"""Ids equal Hugging Face's on every text of every data set, by every tokenizer at hand."""

import gzip
import json
import os

import numpy as np
import pytest
import tokenizers

from magnetite.text import Tokenizer

EVERY = int(os.environ.get("MAGNETITE_TEST_EVERY", "200"))
"""One text in so many is taken, another one for each tokenizer; 1 takes them all: half an hour."""


def open_text(path):
    opener = gzip.open if path.suffix == ".gz" else open
    return opener(path, "rt", encoding="utf-8", newline="\n")


def strings(value):
    """Every str inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def all_texts(shared):
    """Every string of the JSONL files, cell of the TSV files and line of the others, once each."""
    texts = {}
    for path in sorted(shared.rglob("*")):
        kind = path.name.removesuffix(".gz").rpartition(".")[2]
        if kind not in {"jsonl", "tsv", "csv", "txt"}:
            continue
        with open_text(path) as lines:
            for line in lines:
                if kind == "jsonl":
                    texts.update(dict.fromkeys(strings(json.loads(line))))
                else:
                    texts.update(dict.fromkeys(line.rstrip("\n").split("\t")))
    return list(texts)


def assert_equal_ids(folder, texts):
    (path,) = folder.glob("tokenizer.json*")
    with open_text(path) as file:
        definition = file.read()
    ours, theirs = Tokenizer.from_json(definition), tokenizers.Tokenizer.from_str(definition)
    theirs.no_padding()
    refused = 0
    for first in range(0, len(texts), 1000):
        block = texts[first : first + 1000]
        try:
            wanted = [row.ids for row in theirs.encode_batch_fast(block)]
        except Exception:  # one of the tiny files has no token for what it does not know
            with pytest.raises(ValueError, match="not found in the vocabulary"):
                ours.encode_batch(block)
            refused += 1
            continue
        got = ours.encode_batch(block)
        assert np.array_equal(got.ids, np.concatenate([np.array(ids, np.int32) for ids in wanted]))
        assert np.array_equal(np.diff(got.starts), [len(ids) for ids in wanted])
    assert refused == 0 or folder.name == "tiny-bpe_unk_token_not_in_vocab"


@pytest.mark.slow
def test_ids_equal_hugging_face_on_the_text_of_every_data_set(shared):
    texts = all_texts(shared)
    assert len(texts) > 100_000
    folders = sorted(path.parent for path in shared.glob("tokenizers/*/tokenizer.json*"))
    for first, folder in enumerate(folders):
        assert_equal_ids(folder, texts[first % EVERY :: EVERY])
