"""Replayed searches, held against the twin; settings chosen on indexing queries."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from magnetite.index.cur import factors as maps
from magnetite.index.cur import ways
from magnetite.index.cur.tune import Stored, best, recalls, replay, tune
from magnetite.index.cur.ways import Corrected, OfEncoder, OfMatrix, Rounds

SPEC = importlib.util.spec_from_file_location("twin", Path(__file__).with_name("twin.py"))
twin = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(twin)


def world(queries=50, items=300, dim=12, seed=0):
    """Scores that an encoder explains in part; what is left over has a spectrum of its own."""
    rng = np.random.default_rng(seed)
    asked, found = rng.standard_normal((queries, dim)), 0.3 + rng.standard_normal((items, dim))
    own = rng.standard_normal((queries, 8)) @ rng.standard_normal((8, items))
    scores = 2 + asked @ found.T / dim + own / 8 + rng.standard_normal((queries, items)) / 4
    return scores, asked, found


WAYS = {
    "ADACUR": OfMatrix(Rounds(rounds=4, ridge=1e-2, first="encoder")),
    "ADACUR, split": OfMatrix(Rounds(rounds=3, split=0.3, ridge=1e-2, first="encoder")),
    "AXN": OfEncoder(Rounds(rounds=4, weight=0.4, ridge=1e-2, first="encoder")),
    "corrected": Corrected(),
}


@pytest.mark.parametrize("name", WAYS)
def test_a_replay_scores_what_the_twin_does(name):
    scores, asked, found = world()
    way = WAYS[name]
    made = way.factors(scores[:30], asked[:30], found)
    dots = asked[30:] @ found.T
    places = replay(made, way.rounds, scores[30:], dots, asked[30:], 30)
    rows = made.rows.astype(float)
    priors = maps.prior(made.arrays, asked[30:], 20)
    for query in range(20):
        first = twin.best(dots[query], 300) if way.rounds.first == "encoder" else None
        prior = priors[query] if made.noise else None
        start = rows[first[: way.rounds.sizes(30)[0]]] if first is not None else rows
        noise = made.noise or way.rounds.ridge * (start**2).sum(axis=1).mean()
        wanted, _ = twin.search(
            rows,
            lambda picked, query=query: scores[30 + query, picked],
            way.rounds.sizes(30),
            first=first,
            prior=prior,
            noise=noise,
            weight=way.rounds.weight,
            guess=None if priors is None else priors[query],
        )
        np.testing.assert_array_equal(places[query], wanted)


def test_random_anchors_are_followed_by_what_they_say():
    scores, asked, found = world()
    way = OfMatrix(Rounds(anchors=0.5, ridge=1e-2, first="random"))
    made = way.factors(scores[:30], asked[:30], found)
    places = replay(made, way.rounds, scores[30:], asked[30:] @ found.T, asked[30:], 60, seed=3)
    again = replay(made, way.rounds, scores[30:], asked[30:] @ found.T, asked[30:], 60, seed=3)
    np.testing.assert_array_equal(places, again)
    recall = recalls(places, best(scores[30:], 10), 10).mean()
    assert recall > 2 * 60 / 300, "better than as many random items"


@pytest.mark.parametrize("budget", [7, 50, 100])
def test_rounds_spend_the_budget_to_the_call(budget):
    grids = (ways.anncur, ways.adacur, ways.adacur_at_random, ways.axn, ways.corrected)
    for way in (way for grid in grids for way in grid(budget, 60)):
        sizes = way.rounds.sizes(budget)
        assert sum(sizes) == budget
        assert min(sizes) >= 1


def test_every_call_is_of_another_pair():
    scores, asked, found = world()

    class Once(Stored):
        seen: set[tuple[int, int]] = set()  # noqa: RUF012

        def pairs(self, queries, items):
            pairs = set(zip(queries, items, strict=True))
            assert len(pairs) == len(items)
            assert not pairs & self.seen
            self.seen |= pairs
            return super().pairs(queries, items)

    made = Corrected().factors(scores[:30], asked[:30], found)
    from magnetite.index.cur.index import CurIndex

    index, once = CurIndex.create(None, made.rows, items=range(300)), Once(scores[30:])
    hits = index.search(
        range(20), 10, 40, score=once, rounds=10, ridge=0.0, noise=made.noise,
        prior=maps.prior(made.arrays, asked[30:], 20), show_progress=False,
    )  # fmt: skip
    assert once.calls == 20 * 40
    assert (np.asarray(hits.calls) == 40).all()


def test_near_as_many_anchors_as_queries_are_left_out():
    for way in ways.anncur(100, 50):
        assert abs(round(way.rounds.anchors * 100) - 50) >= 0.15 * 50
    assert {way.rounds.anchors for way in ways.anncur(100, 1000)} == {0.1, 0.2, 0.3, 0.5, 0.7, 0.9}


def test_the_chosen_way_is_the_best_on_indexing_queries():
    scores, asked, found = world()
    heard = []
    grid = [WAYS["AXN"], *ways.corrected(20, 50)[:2], OfMatrix(Rounds(rounds=2, first="random"))]
    tuned = tune(
        grid, scores, asked, found, budget=20, ks=(1, 10, 50), heard=lambda *a: heard.append(a)
    )
    assert tuned.tried == tuple(heard)
    assert tuned.recall == max(recall for _, recall in tuned.tried)
    assert isinstance(tuned.way, Corrected)
    again = tune(grid, scores, asked, found, budget=20, ks=(1, 10, 50))
    assert again == tuned


def test_queries_searched_are_not_those_that_factors_are_made_of():
    scores, asked, found = world()
    seen = []

    class Spy(OfMatrix):
        def factors(self, known, queries, items):
            seen.append(known)
            return super().factors(known, queries, items)

    tune([Spy(Rounds(first="encoder"))], scores, asked, found, budget=20, folds=2)
    rows = [{tuple(row) for row in known} for known in seen]
    assert len(rows) == 2
    assert not rows[0] & rows[1]
    assert len(rows[0] | rows[1]) == 50


def test_tuning_without_enough_is_refused():
    scores, asked, found = world()
    for arguments in ({"ways": []}, {"budget": 5, "ks": (10,)}, {"folds": 30}):
        given = {"ways": [Corrected()], "budget": 20} | arguments
        with pytest.raises(ValueError, match="tuning needs"):
            tune(given.pop("ways"), scores, asked, found, **given)


def test_recall_is_what_a_user_would_count():
    scores, _, _ = world(5, 40)
    rng = np.random.default_rng(1)
    found = np.array([rng.permutation(40)[:12] for _ in range(5)])
    truth = best(scores, 10)
    got = recalls(found, truth, 10)
    for row in range(5):
        returned = sorted(found[row], key=lambda place: (-scores[row, place], place))[:10]
        assert got[row] == len(set(returned) & set(truth[row])) / 10
