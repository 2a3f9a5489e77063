"""The way to search that finds most, chosen on the queries that the index was built from.

Their scores are known, so a search of them can be replayed without a call: the queries are cut into
folds, factors are made of all but one fold, and that one is searched. Test queries take no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from magnetite.index.cur import factors as maps
from magnetite.index.cur.index import CurIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from magnetite.index.cur.factors import Factors
    from magnetite.index.cur.ways import Rounds, Way

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]

#: Parts that queries are cut into, each searched by factors of the others.
FOLDS = 4


class Stored:
    """A scorer of places that reads what was scored before; `calls` counts what it was asked."""

    def __init__(self, scores: ArrayLike) -> None:
        self.scores = np.asarray(scores)  # [m, n]
        self.calls = 0

    def score(self, query: int, items: Sequence[int]) -> NDArray[np.float64]:
        """Return the scores of some items for one query."""
        return self.pairs([query] * len(items), items)

    def pairs(self, queries: Sequence[int], items: Sequence[int]) -> NDArray[np.float64]:
        """Return the scores of pairs."""
        self.calls += len(items)
        found: NDArray[np.float64] = self.scores[list(queries), list(items)].astype(np.float64)
        return found


def replay(
    factors: Factors,
    rounds: Rounds,
    scores: ArrayLike,  # [m, n]
    dots: ArrayLike,  # [m, n]
    vectors: ArrayLike,  # [m, dim]
    budget: int,
    *,
    seed: int = 0,
    threads: int | None = None,
) -> Places:
    """Return the places of the items that a search of each query scores, best first.

    Args:
        factors: To search by.
        rounds: How.
        scores: Of every item, for each query.
        dots: What the encoder says, where it makes the first round.
        vectors: Of the queries, where they make a prior.
        budget: Calls a query.
        seed: Of random anchors.
        threads: As in `resolve_threads`.
    """  # [m, budget]
    stored = Stored(scores)
    count, items = stored.scores.shape
    index = CurIndex.create(None, factors.rows, items=range(items), threads=threads)
    prior = maps.prior(factors.arrays, np.asarray(vectors, np.float64), count)
    guided = factors.noise > 0
    hits = index.search(
        range(count),
        budget,
        budget,
        score=stored,
        rounds=rounds.sizes(budget),
        init=first_of(rounds, np.asarray(dots, np.float64)),
        prior=prior if guided else None,
        vectors=prior if rounds.weight else None,
        regularize=rounds.weight,
        ridge=0.0 if guided else rounds.ridge,
        noise=factors.noise,
        seed=seed,
        threads=threads,
        show_progress=False,
    )
    return np.asarray(hits.ids, np.int64)


def first_of(rounds: Rounds, dots: Floats) -> Floats | str | None:
    """Return what `CurIndex.search` takes for the first round."""
    if rounds.first == "prior":
        return None
    return dots if rounds.first == "encoder" else "random"


def best(scores: ArrayLike, k: int) -> Places:  # [m, k]
    """Return the places of the `k` largest of each row, equal ones by the lower place."""
    return np.argsort(-np.asarray(scores), axis=1, kind="stable")[:, :k]


def recalls(found: Places, truth: Places, k: int) -> Floats:  # [m]
    """Return, for each query, the part of its `k` true best that are among those scored.

    What is scored is ranked by its scores, so those are also among the best `k` of the result.
    """
    hits: Floats = (found[:, :, None] == truth[:, None, :k]).any(axis=1).mean(axis=1)
    return hits


@dataclass(frozen=True)
class Tuned:
    """A way that was chosen, and what all of them reached on the indexing queries."""

    way: Way
    recall: float
    tried: tuple[tuple[Way, float], ...]
    """Each way with its mean recall over the wanted k."""


def tune(
    ways: Sequence[Way],
    scores: ArrayLike,
    queries: ArrayLike,
    items: ArrayLike,
    *,
    budget: int,
    ks: Sequence[int] = (1, 10, 50, 100),
    folds: int = FOLDS,
    most: int = 200,
    seed: int = 0,
    threads: int | None = None,
    heard: Callable[[Way, float], object] = lambda way, recall: None,  # noqa: ARG005
) -> Tuned:
    """Return the way with the highest recall on indexing queries that its factors have not seen.

    Args:
        ways: To try; the earlier of equals wins.
        scores: Of every item by the anchor queries.   # [k_q, n]
        queries: Vectors of the anchor queries.        # [k_q, dim]
        items: Vectors of the items.                   # [n, dim]
        budget: Calls a query of the searches to come.
        ks: Results wanted; recall is the mean over those up to `budget`.
        folds: Parts that the queries are cut into, each searched by factors of the others.
        most: Queries searched, of all folds together.
        seed: Of the folds and of random anchors.
        threads: As in `resolve_threads`.
        heard: Hears of each way and its recall.

    Raises:
        ValueError: No ways, fewer queries than folds, no k up to the budget.
    """
    matrix, asked = np.asarray(scores, np.float64), np.asarray(queries, np.float64)
    found = np.asarray(items, np.float64)
    wanted = [k for k in ks if k <= min(budget, matrix.shape[1])]
    if not ways or not wanted or not 2 <= folds <= len(matrix) // 2:
        raise ValueError(
            f"tuning needs ways, some k up to the budget and at least {2 * max(folds, 2)} queries "
            f"for {folds} folds; got {len(ways)} ways, k={list(ks)}, budget={budget}, "
            f"{len(matrix)} queries"
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(matrix))
    tried = []
    for way in ways:
        values = []
        for fold in np.array_split(order, folds):
            rest, out = np.setdiff1d(order, fold), np.sort(fold[: max(1, most // folds)])
            made = way.factors(matrix[rest], asked[rest], found)
            dots = asked[out] @ found.T
            places = replay(
                made, way.rounds, matrix[out], dots, asked[out], budget, seed=seed, threads=threads
            )
            truth = best(matrix[out], max(wanted))
            values.append(np.mean([recalls(places, truth, k) for k in wanted]))
        tried.append((way, float(np.mean(values))))
        heard(*tried[-1])
    way, recall = max(tried, key=lambda one: one[1])
    return Tuned(way, recall, tuple(tried))
