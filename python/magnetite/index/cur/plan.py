"""Which pairs of queries and items to pay for, fixed before the first call."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

#: Pairs of one call at most.
CALL_PAIRS = 1024


@dataclass(frozen=True)
class Plan:
    """Which items each query is scored with: query i's are `columns[offsets[i]:offsets[i + 1]]`."""

    queries: NDArray[np.int64]  # [r] places, ascending
    offsets: NDArray[np.int64]  # [r + 1]
    columns: NDArray[np.int64] | None  # [calls] places, ascending in each row; None: all items
    items: int

    @property
    def calls(self) -> int:
        """Pairs to score."""
        return int(self.offsets[-1])

    def places(self, start: int, end: int) -> NDArray[np.int64]:
        """Return the items of the pairs from `start` to `end`."""
        if self.columns is None:
            return np.arange(start, end, dtype=np.int64) % self.items
        return self.columns[start:end]

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return row and item of every pair; a row is a place in `queries`."""
        rows = np.repeat(np.arange(len(self.queries)), np.diff(self.offsets))
        return rows, self.places(0, self.calls)

    def groups(self, start: int) -> Iterator[list[tuple[int, int, int]]]:
        """Yield, from pair `start` on, the calls: lists of (row, first pair, one past the last).

        A call ends at a multiple of `CALL_PAIRS`, wherever the first one begins.
        """
        while start < self.calls:
            end = min(self.calls, (start // CALL_PAIRS + 1) * CALL_PAIRS)
            call = []
            while start < end:
                row = int(np.searchsorted(self.offsets, start, side="right")) - 1
                stop = min(end, int(self.offsets[row + 1]))
                call.append((row, start, stop))
                start = stop
            yield call

    def fingerprint(self) -> str:
        """Return a name for these pairs that no others have."""
        columns = np.empty(0, np.int64) if self.columns is None else self.columns
        state = blake2b(repr((self.items, self.columns is None)).encode(), digest_size=16)
        for array in (self.queries, self.offsets, columns):
            state.update(len(array).to_bytes(8, "little") + array.astype("<i8").tobytes())
        return state.hexdigest()


def dense(queries: int, items: int, *, calls: int | None = None, seed: int = 0) -> Plan:
    """Return the plan of all items for as many queries as `calls` pay for.

    The queries are the first of an order that the seed draws: a larger budget adds to them.

    Raises:
        ValueError: `calls` pay for no query.
    """
    chosen = _affordable(queries, items, calls, seed)
    offsets = np.arange(len(chosen) + 1, dtype=np.int64) * items
    return Plan(chosen, offsets, None, items)


def nearest(
    query_vectors: ArrayLike,  # [m, dim]
    item_vectors: ArrayLike,  # [n, dim]
    *,
    per_query: int | None = None,
    per_item: int | None = None,
    calls: int | None = None,
    seed: int = 0,
) -> Plan:
    """Return the plan of the items that an encoder finds nearest to each query, by dot product.

    Args:
        query_vectors: Of the queries to choose from.
        item_vectors: Of all items.
        per_query: Items a query.
        per_item: Or queries an item, so that every item is seen.
        calls: The most pairs; a small budget leaves out queries, or lowers `per_item`.
        seed: Of the order in which queries are chosen, as in `dense`.

    Raises:
        ValueError: Both or neither of the two numbers, or a budget that is too small.
    """
    asked = np.asarray(query_vectors, np.float32)
    items = np.asarray(item_vectors, np.float32)
    if (per_query is None) == (per_item is None):
        raise ValueError("give per_query (items a query) or per_item (queries an item), not both")
    if per_query is not None:
        wide = _within("per_query", per_query, len(items))
        chosen = _affordable(len(asked), wide, calls, seed)
        columns = np.sort(_best(asked[chosen], items, wide), axis=1)
        offsets = np.arange(len(chosen) + 1, dtype=np.int64) * wide
        return Plan(chosen, offsets, columns.reshape(-1), len(items))
    deep = _within("per_item", per_item, len(asked))
    if calls is not None:
        deep = min(deep, _within("calls // items", calls // max(len(items), 1), deep))
    rows = _best(items, asked, deep)  # [n, deep]: queries of each item
    columns = np.repeat(np.arange(len(items), dtype=np.int64), deep)
    order = np.lexsort((columns, rows.reshape(-1)))
    chosen, counts = np.unique(rows, return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Plan(chosen.astype(np.int64), offsets, columns[order], len(items))


def _affordable(queries: int, each: int, calls: int | None, seed: int) -> NDArray[np.int64]:
    """Return the queries that `calls` pay for at `each` calls, ascending."""
    count = queries if calls is None else min(queries, calls // max(each, 1))
    if count < 1:
        got = f"{queries} queries" if not queries else f"a budget of {calls:,} calls"
        raise ValueError(f"one query costs {each:,} calls; got {got}; raise the budget")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(queries)
    return np.sort(order[:count]).astype(np.int64)


def _within(name: str, value: int | None, most: int) -> int:
    if value is None or value < 1:
        raise ValueError(f"{name} must be at least 1; got {value}")
    return min(value, most)


def _best(
    queries: NDArray[np.float32], keys: NDArray[np.float32], k: int
) -> NDArray[np.int64]:  # [m, k]
    """Return the places of the `k` largest dot products, equal ones by the lower place."""
    found = np.empty((len(queries), k), np.int64)
    step = max(1, (1 << 24) // max(len(keys), 1))
    for start in range(0, len(queries), step):
        scores = queries[start : start + step] @ keys.T
        found[start : start + step] = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return found
