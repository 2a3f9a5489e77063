"""Settings of a search, chosen by searching for queries that the factors were not made of.

Nobody knows the best items of such a query without scoring them all. Those that the searches of all
settings scored are known together, and whoever finds more of the best of them searches better: it
is how TREC pools runs to judge them. Pairs are paid for once, whichever settings ask for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from magnetite.index.cur.ways import is_square

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from magnetite.index.cur.asking import Paid
    from magnetite.index.cur.hits import CurHits

    Settings = dict[str, Any]


@dataclass(frozen=True)
class Chosen:
    """The settings that an index took, and what all of them reached."""

    settings: Settings
    found: float
    """The part that they found of each query's best among all that was scored."""
    tried: tuple[tuple[Settings, float], ...]
    """All settings with that part; the index's own at first."""
    calls: int
    """Pairs paid for."""

    def __str__(self) -> str:
        """Say what was chosen, of how many, at what price."""
        words = ", ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self.settings.items()
        )
        return (
            f"{words}: {self.found:.3f} of the best found, {self.tried[0][1]:.3f} by the settings "
            f"before; {len(self.tried)} tried with {self.calls:,} calls"
        )


def grid(
    own: Mapping[str, Any], budget: int, dim: int, items: int, *, guided: bool
) -> list[Settings]:
    """Return the settings to try, those that are in force at first.

    Args:
        own: Settings in force.
        budget: Calls a query.
        dim: Columns of V; where it has a column an anchor query, the number of these.
        items: Of the index.
        guided: Whether a search begins with a u₀, which λ can mix in.
    """
    kept = {name: own[name] for name in ("rounds", "split", "regularize", "ridge", "noise")}
    plans: list[Settings] = [
        {"rounds": rounds, "split": 0} for rounds in (5, 10) if rounds <= budget
    ]
    if own["noise"]:  # a Gaussian process: its noise is the ridge
        strengths: list[Settings] = [{"noise": own["noise"] * times} for times in (1.0, 0.2, 5.0)]
    else:
        strengths = [{"ridge": ridge} for ridge in (1e-6, 1e-3, 1e-2, 1e-1)]
        if guided:
            pulls = (0.0, 0.3, 0.6, 0.8)
            strengths = [one | {"regularize": pull} for one in strengths for pull in pulls]
        else:  # k_i anchors, the rest of the calls for what they say at once
            for split in (0.7, 0.5, 0.3) if budget > 3 else ():
                anchors = budget - round(split * budget)
                if anchors <= items and not is_square(anchors, dim):
                    plans.append({"rounds": 1, "split": split})
    others = [kept | plan | strength for plan in plans for strength in strengths]
    return [kept, *(one for one in others if one != kept)]


def choose(
    search: Callable[[Settings], CurHits],
    settings: Sequence[Settings],
    queries: Sequence[Any],
    k: int,
    paid: Paid,
) -> Chosen:
    """Return the settings whose searches find most; the earlier of equals.

    Args:
        search: Searches for `queries` by some settings, and keeps what it pays for in `paid`.
        settings: To try.
        queries: To search for.
        k: Results wanted.
        paid: Scores by (query, id).
    """
    hits = [search(one) for one in settings]
    known: dict[Any, list[tuple[float, Any]]] = {query: [] for query in queries}
    for (query, name), score in paid.items():
        if query in known:
            known[query].append((-score, name))
    best = [{name for _, name in sorted(known[query])[:k]} for query in queries]
    parts = [_found(best, one.ids.tolist(), k) for one in hits]
    first = int(np.argmax(parts))
    calls = sum(int(one.calls.sum()) for one in hits)
    return Chosen(
        dict(settings[first]), parts[first], tuple(zip(settings, parts, strict=True)), calls
    )


def _found(best: list[set[Any]], ids: list[list[Any]], k: int) -> float:
    """Return the mean part of each query's best `k` that is among its ids."""
    return float(np.mean([len(ones & {*row}) / k for ones, row in zip(best, ids, strict=True)]))
