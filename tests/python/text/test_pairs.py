"""Rows of pairs are Hugging Face's: ids, types and offsets, by every template and truncation."""

import gzip
import itertools
import json
import re

import numpy as np
import pytest
import tokenizers

from magnetite.text import Tokenizer

STRATEGIES = ("longest_first", "only_first", "only_second")
SPECIAL = [("[CLS]", 101), ("[SEP]", 102)]


def folders(shared):
    return sorted(path.parent for path in shared.glob("tokenizers/*/tokenizer.json*"))


def read_json(folder):
    (path,) = folder.glob("tokenizer.json*")
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()


def random_texts(rng, added):
    """Short texts of words, spaces, added tokens and characters of the first planes."""
    odd = ["\u0301", "e\u0301", "한국어", "中文字", "👍🏽", "\ufb01", "\t", "\0", "▁", "##ing"]
    words = ["don't", "naïve", "1234.5", "plain", "word", *odd, *added]

    def piece():
        if rng.random() < 0.6:
            return words[rng.integers(len(words))] + " " * int(rng.integers(3))
        codes = rng.integers(1, 0x3000 if rng.random() < 0.5 else 0xD800, size=rng.integers(1, 5))
        return "".join(map(chr, codes))

    return ["".join(piece() for _ in range(rng.integers(12))) for _ in range(40)]


def pairs_of(seed, added):
    """Random pairs, of which some have an empty text, some a long one and some two."""
    rng = np.random.default_rng(seed)
    texts = [*random_texts(rng, added), "", "word " * 30, "ab", "ein Wort " * 25, "x" * 70]
    picks = rng.integers(len(texts), size=(50, 2))
    return [texts[i] for i in picks[:, 0]], [texts[i] for i in picks[:, 1]]


def row(tokens, i, name):
    return getattr(tokens, name)[tokens.starts[i] : tokens.starts[i + 1]].tolist()


def assert_like_hugging_face(ours, theirs, first, second, **asked):
    """The rows of both; what they refuse we refuse."""
    special = asked.get("special_tokens", True)
    try:
        wanted = theirs.encode_batch(
            list(zip(first, second, strict=True)), add_special_tokens=special
        )
    except Exception as error:  # Hugging Face raises nothing narrower
        if len(first) > 1:
            for a, b in zip(first, second, strict=True):
                assert_like_hugging_face(ours, theirs, [a], [b], **asked)
            return
        what = "room|fills the row" if "too short" in str(error) else re.escape(str(error))
        for offsets in (False, True):
            with pytest.raises(ValueError, match=what):
                ours.encode_pairs(first, second, offsets=offsets, **asked)
        return
    ragged = ours.encode_pairs(first, second, **asked)
    with_offsets = ours.encode_pairs(first, second, offsets=True, **asked)
    for name in ("ids", "type_ids", "starts", "truncated"):
        assert np.array_equal(getattr(ragged, name), getattr(with_offsets, name))
    for i, theirs_row in enumerate(wanted):
        seen = np.array(theirs_row.attention_mask, bool)
        assert row(ragged, i, "ids") == np.array(theirs_row.ids)[seen].tolist()
        assert row(ragged, i, "type_ids") == np.array(theirs_row.type_ids)[seen].tolist()
        spans = np.array(theirs_row.offsets).reshape(-1, 2)[seen]
        assert row(with_offsets, i, "offsets") == spans.tolist()


@pytest.mark.slow
def test_pairs_have_the_ids_types_and_offsets_of_hugging_face_by_every_file(shared):
    for seed, folder in enumerate(folders(shared)):
        definition = json.loads(read_json(folder))
        definition["padding"] = definition["truncation"] = None
        text = json.dumps(definition)
        theirs = tokenizers.Tokenizer.from_str(text)
        added = [token.content for token in theirs.get_added_tokens_decoder().values()][:30]
        first, second = pairs_of(seed, added)
        ours = Tokenizer.from_json(text)
        assert_like_hugging_face(ours, theirs, first, second)
        assert_like_hugging_face(ours, theirs, first[:9], second[:9], special_tokens=False)


@pytest.mark.parametrize("direction", ["left", "right"])
@pytest.mark.parametrize("name", ["tiny-minimal_wordpiece", "bert-base-uncased"])
def test_a_cut_pair_keeps_what_hugging_face_keeps(shared, name, direction):
    for strategy, most in itertools.product(STRATEGIES, (6, 13)):
        definition = json.loads(read_json(shared / "tokenizers" / name))
        definition["padding"] = None
        theirs = tokenizers.Tokenizer.from_str(json.dumps(definition))
        first, second = pairs_of(5, [])
        theirs.enable_truncation(most, strategy=strategy, direction=direction)
        of_file = Tokenizer.from_json(theirs.to_str())
        assert_like_hugging_face(of_file, theirs, first, second)
        assert_like_hugging_face(
            of_file, theirs, first, second, special_tokens=False, max_tokens=most
        )
        theirs.enable_truncation(9, direction=direction)
        given = Tokenizer.from_json(theirs.to_str())
        theirs.enable_truncation(most, strategy=strategy, direction=direction)
        assert_like_hugging_face(given, theirs, first, second, max_tokens=most, strategy=strategy)


def test_of_two_long_texts_the_longer_has_the_odd_token(shared):
    """Both longer than a row has room: which is the longer is known by counting to the end."""
    theirs = tokenizers.Tokenizer.from_str(read_json(shared / "tokenizers" / "bert-base-uncased"))
    ours = Tokenizer.from_json(theirs.to_str())
    for direction in ("left", "right"):
        theirs.enable_truncation(20, direction=direction)
        ours = Tokenizer.from_json(theirs.to_str())
        texts = ["a b c " * count for count in (7, 8, 30, 31)]
        for first in texts:
            assert_like_hugging_face(ours, theirs, [first] * len(texts), texts)


def test_a_template_of_its_own_is_followed_to_the_letter(shared):
    theirs = tokenizers.Tokenizer.from_str(read_json(shared / "tokenizers" / "bert-base-uncased"))
    for pair in ("$B:3 [SEP]:2 $A:5", "[CLS] $A $B $A:1 [SEP]:1", "$A:1 [SEP] [SEP] $B:0"):
        theirs.post_processor = tokenizers.processors.TemplateProcessing(
            single="$A $A", pair=pair, special_tokens=SPECIAL
        )
        for special in (True, False):
            assert_like_hugging_face(
                Tokenizer.from_json(theirs.to_str()), theirs, *pairs_of(2, []),
                special_tokens=special,
            )  # fmt: skip


def test_a_template_that_drops_a_text_of_the_pair_is_refused(tiny_tokenizer):
    definition = json.loads(tiny_tokenizer)
    template = definition["post_processor"]
    template["pair"] = template["single"]  # the first text only
    tokenizer = Tokenizer.from_json(json.dumps(definition))
    with pytest.raises(ValueError, match="its template drops the text"):
        tokenizer.encode_pairs("iron", ["magnet"])


def test_one_question_stands_before_every_passage(shared):
    tokenizer = Tokenizer.from_json(read_json(shared / "tokenizers" / "bert-base-uncased"))
    passages = [f"passage {i}" for i in range(50)]
    got = tokenizer.encode_pairs("which one?", passages, threads=2)
    wanted = tokenizer.encode_pairs(["which one?"] * 50, passages, threads=1)
    assert np.array_equal(got.ids, wanted.ids)
    assert np.array_equal(got.type_ids, wanted.type_ids)
    for given in (iter(passages), np.array(passages), tuple(passages)):
        assert np.array_equal(tokenizer.encode_pairs("which one?", given).ids, got.ids)
    assert len(tokenizer.encode_pairs("which one?", [])) == 0
    with pytest.raises(ValueError, match="second must have 2 elements; got 50"):
        tokenizer.encode_pairs(["a", "b"], passages)
    with pytest.raises(
        ValueError, match="longest_first, only_first or only_second; got 'shortest'"
    ):
        tokenizer.encode_pairs("a", passages, strategy="shortest")
    with pytest.raises(ValueError, match="must be more than the 3 special tokens of every row"):
        tokenizer.encode_pairs("a", passages, max_tokens=3)
    with pytest.raises(ValueError, match="one text of pair 1 fills the row"):
        tokenizer.encode_pairs(["a", "a b c"], ["b", "c"], max_tokens=5, strategy="only_second")


def test_rectangles_of_types_lie_beside_those_of_ids(shared):
    definition = json.loads(read_json(shared / "tokenizers" / "bert-base-uncased"))
    definition["padding"] = {
        "strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": 8,
        "pad_id": 0, "pad_type_id": 7, "pad_token": "[PAD]",
    }  # fmt: skip
    theirs = tokenizers.Tokenizer.from_str(json.dumps(definition))
    first, second = pairs_of(3, [])
    tokens = Tokenizer.from_json(json.dumps(definition)).encode_pairs(first, second)
    wanted = theirs.encode_batch(list(zip(first, second, strict=True)))
    types = tokens.padded_type_ids()
    assert types.dtype == np.int64
    assert types.tolist() == [row.type_ids for row in wanted]
    assert tokens.padded()[0].tolist() == [row.ids for row in wanted]
    some = np.array([4, 0])
    width = int(np.diff(tokens.starts)[some].max())
    assert np.array_equal(tokens.fill_type_ids(some, width), types[some][:, -width:])
    single = Tokenizer.from_json(json.dumps(definition)).encode_batch(["a"])
    assert single.type_ids is None
    with pytest.raises(ValueError, match="only rows of encode_pairs have types"):
        single.padded_type_ids()
