"""A wanted recall is measured, kept, reached, and refused where it cannot be."""

import numpy as np
import pytest

from magnetite.bench import data
from magnetite.index import Index


@pytest.fixture(scope="module")
def centres():
    return data.centres(n=6_000, dim=32)


@pytest.fixture(scope="module")
def index(centres):
    return Index.build(centres.vectors, kind="ivf", lists=100)


@pytest.fixture
def tuned(index, centres, tmp_path):
    index.save(tmp_path / "index")
    with Index.open(tmp_path / "index", writable=True) as opened:
        opened.tune(centres.queries[:1_000])
        yield opened


def test_a_target_is_reached_on_queries_that_were_not_measured(tuned, centres):
    for target in (0.9, 0.97):
        hits = tuned.search(centres.queries[1_000:], target_recall=target)
        found = (hits.ids[:, :, None] == centres.truth[1_000:, None, :10]).any(axis=1)
        assert found.mean() > target - 0.01
        assert hits.cost.codes.mean() < 6_000 / 2


def test_a_curve_lies_with_the_index_and_reads_well(tuned, tmp_path):
    kept = Index.open(tmp_path / "index").curve()
    assert kept == tuned.curve() == tuned.curve(k=3)
    assert (kept.queries, kept.stand_in, kept.rows, kept.changed) == (1_000, False, 6_000, 0)
    sure = [point.sure for point in kept.points]
    assert sure == sorted(sure)
    assert "recall@10, measured on 1,000 queries" in str(kept)


def test_stored_vectors_stand_in_for_queries_and_the_curve_says_so(index, centres):
    fresh = Index.build(centres.vectors, kind="ivf", lists=100)
    assert fresh.curve() is None
    fresh.search(centres.queries[:5], target_recall=0.9)
    curve = fresh.curve()
    assert curve.stand_in
    assert "stored vectors, for want of queries" in str(curve)
    assert fresh.curve(k=11) is None


def test_a_recall_that_nothing_reaches_is_refused(tuned, centres):
    with pytest.raises(ValueError, match=r"target_recall must be at most 0\.9"):
        tuned.search(centres.queries, target_recall=1.0)
    with pytest.raises(ValueError, match="the only one"):
        tuned.search(centres.queries, target_recall=0.9, probes=3)


def test_a_curve_of_an_index_that_changed_much_is_called_old(tuned, centres):
    tuned.search(centres.queries[:5], target_recall=0.9)
    tuned.delete(np.arange(0, 6_000, 3))
    tuned.add(centres.vectors[:1])
    assert tuned.curve().changed == 2_001
    with pytest.warns(UserWarning, match=r"call tune\(\) again"):
        tuned.search(centres.queries[:5], target_recall=0.9)
    tuned.tune(centres.queries[:1_000])
    assert (tuned.curve().rows, tuned.curve().changed) == (4_001, 0)
    tuned.search(centres.queries[:5], target_recall=0.9)
