"""An index by a scorer, against NumPy's pseudo-inverse and the papers' loop written out."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from magnetite import _core
from magnetite.index.cur import CurIndex, ScorerError

SPEC = importlib.util.spec_from_file_location("twin", Path(__file__).with_name("twin.py"))
twin = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(twin)


class Judge:
    """Scores of a matrix; counts what it is asked, and refuses to be asked twice."""

    def __init__(self, scores):
        self.scores, self.seen = scores, []

    def score(self, query, items):
        self.seen += [(query, item) for item in items]
        return [self.scores[query, item] for item in items]


class MixingJudge(Judge):
    def pairs(self, queries, items):
        assert len(queries) == len(items)
        self.seen += list(zip(queries, items, strict=True))
        return self.scores[list(queries), list(items)]


def world(seed, items=200, dim=8, queries=5, noise=0.1):
    """Return factors that float32 holds, and scores that they explain but for noise."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(items, dim)).astype(np.float32)
    scores = rng.normal(size=(queries, dim)) @ rows.T + noise * rng.normal(size=(queries, items))
    return rows, scores


def made(rows, **settings):
    return CurIndex.create(None, rows, items=range(len(rows)), **settings)


@pytest.mark.parametrize("trouble", ["none", "repeated", "nearly repeated", "sums", "steep"])
def test_a_solve_row_by_row_is_numpys_pseudo_inverse(trouble):
    rng = np.random.default_rng(0)
    for _ in range(200):
        count, dim = rng.integers(2, 40), rng.integers(1, 20)
        rows = rng.normal(size=(count, dim))
        half = count // 2
        if trouble == "repeated":
            rows[half:] = rows[rng.integers(0, half, count - half)]
        elif trouble == "nearly repeated":
            rows[half:] = rows[rng.integers(0, half, count - half)] + 1e-5 * rows[half:]
        elif trouble == "sums":
            rows[half:] = rng.normal(size=(count - half, half)) @ rows[:half]
        elif trouble == "steep":
            rows *= 0.5 ** np.arange(dim)
        scores = rng.normal(size=count)
        solver = _core.CurSolver(int(dim), 0.0, 0.0, 1e-9)
        for some in np.array_split(np.arange(count), 3):
            solver.append(rows[some], scores[some])
        values = np.linalg.svd(rows, compute_uv=False)
        rank = int((values > 1e-9 * values[0]).sum())
        inverse = np.linalg.pinv(rows, rcond=1e-9)
        # Relative to ‖V⁺‖·‖a‖ the error is that of the condition, in units of 2⁻⁵².
        bound = 1e-13 * values[0] / values[rank - 1] * np.sqrt(count * dim)
        scale = np.linalg.norm(inverse, 2) * np.linalg.norm(scores)
        assert solver.rank == rank
        assert np.linalg.norm(solver.solution() - inverse @ scores) <= bound * scale


@pytest.mark.parametrize("noise", [0.0, 1e-6, 0.3, 30.0])  # the last outweighs ten rows
@pytest.mark.parametrize("drawn", [False, True])
def test_a_search_is_the_papers_loop(noise, drawn):
    for seed in range(20):
        rows, scores = world(seed)
        rng = np.random.default_rng(seed)
        prior = rng.normal(size=(5, 8)) if drawn else None
        first = None if drawn else rng.choice(200, 10, replace=False)
        judge = Judge(scores)
        hits = made(rows).search(
            range(5), 10, 50, score=judge, init=first, prior=prior, ridge=0.0, noise=noise
        )
        for query in range(5):
            places, wanted = twin.search(
                rows,
                lambda picked, row=scores[query]: row[picked],
                [10] * 5,
                first=first,
                prior=None if prior is None else prior[query],
                noise=noise,
            )
            assert hits.ids[query].tolist() == places[:10].tolist()
            assert hits.scores[query].tolist() == wanted[:10].tolist()
        assert hits.calls.tolist() == [50] * 5
        assert len(judge.seen) == len(set(judge.seen)) == 250


def test_axns_weight_mixes_in_the_encoders_vector():
    rows, scores = world(3)
    guess = np.random.default_rng(3).normal(size=(5, 8))
    hits = made(rows).search(
        range(5), 10, 40, score=Judge(scores), vectors=guess, rounds=4, ridge=0.0, regularize=0.3
    )
    for query in range(5):
        first = twin.best(rows @ guess[query], 10)
        places, _ = twin.search(
            rows,
            lambda picked, row=scores[query]: row[picked],
            [10] * 4,
            first=first,
            weight=0.3,
            guess=guess[query],
        )
        assert hits.ids[query].tolist() == places[:10].tolist()


def test_adacur_is_axn_on_the_columns_of_the_matrix():
    # The papers' w = a·(R[:, S])⁺ and ŝ = w·R, in float64, against u on V = Rᵀ as float32 has it.
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(12, 300)).astype(np.float32).astype(np.float64)
    scores = rng.normal(size=(1, 300))
    index = made(matrix.T)
    for sizes in ([6], [6, 6], [6, 6, 6], [10, 20]):  # below, at and above the 12 anchor queries
        hits = index.search([0], 5, sum(sizes), score=Judge(scores), rounds=sizes, ridge=0.0)
        paid = {}
        index.search([0], 5, sum(sizes), score=Judge(scores), rounds=sizes, ridge=0.0, paid=paid)
        seen = [item for _, item in paid]
        weights = scores[0, seen] @ np.linalg.pinv(matrix[:, seen])
        assert np.abs(hits.vectors[0] - weights).max() <= 1e-8 * np.abs(weights).max()


def test_a_matrix_of_rank_r_is_recovered_exactly():
    rng = np.random.default_rng(5)
    mixing = rng.normal(size=(7, 30))
    # Small whole numbers, so that float32 holds the products and the rank is 7 to the bit.
    rows = rng.integers(-9, 10, (400, 7)) @ np.round(64 * mixing)
    truth = rng.normal(size=(3, 30)) / 64
    scores = truth @ rows.T
    hits = made(rows).search(
        range(3), 20, 27, score=Judge(scores), rounds=[7], split=20, ridge=0.0, rest=30
    )
    for query in range(3):
        seen = np.setdiff1d(np.argsort(-scores[query]), hits.rest.ids[query], assume_unique=True)
        assert np.abs(rows @ hits.vectors[query] - scores[query]).max() <= 1e-6
        assert set(np.argsort(-scores[query])[:10]) <= set(hits.ids[query])
        assert len(seen) == 370
    estimates = np.take_along_axis(scores, hits.rest.ids, axis=1)
    # Estimates are float32: relative to the largest products.
    assert np.abs(hits.rest.estimates - estimates).max() <= 1e-4
    assert np.abs(hits.estimates - hits.scores).max() <= 1e-6


def test_anncur_is_random_items_and_one_more_round():
    rows, scores = world(6)
    index = made(rows)
    judge = MixingJudge(scores)
    hits = index.search(range(5), 10, 50, score=judge, rounds=1, split=30, ridge=0.0)
    anchors = [{item for query, item in judge.seen[:100] if query == q} for q in range(5)]
    assert all(len(one) == 20 and one == anchors[0] for one in anchors)
    chosen = np.array(sorted(anchors[0]))
    for query in range(5):
        u = np.linalg.pinv(rows[chosen].astype(float)) @ scores[query, chosen]
        wanted = set(chosen) | set(twin.best(rows @ u, 30, chosen))
        assert {item for q, item in judge.seen if q == query} == wanted
        assert set(hits.ids[query]) <= wanted
    other = index.search(range(5), 10, 50, score=judge, rounds=1, split=30, seed=1)
    assert other.vectors.tolist() != hits.vectors.tolist()


def test_pairs_and_single_calls_find_the_same():
    rows, scores = world(7)
    index = made(rows)
    one, many = Judge(scores), MixingJudge(scores)
    alone = [index.search([q], 10, 50, score=one).ids[0].tolist() for q in range(5)]
    assert index.search(range(5), 10, 50, score=many).ids.tolist() == alone
    assert sorted(one.seen) == sorted(many.seen)


def test_budget_is_spent_to_the_call_and_nothing_is_scored_twice():
    rows, scores = world(8, items=60)
    index = made(rows)
    rng = np.random.default_rng(8)
    for _ in range(60):
        budget = int(rng.integers(1, 60))
        rounds = int(rng.integers(1, budget + 1))
        split = int(rng.integers(0, budget - rounds + 1))
        temperature = None if rng.random() < 0.5 else 0.5
        init = None if rng.random() < 0.5 else rng.choice(60, 3)
        judge = Judge(scores)
        hits = index.search(
            [0, 1],
            1,
            budget,
            score=judge,
            rounds=rounds,
            split=split,
            init=init,
            temperature=temperature,
            seed=int(rng.integers(9)),
        )
        assert len(judge.seen) == len(set(judge.seen)) == 2 * budget
        assert hits.calls.tolist() == [budget, budget]


def test_a_budget_beyond_what_may_be_found_scores_all_of_it():
    rows, scores = world(9)
    judge = Judge(scores)
    index = made(rows)
    allowed = [3, 50, 7, 120, 5000]
    hits = index.search([0], 10, 50, score=judge, filter=allowed)
    assert sorted(judge.seen) == [(0, 3), (0, 7), (0, 50), (0, 120)]
    assert hits.counts.tolist() == hits.calls.tolist() == [4]
    wanted = sorted([3, 7, 50, 120], key=lambda item: -scores[0, item])
    assert hits.ids[0].tolist() == wanted + [-1] * 6
    assert hits.scores[0, 4:].tolist() == [-np.inf] * 6


def test_filters_and_exclusions_hold_in_every_round():
    rows, scores = world(10)
    names = [f"item {place:03}" for place in range(200)]
    index = CurIndex.create(None, rows, names, items=range(200))
    judge = Judge(scores)
    mask = np.arange(200) % 2 == 0
    but = [[names[2 * q], names[2 * q + 4]] for q in range(5)]
    hits = index.search(range(5), 5, 30, score=judge, filter=mask, exclude=but, rest=8)
    assert all(item % 2 == 0 and item not in (2 * q, 2 * q + 4) for q, item in judge.seen)
    for query in range(5):
        found = [names.index(one) for one in [*hits.ids[query], *hits.rest.ids[query]]]
        assert all(item % 2 == 0 and item not in (2 * query, 2 * query + 4) for item in found)
        assert not {(query, names.index(one)) for one in hits.rest.ids[query]} & set(judge.seen)
    estimates = hits.vectors @ rows.T.astype(float)
    for query in range(5):
        left = [i for i in range(0, 200, 2) if i not in (2 * query, 2 * query + 4)]
        left = [i for i in left if (query, i) not in set(judge.seen)]
        wanted = sorted(left, key=lambda i, q=query: -estimates[q, i])[:8]
        assert hits.rest.ids[query].tolist() == [names[i] for i in wanted]


def test_scores_of_another_model_say_where_to_begin():
    rows, scores = world(11)
    names = [f"{place:03}" for place in range(200)][::-1]
    index = CurIndex.create(None, rows, names, items=range(200))
    other = np.random.default_rng(11).normal(size=(2, 200))
    judge = MixingJudge(scores)
    index.search([0, 1], 5, 20, score=judge, init=other, rounds=2)
    for query in range(2):
        # Row 0 is called 199, so it is the last of the ids.
        wanted = {199 - place for place in np.argsort(-other[query])[:10]}
        assert {item for q, item in judge.seen[:20] if q == query} == wanted


def test_equal_scores_go_by_id():
    rows = np.ones((50, 1), np.float32)
    hits = made(rows).search([0], 5, 20, score=Judge(np.ones((1, 50))), init=[40, 30], rounds=2)
    assert hits.ids[0].tolist() == [0, 1, 2, 3, 4]


def test_draws_depend_on_the_seed_alone():
    rows, scores = world(12)
    index = made(rows)

    def seen(seed, queries, threads=None):
        judge = Judge(scores)
        index.search(queries, 5, 40, score=judge, temperature=1.0, seed=seed, threads=threads)
        return {pair for pair in judge.seen if pair[0] == 3}

    assert seen(1, [3]) == seen(1, range(5)) == seen(1, range(5), threads=2)
    assert seen(1, [3]) != seen(2, [3])


def test_the_last_calls_of_a_split_go_to_the_best_even_where_others_are_drawn():
    rows, scores = world(20)
    judge = MixingJudge(scores)
    options = {"rounds": [15, 15], "split": 20, "temperature": 100.0, "ridge": 0.0}
    made(rows).search(range(5), 10, 50, score=judge, **options)
    for query in range(5):
        asked = [item for q, item in judge.seen if q == query]
        seen, last = np.array(asked[:30]), asked[30:]
        u = np.linalg.pinv(rows[seen].astype(float)) @ scores[query, seen]
        assert last == twin.best(rows @ u, 20, seen).tolist()
        u = np.linalg.pinv(rows[seen[:15]].astype(float)) @ scores[query, seen[:15]]
        assert set(asked[15:30]) != set(twin.best(rows @ u, 15, seen[:15]))


def test_more_queries_than_memory_takes_at_once_are_searched_alike(monkeypatch):
    rows, scores = world(13)
    index = made(rows)
    whole = index.search(range(5), 5, 20, score=Judge(scores), rest=3)
    monkeypatch.setattr("magnetite.index.cur.asking.MEMORY", 2 * 8 * 20 * (8 + 20))
    parts = index.search(range(5), 5, 20, score=Judge(scores), rest=3)
    assert whole.ids.tolist() == parts.ids.tolist()
    assert whole.vectors.tolist() == parts.vectors.tolist()
    assert whole.rest.ids.tolist() == parts.rest.ids.tolist()


def broken(scores, after, wrong):
    """Return a scorer that works for so many calls."""
    calls = []

    def score(query, items):
        calls.append(query)
        return scores[query, items] if len(calls) <= after else wrong(len(items))

    return score


def give_up(count):
    raise RuntimeError("out of memory")


def interrupt(count):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda count: np.full(count, np.nan), "finite"),
        (lambda count: np.zeros(count + 1), "numbers"),
        (lambda count: ["a"] * count, "real numbers"),
        (give_up, "out of memory"),
    ],
)
def test_what_was_paid_for_survives_a_scorer_that_fails(wrong, said):
    rows, scores = world(14)
    index = made(rows)
    wanted = index.search(range(5), 5, 50, score=Judge(scores))
    with pytest.raises(ScorerError, match=said) as error:
        index.search(range(5), 5, 50, score=broken(scores, 13, wrong))
    paid = error.value.paid
    assert len(paid) == 130
    judge = Judge(scores)
    hits = index.search(range(5), 5, 50, score=judge, paid=paid)
    assert hits.ids.tolist() == wanted.ids.tolist()
    assert len(judge.seen) == 250 - 130 == hits.calls.sum()


def test_a_nan_loses_nothing_but_itself():
    rows, scores = world(14)
    index, torn = made(rows), scores.copy()
    torn[3, index.search(range(5), 5, 50, score=Judge(scores)).ids[3, 2]] = np.nan
    judge, paid = MixingJudge(torn), {}
    with pytest.raises(ScorerError, match=r"query 3, item \d+"):
        index.search(range(5), 5, 50, score=judge, paid=paid)
    assert len(paid) == len(judge.seen) - 1
    assert all(paid[pair] == torn[pair] for pair in paid)
    mended = MixingJudge(scores)
    index.search(range(5), 5, 50, score=mended, paid=paid)
    assert len(mended.seen) == 250 - len(judge.seen) + 1


def test_what_was_paid_for_survives_a_ctrl_c():
    rows, scores = world(15)
    index = made(rows)
    paid = {}
    with pytest.raises(KeyboardInterrupt):
        index.search(range(5), 5, 50, score=broken(scores, 7, interrupt), paid=paid)
    assert len(paid) == 70
    judge = Judge(scores)
    index.search(range(5), 5, 50, score=judge, paid=paid)
    assert len(judge.seen) == 250 - 70


def test_what_cannot_be_searched_is_refused_by_name():
    rows, scores = world(16, items=20)
    index, judge = made(rows), Judge(scores)

    def refused(match, kind=ValueError, **options):
        options = {"k": 5, "budget": 10, "score": judge} | options
        with pytest.raises(kind, match=match):
            index.search([0, 1], **options)

    refused("budget must be at least k", k=11)
    refused("budget must be at least k", k=0)
    refused("the first round takes 25 items and the index has 20", budget=25, rounds=1)
    refused("rounds must be 1 to 10", rounds=11)
    refused("rounds must be sizes", rounds=[5, 4])
    refused("split must be", split=10)
    refused('init must be "random"', init="best")
    refused("init must be finite scores", init=np.zeros((2, 19)))
    refused("init must be finite scores", init=np.full((2, 20), np.nan))
    refused("mask of bool", TypeError, init=np.ones(20, bool))
    refused(r"vectors must have the shape \(2, 8\)", vectors=np.zeros((2, 7)))
    refused(r"prior must have the shape \(2, 8\)", prior=np.zeros((3, 8)))
    refused("must be finite", prior=np.full((2, 8), np.inf))
    refused("ridge must be", ridge=-1.0)
    refused("temperature must be", temperature=0.0)
    refused("regularize must be", regularize=2.0)
    refused("filter must have 20", filter=np.ones(19, bool))
    refused("score must be a callable", TypeError, score="judge")
    assert judge.seen == []
    with pytest.raises(ValueError, match="items"):
        CurIndex.create(None, rows).search([0], score=judge, budget=10)
    with pytest.raises(ValueError, match="settings must be among"):
        made(rows, settings={"budget": 5})
    with pytest.raises(ValueError, match="items must be one a row"):
        CurIndex.create(None, rows, items=["a"])


def test_settings_of_the_index_hold_unless_told_otherwise():
    rows, scores = world(17)
    settings = {"rounds": 2, "split": 20, "ridge": 0.0, "noise": 0.5}
    own, plain = made(rows, settings=settings), made(rows)
    told = plain.search(range(5), 5, 50, score=Judge(scores), **settings)
    assert (
        own.search(range(5), 5, 50, score=Judge(scores)).vectors.tolist() == told.vectors.tolist()
    )
    other = plain.search(range(5), 5, 50, score=Judge(scores), **(settings | {"split": 10}))
    again = own.search(range(5), 5, 50, score=Judge(scores), split=10)
    assert again.vectors.tolist() == other.vectors.tolist() != told.vectors.tolist()


@pytest.mark.parametrize(("storage", "kind"), [("f16", None), ("int8", None), ("f32", "ivf")])
def test_factors_may_be_kept_shorter_or_in_lists(storage, kind):
    rows, scores = world(18, items=2000, noise=0.0)
    options = {"lists": 20, "parts": 4} if kind else {}
    index = made(rows, storage=storage, kind=kind, **options)
    hits = index.search(range(5), 10, 60, score=Judge(scores), probes=10)
    best = np.argsort(-scores, axis=1)[:, :10]
    found = [len(set(hits.ids[q]) & set(best[q])) for q in range(5)]
    assert np.mean(found) >= 9


def test_one_text_is_one_query():
    rows, _ = world(19)
    index = CurIndex.create(None, rows, items=[f"text {place}" for place in range(200)])
    hits = index.search("query", 3, 10, score=lambda _, items: [len(item) for item in items])
    assert hits.ids.shape == (1, 3)
    assert len(hits) == 1
    assert index.search([], 3, 10, score=lambda _, items: [0] * len(items)).ids.shape == (0, 3)
