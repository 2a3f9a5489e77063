"""Windows of documents: every character covered, no row too long, cuts where they belong."""

import itertools
import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from magnetite.text import Tokenizer, chunk

TEXT = "the magnet of iron attracts repels a field, strongly (weakly) and then: field-lines"
WORDS = TEXT.split()


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer):
    return Tokenizer.from_json(tiny_tokenizer)


@pytest.fixture(scope="module")
def unigram():
    return Tokenizer.load(Path(__file__).parents[2] / "golden" / "tokenizers" / "unigram.json")


def sentence(rng, words):
    chosen = [rng.choice(WORDS) for _ in range(words)]
    return " ".join(["The", *chosen]) + rng.choice([".", "?", "!", "."])


def document(rng, sentences, longest):
    """Sentences of 1 to `longest` words; blank lines, line breaks and spaces between them."""
    gaps = [" ", " ", "  ", "\n", "\n\n", "\r\n\r\n"]
    text = "".join(
        sentence(rng, rng.randint(1, longest)) + rng.choice(gaps) for _ in range(sentences)
    )
    return rng.choice(["", " ", "\n"]) + text


def spans_of(chunks, number):
    return chunks.spans[chunks.documents == number].tolist()


def assert_sound(tokenizer, texts, chunks, max_tokens, prefixes=None):
    """What holds of all windows, whatever the text."""
    rows = np.diff(tokenizer.encode_batch(chunks.texts(), max_tokens=10**6).starts)
    assert rows.tolist() == chunks.tokens.tolist()
    assert rows.max(initial=0) <= max_tokens
    assert sorted(set(chunks.documents.tolist())) == list(range(len(texts)))
    assert chunks.documents.tolist() == sorted(chunks.documents.tolist())
    for number, text in enumerate(texts):
        spans = spans_of(chunks, number)
        assert spans[0][0] == 0
        assert spans[-1][1] == len(text)
        for (start, end), (after, later) in itertools.pairwise(spans):
            assert start < after <= end < later
    for one in chunks:
        assert one.text == texts[one.document][one.start : one.end]
        if prefixes:
            assert prefixes[one.document].startswith(one.prefix)


ODD = [
    "x" * 40,
    "中文字。",
    "ก็",
    "e\u0301\u0302",
    "👩\u200d👩\u200d👧",
    "\0",
    ". ",
    "? ",
    " ",
    "\n\n",
    "\n",
]
pieces = st.one_of(st.sampled_from([*WORDS, *ODD]), st.text(max_size=6))


# A sentence ends within a word whose last letters nobody knows: without them it has more tokens.
UNKNOWN = "thethe÷:thethemagnet000000000\x85¢field-linesthethe"


@settings(max_examples=150, deadline=None)
@example(texts=[UNKNOWN], prefix="", max_tokens=12, share=0.0)
@given(
    texts=st.lists(st.lists(pieces, max_size=40).map("".join), min_size=1, max_size=3),
    prefix=st.sampled_from(["", "title: ", "a long title of many words that nobody reads. "]),
    max_tokens=st.integers(12, 60),
    share=st.floats(0, 0.5),
)
def test_windows_cover_all_and_no_row_is_too_long(tokenizer, texts, prefix, max_tokens, share):
    overlap = int(max_tokens * share)
    chunks = chunk(
        tokenizer, texts, max_tokens=max_tokens, overlap=overlap, prefixes=prefix, threads=1
    )
    assert_sound(tokenizer, texts, chunks, max_tokens, [prefix] * len(texts))


@pytest.mark.parametrize("overlap", [0, 12])
def test_windows_hold_by_a_tokenizer_whose_tokens_depend_on_what_is_beside_them(unigram, overlap):
    rng = random.Random(1)
    texts = [document(rng, 30, 60) for _ in range(20)] + [
        "",
        "中文字。" * 200,
        "x" * 5000,
        " " * 99,
    ]
    titles = [sentence(rng, 3 + i) + " " for i in range(len(texts))]
    chunks = chunk(unigram, texts, max_tokens=40, overlap=overlap, prefixes=titles)
    assert_sound(unigram, texts, chunks, 40, titles)
    assert all(len(one.prefix) > 0 for one in chunks)


def test_sentences_that_fit_are_whole_and_fill_their_windows(tokenizer):
    """A window ends with a sentence, and the next would not have fitted."""
    rng = random.Random(2)
    for _ in range(30):
        text = document(rng, 20, 8)
        chunks = chunk(tokenizer, [text], max_tokens=120)
        spans = spans_of(chunks, 0)
        for i, (start, end) in enumerate(spans[:-1]):
            assert re.search(r"[.?!]\s+$", text[start:end])
            next_sentence = re.match(r"[^.?!]*[.?!]\s*", text[end:]).group()
            more = tokenizer.encode_batch([text[start:end] + next_sentence]).starts[1]
            assert more > 120 or spans[i + 1][1] == end


def test_a_long_sentence_is_cut_between_words_and_shares_a_window_that_is_nearly_empty(tokenizer):
    long = " ".join(["Of", *["attracts"] * 60]) + "."  # 8 letters, 8 tokens a word
    text = "The iron. " + long + " The field."
    chunks = chunk(tokenizer, [text], max_tokens=100)
    spans = spans_of(chunks, 0)
    assert text[slice(*spans[0])].startswith("The iron. Of attracts")
    for _, end in spans[:-1]:
        assert text[end - 1] == " "
        assert text[end] != " "
    full = "The iron attracts the magnet of the iron strongly. " * 3  # 24 tokens each
    text = full + long
    first = spans_of(chunk(tokenizer, [text], max_tokens=100), 0)[0]
    assert text[slice(*first)] == full


def test_a_word_that_no_window_holds_is_cut_between_what_looks_like_characters(tokenizer):
    text = "e\u0301" * 300 + "👩\u200d👧" * 40
    chunks = chunk(tokenizer, [text], max_tokens=30)
    assert_sound(tokenizer, [text], chunks, 30)
    for _, end in spans_of(chunks, 0)[:-1]:
        assert text[end] in "e👩"


def test_line_breaks_end_no_sentence_but_are_where_a_long_one_is_cut(tokenizer):
    lines = [f"the iron of line {letter}\n" for letter in "abcdefghij"]
    text = "".join(lines)
    spans = spans_of(chunk(tokenizer, [text], max_tokens=60), 0)
    assert all(text[end - 1] == "\n" for _, end in spans)
    wrapped = "The iron\nattracts. The\nmagnet."
    spans = spans_of(chunk(tokenizer, [wrapped], max_tokens=14), 0)
    assert [wrapped[slice(*span)] for span in spans] == ["The iron\nattracts. ", "The\nmagnet."]


def test_windows_overlap_by_sentences_where_one_fits_and_else_by_words(tokenizer):
    short = "The iron. " * 30
    chunks = chunk(tokenizer, [short], max_tokens=44, overlap=20)
    spans = spans_of(chunks, 0)
    assert len(spans) > 2
    for (_, end), (after, _) in itertools.pairwise(spans):
        repeated = short[after:end]
        assert repeated.startswith("The iron.")
        tokens = tokenizer.encode_batch([repeated], special_tokens=False).starts[1]
        assert 10 < tokens <= 20
    long = "The iron attracts the magnet of the iron strongly here. " * 9
    spans = spans_of(chunk(tokenizer, [long], max_tokens=60, overlap=12), 0)
    for (_, end), (after, _) in itertools.pairwise(spans):
        assert after < end
        assert long[after - 1] == " "
        tokens = tokenizer.encode_batch([long[after:end]], special_tokens=False).starts[1]
        assert tokens <= 15


def test_a_prefix_of_more_than_half_a_row_is_cut_at_a_word(tokenizer):
    title = "the magnet of iron " * 20
    chunks = chunk(tokenizer, ["the field " * 50], max_tokens=40, prefixes=[title])
    assert {one.prefix for one in chunks} == {
        title[: len("the magnet of iron " * 4 + "the magnet ")]
    }
    assert_sound(tokenizer, ["the field " * 50], chunks, 40)
    giant = chunk(tokenizer, ["the iron"], max_tokens=10, prefixes="x" * 90)
    assert giant[0].prefix == ""


def test_threads_change_nothing(tokenizer):
    rng = random.Random(3)
    texts = [document(rng, rng.randint(0, 40), 30) for _ in range(50)]
    one, two = (
        chunk(tokenizer, texts, max_tokens=64, overlap=8, threads=count) for count in (1, 2)
    )
    for name in ("documents", "spans", "tokens"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_what_cannot_be_cut_is_refused(tokenizer, unigram):
    with pytest.raises(TypeError, match="got one str; wrap it in a list"):
        chunk(tokenizer, "a text", max_tokens=9)
    with pytest.raises(TypeError, match="item 1 is <class 'NoneType'>"):
        chunk(tokenizer, ["a", None], max_tokens=9)
    with pytest.raises(ValueError, match="overlap must be at most half of max_tokens, 9; got 5"):
        chunk(tokenizer, ["a"], max_tokens=9, overlap=5)
    with pytest.raises(ValueError, match="prefixes must have 2 elements; got 1"):
        chunk(tokenizer, ["a", "b"], max_tokens=9, prefixes=["one"])
    with pytest.raises(ValueError, match="max_tokens must be more than the 2 special tokens"):
        chunk(tokenizer, ["a"], max_tokens=2)
    with pytest.raises(ValueError, match="room for each character of document 1"):
        chunk(unigram, ["a", "\ufdfa"], max_tokens=unigram.encode_batch([""]).starts[1] + 1)
    assert len(chunk(tokenizer, [], max_tokens=9)) == 0
    assert [one[1:4] for one in chunk(tokenizer, [""], max_tokens=9)] == [(0, 0, 2)]
