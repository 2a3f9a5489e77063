"""Factors of a sparse score matrix: AXN's MF_trns and MF_ind, which start from an encoder.

Differs from the paper: MF_trns is solved by alternating least squares near the encoder's vectors,
one ridge for each row, instead of AdamW for some epochs. It has one setting instead of three, needs
no torch, and a row that was never observed stays where the encoder has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from magnetite.extras import need
from magnetite.index.cur.factors import Factors, new_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from magnetite.index.cur.scores import Scores

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]


def trained(
    scores: Scores,
    queries: Floats,  # [k_q, dim]
    items: Floats,  # [n, dim]
    *,
    strength: float = 1.0,
    sweeps: int = 5,
) -> Factors:
    """Return MF_trns: V, free, begun at the encoder's vectors, with a column of 1.

    Minimises, over observed pairs, (g − u·v)² plus `strength` times the squared way that u and v
    went from the encoder's vectors; g are scores on the scale of dot products.

    Args:
        scores: Of a sparse plan, whole; row i is of query i of `queries`.
        queries: Vectors of the plan's queries.
        items: Vectors of all items.
        strength: Of what holds rows where the encoder has them.
        sweeps: Over queries and items in turn.
    """
    scores.need_whole()
    rows, columns = scores.plan.pairs()
    dots = np.einsum("id,id->i", queries[rows], items[columns])
    slope, intercept = mapping(scores.values, dots)
    wanted = (scores.values.astype(np.float64) - intercept) / slope
    u, v = queries.copy(), items.copy()
    for _ in range(sweeps):
        u = _solved(queries, v, rows, columns, wanted, strength)
        v = _solved(items, u, columns, rows, wanted, strength)
    moved = np.linalg.solve(u.T @ u + strength * np.eye(u.shape[1]), u.T).T  # [k_q, dim]
    dim = items.shape[1]
    arrays = {
        "of_scores": np.pad(moved / slope, ((0, 0), (0, 1))),
        "of_vectors": np.pad(np.eye(dim) - u.T @ moved, ((0, 0), (0, 1))),
        "of_one": np.append(-intercept / slope * moved.sum(axis=0), 1.0),
        "weights": slope * np.eye(dim, dim + 1),
        "bias": intercept * np.eye(dim + 1)[-1],
    }
    return Factors(np.pad(v, ((0, 0), (0, 1)), constant_values=1).astype(np.float32), arrays)


def mapping(scores: NDArray[np.float32], dots: Floats) -> tuple[float, float]:
    """Return β⁻¹ and α with which β·(score − α) has the mean and the spread of dot products."""
    spread, own = float(dots.std()), float(np.asarray(scores, np.float64).std())
    slope = own / spread if spread > 0 and own > 0 else 1.0
    return slope, float(np.asarray(scores, np.float64).mean() - slope * dots.mean())


def _solved(
    start: Floats, other: Floats, own: Places, others: Places, wanted: Floats, strength: float
) -> Floats:
    """Return each row's ridge toward `start`, on the rows of `other` that it was observed with."""
    found = start.copy()
    order = np.argsort(own, kind="stable")
    ends = np.flatnonzero(np.diff(own[order])) + 1
    for places in np.split(order, ends):
        row = own[places[0]]
        seen = other[others[places]]
        left = wanted[places] - seen @ start[row]
        gram = seen @ seen.T + strength * np.eye(len(seen))
        found[row] += seen.T @ np.linalg.solve(gram, left)
    return found


def adapters(scores: Scores, queries: Floats, items: Floats, *, seed: int = 0) -> Factors:
    """Return MF_ind: adapters of queries and items over a frozen encoder, trained on the scores.

    Raises:
        MissingExtraError: torch (the extra `learn`) is not installed.
    """
    scores.need_whole()
    need("torch", extra="learn", purpose="MF_ind")
    from magnetite.learn.adapters import fit

    rows, columns = scores.plan.pairs()
    dots = np.einsum("id,id->i", queries[rows], items[columns])
    slope, intercept = mapping(scores.values, dots)
    wanted = (scores.values.astype(np.float64) - intercept) / slope
    arrays = fit(queries, items, rows, columns, wanted, seed=seed)
    return Factors(new_rows(arrays, None, items), arrays)
