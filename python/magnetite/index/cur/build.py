"""From a slow scorer to an index: which pairs to pay for, their scores, factors, settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from magnetite.index.cur import plan as plans
from magnetite.index.cur import ways
from magnetite.index.cur.factorize import calibrated, of_encoder
from magnetite.index.cur.scores import Scores
from magnetite.index.cur.sparse import adapters, trained
from magnetite.index.cur.tune import FOLDS, tune

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from magnetite.index.cur.factors import Factors
    from magnetite.index.cur.plan import Plan

    Floats = NDArray[np.float64]

Method: TypeAlias = Literal["corrected", "adacur", "axn", "mf_trns", "mf_ind"]
Made: TypeAlias = "tuple[Factors, dict[str, Any]]"
Encodes: TypeAlias = "HasEncode | tuple[ArrayLike, ArrayLike]"


@runtime_checkable
class HasEncode(Protocol):
    """An encoder: text in, vectors out; `encode_query` and `encode_document` are used if there."""

    def encode(self, texts: Sequence[Any]) -> ArrayLike:
        """Return one vector a text."""
        ...


@dataclass(frozen=True)
class Limits:
    """Which pairs are paid for."""

    calls: int | None
    per_query: int | None
    per_item: int | None
    seed: int


@dataclass(frozen=True)
class Material:
    """What factors are made of."""

    scores: Scores
    queries: Floats  # [k_q, dim] of the anchor queries
    items: Floats  # [n, dim]
    budget: int | None
    """Calls a query that settings are chosen for; None keeps the default ones."""
    seed: int
    threads: int | None

    def chosen(self, grid: Callable[[int, int], Sequence[ways.Way]], default: ways.Way) -> Made:
        """Return the factors of the best of a grid of ways, and what a search by them is told."""
        matrix = np.asarray(self.scores.matrix(), np.float64)
        way = default
        if self.budget is not None:
            way = tune(
                grid(self.budget, len(matrix)), matrix, self.queries, self.items,
                budget=self.budget, seed=self.seed, threads=self.threads,
            ).way  # fmt: skip
        made = way.factors(matrix, self.queries, self.items)
        ridge = 0.0 if made.noise else way.rounds.ridge
        settings = {"rounds": way.rounds.rounds, "ridge": ridge, "noise": made.noise}
        return made, settings | {"lead": way.rounds.lead}


def _corrected(material: Material) -> Made:
    return material.chosen(ways.corrected, ways.Corrected())


def _adacur(material: Material) -> Made:
    at_random = ways.OfMatrix(ways.Rounds(rounds=5, ridge=1e-2, first="random"))
    return material.chosen(ways.adacur_at_random, at_random)


def _axn(material: Material) -> Made:
    slope, intercept = _calibration(material)
    made = of_encoder(material.items, slope=slope, intercept=intercept)
    return made, {"rounds": 5, "ridge": 1e-2}


def _mf_trns(material: Material) -> Made:
    made = trained(material.scores, material.queries, material.items)
    return made, {"rounds": 5, "ridge": 1e-2}


def _mf_ind(material: Material) -> Made:
    made = adapters(material.scores, material.queries, material.items, seed=material.seed)
    return made, {"rounds": 5, "ridge": 1e-2}


def _calibration(material: Material) -> tuple[float, float]:
    """Return slope and intercept from dot products to the scores that were paid for."""
    rows, columns = material.scores.plan.pairs()
    dots = np.einsum("id,id->i", material.queries[rows], material.items[columns])
    return calibrated(material.scores.values, dots)


#: Method -> how its factors are made.
_MAKERS: dict[str, Callable[[Material], Made]] = {
    "corrected": _corrected,
    "adacur": _adacur,
    "axn": _axn,
    "mf_trns": _mf_trns,
    "mf_ind": _mf_ind,
}
_DENSE = ("corrected", "adacur")  # need the scores of all items; the others of some


@dataclass(frozen=True)
class Prepared:
    """What an index is created of."""

    factors: Factors
    settings: dict[str, Any]
    scorer: str | None
    encoder: str | None
    anchors: list[Any]


def prepare(
    score: object,
    items: Sequence[Any],
    queries: Sequence[Any],
    *,
    method: Method,
    encoder: Encodes | None,
    plan: Limits,
    budget: int | None,
    checkpoint: str | os.PathLike[str] | None,
    scorer: str | None,
    threads: int | None,
    show_progress: bool | None,
) -> Prepared:
    """Return what `CurIndex.build` creates an index of; it says what the arguments are."""
    if method not in _MAKERS:
        raise ValueError(f"method must be one of {', '.join(_MAKERS)}; got {method!r}")
    asked, found = _vectors(encoder, queries, items, method)
    pairs = _plan(method, asked, found, plan)
    _expect_enough(method, budget, len(pairs.queries))
    name = scorer or str(getattr(score, "fingerprint", ""))
    scores = Scores.open(pairs, queries, items, checkpoint, scorer=name)
    scores.fill(score, show_progress=show_progress)
    material = Material(scores, asked[pairs.queries], found, budget, plan.seed, threads)
    factors, settings = _MAKERS[method](material)
    return Prepared(
        factors,
        settings,
        scorer=name or None,
        encoder=getattr(encoder, "fingerprint", None),
        anchors=[queries[place] for place in pairs.queries] if method in _DENSE else [],
    )


def _expect_enough(method: str, budget: int | None, queries: int) -> None:
    """Refuse what could not be made of the scores, before they are paid for."""
    least = 2 if method == "corrected" else 1
    if budget is not None:
        if method not in _DENSE or budget < 1:
            raise ValueError(
                f"budget, from 1, chooses settings of {' or '.join(_DENSE)}; got budget={budget} "
                f"and method={method!r}; leave budget out, or take another method"
            )
        least = 2 * FOLDS
    if queries < least:
        raise ValueError(
            f"method={method!r} with budget={budget} learns from {least} queries at least; got "
            f"{queries}; give more queries, or raise calls"
        )


def _vectors(
    encoder: Encodes | None,
    queries: Sequence[Any],
    items: Sequence[Any],
    method: str,
) -> tuple[Floats, Floats]:
    """Return vectors of queries and items; of no columns where no encoder is needed."""
    if encoder is None:
        if method not in _DENSE:
            raise ValueError(
                f"method={method!r} needs an encoder; give encoder=, or another method"
            )
        return np.empty((len(queries), 0)), np.empty((len(items), 0))
    if isinstance(encoder, HasEncode):
        ask = getattr(encoder, "encode_query", encoder.encode)
        read = getattr(encoder, "encode_document", encoder.encode)
        both = (ask(queries), read(items))
    else:
        both = encoder
    asked, found = (np.asarray(one, np.float64) for one in both)
    for vectors, things, what in ((asked, queries, "queries"), (found, items, "items")):
        if vectors.ndim != 2 or len(vectors) != len(things):
            raise ValueError(
                f"{what} must have one vector each, {len(things)}; got {vectors.shape}"
            )
    return asked, found


def _plan(method: str, asked: Floats, found: Floats, limits: Limits) -> Plan:
    calls, seed = limits.calls, limits.seed
    if method in _DENSE:
        if limits.per_query or limits.per_item:
            raise ValueError(f"method={method!r} scores all items; leave per_query, per_item out")
        return plans.dense(len(asked), len(found), calls=calls, seed=seed)
    wide = None if limits.per_item else limits.per_query or 100
    return plans.nearest(
        asked, found, per_query=wide, per_item=limits.per_item, calls=calls, seed=seed
    )
