"""A vector for each token, a weight for each token: their weighted sum, normalised."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magnetite.learn.types import Embedder, Tokenizer


class StaticEncoder(Embedder):
    """Texts to unit vectors by looking tokens up; a text without tokens gives zeros.

    vector = normalise( Σ_t weight[t] · table[t] )

    Attributes:
        table: One vector a token.  # [vocab, dim]
        weight: One number a token. # [vocab]
        tokenizer: What the ids come from; `None` for ids of the caller's own.
        dim: Length of a vector.
        max_tokens: Where texts are cut; `None`: where the tokenizer cuts them.
    """

    def __init__(
        self,
        table: Tensor,
        weight: Tensor | None = None,
        *,
        tokenizer: Tokenizer | None = None,
        max_tokens: int | None = None,
    ) -> None:
        super().__init__()
        if table.ndim != 2 or not table.is_floating_point():
            raise ValueError(
                f"table must be floats [vocab, dim]; got {table.dtype} {list(table.shape)}; "
                "an int8 table is read by StaticEncoder.from_int8"
            )
        weight = torch.ones(len(table), dtype=table.dtype) if weight is None else weight
        if weight.shape != (len(table),):
            raise ValueError(f"weight must be [{len(table)}]; got {list(weight.shape)}")
        self.table = nn.Parameter(table.detach().clone())
        self.weight = nn.Parameter(weight.detach().to(table.dtype).clone())
        self.dim = table.shape[1]
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens

    @classmethod
    def from_int8(
        cls,
        table: Tensor,
        scale: Tensor,
        weight: Tensor,
        *,
        tokenizer: Tokenizer | None = None,
        max_tokens: int | None = None,
    ) -> Self:
        """Return a trainable encoder from what an artifact stores.

        Args:
            table: Quantized vectors.         # [vocab, dim], int8
            scale: What one step is worth.    # [vocab]
            weight: Weight of each token.     # [vocab]
            tokenizer: What the ids come from.
            max_tokens: Where texts are cut.
        """
        floats = table.float() * scale.float()[:, None]
        return cls(floats, weight.float(), tokenizer=tokenizer, max_tokens=max_tokens)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return one unit vector a text.

        Args:
            ids: Token ids.          # [n, L], int64
            mask: 1 on text.         # [n, L]

        Returns:
            Unit rows, or zeros.     # [n, dim]
        """
        present = mask.bool()
        used = ids[present]
        starts = present.sum(1).cumsum(0) - present.sum(1)
        total = F.embedding_bag(
            used, self.table, starts, mode="sum", per_sample_weights=self.weight[used]
        )
        return F.normalize(total, dim=-1)
