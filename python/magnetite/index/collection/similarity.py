"""How an encoder's vectors are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from magnetite.encode import Encoder
    from magnetite.index.dense import Metric


def comparable(encoder: Encoder, metric: Metric | None = None) -> tuple[Metric, bool | None]:
    """Return the metric of an index and `normalize` that together are the encoder's similarity.

    Cosines are dot products of normalised vectors: a text without tokens is then a zero vector that
    scores 0, where an index by cosine refuses it.
    """
    wanted = metric or cast("Metric", encoder.similarity)
    return ("dot", True) if wanted == "cosine" else (wanted, None)
