"""A score matrix to the factors that a search stands on, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from magnetite.index.cur.factors import Factors, new_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

#: Strengths of the ridge that learns a query's prior; the last is as good as no learning.
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 1e9)
#: Part of the items, those best by dot product, among which the encoder's slope is fitted. Most
#: items are bad, and what the encoder says of these is not what a search wants to know.
NEAR = 0.05


def of_matrix(scores: ArrayLike, rank: int | None = None) -> Factors:
    """Return V = Rᵀ, for ANNCUR and ADACUR; with `rank`, its best approximation of so many columns.

    Args:
        scores: Of every item by the anchor queries.   # [k_q, n]
        rank: Columns to keep: those of the largest singular values.
    """
    matrix = _finite(scores, "scores")
    basis = np.eye(len(matrix))
    if rank is not None and rank < len(matrix):
        basis = _leading(matrix @ matrix.T, rank)
    arrays = {"of_scores": basis}
    return Factors(new_rows(arrays, matrix.T, None), arrays)


def of_encoder(vectors: ArrayLike, *, slope: float = 1.0, intercept: float = 0.0) -> Factors:
    """Return V = [encoder vector, 1], for AXN; the prior is intercept + slope · (dot product).

    Args:
        vectors: Of the items.   # [n, dim]
        slope: From dot products to scores.
        intercept: Likewise.
    """
    items = _finite(vectors, "vectors")
    dim = items.shape[1]
    wide = np.eye(dim, dim + 1)
    last = np.eye(dim + 1)[-1]
    arrays = {"of_vectors": wide, "of_one": last, "weights": slope * wide, "bias": intercept * last}
    return Factors(new_rows(arrays, None, items), arrays)


def calibrated(scores: ArrayLike, dots: ArrayLike) -> tuple[float, float]:
    """Return the (slope, intercept) with which dot products come closest to scores."""
    x, y = np.asarray(dots, np.float64).ravel(), np.asarray(scores, np.float64).ravel()
    spread = float(x.var())
    slope = float(((x - x.mean()) * (y - y.mean())).mean() / spread) if spread > 0 else 0.0
    return slope, float(y.mean() - slope * x.mean())


@dataclass(frozen=True)
class Belief:
    """How much is believed of what, before a call is made."""

    encoder: float = 0.6
    """Part of the variance around the prior that follows the encoder's own dot products; the rest
    follows how the anchor queries' scores vary together."""
    noise: float = 0.5
    """Variance that no row explains, as a part of that variance."""
    taste: float = 0.1
    """Variance of what a query thinks of that which is liked by all, likewise."""
    slope: float = 0.5
    """Times the slope from dot products to scores that least squares find among the best, which
    is steeper than among all that a search looks at."""

    def __post_init__(self) -> None:
        if not (0 < self.encoder < 1 and min(self.noise, self.taste, self.slope) > 0):
            raise ValueError(f"expected encoder between 0 and 1, all others above 0; got {self}")


def residual(
    scores: ArrayLike,
    queries: ArrayLike,
    items: ArrayLike,
    *,
    belief: Belief = Belief(),
    rank: int | None = 500,
) -> Factors:
    """Return factors by which the encoder is the prior and the scores say how to correct it.

    A query's scores are taken to be Gaussian. Their mean is the item's mean over the anchor
    queries, and the calibrated dot product with the query's vector, and a ridge regression of what
    the two leave over on that vector. Around it they vary as the anchor queries' residuals do, and
    as dot products do. So a search is Gaussian process regression: a ridge toward the mean. How
    high a query's scores are all together is nothing that ranks; it varies by itself.

    Args:
        scores: Of every item by the anchor queries.   # [k_q, n]
        queries: Vectors of the anchor queries.        # [k_q, dim]
        items: Vectors of the items.                   # [n, dim]
        belief: How much is believed of what.
        rank: Columns to keep of 2 + dim + k_q: those in which rows vary most; None keeps all.

    Raises:
        ValueError: Shapes that do not fit, numbers that are not finite, one query alone.
    """
    matrix = _finite(scores, "scores")
    asked, found = _finite(queries, "queries"), _finite(items, "items")
    count = len(matrix)
    if matrix.shape != (len(asked), len(found)) or asked.shape[1] != found.shape[1] or count < 2:
        raise ValueError(
            "expected scores [k_q, n], queries [k_q, dim] and items [n, dim] with k_q from 2; got "
            f"{matrix.shape}, {asked.shape} and {found.shape}"
        )
    fit = _fitted(matrix, asked, found, belief.slope)
    arrays = _of_items(fit, belief) | _of_queries(fit, belief)
    if rank is not None:
        arrays = _narrowed(arrays, new_rows(arrays, matrix.T, found), rank)
    rows = new_rows(arrays, matrix.T, found)
    return Factors(rows, arrays, noise=belief.noise * fit.spread)


@dataclass(frozen=True)
class _Fit:
    """What the scores of the anchor queries say."""

    asked: Floats  # [k_q, dim] their vectors
    middle: Floats  # [dim] mean of these
    centre: Floats  # [dim] mean of the items' vectors
    reach: float  # mean squared length of the items' vectors from there
    level: float  # mean score
    levels: Floats  # [k_q] the queries' mean scores, less that
    appeal: float  # standard deviation of the items' mean scores
    slope: float  # from dot products to scores
    learned: Floats  # [dim, k_q] from a query's vector to weights of the residuals
    spread: float  # mean squared residual


def _fitted(matrix: Floats, asked: Floats, found: Floats, steeper: float) -> _Fit:
    middle, centre = asked.mean(axis=0), found.mean(axis=0)
    mean = matrix.mean(axis=0)
    around, apart = asked - middle, found - centre
    free = matrix - mean
    levels = free.mean(axis=1)
    dots = around @ apart.T
    slope = steeper * _slope(free, dots)
    left = free - levels[:, None] - slope * dots
    reach = float((apart**2).sum(axis=1).mean())
    return _Fit(
        asked,
        middle,
        centre,
        reach or 1.0,
        float(mean.mean()),
        levels,
        float(mean.std()) or 1.0,
        slope,
        _learned(around, left),
        float((left**2).mean()) or 1.0,
    )


def _slope(free: Floats, dots: Floats) -> float:
    """Return the least squares slope from dots to scores among the `NEAR` best of each query."""
    items = dots.shape[1]
    count = min(items, max(10, round(NEAR * items)))
    best = np.argpartition(dots, items - count, axis=1)[:, items - count :]
    x, y = (np.take_along_axis(one, best, 1) for one in (dots, free))
    centred = (one - one.mean(axis=1, keepdims=True) for one in (x, y))
    return calibrated(*reversed([*centred]))[0]


def _learned(around: Floats, left: Floats) -> Floats:  # [dim, k_q]
    """Return H with which vectors @ H @ left is the ridge regression of `left` on `around`.

    Its strength is the one that errs least on queries left out one at a time, for which the hat
    matrix's diagonal h says the error: residual / (1 − h).
    """
    values, vectors = np.linalg.eigh(around @ around.T)
    values = np.maximum(values, 0.0)
    energy = left @ left.T
    best, least = np.zeros_like(vectors), np.inf
    for strength in STRENGTHS:
        keeps = (vectors * (strength / (values + strength))) @ vectors.T  # 1 − hat matrix
        errs = ((keeps @ energy) * keeps).sum(axis=1) / np.diag(keeps) ** 2
        if errs.sum() < least:
            least = float(errs.sum())
            best = (vectors / (values + strength)) @ vectors.T
    found: Floats = around.T @ best
    return found


# The columns of a row are 1, the item's mean, its vector, its residuals: each centred, and scaled
# to the standard deviation of its coefficient around the prior.


def _scales(fit: _Fit, belief: Belief) -> tuple[float, float, float, float]:
    level = float(np.sqrt(fit.levels.var() + fit.spread))
    mean = float(np.sqrt(belief.taste * fit.spread)) / fit.appeal
    vector = float(np.sqrt(belief.encoder * fit.spread / fit.reach))
    return level, mean, vector, float(np.sqrt((1 - belief.encoder) / len(fit.asked)))


def _of_items(fit: _Fit, belief: Belief) -> dict[str, Floats]:
    of_one, of_mean, of_vector, of_left = _scales(fit, belief)
    count, dim = fit.asked.shape
    one, vectors = np.zeros(2 + dim + count), np.zeros((dim, 2 + dim + count))
    anchors = np.zeros((count, 2 + dim + count))
    one[0] = of_one
    anchors[:, 1] = of_mean / count
    one[1] = -of_mean * fit.level
    vectors[:, 2 : 2 + dim] = of_vector * np.eye(dim)
    one[2 : 2 + dim] = -of_vector * fit.centre
    anchors[:, 2 + dim :] = of_left * (np.eye(count) - 1 / count)
    tilt = fit.slope * (fit.asked - fit.middle)
    vectors[:, 2 + dim :] = -of_left * tilt.T
    one[2 + dim :] = of_left * (tilt @ fit.centre - fit.levels)
    return {"of_scores": anchors, "of_vectors": vectors, "of_one": one}


def _of_queries(fit: _Fit, belief: Belief) -> dict[str, Floats]:
    of_one, of_mean, of_vector, of_left = _scales(fit, belief)
    count, dim = fit.asked.shape
    weights, bias = np.zeros((dim, 2 + dim + count)), np.zeros(2 + dim + count)
    weights[:, 2 : 2 + dim] = np.eye(dim) * (fit.slope / of_vector)
    weights[:, 2 + dim :] = fit.learned / of_left
    bias[0] = fit.level / of_one
    bias[1] = 1 / of_mean
    guide = np.zeros_like(weights)
    guide[:, 2 : 2 + dim] = np.eye(dim) / of_vector
    made = {"weights": weights, "bias": bias - fit.middle @ weights}
    return made | ({"guide": guide} if dim else {})


def _narrowed(arrays: dict[str, Floats], rows: ArrayLike, rank: int) -> dict[str, Floats]:
    """Return the maps onto the `rank` directions in which rows vary most."""
    wide = np.asarray(rows, np.float64)
    if rank >= wide.shape[1]:
        return arrays
    basis = _leading(wide.T @ wide, rank)
    return {name: values @ basis for name, values in arrays.items()}


def _leading(gram: Floats, rank: int) -> Floats:  # [d, rank]
    """Return the eigenvectors of the largest eigenvalues, their largest number positive."""
    if rank < 1:
        raise ValueError(f"rank must be at least 1; got {rank}")
    vectors: Floats = np.linalg.eigh(gram)[1][:, ::-1][:, :rank]
    largest = np.abs(vectors).argmax(axis=0)
    found: Floats = vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return found


def _finite(values: ArrayLike, name: str) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or not len(array) or not np.isfinite(array).all():
        raise ValueError(f"{name} must be a matrix of finite numbers; got the shape {array.shape}")
    return array
