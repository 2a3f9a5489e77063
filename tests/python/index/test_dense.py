"""Vector search from Python: what it returns, what it refuses, and on real vectors how well."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import magnetite
from magnetite.index import Index


@pytest.mark.parametrize("metric", ["dot", "cosine", "l2"])
@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_full_search_equals_brute_force_in_float64(rows, metric, kind):
    vectors, queries = rows(3_000), rows(50, seed=1)
    index = Index.build(vectors, metric=metric, kind=kind)
    hits = index.search(queries, 10, probes=10_000, rescore=3_000)
    x, q = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "cosine":
        x, q = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, q))
    scores = q @ x.T
    if metric == "l2":
        scores = -((q[:, None] - x[None]) ** 2).sum(axis=2)
    wanted = -np.sort(-scores, axis=1)[:, :10]
    # The scores are wrong by at most (2n + 4) u times the sum of the sizes of their terms, which is
    # at most |q||x| (dot), 1 (cosine), the score (l2); ties within that may change places.
    lengths = np.linalg.norm(q, axis=1).max() * np.linalg.norm(x, axis=1).max()
    size = -wanted.min() if metric == "l2" else lengths
    bound = (2 * vectors.shape[1] + 4) * 2**-24 * size
    assert np.abs(hits.scores - wanted).max() <= bound
    assert np.abs(np.take_along_axis(scores, hits.ids, axis=1) - wanted).max() <= bound
    assert (hits.counts == 10).all()


def stored(vectors, storage):
    """Return the numbers that rows of this storage stand for."""
    if storage == "f16":
        return vectors.astype(np.float16).astype(np.float32)
    scale = (np.abs(vectors).max(axis=1, keepdims=True).astype(np.float64) / 127).astype(np.float32)
    return scale * np.rint(vectors / scale.astype(np.float64)).astype(np.float32)


@pytest.mark.parametrize("kind", ["flat", "ivf"])
@pytest.mark.parametrize("storage", ["f16", "int8"])
def test_rows_kept_shorter_are_searched_as_the_numbers_they_stand_for(
    rows, tmp_path, storage, kind
):
    vectors, queries = rows(3_000), rows(50, seed=1)
    kept = Index.build(vectors, kind=kind, storage=storage)
    plain = Index.build(stored(vectors, storage), kind="flat")
    kept.save(tmp_path / "kept")
    opened = Index.open(tmp_path / "kept")
    assert opened.storage == storage
    for index in (kept, opened):
        hits = index.search(queries, 10, probes=10_000, rescore=3_000)
        wanted = plain.search(queries, 10)
        assert (hits.ids == wanted.ids).all()
        assert (hits.scores == wanted.scores).all()


def test_one_query_alone_and_among_a_thousand_return_the_same_bits(rows, ivf):
    queries = rows(1_000, seed=2)
    flat = Index.build(rows(5_000), kind="flat")
    for index in (flat, ivf):
        together = index.search(queries, 7)
        for i in range(0, 1_000, 97):
            alone = index.search(queries[i], 7, threads=1)
            assert alone.ids.tolist() == together.ids[i : i + 1].tolist()
            assert alone.scores.tobytes() == together.scores[i : i + 1].tobytes()


def test_the_index_picks_lists_for_many_rows_only(rows):
    assert Index.build(rows(1_000)).lists is None
    assert Index.build(rows(40_000, dim=4)).lists == 800
    assert Index.build(rows(1_000), lists=10).lists == 10


def test_two_builds_are_the_same_bytes_with_one_thread_and_two(rows, tmp_path):
    for threads in (1, 2):
        index = Index.build(rows(5_000), kind="ivf", seed=3, threads=threads)
        index.save(tmp_path / str(threads))
    one, two = (sorted(p for p in (tmp_path / str(t)).iterdir()) for t in (1, 2))
    assert [p.name for p in one] == [p.name for p in two]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two, strict=True))


def test_the_cost_of_a_search_is_told(rows, ivf):
    hits = ivf.search(rows(20, seed=4), 5, probes=4, rescore=30)
    assert (hits.cost.rows == 30).all()
    assert (hits.cost.codes < 5_000).all()
    assert (hits.cost.codes > 0).all()
    flat = Index.build(rows(100)).search(rows(2), 5)
    assert flat.cost.rows.tolist() == [100, 100]


def test_text_ids_come_back_and_missing_places_are_filled():
    names = ["c", "a", "ä"]
    index = Index.build(np.eye(3, dtype=np.float32), names)
    hits = index.search(np.array([[0.0, 1.0, 0.0]]), 5)
    assert hits.ids.tolist() == [["a", "c", "ä", None, None]]
    assert hits.scores.tolist() == [[1.0, 0.0, 0.0, -np.inf, -np.inf]]
    assert hits.counts.tolist() == [3]


def test_number_ids_come_back_and_missing_places_are_filled():
    index = Index.build(np.eye(3, dtype=np.float32), [30, 10, 2**62])
    hits = index.search(np.array([[0.0, 1.0, 0.0]]), 4)
    assert hits.ids.tolist() == [[10, 30, 2**62, -1]]
    assert hits.ids.dtype == np.int64


@pytest.mark.parametrize("ids", [None, [5, 4, 3], ["x", "y", "z"]])
@pytest.mark.parametrize("verify", ["full", "lazy"])
def test_what_was_saved_is_opened(tmp_path, ids, verify):
    index = Index.build(np.eye(3, dtype=np.float32), ids, metric="l2", encoder="e5:1")
    index.save(tmp_path / "index")
    opened = Index.open(tmp_path / "index", verify)
    assert (len(opened), opened.dim, opened.metric, opened.encoder) == (3, 3, "l2", "e5:1")
    assert opened.search(np.eye(3), 3).ids.tolist() == index.search(np.eye(3), 3).ids.tolist()


def test_queries_of_another_encoder_are_refused_unless_told_otherwise():
    index = Index.build(np.eye(3, dtype=np.float32), encoder="ours")
    index.search(np.eye(3), encoder="ours")
    index.search(np.eye(3), encoder=None)
    with pytest.raises(ValueError, match=r"ours.*got theirs"):
        index.search(np.eye(3), encoder="theirs")


def test_doubles_integers_fortran_order_and_lists_are_taken_as_they_mean():
    eye = np.eye(3, dtype=np.float32)
    for same in (
        eye.astype(np.float64),
        eye.astype(np.int64),
        np.asfortranarray(eye),
        eye.tolist(),
    ):
        assert Index.build(same).search(same, 1).ids[:, 0].tolist() == [0, 1, 2]
    every_second = np.repeat(eye, 2, axis=0)[::2]
    assert Index.build(every_second).search(every_second, 1).ids[:, 0].tolist() == [0, 1, 2]


BAD_VECTORS = {
    "text": (np.array([["a"]]), TypeError, "real numbers"),
    "complex": (np.ones((2, 2), complex), TypeError, "complex128"),
    "bool": (np.ones((2, 2), bool), TypeError, "bool"),
    "one dimension": (np.ones(3), ValueError, r"\(n, dim\)"),
    "three dimensions": (np.ones((1, 1, 1)), ValueError, r"\(n, dim\)"),
    "no columns": (np.ones((2, 0)), ValueError, "dim"),
    "nan": (np.array([[1.0, 1.0], [1.0, np.nan]]), ValueError, "row 1"),
    "infinity": (np.array([[np.inf, 1.0]]), ValueError, "row 0"),
    "too large for float32": (np.array([[1e300, 1.0]]), ValueError, "row 0"),
    "squares that overflow": (np.array([[1e30, 1.0]]), ValueError, "scale"),
    "no list": ([], ValueError, r"\(n, dim\)"),
}


@pytest.mark.parametrize("bad", BAD_VECTORS)
def test_bad_vectors_are_refused(bad):
    values, error, message = BAD_VECTORS[bad]
    with pytest.raises(error, match=message):
        Index.build(values)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([1, 1], ValueError, "1 twice"),
        (["a", "a"], ValueError, '"a" twice'),
        ([1, -1], ValueError, "at least 0"),
        ([1], ValueError, "must have 2 elements; got 1"),
        ([1.0, 2.0], TypeError, "all int64 or all str"),
        ([1, "a"], TypeError, "all int64 or all str"),
        ([True, False], TypeError, "all int64 or all str"),
        ([None, None], TypeError, "all int64 or all str"),
        ("ab", TypeError, "one str"),
        ([[1, 2]], TypeError, "one a row"),
        (np.array([1, 2**63], dtype=np.uint64), ValueError, "below 2"),
        (["a", "\ud800"], ValueError, "surrogates"),
    ],
)
def test_bad_ids_are_refused(ids, error, message):
    with pytest.raises(error, match=message):
        Index.build(np.eye(2, dtype=np.float32), ids)


def test_bad_choices_are_refused():
    eye = np.eye(20, dtype=np.float32)
    for choices, message in [
        ({"metric": "euclid"}, "euclid"),
        ({"kind": "hnsw"}, "hnsw"),
        ({"kind": "flat", "lists": 3}, "flat"),
        ({"kind": "ivf", "lists": 0}, "lists must be 1 to 20"),
        ({"kind": "ivf", "lists": 21}, "lists must be 1 to 20"),
        ({"kind": "ivf", "parts": 21}, "parts must be 1 to 20"),
        ({"threads": 0}, "threads"),
    ]:
        with pytest.raises(ValueError, match=message):
            Index.build(eye, **choices)
    with pytest.raises(ValueError, match="16 rows"):
        Index.build(eye[:15], kind="ivf")


def test_bad_searches_are_refused(rows, ivf):
    query = rows(1)
    for arguments, message in [
        ({"k": 0}, "k must be 1 to"),
        ({"k": 2**40}, "k must be 1 to"),
        ({"probes": 0}, "probes"),
        ({"threads": 5000}, "threads"),
    ]:
        with pytest.raises(ValueError, match=message):
            ivf.search(query, **arguments)
    with pytest.raises(ValueError, match="24 columns; got 23"):
        ivf.search(query[:, :23])
    with pytest.raises(ValueError, match="finite"):
        ivf.search(np.full((1, 24), np.nan))
    with pytest.raises(OverflowError):
        ivf.search(query, -1)


def test_zero_vectors_are_refused_under_cosine_and_taken_under_dot():
    zeros = np.zeros((1, 3), dtype=np.float32)
    with pytest.raises(ValueError, match="row 0"):
        Index.build(zeros, metric="cosine")
    with pytest.raises(ValueError, match="row 0"):
        Index.build(np.eye(3), metric="cosine").search(zeros)
    assert Index.build(np.eye(3), metric="dot").search(zeros).ids[0, :3].tolist() == [0, 1, 2]


def test_an_index_of_no_rows_finds_nothing(tmp_path):
    empty = Index.build(np.empty((0, 4), dtype=np.float32), ids=[])
    empty.save(tmp_path)
    for index in (empty, Index.open(tmp_path)):
        hits = index.search(np.ones((2, 4)), 3)
        assert (hits.counts == 0).all()
        assert (hits.scores == -np.inf).all()


def test_no_queries_give_no_hits(ivf):
    hits = ivf.search(np.empty((0, 24), dtype=np.float32), 3)
    assert hits.ids.shape == hits.scores.shape == (0, 3)


def test_what_is_no_index_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        Index.open(tmp_path / "missing")
    with pytest.raises(magnetite.FormatError, match="not an index"):
        Index.open(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(magnetite.FormatError, match="not an index"):
        Index.open(tmp_path / "notes.txt")
    with pytest.raises(OSError, match=r"notes\.txt"):
        Index.build(np.eye(3)).save(tmp_path)
    with pytest.raises(ValueError, match='"full" or "lazy"'):
        Index.open(tmp_path, verify="never")


def test_eight_threads_at_once_get_the_same_hits(rows, ivf):
    queries = rows(300, seed=5)
    wanted = ivf.search(queries).ids.tolist()
    with ThreadPoolExecutor(8) as pool:
        for hits in pool.map(lambda _: ivf.search(queries), range(32)):
            assert hits.ids.tolist() == wanted


@pytest.fixture(scope="module")
def prose(shared) -> Path:
    folder = shared / "prose"
    if not folder.is_dir():
        pytest.skip("SKIPPED LOUDLY: no ../shared/data/prose beside the checkout")
    return folder


def test_real_vectors_are_found_with_a_quarter_of_the_codes(prose):
    vectors = np.load(prose / "base.f16.npy").astype(np.float32)
    queries = np.load(prose / "query.f16.npy").astype(np.float32)
    truth = np.load(prose / "gt100.i32.npy")[:, :10]
    index = Index.build(vectors)
    hits = index.search(queries, 10)
    found = (hits.ids[:, :, None] == truth[:, None, :]).any(axis=2).sum()
    assert found / truth.size >= 0.99
    assert hits.cost.codes.sum() <= 0.25 * len(vectors) * len(queries)
    assert hits.cost.rows.max() <= 400


def test_a_wrong_number_of_threads_is_refused_however_small_the_search(rows, monkeypatch):
    index = Index.build(rows(20, 4))
    monkeypatch.setenv("MAGNETITE_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="MAGNETITE_NUM_THREADS"):
        index.search(rows(1, 4))


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_lists_of_huge_and_of_tiny_rows_find_what_exact_search_finds(rows, metric):
    for factor in (1e15, 1e-15):
        scaled = rows(300, 12) * np.float32(factor)
        lists = Index.build(scaled, metric=metric, kind="ivf", lists=8)
        exact = Index.build(scaled, metric=metric, kind="flat")
        found = lists.search(scaled[:9], 5, probes=8, rescore=300)
        assert found.ids.tolist() == exact.search(scaled[:9], 5).ids.tolist()
        few = lists.search(scaled[:9], 1, probes=4, rescore=20)
        assert few.ids[:, 0].tolist() == exact.search(scaled[:9], 1).ids[:, 0].tolist()
