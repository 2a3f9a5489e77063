"""`CurIndex.tune`: settings chosen by searching, on queries that the factors do not know."""

import numpy as np
import pytest

from magnetite.index.cur import CurIndex, ScorerError
from magnetite.index.cur.choose import grid


class Judge:
    """Scores of a matrix, each of which may be asked once."""

    def __init__(self, scores):
        self.scores, self.seen = scores, set()

    def pairs(self, queries, items):
        pairs = set(zip(queries, items, strict=True))
        assert len(pairs) == len(items)
        assert not pairs & self.seen
        self.seen |= pairs
        return self.scores[[int(one) for one in queries], list(items)]

    def score(self, query, items):
        raise AssertionError("pairs was to be called")


QUERIES = [str(place) for place in range(12)]


def world(noise, items=300, dim=6):
    """Return rows, and scores by twelve queries that they explain but for noise."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((items, dim)).astype(np.float32)
    scores = rng.standard_normal((12, dim)) @ rows.T
    return rows, scores + noise * rng.standard_normal(scores.shape)


def made(rows, **given):
    return CurIndex.create(None, rows, items=range(len(rows)), **given)


def tuned(index, judge, queries=QUERIES, budget=20, **given):
    return index.tune(queries, budget, score=judge, k=5, show_progress=False, **given)


def test_the_chosen_settings_find_most_of_the_pooled_best():
    rows, scores = world(noise=1.0)
    index, judge, paid = made(rows, settings={"ridge": 1e4}), Judge(scores), {}
    found = tuned(index, judge, paid=paid)
    assert found.tried[0][0]["ridge"] == 1e4
    assert found.found == max(part for _, part in found.tried)
    assert found.found > found.tried[0][1] + 0.1
    assert found.calls == len(judge.seen) == len(paid)
    # Each part, counted anew: a search that asks for nothing new, against all that is known.
    known = np.full(scores.shape, -np.inf)
    for (query, item), score in paid.items():
        known[int(query), item] = score
    best = np.argsort(-known, axis=1, kind="stable")[:, :5]
    for settings, part in found.tried:
        hits = index.search(QUERIES, 5, 20, score=judge, paid=paid, **settings)
        assert hits.calls.sum() == 0
        wanted = np.mean([np.isin(b, h).mean() for b, h in zip(best, hits.ids, strict=True)])
        assert part == pytest.approx(wanted)


def test_what_was_chosen_is_kept_with_the_index(tmp_path):
    rows, scores = world(noise=1.0)
    texts = [f"item {place}" for place in range(300)]
    place = {text: at for at, text in enumerate(texts)}

    def score(query, items):
        return scores[int(query), [place[item] for item in items]]

    given = {"items": texts, "settings": {"ridge": 1e4}}
    with CurIndex.create(tmp_path / "index", rows, **given) as index:
        found = index.tune(QUERIES, 20, score=score, k=5, show_progress=False)
    again = CurIndex.open(tmp_path / "index")
    assert again.about.settings.items() >= found.settings.items()
    assert again.about.settings["ridge"] < 1e4
    for name in ("rounds", "ridge"):
        assert f"{name}=" in str(found)


def test_of_equal_settings_the_present_ones_stay():
    rows, scores = world(noise=0.0)  # two rounds of six know everything
    index = made(rows, settings={"rounds": 7})
    found = tuned(index, Judge(scores))
    assert found.found == found.tried[0][1] == 1.0
    assert index.about.settings["rounds"] == 7


def test_queries_of_the_index_choose_nothing():
    rows, scores = world(noise=1.0)
    index, judge = made(rows, queries=["3", "99"]), Judge(scores)
    for queries, said in ((QUERIES, "must not be among .* got '3'"), ([], "some"), ("3", "list")):
        with pytest.raises(ValueError, match=said):
            tuned(index, judge, queries)
    assert not judge.seen
    tuned(index, judge, [one for one in QUERIES if one != "3"])


def test_a_scorer_that_fails_changes_no_setting_and_loses_nothing():
    rows, scores = world(noise=1.0)
    index, paid = made(rows, settings={"ridge": 1e4}), {}
    broken = scores.copy()
    broken[7, 150] = np.nan
    with pytest.raises(ScorerError, match="finite"):
        tuned(index, Judge(broken), budget=280, paid=paid)
    assert index.about.settings == {"ridge": 1e4}
    judge = Judge(scores)
    found = tuned(index, judge, budget=280, paid=paid)
    assert len(paid) == found.calls + (len(paid) - len(judge.seen))
    assert len(judge.seen) < 12 * 280


def test_settings_tried_suit_the_rows():
    plain = {"rounds": 4, "split": 0, "regularize": 0.0, "ridge": 1e-6, "noise": 0.0}
    for guided in (False, True):
        tried = grid(plain, 50, 20, 99, guided=guided)
        assert tried[0] == plain
        assert any(one["split"] for one in tried) is not guided
        assert any(one["regularize"] for one in tried) is guided
    # As many anchors as columns make a square system; more than there are items cannot be asked.
    for dim, items, parts in (
        (20, 99, [0.7, 0.5, 0.3]),
        (25, 99, [0.7, 0.3]),
        (20, 30, [0.7, 0.5]),
    ):
        tried = grid(plain, 50, dim, items, guided=False)
        assert list(dict.fromkeys(one["split"] for one in tried if one["split"])) == parts
    prior = plain | {"noise": 2.0}
    assert {one["noise"] for one in grid(prior, 50, 20, 99, guided=True)} == {2.0, 0.4, 10.0}
    assert {one["ridge"] for one in grid(prior, 50, 20, 99, guided=True)} == {1e-6}
    assert {one["rounds"] for one in grid(plain, 3, 20, 99, guided=True)} == {4}


def test_a_split_may_be_a_part_of_the_budget():
    rows, scores = world(noise=1.0)
    index = made(rows)
    whole, part = (
        index.search(QUERIES, 5, 21, score=Judge(scores), rounds=2, split=split)
        for split in (7, 1 / 3)
    )
    np.testing.assert_array_equal(whole.ids, part.ids)
    with pytest.raises(ValueError, match=r"split must be .*; got 7.5"):
        index.search(QUERIES, 5, 21, score=Judge(scores), split=7.5)
