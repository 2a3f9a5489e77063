"""What a search by a cross-encoder returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Rest:
    """The best of what was not scored, by estimate, best first; equal ones by lower id."""

    ids: NDArray[Any]  # [n, m]: int64 with -1, or str with None, where there is none
    estimates: NDArray[np.float32]  # [n, m]: -inf where there is none
    counts: NDArray[np.int64]  # [n]


@dataclass(frozen=True)
class CurHits:
    """Results of a search, best first by the scorer; equal scores by lower id."""

    ids: NDArray[Any]  # [n, k]: int64 with -1, or str with None, where there is no result
    scores: NDArray[np.float64]  # [n, k]: what the scorer said; -inf where there is no result
    counts: NDArray[np.int64]  # [n]: results of each query
    calls: NDArray[np.int64]  # [n]: pairs that the scorer was asked for
    estimates: NDArray[np.float64]  # [n, k]: what the factors say of the results; NaN where none
    vectors: NDArray[np.float64]  # [n, dim]: the query in the space of the factors
    rest: Rest | None = None

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.counts)
