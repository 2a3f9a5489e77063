"""An explanation adds up to what the search says that it cost."""

import numpy as np
import pytest

from magnetite.bench import data
from magnetite.index import Index


@pytest.fixture(scope="module")
def centres():
    return data.centres(n=3_000, dim=16)


@pytest.fixture(scope="module")
def index(centres):
    return Index.build(centres.vectors, kind="ivf", lists=50)


def test_lists_and_codes_are_those_of_the_search(index, centres):
    for query in centres.queries[:20]:
        hits = index.search(query, probes=7, rescore=40)
        (looked,) = index.explain(query, probes=7, rescore=40).segments
        assert len(set(looked.probed)) == len(looked.probed) == 7
        assert (looked.codes, looked.scored) == (hits.cost.codes[0], hits.cost.rows[0])
        assert (looked.rows, looked.lists, looked.filtered) == (3_000, 50, 0)
        hits = index.search(query, probes=50, slack=0.05)
        said = index.explain(query, probes=50, slack=0.05)
        assert len(said.segments[0].probed) < 50
        assert said.segments[0].codes == hits.cost.codes[0]
        assert f"slack={said.slack}" in str(said)


def test_what_may_not_be_found_is_counted(index, centres):
    allowed = np.arange(3_000) % 3 == 0
    said = index.explain(centres.queries[0], filter=allowed, probes=10, rescore=20)
    (looked,) = said.segments
    assert 0.4 * looked.codes < looked.filtered < 0.9 * looked.codes
    assert "of rows that may not be found" in str(said)
    few = index.explain(centres.queries[0], filter=[1, 2, 3], probes=10)
    assert (few.segments[0].codes, few.segments[0].scored) == (0, 3)
    assert "3 scored exactly" in str(few)


def test_every_segment_and_a_target_are_explained(index, centres):
    grown = Index.build(centres.vectors, kind="ivf", lists=50)
    grown.tune(centres.queries[:300])
    grown.add(centres.vectors[:100])
    said = grown.explain(centres.queries[0], target_recall=0.9)
    assert [looked.rows for looked in said.segments] == [3_000, 100]
    assert said.probes is not None
    assert said.segments[1].scored == 100
    assert "100 rows without lists: 100 scored exactly" in str(said)


def test_one_query_is_explained_at_a_time(index, centres):
    with pytest.raises(ValueError, match="query"):
        index.explain(centres.queries[:2])
