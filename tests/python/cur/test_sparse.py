"""Factors of a sparse score matrix: MF_trns and MF_ind."""

import numpy as np
import pytest

from magnetite.index.cur import factors, sparse
from magnetite.index.cur.plan import nearest
from magnetite.index.cur.scores import Scores


def world(queries=60, items=200, dim=6):
    """An encoder, and scores of vectors that lie near its own."""
    rng = np.random.default_rng(0)
    asked, found = rng.standard_normal((queries, dim)), rng.standard_normal((items, dim))
    turned = np.eye(dim) + 0.4 * rng.standard_normal((dim, dim))
    return asked, found, 3 + 2 * (asked @ turned @ found.T)


def observed(asked, found, scores, **number):
    plan = nearest(asked, found, **number)
    held = Scores.open(plan, list(range(len(asked))), list(range(len(found))))
    return held.fill(lambda query, places: scores[query, list(places)])


def test_every_row_is_the_ridge_toward_where_it_began():
    asked, found, scores = world()
    held = observed(asked, found, scores, per_item=8)
    rows, columns = held.plan.pairs()
    rows = held.plan.queries[rows]
    wanted = held.values.astype(float)
    solved = sparse._solved(found, asked, columns, rows, wanted, 0.7)
    for item in range(0, 200, 13):
        seen = rows[columns == item]
        gram = asked[seen].T @ asked[seen] + 0.7 * np.eye(6)
        right = asked[seen].T @ scores[seen, item] + 0.7 * found[item]
        np.testing.assert_allclose(solved[item], np.linalg.solve(gram, right), atol=1e-4)


def error(made, asked, scores, picked):
    """Of the estimates of a search that knows the scores of `picked`."""
    rows, total = made.rows.astype(float), 0.0
    for query in scores:
        u = np.linalg.lstsq(rows[picked], query[picked], rcond=None)[0]
        total += float(((rows @ u - query) ** 2).mean())
    return total / len(scores)


def test_training_on_scores_explains_more_than_the_encoder():
    asked, found, scores = world()
    scores = scores + 2 * asked @ (found**2).T  # what no turn of the encoder explains
    held = observed(asked[:50], found, scores[:50], per_item=30)
    before = np.concatenate([found, np.ones((200, 1))], axis=1).astype(np.float32)
    picked = np.arange(0, 200, 4)
    plain = error(factors.Factors(before), asked[50:], scores[50:], picked)
    made = sparse.trained(held, asked[held.plan.queries], found)
    assert error(made, asked[50:], scores[50:], picked) < 0.3 * plain


def test_items_that_were_never_observed_stay_with_the_encoder():
    asked, found, scores = world()
    held = observed(asked, found, scores, per_query=5)
    made = sparse.trained(held, asked[held.plan.queries], found)
    unseen = np.setdiff1d(np.arange(200), held.plan.columns)
    assert len(unseen)
    np.testing.assert_array_equal(made.rows[unseen, :-1], found[unseen].astype(np.float32))
    assert (made.rows[:, -1] == 1).all()


def test_a_new_item_is_solved_as_the_others_were():
    asked, found, scores = world()
    held = observed(asked, found, scores, per_item=60)  # each item by every query
    made = sparse.trained(held, asked[held.plan.queries], found)
    again = factors.new_rows(made.arrays, scores[:, :9].T, found[:9])
    # The rows were solved before the last queries were: the last sweep ends with the items.
    np.testing.assert_allclose(again, made.rows[:9], atol=1e-4)


def test_the_prior_is_the_encoder_on_the_scale_of_scores():
    asked, found, scores = world()
    made = sparse.trained(observed(asked, found, scores, per_item=60), asked, found, strength=1e12)
    guess = made.rows.astype(float) @ factors.prior(made.arrays, asked, len(asked)).T
    assert guess.mean() == pytest.approx(scores.mean(), rel=1e-5)
    assert guess.std() == pytest.approx(scores.std(), rel=1e-5)


def test_scores_that_are_missing_are_refused():
    asked, found, _ = world()
    held = Scores.open(nearest(asked, found, per_query=3), list(range(60)), list(range(200)))
    with pytest.raises(ValueError, match="0 of 180 scores are there"):
        sparse.trained(held, asked, found)


def test_adapters_of_numpy_and_torch_agree():
    torch = pytest.importorskip("torch")
    from magnetite.learn.adapters import Adapter

    torch.manual_seed(0)
    adapter = Adapter(6).double()
    vectors = np.random.default_rng(0).standard_normal((5, 6))
    with torch.no_grad():
        adapter.gate.fill_(0.3)
        wanted = adapter(torch.from_numpy(vectors)).numpy()
    got = factors.adapted(adapter.arrays("item"), "item", vectors)
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_adapters_learn_the_scores_and_take_new_items(one_thread):
    from magnetite.learn.adapters import fit

    asked, found, scores = world()
    held = observed(asked[:50], found[:150], scores[:50, :150], per_item=20)
    rows, columns = held.plan.pairs()
    wanted = (held.values.astype(float) - 3) / 2
    settings = {"seed": 1, "epochs": 60, "lr": 1e-2, "batch_pairs": 256}
    arrays = fit(asked[held.plan.queries], found[:150], rows, columns, wanted, **settings)
    again = fit(asked[held.plan.queries], found[:150], rows, columns, wanted, **settings)
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)
    guess = factors.prior(arrays, asked[50:], 10) @ factors.new_rows(arrays, None, found[150:]).T
    plain = asked[50:] @ found[150:].T
    new = scores[50:, 150:].ravel()
    assert np.corrcoef(guess.ravel(), new)[0, 1] > np.corrcoef(plain.ravel(), new)[0, 1] + 0.05


def test_sparse_scores_make_adapters(one_thread):
    asked, found, scores = world(20, 30)
    made = sparse.adapters(observed(asked, found, scores, per_item=3), asked, found)
    assert made.rows.shape == (30, 6)
    assert not np.allclose(made.rows, found, atol=1e-3)


def test_without_torch_the_extra_is_named(monkeypatch):
    import sys

    asked, found, scores = world()
    held = observed(asked, found, scores, per_query=3)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"MF_ind needs torch.*magnetite\[learn\]"):
        sparse.adapters(held, asked, found)
