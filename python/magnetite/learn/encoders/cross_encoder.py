"""Two texts read together, scored by one number."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magnetite.learn.encoders import pool
from magnetite.learn.encoders.backbone import Backbone
from magnetite.learn.encoders.markers import before_each, with_markers
from magnetite.learn.encoders.static import StaticEncoder
from magnetite.learn.encoders.tower import Tower
from magnetite.learn.types import Embedder
from magnetite.text import Tokenizer


class Markers(nn.Module):
    """⟨h_query, h_document⟩: states of marker tokens, the mean of those of each side.

    With two markers around a mention and one behind a title this is ANNCUR's [EMB]:
    ⟨(h_start + h_end) / 2, h_title⟩. A row without a side's markers scores 0.

    Attributes:
        query: Ids of the markers of queries.
        document: Ids of the markers of documents.
    """

    def __init__(self, query: Sequence[int], document: Sequence[int]) -> None:
        super().__init__()
        self.query, self.document = list(query), list(document)

    def forward(self, states: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Return one score a row."""  # [n, L, d], [n, L], [n, L] -> [n, 1]
        query, document = (
            pool.mean(states, _among(ids, some) & mask.bool())
            for some in (self.query, self.document)
        )
        return (query * document).sum(1, keepdim=True)


class Sides(nn.Module):
    """scale · cos(mean state of the query, mean state of the document), both read together.

    An encoder that pools by the mean and becomes this scores much as before from the first step;
    the states of new markers, or a new layer, have to be learnt. A row without one of the sides
    scores 0.

    Attributes:
        document: Id of the marker that the document begins with.
        span: Ids of the markers around what the query asks about, a mention say; empty: it is all
            that stands before the document.
        scale: Of the cosine, learnt.   # []
    """

    def __init__(self, document: int, span: Sequence[int] = (), scale: float = 20.0) -> None:
        super().__init__()
        self.document, self.span = document, list(span)
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, states: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Return one score a row."""  # [n, L, d], [n, L], [n, L] -> [n, 1]
        begun, *around = ((ids == one).long().cumsum(1) > 0 for one in (self.document, *self.span))
        asked = around[0] & ~around[1] if around else ~begun
        query, document = (
            F.normalize(pool.mean(states, some & mask.bool()), dim=1) for some in (asked, begun)
        )
        return self.scale * (query * document).sum(1, keepdim=True)


def _among(ids: Tensor, some: Sequence[int]) -> Tensor:
    # Not torch.isin: ONNX has no such operator.
    found = ids == some[0]
    for token in some[1:]:
        found = found | (ids == token)
    return found


class First(nn.Module):
    """A head on the state of the first token: the usual [CLS] score.

    Attributes:
        head: States to scores.  # [n, d] -> [n, 1]
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, states: Tensor, ids: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002
        """Return one score a row."""  # [n, L, d], [n, L], [n, L] -> [n, 1]
        score: Tensor = self.head(states[:, 0])
        return score


class CrossEncoder(Embedder):
    """Token ids of a pair to its score: backbone and scorer.

    Attributes:
        backbone: Ids, mask and types to states.        # [n, L] -> [n, L, d]
        score: States, ids and mask to scores.          # [n, L, d], [n, L], [n, L] -> [n, 1]
        dim: 1: a pair's vector is its score.
        tokenizer: What the ids come from; its template has a pair.
        max_tokens: Of a pair.
    """

    dim = 1

    def __init__(
        self,
        backbone: Backbone,
        score: First | Markers | Sides,
        *,
        tokenizer: Tokenizer | None = None,
        max_tokens: int | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.score = score
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens

    @classmethod
    def over(
        cls,
        tower: Tower | StaticEncoder,
        markers: Sequence[str] = (),
        *,
        in_text: bool = False,
        sides: bool = False,
    ) -> Self:
        """Return a cross-encoder that begins with a copy of the tower's transformer.

        Args:
            tower: An encoder that is a transformer.
            markers: Words that score by their states: the last stands for documents, the others
                for queries. None: a new linear layer scores the first state.
            in_text: The texts hold the markers; else the one of each side is put before it.
            sides: Score by the mean states of both sides: of the document from the last marker on,
                of the query before it, or with three markers between the first two.

        Raises:
            ValueError: The tower is no transformer or has no tokenizer; one marker alone; `sides`
                without two markers, or three in the texts.
        """
        if isinstance(tower, StaticEncoder):
            raise ValueError(
                "a cross-encoder begins as a transformer; the model given, or the built-in one "
                "where none is, has a vector a token and no layers that read two texts together"
            )
        if not isinstance(tower.backbone, Backbone) or not isinstance(tower.tokenizer, Tokenizer):
            raise ValueError(
                "a cross-encoder begins as a transformer with its tokenizer; got a tower of "
                f"{type(tower.backbone).__name__}"
            )
        backbone, tokenizer = deepcopy(tower.backbone), tower.tokenizer
        if sides and len(markers) != (3 if in_text else 2):
            raise ValueError(
                f"markers {list(markers)}: sides are told apart by two put before them, or "
                "by three in the texts: around what the query asks about and before the document"
            )
        if not markers:
            head = First(nn.Linear(backbone.dim, 1))
            return cls(backbone, head, tokenizer=tokenizer, max_tokens=tower.max_tokens)
        if len(markers) < 2 or (len(markers) > 2 and not in_text):
            raise ValueError(
                f"markers {list(markers)}: wanted one for queries and one for documents; more for "
                "queries only with in_text, where the texts hold them"
            )
        tokenizer = with_markers(tokenizer, markers)
        if not in_text:
            tokenizer = before_each(tokenizer, *markers)
        backbone.widen(tokenizer.vocab_size)
        *query, document = (int(tokenizer.token_to_id(one) or 0) for one in markers)
        span = query if in_text else ()
        score = Sides(document, span) if sides else Markers(query, [document])
        return cls(backbone, score, tokenizer=tokenizer, max_tokens=tower.max_tokens)

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        """Return one score a row."""  # [n, L], [n, L], [n, L] -> [n, 1]
        score: Tensor = self.score(self.backbone(ids, mask, types), ids, mask)
        return score
