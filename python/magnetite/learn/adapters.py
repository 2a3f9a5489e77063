"""Adapters over a frozen encoder, so that dot products follow a slow scorer: AXN's MF_ind.

Yadav et al., "Adaptive Retrieval and Scalable Indexing for k-NN Search with Cross-Encoders",
ICLR 2024. x becomes σ(s)·(W2ᵀ gelu(W1ᵀ x + b1) + b2) + (1 − σ(s))·x with s = −5 at first, one such
map for queries and one for items; without the skip they generalise badly. gelu is the one by tanh,
so that NumPy can run what was trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]


class Adapter(nn.Module):
    """A gated two-layer map of vectors, near the identity at first."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        self.gate = nn.Parameter(torch.tensor(-5.0))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the mapped vectors, [n, dim] like the given ones."""
        part = torch.sigmoid(self.gate)
        changed: Tensor = self.outer(F.gelu(self.inner(vectors), approximate="tanh"))
        return part * changed + (1 - part) * vectors

    def arrays(self, side: str) -> dict[str, Floats]:
        """Return the weights under the names that `magnetite.index.cur.factors` reads."""
        named = {
            "w1": self.inner.weight.T,
            "b1": self.inner.bias,
            "w2": self.outer.weight.T,
            "b2": self.outer.bias,
            "gate": self.gate.reshape(1),
        }
        return {
            f"{side}_{name}": value.detach().double().numpy().copy()
            for name, value in named.items()
        }


def fit(
    queries: Floats,  # [k_q, dim]
    items: Floats,  # [n, dim]
    rows: Places,  # [pairs]
    columns: Places,  # [pairs]
    wanted: Floats,  # [pairs]
    *,
    seed: int = 0,
    epochs: int = 20,
    lr: float = 1e-3,
    batch_pairs: int = 1024,
) -> dict[str, Floats]:
    """Return the weights of two adapters whose dot products come near what was `wanted`.

    Args:
        queries: Vectors of the encoder.
        items: Likewise.
        rows: Query of each observed pair.
        columns: Its item.
        wanted: What the dot product should be.
        seed: Of first weights and order.
        epochs: Over the pairs.
        lr: Of AdamW, which falls to 0 in a straight line.
        batch_pairs: Pairs a step.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        query, item = Adapter(queries.shape[1]), Adapter(items.shape[1])
        order = torch.Generator().manual_seed(seed)
        asked, found = torch.from_numpy(queries).float(), torch.from_numpy(items).float()
        pairs, goal = torch.from_numpy(np.stack([rows, columns])), torch.from_numpy(wanted).float()
        steps = epochs * -(-len(goal) // batch_pairs)
        optimizer = torch.optim.AdamW([*query.parameters(), *item.parameters()], lr=lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        for _ in range(epochs):
            for some in torch.randperm(len(goal), generator=order).split(batch_pairs):
                row, column = pairs[:, some]
                dots = (query(asked[row]) * item(found[column])).sum(dim=1)
                optimizer.zero_grad()
                F.mse_loss(dots, goal[some]).backward()
                optimizer.step()
                schedule.step()
    return query.arrays("query") | item.arrays("item")
