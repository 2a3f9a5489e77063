"""The search as the papers write it, in float64 NumPy: slow, plain, the oracle of these tests."""

import numpy as np


def solve(rows, scores, *, noise=0.0, prior=None):
    """Return u: `prior` + the ridge (noise > 0) or minimum-norm (0) fit of what it leaves over."""
    start = np.zeros(rows.shape[1]) if prior is None else prior
    left = scores - rows @ start
    if noise == 0:
        return start + np.linalg.pinv(rows, rcond=1e-10) @ left
    gram = rows @ rows.T + noise * np.eye(len(rows))
    return start + rows.T @ np.linalg.solve(gram, left)


def best(estimates, k, without=()):
    """Return the places of the k largest, equal ones by the lower place."""
    left = np.setdiff1d(np.arange(len(estimates)), without)
    return left[np.argsort(-estimates[left], kind="stable")][:k]


def search(rows, score, sizes, *, first=None, prior=None, noise=0.0, weight=0.0, guess=None):
    """Return (places, scores), best first, after one round for each of `sizes`.

    Args:
        rows: V.                                                    # [n, d]
        score: places -> scores; called once a round.
        sizes: Items of each round.
        first: Places of the first round; else the best by the prior.
        prior: What the ridge pulls to.                             # [d]
        noise: Of the ridge.
        weight: λ, the weight of `guess` in u.
        guess: AXN's u_param.                                       # [d]
    """
    rows = np.asarray(rows, dtype=np.float64)
    picked = np.asarray(first)[: sizes[0]] if first is not None else best(rows @ prior, sizes[0])
    places, scores = picked, np.asarray(score(picked), dtype=np.float64)
    for size in sizes[1:]:
        u = solve(rows[places], scores, noise=noise, prior=prior)
        if weight:
            u = (1 - weight) * u + weight * guess
        picked = best(rows @ u, size, places)
        places = np.concatenate([places, picked])
        scores = np.concatenate([scores, score(picked)])
    order = np.lexsort((places, -scores))
    return places[order], scores[order]
