"""Factors of a score matrix, held against the sums they stand for."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from magnetite.index.cur import factors
from magnetite.index.cur.factorize import Belief, calibrated, of_encoder, of_matrix, residual

SPEC = importlib.util.spec_from_file_location("twin", Path(__file__).with_name("twin.py"))
twin = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(twin)


def world(queries=40, items=300, dim=12, seed=0):
    """Scores that an encoder explains in part; what is left over has a spectrum of its own."""
    rng = np.random.default_rng(seed)
    asked, found = rng.standard_normal((queries, dim)), 0.3 + rng.standard_normal((items, dim))
    own = rng.standard_normal((queries, 8)) @ rng.standard_normal((8, items))
    scores = 2 + asked @ found.T / dim + own / 8 + rng.standard_normal(items) / 4
    scores += 3 * rng.standard_normal((queries, 1))  # a judge's level says nothing of items
    return scores, asked, found


def test_a_matrix_of_low_rank_is_found_from_as_many_scores():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((30, 6)) @ rng.standard_normal((6, 200))
    for rank in (None, 6, 20):
        rows = np.asarray(of_matrix(scores[:20], rank).rows, np.float64)
        picked = rng.permutation(200)[:15]
        for query in scores[20:]:
            u = twin.solve(rows[picked], query[picked], noise=1e-10)
            np.testing.assert_allclose(rows @ u, query, atol=1e-4)  # rows are float32


def test_a_rank_keeps_the_best_approximation():
    scores, _, _ = world()
    kept = of_matrix(scores, 5)
    assert kept.rows.shape == (300, 5)
    singular = np.linalg.svd(scores, compute_uv=False)
    basis = kept.arrays["of_scores"]
    error = np.linalg.norm(scores - basis @ (basis.T @ scores))
    np.testing.assert_allclose(error, np.sqrt((singular[5:] ** 2).sum()), rtol=1e-10)


def written_out(scores, asked, found, belief, learned):
    """The mean and the covariance of a query's scores, as `residual` says them, by loops."""
    middle, centre, mean = asked.mean(0), found.mean(0), scores.mean(0)
    dots = (asked - middle) @ (found - centre).T
    levels = (scores - mean).mean(1)
    x, y = [], []  # of the best 5 %, less their means
    for line, row in zip(dots, scores - mean, strict=True):
        best = np.argsort(-line)[: round(0.05 * len(found))]
        x, y = [*x, *(line[best] - line[best].mean())], [*y, *(row[best] - row[best].mean())]
    slope = belief.slope * np.dot(x, y) / np.dot(x, x)
    left = scores - mean - levels[:, None] - slope * dots
    spread = (left**2).mean()

    def expected(vector):
        about = vector - middle
        return mean + slope * about @ (found - centre).T + about @ learned @ left

    apart = found - centre
    together = belief.encoder * spread * apart @ apart.T / (apart**2).sum(1).mean()
    together += (1 - belief.encoder) * left.T @ left / len(left)
    liked = mean - mean.mean()
    together += belief.taste * spread * np.outer(liked, liked) / mean.var()
    together += levels.var() + spread
    return expected, together, belief.noise * spread, left


def ridge(asked, left, strength):
    around = asked - asked.mean(0)
    return np.linalg.solve(around.T @ around + strength * np.eye(around.shape[1]), around.T)


def test_residual_factors_are_the_gaussian_process_they_say(monkeypatch):
    scores, asked, found = world()
    belief = Belief(encoder=0.4, noise=0.2, taste=0.3, slope=1.5)
    monkeypatch.setattr("magnetite.index.cur.factorize.STRENGTHS", (3.0,))
    made = residual(scores[:30], asked[:30], found, belief=belief, rank=None)
    learned = ridge(asked[:30], None, 3.0)
    expected, together, noise, _ = written_out(scores[:30], asked[:30], found, belief, learned)
    rows = np.asarray(made.rows, np.float64)
    scale = np.abs(together).max()
    np.testing.assert_allclose(rows @ rows.T, together, atol=1e-5 * scale)  # rows are float32
    assert made.noise == pytest.approx(noise)
    priors = factors.prior(made.arrays, asked[30:], len(asked) - 30)
    picked = np.arange(0, 300, 7)
    for query, prior, vector in zip(scores[30:], priors, asked[30:], strict=True):
        mean = expected(vector)
        np.testing.assert_allclose(rows @ prior, mean, atol=1e-5)
        inside = together[np.ix_(picked, picked)] + noise * np.eye(len(picked))
        moved = mean + together[:, picked] @ np.linalg.solve(inside, (query - mean)[picked])
        u = twin.solve(rows[picked], query[picked], noise=made.noise, prior=prior)
        np.testing.assert_allclose(rows @ u, moved, atol=1e-4)


def test_the_strength_is_the_one_that_errs_least_on_queries_left_out(monkeypatch):
    scores, asked, found = world()
    belief = Belief()
    errors = {}
    for strength in (0.1, 30.0, 1e6):
        monkeypatch.setattr("magnetite.index.cur.factorize.STRENGTHS", (strength,))
        *_, left = written_out(scores, asked, found, belief, np.zeros((12, 40)))
        around, total = asked - asked.mean(0), 0.0
        for out in range(40):
            rest = np.delete(np.arange(40), out)
            gram = around[rest].T @ around[rest] + strength * np.eye(12)
            guess = around[out] @ np.linalg.solve(gram, around[rest].T @ left[rest])
            total += ((left[out] - guess) ** 2).sum()
        errors[strength] = total
    monkeypatch.setattr("magnetite.index.cur.factorize.STRENGTHS", tuple(errors))
    made = residual(scores, asked, found, belief=belief, rank=None)
    least = min(errors, key=errors.get)
    monkeypatch.setattr("magnetite.index.cur.factorize.STRENGTHS", (least,))
    again = residual(scores, asked, found, belief=belief, rank=None)
    np.testing.assert_array_equal(made.arrays["weights"], again.arrays["weights"])


def test_all_columns_and_the_leading_ones_say_the_same_where_nothing_is_left_out():
    scores, asked, found = world(queries=20)
    every = residual(scores, asked, found, rank=None)
    turned = residual(scores, asked, found, rank=33)  # 34 columns, of which the residuals lack one
    vector = asked[3:4] * 0.5
    wide = every.rows.astype(float) @ factors.prior(every.arrays, vector, 1)[0]
    slim = turned.rows.astype(float) @ factors.prior(turned.arrays, vector, 1)[0]
    assert turned.rows.shape[1] == 33
    np.testing.assert_allclose(slim, wide, atol=1e-4)


@pytest.mark.parametrize("make", [
    lambda s, q, v: of_matrix(s, 7), lambda s, q, v: of_encoder(v), residual,
], ids=["matrix", "encoder", "residual"])  # fmt: skip
def test_a_new_item_has_the_row_it_would_have_had(make):
    scores, asked, found = world()
    made = make(scores, asked, found)
    again = factors.new_rows(made.arrays, scores[:, 5:9].T, found[5:9])
    np.testing.assert_allclose(again, made.rows[5:9], atol=1e-6)


def test_a_new_item_without_its_scores_is_refused():
    scores, asked, found = world()
    made = residual(scores, asked, found)
    with pytest.raises(ValueError, match="need their scores"):
        factors.new_rows(made.arrays, None, found)


def test_the_prior_of_encoder_rows_is_the_calibrated_dot_product():
    scores, asked, found = world()
    slope, intercept = calibrated(scores, asked @ found.T)
    wanted = np.polyfit((asked @ found.T).ravel(), scores.ravel(), 1)
    np.testing.assert_allclose((slope, intercept), wanted)
    made = of_encoder(found, slope=slope, intercept=intercept)
    prior = factors.prior(made.arrays, asked, len(asked))
    np.testing.assert_allclose(
        made.rows @ prior.T, (slope * asked @ found.T + intercept).T, atol=1e-5
    )


def test_every_part_of_a_belief_changes_something():
    scores, asked, found = world()
    base = residual(scores, asked, found)
    for belief in (Belief(encoder=0.2), Belief(taste=0.4), Belief(slope=2.0)):
        assert not np.allclose(residual(scores, asked, found, belief=belief).rows, base.rows)
    assert residual(scores, asked, found, belief=Belief(noise=0.1)).noise < base.noise


def test_a_query_s_level_changes_no_prior_and_no_noise():
    """Judges trained by a softmax put all scores of a query anywhere; only their order counts."""
    scores, asked, found = world()
    shifted = scores + 50 * np.random.default_rng(1).standard_normal((40, 1))
    made = [residual(one, asked, found, rank=None) for one in (scores, shifted)]
    assert made[1].noise == pytest.approx(made[0].noise)
    lines = [one.rows.astype(float) @ factors.prior(one.arrays, asked[:3], 3).T for one in made]
    lines = [line - line.mean(axis=0) for line in lines]
    np.testing.assert_allclose(lines[1], lines[0], atol=1e-3)


def test_bad_matrices_are_refused():
    scores, asked, found = world()
    with pytest.raises(ValueError, match=r"expected scores \[k_q, n\]"):
        residual(scores.T, asked, found)
    with pytest.raises(ValueError, match="k_q from 2"):
        residual(scores[:1], asked[:1], found)
    scores[3, 3] = np.nan
    with pytest.raises(ValueError, match="scores must be a matrix of finite numbers"):
        of_matrix(scores)
    with pytest.raises(ValueError, match="rank must be at least 1"):
        of_matrix(np.eye(3), 0)


@pytest.mark.parametrize(
    "bad", [{"encoder": 0.0}, {"encoder": 1.0}, {"noise": 0.0}, {"slope": 0.0}]
)
def test_a_belief_that_leaves_no_room_is_refused(bad):
    with pytest.raises(ValueError, match="expected encoder between 0 and 1"):
        Belief(**bad)


def test_without_an_encoder_the_prior_is_what_all_queries_like():
    scores, _, _ = world()
    made = residual(scores, np.empty((40, 0)), np.empty((300, 0)), rank=None)
    (prior,) = factors.prior(made.arrays, None, 1)
    np.testing.assert_allclose(made.rows.astype(float) @ prior, scores.mean(axis=0), atol=1e-5)


def test_factors_that_begin_with_an_encoder_ask_for_its_vectors():
    made = residual(*world())
    with pytest.raises(ValueError, match="give vectors="):
        factors.prior(made.arrays, None, 3)
    assert factors.prior(of_matrix(world()[0]).arrays, None, 3) is None
