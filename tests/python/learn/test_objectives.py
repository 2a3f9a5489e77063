"""Every formula against its definition, written as loops over float64."""

from math import exp, log, sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from magnetite.learn import objectives as o

shapes = st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(0, 10**6))
temperatures = st.sampled_from([0.01, 0.05, 1.0])
# Sums of at most 50 terms in float64: 50 · 2⁻⁵³ ≪ 1e-10 of the largest term.
close = {"rel": 1e-10, "abs": 1e-10}


def matrix(n, m, seed):
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(n, m, generator=draws, dtype=torch.float64), draws


def log_sum_exp(values):
    top = max(values)
    return top + log(sum(exp(value - top) for value in values))


@settings(deadline=None, max_examples=50)
@given(shape=shapes, temperature=temperatures)
def test_info_nce_equals_the_written_sum(shape, temperature):
    n, m, seed = shape
    scores, draws = matrix(n, m, seed)
    scores = scores / temperature
    target = torch.randint(m, (n,), generator=draws)
    keep = torch.rand(n, m, generator=draws) < 0.5
    weights = torch.randn(n, m, generator=draws, dtype=torch.float64)
    weights[torch.arange(n), target] = 0.0
    found = o.info_nce(scores, target, keep=keep, log_weights=weights)
    for i in range(n):
        crowd = [
            float(scores[i, j] + weights[i, j]) for j in range(m) if keep[i, j] or j == target[i]
        ]
        assert float(found[i]) == pytest.approx(
            log_sum_exp(crowd) - float(scores[i, target[i]]), **close
        )


def test_info_nce_of_three_by_three_by_hand():
    scores = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    wanted = [log(exp(s) + 2) - s for s in (1.0, 2.0, 3.0)]
    assert o.info_nce(scores, torch.arange(3)).tolist() == pytest.approx(wanted, rel=1e-6)


def test_info_nce_is_finite_where_a_sum_of_exps_is_not():
    scores = torch.tensor([[1000.0, -1000.0]], requires_grad=True)
    loss = o.info_nce(scores, torch.tensor([1]))
    loss.sum().backward()
    assert loss.tolist() == [2000.0]
    assert scores.grad.tolist() == [[1.0, -1.0]]


@settings(deadline=None, max_examples=50)
@given(shape=shapes, temperature=temperatures)
def test_sup_con_equals_the_written_sum(shape, temperature):
    n, m, seed = shape
    scores, draws = matrix(n, m, seed)
    scores = scores / temperature
    positive = torch.rand(n, m, generator=draws) < 0.4
    keep = torch.rand(n, m, generator=draws) < 0.7
    found = o.sup_con(scores, positive, keep=keep)
    for i in range(n):
        crowd = [float(scores[i, j]) for j in range(m) if keep[i, j] or positive[i, j]]
        own = [float(scores[i, j]) for j in range(m) if positive[i, j]]
        wanted = sum(log_sum_exp(crowd) - s for s in own) / len(own) if own else 0.0
        assert float(found[i]) == pytest.approx(wanted, **close)


def test_a_row_without_positives_or_company_gives_no_nan():
    scores = torch.randn(2, 3, requires_grad=True)
    nobody = torch.zeros(2, 3, dtype=torch.bool)
    o.sup_con(scores, nobody).sum().backward()
    assert scores.grad.isfinite().all()


@settings(deadline=None, max_examples=30)
@given(n=st.integers(0, 8), seed=st.integers(0, 10**6))
def test_graded_pairs_equals_the_written_sum(n, seed):
    scores, draws = matrix(1, n, seed)
    grades = torch.randint(3, (n,), generator=draws)
    s = scores[0].tolist()
    wrong = [
        exp(s[j] - s[i]) for i in range(n) for j in range(n) if float(grades[i]) > float(grades[j])
    ]
    assert float(o.graded_pairs(scores[0], grades)) == pytest.approx(log(1 + sum(wrong)), **close)


def test_hinge_is_what_is_missing_to_the_margin():
    positive, negative = torch.tensor([1.0, 0.2, 0.5]), torch.tensor([0.0, 0.5, 0.5])
    assert o.hinge(positive, negative, margin=0.5).tolist() == pytest.approx([0.0, 0.8, 0.5])


@settings(deadline=None, max_examples=30)
@given(n=st.integers(2, 7), dim=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_geometry_equals_the_written_sums(n, dim, seed):
    x, draws = matrix(n, dim, seed)
    y = torch.randn(n, dim, generator=draws, dtype=torch.float64)
    rows, others = x.tolist(), y.tolist()

    def apart(a, b):
        return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))

    wanted = [apart(a, b) for a, b in zip(rows, others, strict=True)]
    assert o.alignment(x, y).tolist() == pytest.approx(wanted, **close)
    pairs = [exp(-2 * apart(rows[i], rows[j])) for i in range(n) for j in range(i)]
    assert float(o.uniformity(x)) == pytest.approx(log(sum(pairs) / len(pairs)), **close)
    means = [sum(column) / n for column in zip(*rows, strict=True)]
    covariance = [
        [sum((r[a] - means[a]) * (r[b] - means[b]) for r in rows) / (n - 1) for b in range(dim)]
        for a in range(dim)
    ]
    wanted = sum(covariance[a][b] ** 2 for a in range(dim) for b in range(dim) if a != b) / dim
    assert float(o.decorrelation(x)) == pytest.approx(wanted, **close)
    wanted = [max(0.0, 1 - sqrt(covariance[a][a] + 1e-4)) for a in range(dim)]
    assert o.spread(x).tolist() == pytest.approx(wanted, **close)


def test_uniformity_of_equal_rows_is_zero_with_a_finite_gradient():
    x = torch.ones(3, 4, requires_grad=True)
    value = o.uniformity(x)
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-6)
    assert x.grad.isfinite().all()


@settings(deadline=None, max_examples=50)
@given(shape=shapes, temperature=temperatures)
def test_distillation_equals_the_written_sums(shape, temperature):
    n, m, seed = shape
    student, draws = matrix(n, m, seed)
    teacher = torch.randn(n, m, generator=draws, dtype=torch.float64)
    keep = torch.rand(n, m, generator=draws) < 0.6
    keep[:, 0] = True
    found = o.listwise_kl(student / temperature, teacher / temperature, keep=keep)
    for i in range(n):
        kept = [j for j in range(m) if keep[i, j]]
        s = [float(student[i, j]) / temperature for j in kept]
        t = [float(teacher[i, j]) / temperature for j in kept]
        ours, wanted = log_sum_exp(s), log_sum_exp(t)
        total = sum(
            exp(b - wanted) * ((b - wanted) - (a - ours)) for a, b in zip(s, t, strict=True)
        )
        assert float(found[i]) == pytest.approx(total, rel=1e-9, abs=1e-9)
    for i, value in enumerate(o.cosine_distance(student, teacher).tolist()):
        a, b = student[i].tolist(), teacher[i].tolist()
        dot = sum(p * q for p, q in zip(a, b, strict=True))
        norms = sqrt(sum(p * p for p in a)) * sqrt(sum(q * q for q in b))
        assert value == pytest.approx(1 - dot / norms, **close)


def test_margin_mse_compares_margins():
    one = torch.tensor
    assert float(o.margin_mse(one(3.0), one(1.0), one(0.9), one(0.4))) == pytest.approx(2.25)


@pytest.mark.parametrize("formula", ["info_nce", "sup_con", "uniformity", "listwise_kl"])
def test_the_gradient_is_that_of_the_formula(formula):
    x, draws = matrix(4, 4, 1)
    x.requires_grad_()
    teacher = torch.randn(4, 4, generator=draws, dtype=torch.float64)
    keep = torch.eye(4, dtype=torch.bool) | (torch.rand(4, 4, generator=draws) < 0.6)
    formulas = {
        "info_nce": lambda s: o.info_nce(s, torch.arange(4), keep=keep),
        "sup_con": lambda s: o.sup_con(s, torch.eye(4, dtype=torch.bool), keep=keep),
        "uniformity": o.uniformity,
        "listwise_kl": lambda s: o.listwise_kl(s, teacher, keep=keep),
    }
    assert torch.autograd.gradcheck(formulas[formula], (x,))


@pytest.mark.parametrize(("n", "m", "dim"), [(1, 1, 1), (3, 5, 5), (40, 12, 8)])
def test_principal_directions_keep_the_most_of_the_inner_products(n, m, dim):
    vectors, _ = matrix(n, m, 3)
    size, directions = o.principal(vectors, dim)
    found = directions.T @ directions
    assert torch.allclose(found, torch.eye(dim, dtype=torch.float64), atol=1e-12)
    # By singular values, which no moment matrix was formed for: √ε instead of ε near zero.
    wanted = torch.zeros(m, dtype=torch.float64)
    singular = torch.linalg.svdvals(vectors)
    wanted[: len(singular)] = singular / n**0.5
    assert torch.allclose(size, wanted[:dim].clamp(min=1e-6), atol=1e-7)
    along = (vectors @ directions).square().mean(0).sqrt()
    assert torch.allclose(along.clamp(min=1e-6), size, atol=1e-7)


def test_more_directions_than_dimensions_are_refused():
    with pytest.raises(ValueError, match="3 directions wanted of vectors with 2 dimensions"):
        o.principal(torch.ones(4, 2), 3)
