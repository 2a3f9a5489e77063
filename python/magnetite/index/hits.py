"""What a search returns, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Cost:
    """What each query cost."""

    codes: NDArray[np.int64]  # [n]: codes compared with the query
    rows: NDArray[np.int64]  # [n]: rows scored exactly


@dataclass(frozen=True)
class Hits:
    """Results of a search, best first; equal scores by lower id."""

    ids: NDArray[Any]  # [n, k]: int64 with -1, or str with None, where there is no result
    scores: NDArray[np.float32]  # [n, k]: -inf where there is no result
    counts: NDArray[np.int64]  # [n]: results of each query
    cost: Cost

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.counts)


@dataclass(frozen=True)
class Verified:
    """What `Index.verify` found whole."""

    directory: str
    rows: int
    deleted: int
    """Rows that are deleted but still lie in a segment."""
    segments: int

    def __str__(self) -> str:
        parts = "1 segment" if self.segments == 1 else f"{self.segments} segments"
        return f"{self.directory}: verified; {self.rows} rows, {self.deleted} deleted, {parts}"
