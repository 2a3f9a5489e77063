"""Backbone × pool × head: the encoder that recipes train and export."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from magnetite.learn.types import Embedder, Padded, Rows, Tokenizer


def embed(embedder: nn.Module, rows: Rows) -> Tensor:
    """Return the vectors of an input, whatever its leading shape.

    Args:
        embedder: Ids and mask [n, L] to [n, dim], or tensors [n, ...] to [n, dim].
        rows: Padded texts [n, L] or [n, m, L], or a tensor [n, ...].

    Returns:
        One vector a text.  # [n, dim] or [n, m, dim]
    """
    if not isinstance(rows, Padded):
        return embedder(rows)  # type: ignore[no-any-return]
    lead = rows.ids.shape[:-1]
    vectors: Tensor = embedder(rows.ids.flatten(0, -2), rows.mask.flatten(0, -2))
    return vectors.view(*lead, vectors.shape[-1])


class Tower(Embedder):
    """Token ids to one vector: backbone, pool, optional head, optional normalisation.

    Attributes:
        backbone: Ids and mask to states.              # [n, L] -> [n, L, d]
        pool: States and mask to vectors.              # [n, L, d] -> [n, d]
        head: Vectors to vectors.                      # [n, d] -> [n, dim]
        normalize: Whether the vectors have length 1.
        dim: Length of a vector.
        tokenizer: What the ids come from.
        max_tokens: Where texts are cut.
    """

    def __init__(
        self,
        backbone: nn.Module,
        pool: Callable[[Tensor, Tensor], Tensor],
        *,
        dim: int,
        head: nn.Module | None = None,
        normalize: bool = False,
        tokenizer: Tokenizer | None = None,
        max_tokens: int | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pool = pool
        self.head = nn.Identity() if head is None else head
        self.normalize = normalize
        self.dim = dim
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return one vector a text."""  # [n, L], [n, L] -> [n, dim]
        vectors: Tensor = self.head(self.pool(self.backbone(ids, mask), mask))
        return F.normalize(vectors, dim=-1) if self.normalize else vectors

    def with_head(self, head: nn.Sequential) -> "Tower":
        """Return a tower of the same parts, shared, that ends in one more head."""
        present = self.head if isinstance(self.head, nn.Sequential) else [self.head]
        return Tower(
            self.backbone,
            self.pool,
            dim=self.dim,
            head=nn.Sequential(*present, *head),
            normalize=self.normalize,
            tokenizer=self.tokenizer,
            max_tokens=self.max_tokens,
        )
