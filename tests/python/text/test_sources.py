"""The same text has the same ids in every form that it may come in; what is no text is named."""

import numpy as np
import pytest

from magnetite.text import Tokenizer

pa = pytest.importorskip("pyarrow", reason="SKIPPED LOUDLY: pyarrow is not installed")

TEXTS = ["one", "", "three é 👍", "a longer text, of more than sixteen bytes", "\U0010ffff ", " "]


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer):
    return Tokenizer.from_json(tiny_tokenizer)


class Capsules:
    """A column of another library: nothing but Arrow's way out."""

    def __init__(self, column):
        if isinstance(column, pa.ChunkedArray):
            self.__arrow_c_stream__ = column.__arrow_c_stream__
        else:
            self.__arrow_c_array__ = column.__arrow_c_array__


def forms(texts):
    """Every form of `texts`, and its name."""
    half = len(texts) // 2
    yield "tuple", tuple(texts)
    yield "iterator", iter(texts)
    yield "generator", (text for text in texts)
    yield "fixed width", np.array(texts, np.str_)
    yield "fixed width backwards", np.array(texts[::-1], np.str_)[::-1]
    yield "other byte order", np.array(texts, np.str_).astype(">U64")
    yield "characters stripped", np.char.array(texts)
    yield "objects", np.array(texts, object)
    yield "variable width", np.array(texts, np.dtypes.StringDType())
    yield "NumPy's own str", list(np.array(texts))
    for kind in (pa.string(), pa.large_string()):
        column = pa.array(texts, kind)
        yield f"{kind}", column
        yield f"slice of {kind}", pa.array(["no", *texts, "no", "no"], kind)[1:-2]
        yield (
            f"without bytes before {kind}",
            pa.chunked_array([pa.array(["", ""], kind), column])[2:],
        )
        yield f"{kind} in parts", pa.chunked_array([column[:half], column[:0], column[half:]])
        yield f"{kind} of somebody", Capsules(column)
        yield (
            f"{kind} in parts of somebody",
            Capsules(pa.chunked_array([column, column])[: len(texts)]),
        )
    yield "views", pa.array(texts, pa.string_view())
    yield "dictionary", pa.array(texts, pa.string()).dictionary_encode()


def assert_same(got, wanted):
    for name in ("ids", "starts", "truncated"):
        assert np.array_equal(getattr(got, name), getattr(wanted, name)), name


@pytest.mark.parametrize("count", [0, 1, 6, 40])
def test_the_same_text_has_the_same_ids_in_every_form(tokenizer, count):
    texts = (TEXTS * 7)[:count]
    stripped = [text.rstrip() for text in texts]
    for name, given in forms(texts):
        plain = stripped if name == "characters stripped" else texts
        wanted = tokenizer.encode_batch(plain, max_tokens=6)
        assert_same(tokenizer.encode_batch(given, max_tokens=6), wanted)
    for name, given in forms(texts):
        plain = stripped if name == "characters stripped" else texts
        wanted = tokenizer.encode_padded(plain, max_tokens=6)
        got = tokenizer.encode_padded(given, max_tokens=6)
        assert [part.tolist() for part in got] == [part.tolist() for part in wanted]


def test_windows_of_a_long_iterator_and_of_a_long_array_are_one_result(tokenizer):
    """More than two windows of texts, and more than one of bytes."""
    texts = [TEXTS[i % 6] * (i % 3) for i in range(10_000)]
    wanted = tokenizer.encode_batch(texts, max_tokens=5, offsets=True)
    for given in (iter(texts), np.array(texts), np.array(texts, np.dtypes.StringDType())):
        got = tokenizer.encode_batch(given, max_tokens=5, offsets=True)
        assert_same(got, wanted)
        assert np.array_equal(got.offsets, wanted.offsets)
    padded = tokenizer.encode_padded(texts, max_tokens=5)
    for part, want in zip(tokenizer.encode_padded(iter(texts), max_tokens=5), padded, strict=True):
        assert np.array_equal(part, want)
    large = ["word " * 100_000] * 50
    assert_same(
        tokenizer.encode_batch(iter(large), max_tokens=5),
        tokenizer.encode_batch(large, max_tokens=5),
    )


def test_an_iterator_is_read_no_further_than_a_window_ahead_of_its_ids(tokenizer):
    """So memory is that of the ids."""
    alive = 0
    most = 0

    class Counted(str):
        __slots__ = ()

        def __del__(self):
            nonlocal alive
            alive -= 1

    def texts():
        nonlocal alive, most
        for i in range(20_000):
            alive += 1
            most = max(most, alive)
            yield Counted(f"word {i}")

    assert len(tokenizer.encode_batch(texts())) == 20_000
    assert most <= 4097


def test_an_error_of_an_iterator_comes_through(tokenizer):
    def texts():
        yield from ["a", "b"]
        raise KeyError("the source broke")

    with pytest.raises(KeyError, match="the source broke"):
        tokenizer.encode_batch(texts())


def test_what_is_no_character_counts_as_the_replacement_character_in_every_form(tokenizer):
    broken, repaired = ["a\ud800b", "\udfff"], ["a\ufffdb", "\ufffd"]
    wanted = tokenizer.encode_batch(repaired)
    for given in (broken, iter(broken), np.array(broken), np.array(broken, object)):
        assert_same(tokenizer.encode_batch(given), wanted)
    points = np.array([[97, 0x110000, 98], [0xFFFFFFFF, 0, 0]], np.uint32).view("U3").ravel()
    assert_same(tokenizer.encode_batch(points), wanted)


def test_what_is_no_text_is_named_by_its_row(tokenizer):
    texts = [f"text {i}" for i in range(5000)]
    for bad in (None, 3, b"bytes"):
        items = [*texts, bad]
        for given in (items, iter(items), np.array(items, object)):
            with pytest.raises(TypeError, match=r"item 5000 is <class '\w+'>"):
                tokenizer.encode_batch(given)
    missing = np.array([*texts, np.nan], np.dtypes.StringDType(na_object=np.nan))
    with pytest.raises(TypeError, match="item 5000 is <class 'float'>"):
        tokenizer.encode_batch(missing)
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        column = pa.array(["no", *texts, None], kind)
        for given in (
            column[1:],
            pa.chunked_array([column[1:9], column[9:]]),
            Capsules(column[1:]),
        ):
            with pytest.raises(ValueError, match="row 5000 is; fill it or leave it out"):
                tokenizer.encode_batch(given)
    dictionary = pa.DictionaryArray.from_arrays([0, 1], ["a", None])
    with pytest.raises(ValueError, match="row 1 is"):
        tokenizer.encode_batch(dictionary)


def test_a_column_that_is_damaged_is_refused_by_its_row(tokenizer):
    def column(offsets, data, kind, number):
        buffers = [None, pa.py_buffer(np.array(offsets, number)), pa.py_buffer(data)]
        return pa.Array.from_buffers(kind, len(offsets) - 1, buffers)

    good = column([0, 1, 3], "aé".encode(), pa.string(), np.int32)
    assert len(tokenizer.encode_batch(good)) == 2
    for offsets, data in (
        ([0, 1, 3], b"a\xff\xfe"),
        ([0, 2, 1], b"abc"),
        ([0, 2, 3], "éé".encode()[:3]),
        ([0, 1, 2], "aé".encode()),
    ):
        for kind, number in ((pa.string(), np.int32), (pa.large_string(), np.int64)):
            with pytest.raises(ValueError, match="something else in row 1"):
                tokenizer.encode_batch(column(offsets, data, kind, number))
    parts = pa.chunked_array([good, column([0, 1], b"\xff", pa.string(), np.int32)])
    with pytest.raises(ValueError, match="something else in row 2"):
        tokenizer.encode_batch(parts)


def test_a_column_of_something_else_is_refused(tokenizer):
    numbers = pa.array([1, 2])
    for bad in (numbers, numbers.dictionary_encode(), pa.array([b"a"]), pa.table({"a": ["x"]})):
        with pytest.raises(TypeError, match="texts must be an Arrow column of strings; got one of"):
            tokenizer.encode_batch(bad)
    with pytest.raises(TypeError, match=r"one row of strings; got an array of shape \(1, 2\)"):
        tokenizer.encode_batch(np.array([["a", "b"]]))
    with pytest.raises(TypeError, match=r"one row of strings; got an array of shape \(\)"):
        tokenizer.encode_batch(np.array("one text"))
    with pytest.raises(TypeError, match="item 0 is <class 'bytes'>"):
        tokenizer.encode_batch(np.array([b"bytes"]))
