"""How the learning rate goes: progress after the warm-up, from 0 to 1, to a factor."""

import math


def linear(progress: float) -> float:
    """Fall from 1 to 0 in a straight line."""
    return 1.0 - progress


def cosine(progress: float) -> float:
    """Fall from 1 to 0 along half a cosine."""
    return (1.0 + math.cos(math.pi * progress)) / 2


def constant(progress: float) -> float:  # noqa: ARG001 - a schedule's signature
    """Stay at 1."""
    return 1.0
