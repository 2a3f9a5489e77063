"""Which examples come when: row numbers of one pass, drawn from a seed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from magnetite.learn.randomness import mix


def generator(seed: int) -> torch.Generator:
    """Return a generator of its own for this seed, on the CPU."""
    return torch.Generator().manual_seed(mix(seed))


def shuffled(n: int, *, batch: int, seed: int) -> Tensor:  # noqa: ARG001 - an Order's signature
    """Return every row once, in random order."""
    return torch.randperm(n, generator=generator(seed))


def in_order(n: int, *, batch: int, seed: int) -> Tensor:  # noqa: ARG001
    """Return every row once, as they stand."""
    return torch.arange(n)


@dataclass(frozen=True)
class Strided:
    """Every `stride`-th row from an offset drawn anew each pass, in random order."""

    stride: int

    def __call__(self, n: int, *, batch: int, seed: int) -> Tensor:  # noqa: ARG002
        """Return rows that are `stride` apart."""
        draws = generator(seed)
        offset = int(torch.randint(min(self.stride, n), (), generator=draws))
        rows = torch.arange(offset, n, self.stride)
        return rows[torch.randperm(len(rows), generator=draws)]


@dataclass(frozen=True)
class OneGroupABatch:
    """Batches whose rows share a group; what does not fill a batch is left for another pass.

    Attributes:
        groups: The group of each row.  # [n]
    """

    groups: Tensor

    def __call__(self, n: int, *, batch: int, seed: int) -> Tensor:
        """Return rows such that each consecutive `batch` of them is of one group."""
        draws = generator(seed)
        batches = []
        for group in self.groups[:n].unique():
            rows = (self.groups[:n] == group).nonzero()[:, 0]
            rows = rows[torch.randperm(len(rows), generator=draws)]
            batches += [some for some in rows.split(batch) if len(some) == batch]
        if not batches:
            raise ValueError(f"no group has the {batch} rows of one batch; use a smaller batch")
        return torch.cat([batches[i] for i in torch.randperm(len(batches), generator=draws)])


@dataclass(frozen=True)
class Weighted:
    """As many rows as there are, drawn with replacement in proportion to their weights.

    Attributes:
        weights: At least 0, not all 0.  # [n]
    """

    weights: Tensor

    def __call__(self, n: int, *, batch: int, seed: int) -> Tensor:  # noqa: ARG002
        """Return `n` drawn rows."""
        return self.weights[:n].multinomial(n, replacement=True, generator=generator(seed))
