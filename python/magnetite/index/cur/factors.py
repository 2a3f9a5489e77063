"""What a search by a slow model stands on: a row for every item, and what is believed of a query.

An estimate of the scores of a query is `rows @ u`. `u` begins at the query's prior and is moved by
the scores that are paid for. Both are affine maps, kept as arrays, so an index can be given new
items and new queries without the matrix it was built from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Factors:
    """Rows of items and the maps that make more of them."""

    rows: NDArray[np.float32]  # [n, d]
    arrays: dict[str, Floats] = field(default_factory=dict)
    """`of_scores` [k_q, d], `of_vectors` [dim, d] and `of_one` [d] make an item's row of its scores
    by the anchor queries and its encoder vector; `weights` [dim, d] and `bias` [d] make a query's
    prior of its encoder vector, `guide` [dim, d] what is near to that vector alone. An absent one
    adds nothing; `item_*` and `query_*` are adapters."""
    noise: float = 0.0
    """Added to every diagonal of a query's regression; scores' own noise, where rows are scaled to
    be a prior of variance 1."""


def new_rows(
    arrays: Arrays,
    scores: Floats | None,  # [m, k_q]
    vectors: Floats | None,  # [m, dim]
) -> NDArray[np.float32]:  # [m, d]
    """Return the rows of new items.

    Args:
        arrays: Of the factors.
        scores: Of each item by every anchor query.
        vectors: Of the encoder.

    Raises:
        ValueError: What the rows are made of is not given.
    """
    if "item_w1" in arrays:
        return adapted(arrays, "item", _given(vectors, "vectors")).astype(np.float32)
    if "of_scores" not in arrays and "of_vectors" not in arrays:
        raise ValueError("these factors say nothing of new items; build again with them")
    rows: Floats = np.asarray(arrays.get("of_one", 0.0), np.float64)
    if "of_scores" in arrays:
        rows = rows + _given(scores, "scores") @ arrays["of_scores"]
    if "of_vectors" in arrays:
        rows = rows + _given(vectors, "vectors") @ arrays["of_vectors"]
    return rows.astype(np.float32)


def prior(
    arrays: Arrays,
    vectors: Floats | None,  # [m, dim]
    queries: int,
) -> Floats | None:  # [m, d]
    """Return what is believed of queries before any call; None where nothing is.

    Args:
        arrays: Of the factors.
        vectors: Of the queries, by the encoder that the factors were made with.
        queries: How many.

    Raises:
        ValueError: The factors begin with an encoder, and no vectors are given.
    """
    if not {"query_w1", "weights"} & set(arrays):
        return None
    alone = "weights" in arrays and not len(arrays["weights"])
    if vectors is None and not alone:
        raise ValueError(
            "this index begins with its encoder: give vectors=, the encoder's of the queries"
        )
    given = np.empty((queries, 0)) if vectors is None else np.asarray(vectors, np.float64)
    if "query_w1" in arrays:
        return adapted(arrays, "query", given)
    found: Floats = given @ arrays["weights"] + arrays.get("bias", 0.0)
    return found


def guide(arrays: Arrays, vectors: Floats | None) -> Floats | None:  # [m, d]
    """Return that by which rows rank as the encoder ranks; None where factors do not say it."""
    if vectors is None or "guide" not in arrays:
        return None
    found: Floats = np.asarray(vectors, np.float64) @ arrays["guide"]
    return found


def adapted(arrays: Arrays, side: str, vectors: Floats) -> Floats:
    """Return σ(s)·(W2ᵀ gelu(W1ᵀ x + b1) + b2) + (1 − σ(s))·x for each row x (AXN's adapter).

    gelu is the one by tanh, which NumPy has.
    """
    hidden = vectors @ arrays[f"{side}_w1"] + arrays[f"{side}_b1"]
    inner = np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)
    changed = (0.5 * hidden * (1 + np.tanh(inner))) @ arrays[f"{side}_w2"] + arrays[f"{side}_b2"]
    gate = 1 / (1 + np.exp(-float(arrays[f"{side}_gate"].item())))
    out: Floats = gate * changed + (1 - gate) * vectors
    return out


def _given(values: Floats | None, name: str) -> Floats:
    if values is None:
        raise ValueError(f"new items of this index need their {name}; got none")
    return np.asarray(values, np.float64)
