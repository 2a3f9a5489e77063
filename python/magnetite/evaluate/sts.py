"""Sentence similarity files: pairs with a graded score, judged by Spearman's rank correlation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magnetite._core import FormatError
from magnetite.lines import bad_row, tab_rows

_HEADER = ["text_a", "text_b", "score"]


@dataclass(frozen=True)
class SentencePairs:
    """Pairs of texts and how similar people found them; higher is more similar."""

    name: str
    first: list[str]
    second: list[str]
    scores: list[float]


def read_sts(path: str | Path) -> SentencePairs:
    """Return the pairs of a TSV file with the header `text_a text_b score`; quotes are text.

    Raises:
        FormatError: Another header, a bad row, or fewer than two pairs.
    """
    path = Path(path)
    first, second, scores = [], [], []
    for number, fields in tab_rows(path, 3):
        if number == 1:
            if fields != _HEADER:
                raise bad_row(path, 1, f"expected the header {' '.join(_HEADER)}, got {fields}")
            continue
        try:
            value = float(fields[2])
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise bad_row(path, number, f"expected a finite score, got {fields[2]!r}")
        first.append(fields[0])
        second.append(fields[1])
        scores.append(value)
    if len(scores) < 2:
        raise FormatError(f"{path}: expected at least two pairs, got {len(scores)}")
    return SentencePairs(path.name.removesuffix(".gz").removesuffix(".tsv"), first, second, scores)


def spearman(given: ArrayLike, wanted: ArrayLike) -> float:
    """Return Spearman's rank correlation; equal values share the mean of their ranks.

    Raises:
        ValueError: Unequal lengths, values that are not finite, or one side all equal.
    """
    ranks = [_ranks(np.asarray(values, dtype=np.float64)) for values in (given, wanted)]
    if len(ranks[0]) != len(ranks[1]):
        raise ValueError(f"expected equal lengths, got {len(ranks[0])} and {len(ranks[1])}")
    centred = [side - side.mean() for side in ranks]
    size = np.linalg.norm(centred[0]) * np.linalg.norm(centred[1])
    if size == 0:
        raise ValueError("one side's values are all equal: no rank correlation is defined")
    return float(centred[0] @ centred[1] / size)


def cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosine of each row pair; a zero vector is similar to nothing (0)."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    found = np.zeros(len(a))
    np.divide((a * b).sum(axis=1), size, out=found, where=size > 0)
    return found


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("expected a list of finite values")
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return middle[place]
