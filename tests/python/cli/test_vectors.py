"""Vectors written block by block: the same bytes, however often the writer was killed."""

import io
import os
import signal
import subprocess
import sys
import time
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magnetite import FormatError
from magnetite.cli import vectors
from magnetite.cli.vectors import Texts, Written, write_vectors

DIM = 3


def encode(texts):
    """A stand-in that is a function of each text alone."""
    rows = [np.frombuffer(blake2b(t.encode(), digest_size=DIM).digest(), np.uint8) for t in texts]
    return np.array(rows, np.float32).reshape(-1, DIM) / 256


def texts(n):
    return Texts.of(lambda: (f"text {i}" for i in range(n)))


def wanted(n):
    stream = io.BytesIO()
    np.save(stream, encode([f"text {i}" for i in range(n)]))
    return stream.getvalue()


def write(out, n, *, encode=encode, encoder="e", prompt=None):
    return write_vectors(texts(n), encode, out, encoder=encoder, dim=DIM, prompt=prompt)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(vectors, "_BLOCK", 4)


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 11])
def test_the_file_is_what_numpy_saves(tmp_path, monkeypatch, small_blocks, n):
    out = tmp_path / "x.npy"
    assert write(out, n) == Written(n, DIM, 0)
    assert out.read_bytes() == wanted(n)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


class Died(BaseException):
    """As abrupt as a test can be without a process of its own."""


@given(
    n=st.integers(1, 23),
    deaths=st.lists(st.integers(0, 6), max_size=4),
    torn=st.integers(0, 40),
    torn_line=st.binary(max_size=9),
)
@settings(deadline=None, max_examples=150)
def test_any_number_of_deaths_leaves_the_same_bytes(tmp_path_factory, n, deaths, torn, torn_line):
    out = tmp_path_factory.mktemp("x") / "x.npy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "_BLOCK", 4)
        patch.setattr(vectors, "_to_disk", lambda stream: stream.flush())  # no power is cut here
        for blocks_left in deaths:
            left = iter(range(blocks_left))

            def dies(block, left=left):
                if next(left, None) is None:
                    raise Died
                return encode(block)

            try:
                write(out, n, encode=dies)
            except Died:  # and the disk holds more than the journal vouches for, half a line too
                with out.with_name("x.npy.partial").open("ab") as array:
                    array.write(b"?" * torn)
                with out.with_name("x.npy.journal").open("ab") as journal:
                    journal.write(torn_line.replace(b"\n", b""))
        write(out, n)
    assert out.read_bytes() == wanted(n)


def test_a_resumed_run_encodes_only_what_is_left(tmp_path, small_blocks):
    seen = []

    def dies(block):
        seen.append(len(block))
        if len(seen) == 3:
            raise Died
        return encode(block)

    with pytest.raises(Died):
        write(tmp_path / "x.npy", 11, encode=dies)
    assert write(tmp_path / "x.npy", 11).resumed == 8


def test_other_texts_encoder_or_prompt_do_not_go_on(tmp_path, small_blocks):
    def dies(block):
        if block[0] == "text 4":
            raise Died
        return encode(block)

    out = tmp_path / "x.npy"
    with pytest.raises(Died):
        write(out, 11, encode=dies)
    for changed in (
        lambda: write(out, 12),
        lambda: write(out, 11, encoder="f"),
        lambda: write(out, 11, prompt="query"),
    ):
        with pytest.raises(FormatError, match=r"differ.*remove the journal"):
            changed()
    write(out, 11)
    assert out.read_bytes() == wanted(11)


def test_a_run_that_died_at_once_stands_in_nobodys_way(tmp_path, small_blocks):
    def dies(block):
        raise Died

    with pytest.raises(Died):
        write(tmp_path / "x.npy", 11, encode=dies, prompt="query")
    assert write(tmp_path / "x.npy", 7).resumed == 0
    assert (tmp_path / "x.npy").read_bytes() == wanted(7)


@pytest.mark.parametrize("text", ["my diary\n", "[1]\n{}\n", '{}\n{"rows": "x"}\n'])
def test_a_foreign_journal_is_refused(tmp_path, text):
    (tmp_path / "x.npy.journal").write_text(text)
    with pytest.raises(FormatError, match="not a journal of vectors"):
        write(tmp_path / "x.npy", 3)


def test_a_short_array_is_refused(tmp_path, small_blocks):
    def dies(block):
        if block[0] == "text 8":
            raise Died
        return encode(block)

    with pytest.raises(Died):
        write(tmp_path / "x.npy", 11, encode=dies)
    partial = tmp_path / "x.npy.partial"
    partial.write_bytes(partial.read_bytes()[:-1])
    with pytest.raises(FormatError, match="shorter than its journal says"):
        write(tmp_path / "x.npy", 11)


def test_two_processes_do_not_write_the_same_file(tmp_path):
    pytest.importorskip("fcntl", reason="SKIPPED LOUDLY: no file locks on this system")

    def meets_another(block):
        with pytest.raises(OSError, match="another process is writing it"):
            write(tmp_path / "x.npy", 3)
        return encode(block)

    write(tmp_path / "x.npy", 3, encode=meets_another)
    assert (tmp_path / "x.npy").read_bytes() == wanted(3)


SLOW = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_vectors
test_vectors.vectors._BLOCK = 4
def slow(block):
    time.sleep(0.05)
    return test_vectors.encode(block)
test_vectors.write(Path({out!r}), 41, encode=slow)
"""


def test_kill_9_and_again_leaves_the_same_bytes(tmp_path):
    out = tmp_path / "x.npy"
    journal = tmp_path / "x.npy.journal"
    script = SLOW.format(tests=os.path.dirname(__file__), out=str(out))  # noqa: PTH120
    for blocks in (2, 5):
        writer = subprocess.Popen([sys.executable, "-c", script])
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") > blocks:
                break
            time.sleep(0.005)
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        assert not out.exists()
    assert write_small(out).resumed >= 20
    assert out.read_bytes() == wanted(41)


def write_small(out):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "_BLOCK", 4)
        return write(out, 41)
