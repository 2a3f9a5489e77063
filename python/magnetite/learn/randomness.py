"""Randomness that is a function of keys: the same on any device, in any chunk, on any rank.

Counter-based: a draw is a hash of (key, coordinates), so no state is carried and nothing depends
on who asked before. The hash is splitmix64's finaliser; torch has no unsigned 64-bit product, but
two's complement wraps to the same bits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mix(*parts: int) -> int:
    """Return a seed in [0, 2^63) that changes when any of the parts, or their order, does."""
    state = 0
    for part in parts:
        state = _scramble_int((state + GOLDEN + part) % 2**64)
    return state >> 1


def mix_rows(rows: Tensor, *parts: int) -> Tensor:
    """Return one key in [0, 2^63) for each row number.

    Args:
        rows: Integers.  # [...], int64
        parts: What else the key depends on.
    """
    return _shift(_scramble(rows + _signed(mix(*parts) * 2 + GOLDEN)), 1)


def uniform(keys: Tensor, *shape: int) -> Tensor:
    """Return numbers in [0, 1), each a function of its key and its own coordinates.

    A larger shape extends a smaller one: the element at given coordinates stays what it was.

    Args:
        keys: One key a row.              # [n], int64
        shape: The shape of one row.

    Returns:
        One draw for each element.        # [n, *shape], float32
    """
    # 24 bits: every value is exact in float32 and below 1.
    return _shift(_hash(keys, shape), 40).float() * 2.0**-24


def _hash(keys: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return 64 bits for each element."""  # [n, *shape]
    place = torch.zeros((), dtype=torch.int64, device=keys.device)
    for axis, size in enumerate(shape):
        along = torch.arange(size, device=keys.device) + (axis + 1) * 2**40
        place = _scramble(place[..., None] + along * _signed(GOLDEN))
    return _scramble(keys.reshape(-1, *[1] * len(shape)) + place)


def _scramble(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _signed(_FIRST)
    x = (x ^ _shift(x, 27)) * _signed(_SECOND)
    return x ^ _shift(x, 31)


def _scramble_int(x: int) -> int:
    x = (x ^ (x >> 30)) * _FIRST % 2**64
    x = (x ^ (x >> 27)) * _SECOND % 2**64
    return x ^ (x >> 31)


def _shift(x: Tensor, by: int) -> Tensor:
    """Return the logical right shift; torch's own keeps the sign."""
    shifted: Tensor = (x >> by) & (2 ** (64 - by) - 1)
    return shifted


def _signed(x: int) -> int:
    x %= 2**64
    return x - 2**64 if x >= 2**63 else x


@dataclass
class Draws:
    """The keys of the rows now being encoded, and how often they were drawn from."""

    keys: Tensor
    calls: int = 0

    def next(self, rows: int) -> Tensor:
        """Return fresh keys for a tensor of `rows` rows, m of them to each example.

        Raises:
            ValueError: If `rows` is no multiple of the number of examples.
        """
        self.calls += 1
        per_example, rest = divmod(rows, max(len(self.keys), 1))
        if rest:
            raise ValueError(
                f"keyed randomness: {rows} rows do not belong to {len(self.keys)} examples; "
                "encode inputs as [examples, m, ...] flattened, or one input at a time"
            )
        place = torch.arange(rows, device=self.keys.device) % max(per_example, 1)
        keys = self.keys.repeat_interleave(per_example)
        return mix_rows(keys + place * _signed(GOLDEN), self.calls)


_DRAWS: ContextVar[Draws | None] = ContextVar("draws", default=None)


@contextmanager
def keyed(keys: Tensor) -> Iterator[None]:
    """Within, keyed randomness belongs to these keys, one a row of the batch."""  # [n], int64
    token = _DRAWS.set(Draws(keys))
    try:
        yield
    finally:
        _DRAWS.reset(token)


def current_draws() -> Draws | None:
    """Return the draws of the enclosing `keyed`, or None outside of any."""
    return _DRAWS.get()
