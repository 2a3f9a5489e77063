"""Ways to search by a slow model, published and ours: what is made of the scores, and the rounds.

They differ in nothing else. ANNCUR (Yadav et al., EMNLP 2022) scores random anchors, then what
V = Rᵀ says. ADACUR (EMNLP Findings 2023) begins with an encoder's best and chooses in rounds. AXN
(ICLR 2024) does so with vectors of the encoder for V, and keeps u near the query's own by λ. Ours
begins with the encoder as a prior and lets the scores correct it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from magnetite.index.cur.factorize import Belief, calibrated, of_encoder, of_matrix, residual
from magnetite.index.cur.rounds import sizes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from magnetite.index.cur.factors import Factors

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rounds:
    """How a budget is spent, and what the estimates are drawn toward."""

    rounds: int = 10
    anchors: float | None = None
    """Part of the budget for a first round, all else for a second: ANNCUR's k_i against k_r."""
    split: float = 0.0
    """Part of the budget for a last round of its own."""
    lead: float = 0.0
    """Part of the budget for the first round, where it is not like the others."""
    ridge: float = 1e-6
    """Of the regression, in mean squared lengths of the first rows."""
    weight: float = 0.0
    """λ: how much of the query's own vector is mixed into u."""
    first: str = "prior"
    """What the first round takes: `prior`, `encoder` or `random`."""

    def sizes(self, budget: int) -> list[int]:
        """Return the calls of each round, `budget` together."""
        if self.anchors is not None:
            anchors = min(max(1, round(self.anchors * budget)), budget)
            return [anchors, budget - anchors] if anchors < budget else [budget]
        last = round(self.split * budget)
        return sizes(budget, min(self.rounds, budget - last), last, self.lead)

    def __str__(self) -> str:
        """Say what differs from plain rounds."""
        words = [f"{self.rounds} rounds"] if self.anchors is None else [f"k_i={self.anchors:g}B"]
        words += [f"split={self.split:g}B"] if self.split else []
        words += [f"lead={self.lead:g}B"] if self.lead else []
        words += [f"lambda={self.weight:g}"] if self.weight else []
        return ", ".join([*words, f"ridge={self.ridge:g}"] if self.first != "prior" else words)


class Way(Protocol):
    """Factors of scores and vectors, and the rounds to search them by."""

    @property
    def rounds(self) -> Rounds:
        """How a search by these factors spends its calls."""
        ...

    def factors(self, scores: Floats, queries: Floats, items: Floats) -> Factors:
        """Return the factors.

        Args:
            scores: Of every item by the anchor queries.   # [k_q, n]
            queries: Their vectors by the encoder.         # [k_q, dim]
            items: The items' vectors.                     # [n, dim]
        """
        ...


@dataclass(frozen=True)
class OfMatrix:
    """V = Rᵀ: ANNCUR and ADACUR."""

    rounds: Rounds
    rank: int | None = None

    def factors(self, scores: Floats, queries: Floats, items: Floats) -> Factors:
        """Return Rᵀ, or its best approximation of `rank` columns."""
        del queries, items
        return of_matrix(scores, self.rank)

    def __str__(self) -> str:
        return str(self.rounds)


@dataclass(frozen=True)
class OfEncoder:
    """V = vectors of the encoder: AXN."""

    rounds: Rounds

    def factors(self, scores: Floats, queries: Floats, items: Floats) -> Factors:
        """Return the vectors; scores serve to calibrate what they say."""
        slope, intercept = calibrated(scores, queries @ items.T)
        return of_encoder(items, slope=slope, intercept=intercept)

    def __str__(self) -> str:
        return str(self.rounds)


@dataclass(frozen=True)
class Corrected:
    """The encoder as a prior, corrected by what the anchor queries' scores teach: ours."""

    rounds: Rounds = field(default_factory=lambda: Rounds(lead=0.2, first="encoder"))
    """A fifth of the calls go to what the encoder likes best. The correction is right about most of
    the judge's best items and may bury the very best, where a word of the query is its name."""
    belief: Belief = field(default_factory=Belief)
    rank: int | None = 500

    def factors(self, scores: Floats, queries: Floats, items: Floats) -> Factors:
        """Return what `residual` makes."""
        return residual(scores, queries, items, belief=self.belief, rank=self.rank)

    def __str__(self) -> str:
        belief = ", ".join(f"{name}={value:g}" for name, value in asdict(self.belief).items())
        return f"{replace(self.rounds, first='prior')}, {belief}"  # its ridge is the noise


def anncur(budget: int, anchors: int) -> list[Way]:
    """Return ANNCUR's settings: k_i, ridge; none near k_i = `anchors`, where A⁺ is ill-conditioned.

    Args:
        budget: Calls a query.
        anchors: Anchor queries, k_q.
    """
    parts = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
    kept = [part for part in parts if not is_square(round(part * budget), anchors)]
    return [
        OfMatrix(Rounds(anchors=part, ridge=ridge, first="random"))
        for part in kept
        for ridge in (1e-6, 1e-3, 1e-2)
    ]


def adacur(budget: int, anchors: int) -> list[Way]:
    """Return ADACUR's settings: rounds, split, ridge, with the encoder's best at first."""
    del budget, anchors  # its systems pass k_i = k_q in some round or never; the ridge guards them
    return [
        OfMatrix(Rounds(rounds=rounds, split=split, ridge=ridge, first="encoder"))
        for rounds, split in ((5, 0.0), (5, 0.3), (10, 0.0))
        for ridge in (1e-6, 1e-3, 1e-2, 1e-1)
    ]


def adacur_at_random(budget: int, anchors: int) -> list[Way]:
    """Return the same without an encoder: the first round is random."""
    return [
        replace(way, rounds=replace(way.rounds, first="random"))
        for way in adacur(budget, anchors)
        if isinstance(way, OfMatrix) and not way.rounds.split
    ]


def axn(budget: int, anchors: int) -> list[Way]:
    """Return AXN's settings: rounds, λ, ridge."""
    del budget, anchors
    return [
        OfEncoder(Rounds(rounds=rounds, weight=weight, ridge=ridge, first="encoder"))
        for rounds in (5, 10)
        for weight in (0.0, 0.3, 0.6, 0.8)
        for ridge in (1e-6, 1e-2, 1e-1)
    ]


def corrected(budget: int, anchors: int) -> list[Way]:
    """Return our settings: how much is believed of the encoder, and how much is noise."""
    del budget, anchors
    return [
        Corrected(belief=Belief(encoder=encoder, noise=noise, slope=slope))
        for encoder, slope in ((0.6, 0.5), (0.3, 0.5), (0.9, 0.5), (0.6, 1.0))
        for noise in (0.5, 0.1, 2.0)
    ]


def is_square(rows: int, columns: int) -> bool:
    """Return whether so many anchor items are too near to as many anchor queries.

    A square random A has a smallest singular value near 0, and its pseudo-inverse blows noise up.
    """
    return abs(rows - columns) < 0.15 * columns
