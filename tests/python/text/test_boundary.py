"""The door to the tokenizer: what may be given, what is refused, threads, fork, pickle, Ctrl-C."""

import contextlib
import json
import os
import pickle
import random
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from magnetite import FormatError
from magnetite.text import Tokenizer

GOLDEN = Path(__file__).parents[2] / "golden" / "tokenizers"
SENTENCE = "Licensed works are distributed without warranties of any kind. "


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load(GOLDEN / "unigram.json")


@pytest.fixture(scope="module")
def quick():
    """One with a fast path."""
    tokenizer = Tokenizer.load(GOLDEN / "wordpiece.json")
    assert tokenizer.engine == "wordpiece"
    return tokenizer


@pytest.fixture(scope="module")
def slow(quick):
    """The same without, the slowest a byte, so that what it does can be interrupted."""
    definition = json.loads(quick.to_json())
    pre_tokenizers = [definition["pre_tokenizer"], {"type": "WhitespaceSplit"}]
    definition["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": pre_tokenizers}
    tokenizer = Tokenizer.from_json(json.dumps(definition))
    assert tokenizer.engine == "tokenizers"
    return tokenizer


def ids(tokens):
    return [part.tolist() for part in np.split(tokens.ids, tokens.starts[1:-1])]


def test_one_str_is_refused_and_not_read_as_its_characters(tokenizer):
    for one, kind in (("a text", "str"), (b"bytes", "bytes")):
        with pytest.raises(TypeError, match=f"got one {kind}; wrap it in a list"):
            tokenizer.encode_batch(one)


def test_an_item_that_is_no_str_is_named_by_its_position(tokenizer):
    for bad in (None, 3, b"bytes", ["nested"]):
        with pytest.raises(TypeError, match=r"item 2 is <class '\w+'>"):
            tokenizer.encode_batch(["a", "b", bad, "c"])


def test_any_iterable_and_numpy_strings_are_read_alike(tokenizer):
    texts = ["one", "", "three é 👍"]
    wanted = ids(tokenizer.encode_batch(texts))
    for given in (
        tuple(texts),
        iter(texts),
        (text for text in texts),
        np.array(texts),
        np.array(texts, object),
        np.array(texts, np.dtypes.StringDType()),
        list(np.array(texts)),
        dict.fromkeys(texts),
    ):
        assert ids(tokenizer.encode_batch(given)) == wanted


def test_no_texts_and_empty_texts_are_no_special_case(tokenizer):
    none = tokenizer.encode_batch([], offsets=True)
    assert len(none) == 0
    assert none.ids.tolist() == []
    assert none.starts.tolist() == [0]
    assert none.offsets.shape == (0, 2)
    assert [part.shape for part in none.padded()] == [(0, 0), (0, 0)]
    empty = tokenizer.encode_batch(["", ""], special_tokens=False)
    assert empty.starts.tolist() == [0, 0, 0]
    assert [part.shape for part in empty.padded()] == [(2, 0), (2, 0)]


def test_a_lone_surrogate_counts_as_the_replacement_character(tokenizer):
    broken = ["\ud800", "a\udfffb", "\udc00\ud800 é👍", "pair \ud83d\ude00"]
    repaired = ["\ufffd", "a\ufffdb", "\ufffd\ufffd é👍", "pair \ufffd\ufffd"]
    got, wanted = (tokenizer.encode_batch(texts, offsets=True) for texts in (broken, repaired))
    assert ids(got) == ids(wanted)
    assert np.array_equal(got.offsets, wanted.offsets)


def test_a_megabyte_is_one_text_like_any_other(tokenizer, quick, slow):
    for one in (tokenizer, quick, slow):
        for text in (SENTENCE * 16_000, "x" * 1_000_000, " " * 1_000_000, "\0" * 1_000_000):
            tokens = one.encode_batch([text, "short"], max_tokens=64)
            assert np.diff(tokens.starts).max() <= 64
    assert len(tokenizer.encode_batch([SENTENCE * 16_000]).ids) > 100_000


@pytest.mark.parametrize("engine", ["slow", "quick"])
def test_ids_do_not_depend_on_the_number_of_threads_or_on_the_batch(request, engine):
    slow = request.getfixturevalue(engine)
    texts = [SENTENCE[i % 50 :] * (i % 7) for i in range(300)]
    wanted = slow.encode_batch(texts, offsets=True, threads=1)
    for threads in (2, 3, None):
        got = slow.encode_batch(texts, offsets=True, threads=threads)
        for name in ("ids", "starts", "truncated", "offsets"):
            assert np.array_equal(getattr(got, name), getattr(wanted, name))
    assert ids(wanted) == [ids(slow.encode_batch([text]))[0] for text in texts]
    with pytest.raises(ValueError, match="threads must be 1 to 1024; got 0"):
        slow.encode_batch(texts, threads=0)


def test_a_pickled_tokenizer_is_the_same_tokenizer(tokenizer):
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.to_json() == tokenizer.to_json()
    assert ids(again.encode_batch([SENTENCE])) == ids(tokenizer.encode_batch([SENTENCE]))


def test_eight_threads_may_use_one_tokenizer(tokenizer):
    texts = [SENTENCE * (1 + i % 5) for i in range(200)]
    wanted = tokenizer.encode_batch(texts).ids
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda _: tokenizer.encode_batch(texts, threads=2).ids, range(24)):
            assert np.array_equal(got, wanted)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="SKIPPED LOUDLY: no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_tokenize_after_its_parent_has(tokenizer):
    texts = [SENTENCE] * 2000
    wanted = tokenizer.encode_batch(texts, threads=2).ids
    child = os.fork()
    if child == 0:
        same = np.array_equal(tokenizer.encode_batch(texts, threads=2).ids, wanted)
        os._exit(0 if same else 1)
    deadline = time.monotonic() + 20
    done = 0
    while done == 0 and time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if done == 0:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert done == child, "the child hangs"
    assert os.waitstatus_to_exitcode(status) == 0


def waited_after_ctrl_c(work, delay_s):
    """Seconds from the signal to the end of `work`, which must be under way for that long."""
    pressed = []

    def press():
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(delay_s, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        work()
    waited = time.monotonic() - pressed[0]
    timer.join()
    return waited


def waited_in(batch, presses, by, **asked):
    """The median wait over some presses at different times."""
    waited = [
        waited_after_ctrl_c(lambda: by.encode_batch(batch, **asked), at)
        for at in (0.3 + 0.07 * press for press in range(presses))
    ]
    return float(np.median(waited))


@pytest.mark.parametrize("offsets", [False, True])
@pytest.mark.parametrize(
    ("copies", "texts", "presses"), [(4, 400_000, 1), (16_000, 200, 7), (320_000, 4, 7)]
)
def test_ctrl_c_ends_a_long_call_at_once(slow, offsets, copies, texts, presses, prompt_s):
    """In a batch of short texts, of texts of a megabyte, of texts of twenty."""
    assert waited_in([SENTENCE * copies] * texts, presses, slow, offsets=offsets) < prompt_s


@pytest.mark.parametrize(
    ("copies", "texts", "presses"), [(80, 400_000, 3), (16_000, 1500, 3), (320_000, 75, 3)]
)
def test_ctrl_c_ends_a_long_call_on_a_fast_path_at_once(quick, copies, texts, presses, prompt_s):
    """The same of so much text, none of it cut, that the call is surely under way."""
    assert waited_in([SENTENCE * copies] * texts, presses, quick, max_tokens=10**9) < prompt_s


@pytest.mark.parametrize("offsets", [False, True])
@pytest.mark.parametrize("engine", ["slow", "quick"])
def test_a_long_text_has_the_ids_of_hugging_face(request, engine, offsets):
    """One that goes to a thread of its own, cut and whole."""
    slow = request.getfixturevalue(engine)
    theirs = tokenizers.Tokenizer.from_str(slow.to_json())
    text = (SENTENCE + "Naïve café 👍 \u0301 [MASK] ") * 1000
    for cut in (500, 1_000_000):
        theirs.enable_truncation(cut)
        got = slow.encode_batch(["short", text], max_tokens=cut, offsets=offsets)
        wanted = theirs.encode(text)
        assert ids(got)[1] == wanted.ids
        if offsets:
            assert got.offsets[got.starts[1] :].tolist() == [list(o) for o in wanted.offsets]


def test_a_file_that_is_no_tokenizer_is_refused_by_its_name(tmp_path, tokenizer):
    path = tmp_path / "tokenizer.json"
    for bad in (b"", b"{}", b"[]", b"\xff\xfe", b'{"version": "9"}', b"[" * 10_000, b"null",
                tokenizer.to_json().encode()[:-2]):  # fmt: skip
        path.write_bytes(bad)
        with pytest.raises(FormatError, match=r"tokenizer\.json: not "):
            Tokenizer.load(path)
    with pytest.raises(FileNotFoundError):
        Tokenizer.load(tmp_path / "none.json")
    with pytest.raises(OSError, match=r"(?i)directory|denied"):
        Tokenizer.load(tmp_path)


def test_a_definition_whose_parts_contradict_each_other_is_refused(tokenizer):
    definition = json.loads(tokenizer.to_json())
    definition["post_processor"]["special_tokens"] = {}
    with pytest.raises(FormatError, match="contradicts itself"):
        Tokenizer.from_json(json.dumps(definition))
    definition = json.loads(tokenizer.to_json())
    definition["padding"] = {
        "strategy": {"Fixed": 2**32}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "",
    }  # fmt: skip
    with pytest.raises(FormatError, match="padding to more than 1048576 tokens"):
        Tokenizer.from_json(json.dumps(definition))


def test_a_template_that_drops_the_text_is_refused(tokenizer):
    definition = json.loads(tokenizer.to_json())
    definition["post_processor"]["single"] = [{"SpecialToken": {"id": "</s>", "type_id": 0}}]
    with pytest.raises(FormatError, match="drops the text"):
        Tokenizer.from_json(json.dumps(definition))


def test_a_damaged_definition_is_refused_or_works_and_never_panics():
    """Tokens of the JSON replaced by others of any kind; what loads gives ids or a ValueError."""
    rng = random.Random(0)
    files = [p.read_text(encoding="utf-8") for p in GOLDEN.glob("*.json") if p.name != "ids.json"]
    parts = [definition.partition('"vocab"') for definition in files]  # spare the long tail
    others = ["0", "-1", "1e9", "99999999999", "null", "true", '""', '"x"', "[]", "{}"]
    loaded = 0
    for _ in range(1500):
        head, *tail = rng.choice(parts)
        start, end = rng.choice([m.span() for m in re.finditer(r'"[^"]*"|-?\d+|null|true', head)])
        definition = head[:start] + rng.choice(others) + head[end:] + "".join(tail)
        try:
            tokenizer = Tokenizer.from_json(definition)
        except FormatError:
            continue
        loaded += 1
        for offsets in (False, True):
            with contextlib.suppress(ValueError):
                tokenizer.encode_batch([SENTENCE, "", "é👍"], offsets=offsets).padded()
    assert loaded > 50
