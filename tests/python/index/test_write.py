"""Writing from Python: each call one commit, snapshots, the lock, and recall after churn."""

import functools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from magnetite.index import Index


@pytest.fixture(scope="session")
def rows(rows):
    return functools.partial(rows, dim=8)


def ids(index):
    return index.ids.tolist()


@pytest.fixture
def saved(rows, tmp_path):
    Index.build(rows(10), metric="l2").save(tmp_path / "index")
    return tmp_path / "index"


def test_an_index_in_memory_is_written_to_like_a_dictionary(rows):
    index = Index.build(rows(4), ["a", "b", "c", "d"], metric="l2")
    index.add(rows(2, seed=1), ["x", "y"])
    index.upsert(rows(2, seed=2), ["b", "z"])
    assert index.delete(["a", "nobody", "y"]) == 2
    assert (ids(index), len(index)) == (["b", "c", "d", "x", "z"], 5)
    assert ("b" in index, "a" in index, 3 in index) == (True, False, False)
    assert index.get(["z", "b"]).tolist() == rows(2, seed=2)[::-1].tolist()
    assert index.search(rows(2, seed=2), 1).ids.tolist() == [["b"], ["z"]]
    assert (index.segments, index.deleted) == (3, 3)
    index.compact()
    assert (index.segments, index.deleted, ids(index)) == (1, 0, ["b", "c", "d", "x", "z"])


def test_what_cannot_be_written_changes_nothing(rows, saved):
    for index in (Index.build(rows(10)), Index.open(saved, writable=True)):
        for work, error, message in [
            (lambda i: i.add(rows(2), [3, 11]), ValueError, "3, which is there"),
            (lambda i: i.add(rows(2), [11, 11]), ValueError, "11 twice"),
            (lambda i: i.add(rows(2), ["a", "b"]), ValueError, "must be numbers.*got text"),
            (lambda i: i.add(rows(2), [1]), ValueError, "must have 2 elements"),
            (lambda i: i.add(rows(2, dim=7)), ValueError, "8 columns; got 7"),
            (lambda i: i.add(np.full((1, 8), np.nan)), ValueError, "finite"),
            (lambda i: i.upsert(rows(2), [1, 1]), ValueError, "1 twice"),
            (lambda i: i.upsert(rows(2), [1, -1]), ValueError, "at least 0"),
            (lambda i: i.delete(["a"]), ValueError, "must be numbers"),
            (lambda i: i.delete("a"), TypeError, "one str"),
            (lambda i: i.get([3, 99]), KeyError, "99"),
        ]:
            with pytest.raises(error, match=message):
                work(index)
            assert ids(index) == list(range(10))
        assert index.delete([]) == 0
        assert (-1 in index, 2**70 in index, None in index, True in index) == (False,) * 4


def test_each_call_is_a_commit_that_readers_see_when_they_ask(rows, saved):
    reader = Index.open(saved)
    with Index.open(saved, writable=True) as index:
        index.add(rows(3, seed=1))
        index.delete([0])
        assert (ids(reader), reader.refresh(), reader.refresh()) == (list(range(10)), True, False)
        assert ids(reader) == ids(index) == list(range(1, 13))
        index.compact()
        # The reader's files are gone, its snapshot is not.
        assert reader.search(rows(1, seed=1), 1).ids.tolist() == [[10]]
        assert reader.refresh()
        assert reader.segments == 1
    with pytest.raises(OSError, match="writable=True"):
        index.add(rows(1))
    with pytest.raises(OSError, match="writable=True"):
        reader.delete([1])


def test_one_writer_at_a_time_here_and_in_other_processes(rows, saved):
    writer = Index.open(saved, writable=True)
    script = """
import sys
from magnetite.index import Index
try:
    Index.open(sys.argv[1], writable=True).delete([1])
except OSError as error:
    print(error)
"""
    run = [sys.executable, "-c", script, str(saved)]
    assert (
        "another writer" in subprocess.run(run, capture_output=True, text=True, check=True).stdout
    )
    with pytest.raises(OSError, match="another writer"):
        Index.open(saved, writable=True)
    with pytest.raises(OSError, match="another writer"):
        Index.build(rows(1)).save(saved)
    writer.close()
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == ""
    assert 1 not in Index.open(saved)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="SKIPPED LOUDLY: no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_may_read_but_not_write(rows, saved):
    index = Index.open(saved, writable=True)
    child = os.fork()
    if child == 0:
        found = index.search(rows(1), 1).counts[0]
        try:
            index.delete([1])
        except OSError as error:
            os._exit(0 if found == 1 and "parent process" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    index.delete([1])
    assert len(Index.open(saved)) == 9


def test_a_batch_is_one_commit_or_none(rows, saved):
    with Index.open(saved, writable=True) as index:
        files = sorted(path.name for path in saved.iterdir())
        with index.batch():
            for i in range(30):
                index.add(rows(1, seed=i), [100 + i])
            index.delete([100])
            with index.batch():
                index.delete([101])
            assert len(index) == 38
            assert len(Index.open(saved)) == 10
        assert len(Index.open(saved)) == 38

        def fail():
            with index.batch():
                index.delete(list(range(10)))
                index.add(np.full((1, 8), np.nan))

        with pytest.raises(ValueError, match="finite"):
            fail()
        assert len(index) == len(Index.open(saved)) == 38
        index.delete(list(range(100, 130)))
    assert sorted(path.name for path in saved.iterdir()) == files


def test_a_compacted_index_is_the_bytes_of_a_fresh_one(rows, tmp_path):
    vectors = rows(3_000, dim=16)
    grown = Index.build(vectors[:1_000], range(1_000), kind="ivf", threads=1)
    grown.add(vectors[1_000:], range(1_000, 3_000))
    grown.delete(range(0, 3_000, 3))
    grown.compact(threads=2)
    kept = [i for i in range(3_000) if i % 3]
    fresh = Index.build(vectors[kept], kept, kind="ivf")
    for name, index in (("grown", grown), ("fresh", fresh)):
        index.save(tmp_path / name)
    one, two = (sorted((tmp_path / name).glob("*.segment")) for name in ("grown", "fresh"))
    assert [p.name for p in one] == [p.name for p in two]
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_searches_during_commits_belong_to_one_snapshot(saved):
    # Every commit moves all rows at once: a result that mixes two would hold two different scores.
    ones = np.ones((10, 8), dtype=np.float32)
    index = Index.open(saved, writable=True)
    index.upsert(ones, range(10))
    done, wrong = threading.Event(), []

    def read(source):
        while not done.is_set():
            source.refresh()
            scores = source.search(np.ones((1, 8)), 10).scores[0]
            if len(set(scores.tolist())) != 1:
                wrong.append(scores)

    readers = [threading.Thread(target=read, args=(i,)) for i in (index, Index.open(saved))]
    for reader in readers:
        reader.start()
    for step in range(2, 40):
        index.upsert(step * ones, range(10))
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong


def test_recall_after_a_third_is_deleted_and_added_again_is_that_of_a_fresh_build(shared):
    folder = shared / "prose"
    if not folder.is_dir():
        pytest.skip("SKIPPED LOUDLY: no ../shared/data/prose beside the checkout")
    vectors = np.load(folder / "base.f16.npy")[:60_000].astype(np.float32)
    queries = np.load(folder / "query.f16.npy")[:500].astype(np.float32)
    truth = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    index = Index.build(vectors)

    def recall(probes):
        found = index.search(queries, 10, probes=probes).ids
        return (found[:, :, None] == truth[:, None, :]).any(axis=2).mean()

    fresh = {probes: recall(probes) for probes in (16, 64, None)}
    order = np.random.default_rng(0).permutation(60_000)[:18_000]
    for some in np.split(order, 3):
        index.delete(some)
    index.add(vectors[order[:6_000]], order[:6_000])
    index.add(vectors[order[6_000:]], order[6_000:])
    assert (len(index), index.segments, index.deleted) == (60_000, 3, 18_000)
    for probes, before in fresh.items():
        assert recall(probes) >= before - 0.01, probes
