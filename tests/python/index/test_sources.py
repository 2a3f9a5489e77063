"""Vectors that come in blocks: files, iterators, Parquet, and a budget for all of them."""

import subprocess
import sys

import numpy as np
import pytest

from magnetite.index import Index, read_parquet, sources

N, DIM = 70_000, 16


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).standard_normal((N, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def wanted(vectors):
    return Index.build(vectors, kind="flat").search(vectors[:50] + 0.1, 10)


def agrees(index, wanted, vectors):
    hits = index.search(vectors[:50] + 0.1, 10, probes=100_000, rescore=20_000)
    return hits.ids.tolist() == wanted.ids.tolist() and len(index) == N


BUDGET = 4 * DIM * 4 * 33_000


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_a_file_is_built_in_memory_and_on_disk_within_a_budget(tmp_path, kind, vectors, wanted):
    np.save(tmp_path / "x.npy", vectors)
    whole = Index.build(tmp_path / "x.npy", kind=kind)
    assert (whole.segments, agrees(whole, wanted, vectors)) == (1, True)
    pieces = Index.build(str(tmp_path / "x.npy"), kind=kind, memory_budget=BUDGET)
    assert (pieces.segments, agrees(pieces, wanted, vectors)) == (3, True)
    path = tmp_path / "index"
    with Index.build(tmp_path / "x.npy", kind=kind, path=path, memory_budget=BUDGET) as index:
        assert agrees(index, wanted, vectors)
        index.delete([0])
        index.add(vectors[:1], [0])
    opened = Index.open(path)
    assert agrees(opened, wanted, vectors)
    with pytest.raises(OSError, match="holds an index already"):
        Index.build(vectors, path=path)


def test_blocks_of_any_size_are_joined_and_cut(tmp_path, vectors, wanted):
    def blocks(step, named):
        for start in range(0, N, step):
            part = slice(start, start + step)
            yield (vectors[part], range(start, min(N, start + step))) if named else vectors[part]

    for step, named in ((999, True), (50_000, False), (N, True)):
        index = Index.build(blocks(step, named), memory_budget=BUDGET, threads=2)
        assert (index.segments, agrees(index, wanted, vectors)) == (3, True)
    index = Index.build(vectors[:40_000].astype(np.float16), memory_budget=None)
    index.add(iter([vectors[40_000:60_000], vectors[60_000:]]))
    assert len(index) == N
    texts = Index.build(iter([(vectors[:2], ["b", "a"]), (vectors[2:3], ["c"])]))
    assert texts.ids.tolist() == ["a", "b", "c"]


def test_a_source_that_fails_leaves_no_index(tmp_path, vectors):
    def fails():
        yield vectors
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        Index.build(fails(), path=tmp_path / "index", memory_budget=BUDGET)
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["LOCK"]
    index = Index.build(vectors[:10])
    with pytest.raises(ValueError, match="3, which is there"):
        index.add(iter([(vectors[:5], range(20, 25)), (vectors[:1], [3])]))
    assert len(index) == 10


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        (iter([]), {}, ValueError, "at least one block"),
        (iter([np.ones((2, 3)), np.ones((2, 4))]), {}, ValueError, "agree in their columns"),
        (iter([np.ones((2, 3)), (np.ones((1, 3)), [5])]), {}, ValueError, "whether they bring ids"),
        (iter([(np.ones((2, 3)), [5])]), {}, ValueError, "ids must have 2 elements; got 1"),
        (iter([np.ones(3)]), {}, ValueError, r"\(n, dim\)"),
        (iter([np.ones((2, 3))]), {"ids": [1, 2]}, ValueError, "come with the blocks"),
        (np.ones((2, 3)), {"memory_budget": 1000}, ValueError, "at least 1,572,864 bytes"),
        (7, {}, TypeError, "array, the path of a .npy file, or an iterable"),
        ("missing.npy", {}, FileNotFoundError, "missing"),
    ],
)
def test_what_is_no_source_is_refused(source, options, error, message):
    with pytest.raises(error, match=message):
        Index.build(source, **options)


def test_parquet_comes_in_blocks_with_its_ids(tmp_path, vectors):
    pa = pytest.importorskip("pyarrow", reason="SKIPPED LOUDLY: no pyarrow (the extra `arrow`)")
    parquet = pytest.importorskip("pyarrow.parquet")
    some = vectors[:1000]
    flat = pa.FixedSizeListArray.from_arrays(some.ravel(), DIM)
    names = [f"n{i:04}" for i in range(1000)]
    for column in (flat, pa.array(some.tolist())):
        parquet.write_table(pa.table({"id": names, "vector": column}), tmp_path / "x.parquet")
        index = Index.build(read_parquet(tmp_path / "x.parquet", rows=300))
        assert index.ids.tolist() == names
        assert np.array_equal(index.get(names), some)
    index = Index.build(read_parquet(tmp_path / "x.parquet", ids=None))
    assert index.ids.tolist() == list(range(1000))
    ragged = pa.array([[1.0], [1.0, 2.0, 3.0]])
    parquet.write_table(pa.table({"id": [1, 2], "vector": ragged}), tmp_path / "y.parquet")
    for arguments, message in [
        ({}, "vectors of one length"),
        ({"vectors": "id"}, "column 'id' must hold vectors"),
        ({"vectors": "x"}, "column 'x'"),
        ({"ids": "x"}, "column 'x'"),
    ]:
        with pytest.raises(ValueError, match=message):
            list(read_parquet(tmp_path / "y.parquet", **arguments))
    missing = pa.table({"id": [1, None], "vector": [[1.0], [2.0]]})
    parquet.write_table(missing, tmp_path / "y.parquet")
    with pytest.raises(ValueError, match="a value in every row"):
        list(read_parquet(tmp_path / "y.parquet"))


MEASURED = """
import resource, sys
import numpy as np
from magnetite.index import Index

Index.build(np.ones((40_000, 8), dtype=np.float32), kind="ivf", lists=4, threads=1)  # what stays
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
rng = np.random.default_rng(0)
blocks = (rng.standard_normal((5_000, 256), dtype=np.float32) for _ in range(40))
Index.build(blocks, kind="ivf", path=sys.argv[1], memory_budget=int(sys.argv[2]), threads=1)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="SKIPPED LOUDLY: measures as Linux counts")
def test_a_build_keeps_to_its_budget(tmp_path):
    # 205 MB of vectors; mapped pages of finished segments count as the process's own, so they are
    # part of the peak that Linux tells, and are taken off.
    budget = sources.COPIES * 4 * 256 * 34_000
    run = [sys.executable, "-c", MEASURED, str(tmp_path / "index"), str(budget)]
    held = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    mapped = sum(path.stat().st_size for path in (tmp_path / "index").glob("*.segment"))
    assert held - mapped <= budget, (held, mapped, budget)
