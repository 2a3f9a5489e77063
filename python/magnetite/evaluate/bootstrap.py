"""Paired bootstrap: is the mean difference between two systems more than luck of the queries?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 20  # indices drawn at a time, so that memory does not grow with samples × queries


@dataclass(frozen=True)
class Difference:
    """Mean of `after − before` over `queries` queries, its interval and two-sided p."""

    mean: float
    low: float
    high: float
    p: float
    queries: int

    @property
    def sign(self) -> int:
        """1 or −1 where interval and p agree that the difference is not luck, else 0."""
        if self.p >= 0.05 or self.low <= 0 <= self.high:
            return 0
        return 1 if self.low > 0 else -1

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def paired_bootstrap(
    before: Sequence[float] | NDArray[np.float64],
    after: Sequence[float] | NDArray[np.float64],
    *,
    samples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Return the difference of two systems' values on the same queries.

    The interval holds the middle `level` of the means of queries drawn with replacement. p is
    (1 + how many resampled means of the differences, centred at 0, are as far out as the one
    observed) / (1 + samples): Efron and Tibshirani (1993), section 16.4.

    Raises:
        ValueError: Unequal lengths, no queries, or values that are not finite.
    """
    differences = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    if len(before) != len(after):
        raise ValueError(
            f"expected as many values on both sides, got {len(before)} and {len(after)}"
        )
    if not len(differences) or not np.isfinite(differences).all():
        raise ValueError("expected finite values of at least one query")
    observed = float(differences.mean())
    means = _resampled_means(differences, samples, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    # Equal sums in another order differ by rounding, at most n·eps·max: as far out, up to that.
    rounding = len(differences) * np.finfo(np.float64).eps * float(np.abs(differences).max())
    as_far = int(np.sum(np.abs(means - observed) >= abs(observed) - rounding))
    return Difference(
        observed, float(low), float(high), (1 + as_far) / (1 + samples), len(differences)
    )


def _resampled_means(
    differences: NDArray[np.float64], samples: int, seed: int
) -> NDArray[np.float64]:
    generator = np.random.Generator(np.random.PCG64(seed))
    rows = max(1, _BLOCK // len(differences))
    blocks = []
    for start in range(0, samples, rows):
        shape = (min(rows, samples - start), len(differences))
        blocks.append(differences[generator.integers(len(differences), size=shape)].mean(axis=1))
    return np.concatenate(blocks)
