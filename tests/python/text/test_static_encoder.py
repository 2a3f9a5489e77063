"""The static encoder through the door: texts to vectors in one call."""

import json

import numpy as np
import pytest

from magnetite import FormatError, _core
from magnetite.text import Tokenizer

WORDS = ["[PAD]", "[UNK]", "iron", "attracts", "repels", "iron's", "oxide"]
TEXTS = ["iron attracts", "iron repels oxide iron", "", "oxide", "nothing known here"] * 9


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_json(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [],
                "pre_tokenizer": {"type": "WhitespaceSplit"},
                "model": {
                    "type": "WordLevel",
                    "vocab": {word: i for i, word in enumerate(WORDS)},
                    "unk_token": "[UNK]",
                },
            }
        )
    )


def write(path, metadata=None, **tensors):
    """Write a safetensors file by hand: a length, a JSON header, the bytes."""
    kinds = {"float32": "F32", "float64": "F64", "int8": "I8", "int64": "I64", "uint8": "U8"}
    header, at = {} if metadata is None else {"__metadata__": metadata}, 0
    for name, array in tensors.items():
        end = at + array.nbytes
        shape, kind = list(array.shape), kinds[str(array.dtype)]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    body = b"".join(array.tobytes() for array in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


@pytest.fixture
def tables():
    rng = np.random.default_rng(0)
    return {
        "table": rng.integers(-127, 128, (len(WORDS), 24)).astype(np.int8),
        "scale": rng.random(len(WORDS), dtype=np.float32) / 127,
        "weight": rng.random(len(WORDS), dtype=np.float32),
    }


@pytest.fixture
def encoder(tables, tmp_path):
    return _core.StaticEncoder.load(write(tmp_path / "model.safetensors", **tables))


def encode(encoder, tokenizer, texts, max_tokens, threads):
    """Return vectors, and the rows that were cut."""
    out = np.full((len(texts), encoder.dim), np.nan, np.float32)
    _, cut = encoder.encode_texts(tokenizer.core, texts, max_tokens, threads, out)
    return out, cut


def test_texts_become_the_normalised_weighted_sum_of_their_tokens(encoder, tables, tokenizer):
    vectors, truncated = encode(encoder, tokenizer, TEXTS, None, 2)
    assert vectors.dtype == np.float32
    assert truncated.tolist() == []
    rows = tables["table"] * (tables["weight"] * tables["scale"])[:, None].astype(np.float64)
    for text, vector in zip(TEXTS, vectors, strict=True):
        known = [WORDS.index(word) if word in WORDS else 1 for word in text.split()]
        total = rows[known].sum(0)
        wanted = total / np.linalg.norm(total) if known else total
        np.testing.assert_allclose(vector, wanted, atol=1e-6)


def test_one_call_gives_the_bits_of_two_for_any_number_of_threads(encoder, tokenizer):
    for max_tokens in (None, 2):
        tokens = tokenizer.encode_batch(TEXTS, max_tokens=max_tokens)
        wanted = encoder.encode(tokens.ids, tokens.starts, 1)
        for threads in (1, 2, 3):
            got, cut = encode(encoder, tokenizer, TEXTS, max_tokens, threads)
            assert np.array_equal(got, wanted)
            assert np.array_equal(cut, tokens.truncated)
            assert np.array_equal(encoder.encode(tokens.ids, tokens.starts, threads), wanted)
    assert len(tokens.truncated) == 18
    alone = [encode(encoder, tokenizer, [text], 2, 1)[0][0] for text in TEXTS]
    assert np.array_equal(alone, wanted)


def test_no_texts_give_no_rows(encoder, tokenizer):
    vectors, truncated = encode(encoder, tokenizer, [], None, None)
    assert vectors.shape == (0, encoder.dim)
    assert len(truncated) == 0


def test_vectors_are_written_where_they_fit_and_tokens_are_counted(encoder, tokenizer):
    out = np.zeros((2, encoder.dim), np.float32)
    tokens, _ = encoder.encode_texts(tokenizer.core, ["iron attracts", "oxide"], None, 1, out)
    assert tokens == 3
    for wrong in (out[:1], np.zeros((2, encoder.dim + 1), np.float32)):
        with pytest.raises(ValueError, match="out must be 2 rows of 24 numbers"):
            encoder.encode_texts(tokenizer.core, ["iron", "oxide"], None, 1, wrong)
    locked = out.copy()
    locked.setflags(write=False)
    for wrong in (out.T, out.astype(np.float64), locked):
        with pytest.raises(TypeError):
            encoder.encode_texts(tokenizer.core, ["iron", "oxide"], None, 1, wrong)


def test_ids_that_do_not_fit_are_refused(encoder):
    encode = encoder.encode
    with pytest.raises(ValueError, match=r"token id must be 0 to 6.*got 7"):
        encode(np.array([7], np.int32), np.array([0, 1]), 1)
    with pytest.raises(ValueError, match="starts must be rising"):
        encode(np.array([1], np.int32), np.array([0, 2]), 1)
    with pytest.raises(TypeError):
        encode(np.array([1]), np.array([0, 1]), 1)


def test_tensors_and_notes_can_be_read_without_torch(tmp_path, tables):
    extra = {"n": np.arange(6).reshape(2, 3), "one": np.float64([2.5])[0:1], "b": np.uint8([[7]])}
    path = write(tmp_path / "x.safetensors", {"texts": "ünï"}, **tables, **extra)
    read = _core.read_tensors(path)
    assert _core.read_metadata(path) == {"texts": "ünï"}
    for name, array in {**tables, **extra}.items():
        assert read[name].dtype == array.dtype
        assert np.array_equal(read[name], array)
    assert _core.read_metadata(write(path, one=np.uint8([1]))) == {}


def test_a_file_of_tensors_that_is_none_is_refused(tmp_path, tables):
    path = write(tmp_path / "model.safetensors", **tables)
    whole = path.read_bytes()
    header = {"deep": {"dtype": "U8", "shape": [0] * 100, "data_offsets": [0, 0]}}
    text = json.dumps(header).encode()
    for bad in (b"", whole[:7], whole[:-1], whole + b"x", b"\xff" * 100,
                len(text).to_bytes(8, "little") + text):  # fmt: skip
        path.write_bytes(bad)
        with pytest.raises(FormatError, match=r"model\.safetensors: "):
            _core.read_tensors(path)
        with pytest.raises(FormatError, match=r"model\.safetensors: "):
            _core.StaticEncoder.load(path)
    with pytest.raises(FileNotFoundError):
        _core.read_tensors(tmp_path / "none")
    with pytest.raises(OSError, match=r"(?i)directory|denied"):
        _core.StaticEncoder.load(tmp_path)
