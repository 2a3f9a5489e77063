"""What a search spends when, and what it begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from magnetite.index import arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray


def calls(split: float, budget: int) -> int:
    """Return calls for what is a number of them or, strictly between 0 and 1, a part of all."""
    if 0 < split < 1:
        return round(split * budget)
    if split != int(split):
        raise ValueError(f"split must be a number of calls, or a part of all below 1; got {split}")
    return int(split)


def sizes(budget: int, rounds: int | Sequence[int], split: int, lead: float = 0.0) -> list[int]:
    """Return how many items each round scores, `budget` together.

    Args:
        budget: Calls for each query.
        rounds: How many, as even as can be; or the sizes of all but the last `split`.
        split: Calls kept for a last round, which re-ranks the best; 0 for none.
        lead: Part of the budget for a first round that is not like the others; 0 for none.

    Raises:
        ValueError: They do not add up; the message says how.
    """
    if isinstance(rounds, Sequence):
        given = [*map(int, rounds), *([split] if split else [])]
        if sum(given) != budget or min(given, default=0) < 1:
            raise ValueError(
                f"rounds must be sizes from 1 that, with split={split}, add up to "
                f"budget={budget}; got {list(rounds)}"
            )
        return given
    left = budget - split
    if split < 0 or left < 1:
        raise ValueError(f"split must be 0 to budget - 1 = {budget - 1}; got {split}")
    if not 1 <= rounds <= left:
        raise ValueError(
            f"rounds must be 1 to {left}, one call each at least, with budget={budget} and "
            f"split={split}; got {rounds}"
        )
    first = (
        [] if not lead or rounds == 1 else [min(max(1, round(lead * budget)), left - rounds + 1)]
    )
    left, rounds = left - sum(first), rounds - len(first)
    even = [left // rounds + (at < left % rounds) for at in range(rounds)]
    return [*first, *even, *([split] if split else [])]


def first_items(
    init: Any,  # noqa: ANN401 - ids of numbers or text, one list or many, or an array of scores
    queries: int,
    ids: Callable[[], NDArray[Any]],
    most: int | None,
) -> list[Any]:
    """Return the ids that each query begins with, best first; nothing leaves the choice open.

    No ids for a query stand for random ones.

    Args:
        init: None or `random`; ids for all queries, or a sequence of them for each; or what another
            model scored every row, in the order of `ids`.   # [queries, n] of floats
        queries: How many.
        ids: Gives those of the index, ascending.                                    # [n]
        most: So many of the best scored are enough; None if a filter may take any away.
    """
    if init is None:
        return []
    if isinstance(init, str) and init == "random":
        return [[] for _ in range(queries)]
    if isinstance(init, str):
        raise ValueError(f'init must be "random", ids or an array of scores; got {init!r}')
    if isinstance(init, np.ndarray) and init.dtype.kind == "f":
        scores, names = np.atleast_2d(init), ids()
        if scores.shape != (queries, len(names)) or not np.isfinite(scores).all():
            want = (
                f"finite scores of the shape ({queries}, {len(names)}), in the order of index.ids"
            )
            raise ValueError(f"init must be {want}; got {init.shape}")
        orders = [np.argsort(-row, kind="stable")[:most] for row in scores]
        return [arguments.ids(names[order], "init") for order in orders]
    picks = arguments.picks(init, "init", queries)
    if any(isinstance(one, np.ndarray) and one.dtype == np.bool_ for one in picks):
        raise TypeError("init must be ids, best first, or an array of scores; got a mask of bool")
    return picks * queries if len(picks) == 1 else picks


def known(given: ArrayLike | None, name: str, queries: int, dim: int) -> NDArray[np.float64] | None:
    """Return u₀ of each query, if there is one."""
    if given is None:
        return None
    rows = np.atleast_2d(np.ascontiguousarray(given, dtype=np.float64))
    if rows.shape != (queries, dim):
        raise ValueError(f"{name} must have the shape ({queries}, {dim}); got {rows.shape}")
    return rows
