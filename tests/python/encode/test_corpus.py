"""A corpus becomes parts; however often the work is killed, they have the same bytes."""

import json
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magnetite import FormatError
from magnetite.encode import Encoder, engines
from magnetite.encode.corpus import encode_corpus
from magnetite.encode.parts import FORMATS, JOURNAL, Job, Parts, Text

TEXTS = [
    Text(f"d{i}", f"the magnet {'of iron ' * (i % 7)}{i} {'x' * (i % 60)}") for i in range(100)
]


@pytest.fixture(scope="module")
def encoder(tiny_artifact):
    return Encoder.load(tiny_artifact, threads=2)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(engines, "WINDOW_TEXTS", 9)


def job(encoder, kind="npy", *, prompt=None, with_text=False):
    return Job(encoder.fingerprint, encoder.dim, prompt, kind, with_text, (9, 1 << 21))


def write(folder, encoder, texts=TEXTS, **more):
    with Parts.open(folder, job(encoder, **more)) as parts:
        written = encode_corpus(texts, encoder, parts)
        parts.seal()
    return written


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_parts_hold_the_vectors_and_the_ids_in_order(tmp_path, encoder):
    written = write(tmp_path / "v", encoder)
    assert (written.rows, written.resumed, written.done.texts) == (100, 0, 100)
    arrays = [np.load(path) for path in sorted((tmp_path / "v").glob("*.npy"))]
    assert [len(array) for array in arrays] == [9] * 11 + [1]
    wanted = encoder.encode([one.text for one in TEXTS])
    np.testing.assert_allclose(np.concatenate(arrays), wanted, atol=1e-6, rtol=0)
    names = [path.read_text().splitlines() for path in sorted((tmp_path / "v").glob("*.jsonl"))]
    assert [json.loads(line)["id"] for lines in names for line in lines] == [t.id for t in TEXTS]
    about = json.loads((tmp_path / "v" / "about.json").read_text())
    assert (about["rows"], len(about["parts"]), about["encoder"]) == (100, 12, encoder.fingerprint)
    assert not (tmp_path / "v" / JOURNAL).exists()


def test_what_was_done_is_counted(tmp_path, encoder):
    done = write(tmp_path / "v", encoder).done
    tokens = encoder.tokenize([one.text for one in TEXTS])
    assert done.tokens == len(tokens.ids)
    assert done.truncated == len(tokens.truncated) > 0
    assert 0 < done.padding < 0.5


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_one_file_of_all_parts(tmp_path, encoder, kind):
    with Parts.open(tmp_path / "parts", job(encoder, kind, with_text=True)) as parts:
        encode_corpus(TEXTS, encoder, parts)
        parts.join(tmp_path / f"x.{kind}")
    assert [path.name for path in tmp_path.iterdir()] == [f"x.{kind}"]
    wanted = encoder.encode([one.text for one in TEXTS])
    if kind == "npy":
        got = np.load(tmp_path / "x.npy")
    else:
        parquet = pytest.importorskip("pyarrow.parquet", reason="SKIPPED LOUDLY: no pyarrow")
        table = parquet.read_table(tmp_path / "x.parquet")
        assert table.column("id").to_pylist() == [one.id for one in TEXTS]
        assert table.column("text").to_pylist() == [one.text for one in TEXTS]
        got = np.stack(table.column("vector").to_numpy())
    np.testing.assert_allclose(got, wanted, atol=1e-6, rtol=0)


class Died(BaseException):
    """As abrupt as a test can be without a process of its own."""


@given(
    kind=st.sampled_from(["npy", "parquet"]),
    deaths=st.lists(st.integers(0, 100), max_size=3),
    torn=st.binary(max_size=9).map(lambda raw: raw.replace(b"\n", b"")),
)
@settings(deadline=None, max_examples=25)
def test_any_number_of_deaths_leaves_the_same_bytes(tmp_path_factory, encoder, kind, deaths, torn):
    folder = tmp_path_factory.mktemp("x")
    write(folder / "whole", encoder, kind=kind)

    def dies(after):
        yield from TEXTS[:after]
        raise Died

    for after in deaths:
        with pytest.raises(Died):
            write(folder / "v", encoder, dies(after), kind=kind)
        with (folder / "v" / JOURNAL).open("ab") as journal:
            journal.write(torn)
        (folder / "v" / "part-000003.npy.tmp").write_bytes(b"torn")
    write(folder / "v", encoder, kind=kind)
    assert bytes_of(folder / "v") == bytes_of(folder / "whole")


def dies_after_a_part(folder):
    yield from TEXTS[:60]
    while (folder / JOURNAL).read_bytes().count(b"\n") < 2:  # the job, and a part
        time.sleep(0.001)
    raise Died


def test_a_second_run_encodes_only_what_is_left(tmp_path, encoder):
    with pytest.raises(Died):
        write(tmp_path / "v", encoder, dies_after_a_part(tmp_path / "v"))
    written = write(tmp_path / "v", encoder)
    assert written.rows == 100
    assert 0 < written.resumed <= 54
    assert written.resumed + written.done.texts == 100


def test_other_texts_encoder_or_prompt_do_not_go_on(tmp_path, encoder):
    with pytest.raises(Died):
        write(tmp_path / "v", encoder, dies_after_a_part(tmp_path / "v"))
    with pytest.raises(FormatError, match=r"made other vectors \(prompt differ\)"):
        write(tmp_path / "v", encoder, prompt="query")
    changed = [Text(one.id, f"another {one.text}") for one in TEXTS]
    with pytest.raises(FormatError, match=r"part \d was made of other texts"):
        write(tmp_path / "v", encoder, changed)
    assert write(tmp_path / "v", encoder).rows == 100
    with pytest.raises(FileExistsError, match="remove it or give another output"):
        write(tmp_path / "v", encoder)


def test_a_foreign_folder_or_journal_is_refused(tmp_path, encoder):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "diary.txt").write_text("dear")
    with pytest.raises(FileExistsError):
        write(tmp_path / "v", encoder)
    (tmp_path / "v" / JOURNAL).write_text("my diary\n")
    with pytest.raises(FormatError, match="not a journal of vectors"):
        write(tmp_path / "v", encoder)


def test_two_processes_do_not_write_the_same_folder(tmp_path, encoder):
    pytest.importorskip("fcntl", reason="SKIPPED LOUDLY: no file locks on this system")
    with (
        Parts.open(tmp_path / "v", job(encoder)),
        pytest.raises(OSError, match="another process is writing it"),
        Parts.open(tmp_path / "v", job(encoder)),
    ):
        pass


def test_a_full_disk_is_said(tmp_path, encoder, monkeypatch):
    def full(files, texts, vectors, *, with_text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FORMATS["npy"], "write", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "v", encoder)


def test_a_run_that_fails_ends_the_work(tmp_path, encoder, monkeypatch):
    left = iter(range(5))
    cells = engines.Batch.cells

    def fails(batch):
        if next(left, None) is None:
            raise MemoryError("no room")
        return cells(batch)

    with monkeypatch.context() as patch:
        patch.setattr(engines.Batch, "cells", fails)
        with pytest.raises(MemoryError, match="no room"):
            write(tmp_path / "v", encoder, TEXTS * 5)
    write(tmp_path / "v", encoder, TEXTS * 5)
    write(tmp_path / "whole", encoder, TEXTS * 5)
    assert bytes_of(tmp_path / "v") == bytes_of(tmp_path / "whole")


def test_killed_at_random_points_and_again_leaves_the_same_bytes(tmp_path):
    lines = [json.dumps({"_id": one.id, "text": one.text * 9}) for one in TEXTS] * 300
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "magnetite.cli", "encode", str(tmp_path / "corpus.jsonl")]
    subprocess.run([*command, "-o", str(tmp_path / "whole"), "--json"], check=True)
    draw, killed = random.Random(0), 0
    for _ in range(4):
        run = subprocess.Popen([*command, "-o", str(tmp_path / "v")])
        deadline = time.monotonic() + 60
        while not (tmp_path / "v" / JOURNAL).exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(draw.random() * 0.3)
        run.send_signal(signal.SIGKILL)
        killed += run.wait() == -signal.SIGKILL
        if (tmp_path / "v" / "about.json").exists():
            break
    if not (tmp_path / "v" / "about.json").exists():
        subprocess.run([*command, "-o", str(tmp_path / "v")], check=True)
    assert killed
    assert bytes_of(tmp_path / "v") == bytes_of(tmp_path / "whole")
