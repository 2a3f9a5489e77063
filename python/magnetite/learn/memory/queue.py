"""A ring of the latest rows, each with the number of the example it came from."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EMPTY = -(2**62)
"""The example number of a place that was never written; far from every real one."""


class Queue(nn.Module):
    """The last `size` rows pushed, the oldest overwritten first; random unit rows at the start.

    A row is in the queue only after it was pushed, and the loop pushes after the loss: so no row of
    the current batch is ever returned.

    Attributes:
        rows: What was pushed.                   # [size, dim]
        examples: Where each row came from.      # [size], `EMPTY` where nothing was pushed
    """

    rows: Tensor
    examples: Tensor
    place: Tensor

    def __init__(self, size: int, dim: int, *, seed: int = 0) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(seed)
        start = F.normalize(torch.randn(size, dim, generator=draws), dim=-1)
        self.register_buffer("rows", start)
        self.register_buffer("examples", torch.full((size,), EMPTY))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.rows)

    @torch.no_grad()
    def push(self, rows: Tensor, examples: Tensor) -> None:
        """Write rows over the oldest; of more than there is room for, the last stay.

        Args:
            rows: Detached rows.                 # [n, dim]
            examples: Numbers of their examples. # [n]
        """
        rows, examples = rows[-len(self) :], examples[-len(self) :]
        places = (self.place + torch.arange(len(rows), device=rows.device)) % len(self)
        self.rows[places] = rows.to(self.rows.dtype)
        self.examples[places] = examples
        self.place.copy_((self.place + len(rows)) % len(self))

    def apart(self, examples: Tensor, *, distance: int = 1) -> Tensor:
        """Return which rows come from examples at least `distance` numbers away.

        Args:
            examples: Numbers of examples.  # [n]
            distance: 1: any other example.

        Returns:
            Who may be a negative.          # [n, size] bool
        """
        return (self.examples - examples[:, None]).abs() >= distance
