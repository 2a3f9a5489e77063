"""Filters from Python: the forms they take, and that they never cost recall."""

import numpy as np
import pytest

from magnetite.index import Index


@pytest.fixture(scope="module", params=["flat", "ivf"])
def index(rows, request):
    return Index.build(rows(3_000), kind=request.param)


def best(vectors, query, allowed, k=5):
    scores = vectors[allowed].astype(np.float64) @ query.astype(np.float64)
    return allowed[np.argsort(-scores, kind="stable")][:k].tolist()


def test_ids_and_masks_say_the_same_once_or_for_each_query(rows, index):
    queries, rng = rows(3, seed=1), np.random.default_rng(0)
    some = np.sort(rng.choice(3_000, 700, replace=False))
    mask = np.isin(np.arange(3_000), some)
    wide = {"probes": 10_000, "rescore": 3_000}
    wanted = [best(rows(3_000), query, some) for query in queries]
    for form in (some, some.tolist(), set(some.tolist()), mask, mask.tolist(), some.astype("u2")):
        assert index.search(queries, 5, filter=form, **wide).ids.tolist() == wanted
    for form in ([some] * 3, np.tile(mask, (3, 1)), [mask] * 3, np.tile(some, (3, 1))):
        assert index.search(queries, 5, filter=form, **wide).ids.tolist() == wanted
    rest = np.flatnonzero(~mask)
    wanted = [best(rows(3_000), query, rest) for query in queries]
    for form in (some, mask, [some] * 3, np.tile(mask, (3, 1))):
        assert index.search(queries, 5, exclude=form, **wide).ids.tolist() == wanted


def test_each_query_leaves_out_its_own(rows, index):
    queries = rows(200, seed=2)
    first = index.search(queries, 3)
    # -1 and other unknown ids pad.
    own = np.concatenate([first.ids[:, :2], np.full((200, 1), -1), first.ids[:, :1]], axis=1)
    second = index.search(queries, 1, exclude=own)
    assert (second.ids[:, 0] == first.ids[:, 2]).mean() > 0.98
    assert (second.counts == 1).all()
    for i in range(0, 200, 37):
        alone = index.search(queries[i], 1, exclude=own[i])
        assert alone.ids.tolist() == second.ids[i : i + 1].tolist()


def test_text_ids_filter_and_a_mask_follows_the_order_of_the_ids():
    index = Index.build(np.eye(3, dtype=np.float32), ["c", "a", "b"])
    assert index.ids.tolist() == ["a", "b", "c"]
    ones = np.ones((1, 3))
    assert index.search(ones, 3, filter=["b", "c", "x"]).ids.tolist() == [["b", "c", None]]
    assert index.search(ones, 3, filter={"a"}).ids.tolist() == [["a", None, None]]
    assert index.search(ones, 3, exclude=[True, False, False]).ids.tolist() == [["b", "c", None]]
    assert index.search(ones, 3, filter=[["c"]]).ids.tolist() == [["c", None, None]]


def test_nothing_allowed_is_nothing_found(rows, index):
    for nothing in ([], np.array([], dtype=np.int64), np.zeros(3_000, bool), [5_000], np.array([])):
        hits = index.search(rows(2), 3, filter=nothing)
        assert (hits.counts == 0).all()
        assert index.search(rows(2), 3, exclude=nothing).counts.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.ones(2_999, bool), ValueError, "filter must have 3000 elements; got 2999"),
        (np.ones((2, 2_999), bool), ValueError, "must have 3000 elements"),
        ([[1], [2], [3]], ValueError, "one for each of the 2; got 3"),
        (np.ones((3, 3_000), bool), ValueError, "one for each of the 2; got 3"),
        ([0.5], TypeError, "all int64 or all str"),
        (["a"], ValueError, "must be numbers, as this index has"),
        ("a", TypeError, "filter must be ids or a mask of bool; got str"),
        (7, TypeError, "got int"),
        ([1, True], TypeError, "all int64 or all str"),
        (np.ones((1, 1, 1), bool), TypeError, "one a row"),
    ],
)
def test_what_is_no_filter_is_refused(rows, index, value, error, message):
    with pytest.raises(error, match=message):
        index.search(rows(2), 1, filter=value)


def test_the_least_score_cuts_the_list(rows, index):
    hits = index.search(rows(20, seed=3), 10)
    least = float(hits.scores[:, 4].max())
    cut = index.search(rows(20, seed=3), 10, min_score=least)
    assert (cut.counts == (hits.scores >= least).sum(axis=1)).all()
    assert (cut.ids[cut.scores == -np.inf] == -1).all()


def test_a_prefix_is_searched_as_an_index_of_it(rows, index):
    queries = rows(9, seed=4)
    short = Index.build(rows(3_000)[:, :8], kind="flat")
    wanted = short.search(queries[:, :8], 7)
    for given in (queries, queries[:, :8]):
        hits = index.search(given, 7, dim=8)
        assert hits.ids.tolist() == wanted.ids.tolist()
        assert hits.scores.tobytes() == wanted.scores.tobytes()
    for dim in (0, 25):
        with pytest.raises(ValueError, match="dim must be 1 to 24"):
            index.search(queries, dim=dim)


EFFORTS = {
    "few lists": {"probes": 8},
    "default": {},
    "slack": {"probes": 100, "rescore": 100, "slack": 0.1},
}


@pytest.mark.parametrize("order", ["random", "like a row", "unlike a row", "unlike the query"])
def test_a_filter_never_costs_recall(shared, order):
    folder = shared / "prose"
    if not folder.is_dir():
        pytest.skip("SKIPPED LOUDLY: no ../shared/data/prose beside the checkout")
    vectors = np.load(folder / "base.f16.npy")[:40_000].astype(np.float32)
    queries = np.load(folder / "query.f16.npy")[:100].astype(np.float32)
    index = Index.build(vectors, kind="ivf")
    scores = queries @ vectors.T
    alike = {
        "random": np.random.default_rng(0).random(len(vectors)),
        "like a row": -(vectors @ vectors[7]),
        "unlike a row": vectors @ vectors[7],
        "unlike the query": scores,  # each query has its own filter: nothing near it is allowed
    }[order]
    rank = np.broadcast_to(np.argsort(np.argsort(alike, axis=-1), axis=-1), scores.shape)

    def look(share, effort):
        """Return the hits among the allowed rows, and which part of the truth they are."""
        mask = rank < max(1, round(share * len(vectors)))
        hits = index.search(queries, 10, filter=None if share == 1 else mask, **EFFORTS[effort])
        wanted = min(10, mask[0].sum())
        assert (hits.counts == wanted).all()
        allowed = np.where(mask, scores, -np.inf)
        least = -np.partition(-allowed, wanted - 1, axis=1)[:, wanted - 1 : wanted]
        found = np.take_along_axis(scores, np.maximum(hits.ids, 0), axis=1) >= least - 1e-6
        return mask, hits.ids, found[hits.ids >= 0].mean()

    for effort in EFFORTS:
        _, before, plain = look(1, effort)
        for share in (0.0001, 0.001, 0.01, 0.05, 0.1, 0.3, 0.6, 0.9, 0.99, 0.999):
            mask, after, recall = look(share, effort)
            # What is found without the filter, and allowed, is found with it or gives way to better
            # rows: no list is left out, and fewer rows compete.
            again = (before[:, :, None] == after[:, None, :]).any(axis=2)
            worst = np.take_along_axis(scores, after[:, -1:], axis=1)
            better = np.take_along_axis(scores, before, axis=1) >= worst
            may = np.take_along_axis(mask, before, axis=1)
            lost = may & ~again & better & (after[:, -1:] >= 0)
            assert lost.sum() <= 0.002 * before.size, (effort, share)
            # Other rows are the truth now: a thousand results of probability p differ by 3 sigma.
            slack = 3 * np.sqrt(plain * (1 - plain) / 1000)
            assert recall >= plain - slack, (effort, share)
