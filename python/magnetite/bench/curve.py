"""Recall against speed: the settings worth having, and the speed at exactly the recall wanted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Setting = tuple[int, ...]


@dataclass(frozen=True)
class Point:
    """What one setting reaches."""

    recall: float
    rate: float  # queries per second
    setting: Setting


def frontier(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats in both recall and rate, by growing recall."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.recall, -point.rate)):
        if not best or point.rate > best[-1].rate:
            best.append(point)
    return best[::-1]


def around(points: Sequence[Point], recall: float) -> list[Point]:
    """Return the two neighbours of `recall` on a frontier, or the one where two are not needed.

    A frontier that begins above `recall` gives its first point. One that ends below gives none.
    """
    above = [point for point in points if point.recall >= recall]
    below = [point for point in points if point.recall < recall]
    if not above:
        return []
    return [*below[-1:], above[0]]


def at(recall: float, recalls: Sequence[float], values: Sequence[float]) -> float:
    """Return the value at `recall`, between one or two points: straight in the logarithm."""
    if len(values) == 1 or recalls[0] >= recall:
        return values[0]
    part = min(1.0, (recall - recalls[0]) / (recalls[1] - recalls[0]))
    low, high = np.log(values[0]), np.log(values[1])
    return float(np.exp(low + part * (high - low)))
