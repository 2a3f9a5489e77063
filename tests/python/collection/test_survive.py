"""Writers that are killed, stopped and raced; readers meanwhile; damage.

`MAGNETITE_TEST_FULL=1` runs as many kills as `docs/trust.md` states.
"""

import importlib.util
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from magnetite import FormatError
from magnetite.index import Collection, Document

HERE = Path(__file__).parent
FULL = "MAGNETITE_TEST_FULL" in os.environ

spec = importlib.util.spec_from_file_location("writers", HERE / "writers.py")
writers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(writers)


class Nursery:
    """Where writers come from; see writers.py."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, HERE / "writers.py"], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=os.environ | {"MAGNETITE_NUM_THREADS": "1"},
        )  # fmt: skip

    def start(self, role, **arguments):
        """Return the pid of a new writer."""
        self._process.stdin.write(json.dumps({"role": role, **arguments}) + "\n")
        self._process.stdin.flush()
        self._said = {}
        self._hear("pid")
        return self._said["pid"]

    def end(self):
        """Return how the writer ended, and its answer."""
        self._hear("code")
        return self._said["code"], self._said.get("answer")

    def run(self, role, **arguments):
        self.start(role, **arguments)
        return self.end()

    def _hear(self, name):
        while name not in self._said:
            self._said |= json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


def held(path, encoder):
    """The documents of a collection, by id, once it is certain that both sides agree."""
    with Collection.open(path, encoder, threads=1) as collection:
        documents = {one.id: one for one in collection}
        found = collection.search("iron tide", 50)
        assert {one.document.id: one.document for one in found} == documents
        for one in found:
            wanted = encoder.encode_document(one.document.passage) @ encoder.encode("iron tide")
            assert one.score == pytest.approx(float(wanted), abs=1e-5)
    assert Collection.verify(path).documents == len(documents)
    return documents


def test_a_writer_killed_at_any_moment_leaves_a_committed_state(tmp_path, nursery, encoder):
    steps = [states for _, states in writers.history(7)]
    start = time.monotonic()
    code, _ = nursery.run("write", path=f"{tmp_path}/whole", acknowledged=f"{tmp_path}/a", seed=7)
    whole_s, midway = time.monotonic() - start, 0
    dots, _, events = (tmp_path / "a").read_text().partition(" ")
    assert (code, len(dots)) == (0, 1 + len(steps))
    assert held(tmp_path / "whole", encoder) == steps[-1][-1]

    rng = random.Random(11)
    for kill in range(600 if FULL else 60):
        root = tmp_path / f"kill{kill}"
        root.mkdir()
        arguments = {"path": f"{root}/here", "acknowledged": f"{root}/acknowledged", "seed": 7}
        if kill % 3:  # between two steps of the interpreter, of which most are near a commit
            nursery.start("write", **arguments, dies_at=rng.randrange(1, int(events)))
        else:  # anywhere, inside the engine and SQLite too
            pid = nursery.start("write", **arguments)
            time.sleep(rng.random() * whole_s)
            with suppress(ProcessLookupError):  # it was faster than the first one
                os.kill(pid, signal.SIGKILL)
        assert nursery.end()[0] in (0, -signal.SIGKILL)
        note = root / "acknowledged"
        done = note.read_text().count(".") if note.exists() else 0
        allowed = [states[-1] for states in steps[max(done - 2, 0) : done - 1]]
        allowed += steps[done - 1] if 0 < done <= len(steps) else []
        if done <= 1:
            allowed.append({})  # created, and nothing acknowledged since
        if done == 0 and not _is_collection(root / "here"):
            with Collection.create(root / "here", encoder) as again:
                again.add([Document("a", "b")])
        else:
            found = held(root / "here", encoder)
            assert found in allowed, f"kill {kill} after {done} steps"
            midway += 1
            with Collection.open(root / "here", encoder) as again:
                again.upsert([Document("new", "iron")])
                assert len(again) == len(found) + 1
        names = {path.name for path in (root / "here" / "vectors").iterdir()}
        assert not [name for name in names if name.startswith(".unfinished")]
        shutil.rmtree(root)
    assert midway > 10
    sys.stderr.write(f"{kill + 1} kills, {midway} of a writer that had begun\n")


def _is_collection(path):
    try:
        Collection.open(path).close()
    except (FormatError, FileNotFoundError):
        return False
    return True


def test_readers_see_one_commit_while_another_process_writes(tmp_path, nursery, encoder):
    path, stop, note = tmp_path / "here", tmp_path / "stop", tmp_path / "acknowledged"
    with Collection.create(path, encoder, threads=1) as collection:
        collection.add([writers.versioned(i, 0) for i in range(12)])
        nursery.start("versions", path=str(path), acknowledged=str(note), stop=str(stop))
        query = encoder.encode_query("iron tide")
        seen, wrong = [], []

        def read(seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                least = int((note.exists() and note.read_text()) or 0)
                found = collection.search_vectors(query[None], 20)[0]
                versions = {one.document.metadata["version"] for one in found}
                wanted = {writers.versioned(i, max(versions)).id for i in range(12)}
                if len(versions) != 1 or {one.document.id for one in found} != wanted:
                    wrong.append(versions)
                elif min(versions) < least:
                    wrong.append((least, versions))
                for one in found[:2]:
                    score = float(encoder.encode_document(one.document.passage) @ query)
                    if abs(score - one.score) > 1e-5:
                        wrong.append((one, score))
                seen.append(max(versions))

        threads = [threading.Thread(target=read, args=(60 if FULL else 2,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stop.touch()
        assert nursery.end()[0] == 0
        assert wrong == []
        assert len(set(seen)) > 3, "no reader met more than one commit"
        assert len(collection) == 12
    sys.stderr.write(f"{len(seen)} searches over {len(set(seen))} commits\n")


def test_threads_write_one_after_the_other_and_read_meanwhile(make):
    collection = make()

    def work(name):
        for i in range(5):
            collection.upsert([Document(f"{name}{i}", f"iron {i}")])
            assert collection.search(f"iron {i}", 100)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(collection) == 20
    assert Collection.verify(collection.path).documents == 20


def test_another_process_is_refused_while_one_writes(make, nursery):
    collection = make()
    collection.add([Document("a", "iron")])
    said = []

    def documents():
        yield Document("b", "salt")
        said.append(nursery.run("locks", path=str(collection.path)))
        with pytest.raises(RuntimeError, match="by the documents that go into it"):
            collection.delete(["a"])

    collection.upsert(documents())
    [(code, (refused, found))] = said
    assert (code, found) == (0, 1)
    assert "another writer" in refused
    assert str(collection.path) in refused
    assert len(collection) == 2


def test_an_iterator_keeps_its_commit(make):
    collection = make()
    collection.add([Document(f"d{i}", "x") for i in range(10)])
    documents = iter(collection)
    first = next(documents)
    collection.delete(where={})
    collection.compact()  # waits for nobody
    assert [first.id, *(one.id for one in documents)] == [f"d{i}" for i in range(10)]
    assert len(collection) == 0


def test_an_interrupted_upsert_leaves_the_last_commit(make, monkeypatch):
    monkeypatch.setattr("magnetite.index.collection.writer.BLOCK", 4)
    collection = make()
    documents = [Document(f"d{i}", f"iron {i}") for i in range(10)]

    def interrupted():
        yield from documents[:9]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collection.upsert(interrupted())
    assert list(collection) == documents[:8]
    done = collection.upsert(documents)
    assert (done.added, done.unchanged, done.encoded) == (2, 8, 2)


def test_a_forked_child_reads_and_its_parent_goes_on(make):
    collection = make()
    collection.add([Document("a", "iron"), Document("b", "salt")])
    before = collection.search("iron")
    script = f"""
import multiprocessing, sys
from magnetite.index import Collection, Document
if __name__ == "__main__":
    collection = Collection.open({str(collection.path)!r}, threads=1)
    collection.search("iron")
    child = multiprocessing.get_context("fork").Process(
        target=lambda: sys.exit(len(collection.search("iron")) + 40))
    child.start()
    child.join()
    collection.upsert([Document("c", "moon")])
    sys.exit(child.exitcode + len(collection))
"""
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=False)
    assert said.returncode == 42 + 3
    assert [one for one in collection.search("iron") if one.document.id != "c"] == before
    assert len(collection) == 3


@pytest.mark.parametrize("size", [60_000, 250_000, 1_000_000])
def test_a_full_disk_is_an_error_and_no_more(make, nursery, encoder, size):
    collection = make()
    collection.add([Document("a", "iron")])
    code, (said, added) = nursery.run("full", path=str(collection.path), bytes=size)
    assert (code, added) == (0, 1), said
    assert str(collection.path) in said
    assert list(collection.ids()) == ["a", "last"]
    assert set(held(collection.path, encoder)) == {"a", "last"}


def test_a_directory_that_may_only_be_read_is_read(nursery, encoder):
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / "here"
        with Collection.create(path, encoder, threads=1) as collection:
            collection.add([Document("a", "iron")])
        Path(root).chmod(0o755)
        modes = {one: one.stat().st_mode for one in (path, path / "vectors")}
        for one in modes:
            one.chmod(0o555)
        try:
            code, answer = nursery.run("unprivileged", path=str(path))
        finally:
            for one, mode in modes.items():
                one.chmod(mode)
        assert code == 0, answer
        found, said = answer
        assert found == ["a"]
        assert str(path) in said
        assert "written" in said or "denied" in said.lower()


# Damage


@pytest.fixture
def closed(make):
    collection = make()
    texts = ["iron attracts", "bread and salt", "the moon"]
    collection.add(Document(f"d{i}", f"{texts[i % 3]} {i}", "T", {"n": i}) for i in range(90))
    collection.close()
    return collection.path


def test_a_changed_or_missing_segment_is_named(closed, encoder):
    [segment] = (closed / "vectors").glob("*.segment")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(FormatError, match=segment.name):
        Collection.verify(closed)
    segment.unlink()
    with pytest.raises(FormatError, match=f"{segment.name}: missing"):
        Collection.verify(closed)
    with Collection.open(closed, encoder) as collection:
        assert collection.get(["d1"])[0].text == "bread and salt 1"
        with pytest.raises(FormatError, match=f"{segment.name}: missing"):
            collection.search("iron")


def test_a_damaged_database_is_named_and_never_crashes(closed, encoder):
    database = closed / "documents.sqlite"
    whole, rng = database.read_bytes(), random.Random(3)
    noticed = 0
    for _ in range(400 if FULL else 60):
        changed = bytearray(whole)
        start = rng.randrange(len(whole))
        size = rng.choice([1, 30, 5000])
        changed[start : start + size] = rng.randbytes(len(changed[start : start + size]))
        database.write_bytes(changed if rng.random() < 0.8 else changed[:start])
        try:
            with Collection.open(closed, encoder, threads=1) as collection:
                collection.search("iron", 5, where={"n": {"$gte": 1}})
                list(collection)
            Collection.verify(closed)
        except FormatError as error:
            assert "documents.sqlite" in str(error) or str(closed) in str(error)  # noqa: PT017
            noticed += 1
        except OSError as error:
            assert str(closed) in str(error)  # noqa: PT017
            noticed += 1
    assert noticed > 20
    for name in ("", "SQLite format 3\0", "my diary\n" * 1000):
        database.write_text(name)
        with pytest.raises(FormatError, match=r"documents\.sqlite"):
            Collection.open(closed, encoder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "UPDATE documents SET text = 'other' WHERE id = 'd3'",
            "'d3' .row 4. is not what was stored",
        ),
        ("UPDATE documents SET id = 'other' WHERE id = 'd3'", "is not what was stored"),
        ("UPDATE documents SET metadata = '{' WHERE id = 'd3'", "row 4. is not what was stored"),
        ("UPDATE documents SET metadata = 7 WHERE id = 'd3'", "is not what was stored"),
        ("DELETE FROM collection", "damaged .it does not say"),
        ("UPDATE collection SET number = 'x'", "damaged .it does not say"),
        ("UPDATE collection SET about = '[]'", "damaged .it does not say"),
        ("DELETE FROM documents WHERE id = 'd3'", "row 4, which is no document"),
        ("DELETE FROM fields WHERE row = 4", "do not see the metadata of document 'd3'"),
        ("UPDATE fields SET value = 7 WHERE row = 4", "do not see the metadata"),
        ("INSERT INTO fields VALUES ('f', 2, 1, 900)", "row 900, which is no document"),
        ("UPDATE documents SET row = 900 WHERE id = 'd89'", "row 90, which is no document"),
        ("UPDATE collection SET manifest = 'x'", "vectors: truncated or changed"),
        ("PRAGMA user_version = 9", "format 9; this magnetite reads 1"),
        ("PRAGMA application_id = 9", "not the documents of a collection"),
        ("DROP TABLE fields", "damaged .no such table: fields"),
    ],
)
def test_verify_says_what_does_not_agree(closed, change, said):
    connection = sqlite3.connect(closed / "documents.sqlite")
    connection.execute(change)
    connection.commit()
    connection.close()
    with pytest.raises(FormatError, match=said):
        Collection.verify(closed)
