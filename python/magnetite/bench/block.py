"""A judge's scores of some queries and all items, computed once, to replay searches on."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from magnetite._core import FormatError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_SHAPES = {  # array -> its axes; the file may hold others
    "scores": "mn",
    "query_ids": "m",
    "item_ids": "n",
    "queries": "m",
    "items": "n",
    "query_vectors": "md",
    "item_vectors": "nd",
    "indexing": "m",
    "relevant": "l2",
}


@dataclass(frozen=True)
class Block:
    """What the judge says of every pair, what the encoder says, and what is true."""

    name: str
    scores: NDArray[np.float32]  # [m, n]
    query_ids: NDArray[np.str_]  # [m]
    item_ids: NDArray[np.str_]  # [n]
    queries: NDArray[np.str_]  # [m]
    items: NDArray[np.str_]  # [n]
    query_vectors: NDArray[np.float32]  # [m, d]
    item_vectors: NDArray[np.float32]  # [n, d]
    indexing: NDArray[np.bool_]  # [m]: may be used to build; the others test
    relevant: NDArray[np.int64]  # [l, 2]: (query, item) of the labels
    recipe: dict[str, Any]
    """How the judge was made and the scores computed."""

    def dots(self, rows: NDArray[np.int64]) -> Floats:  # [rows, n]
        """Return what the encoder says of some queries and all items."""
        return self.query_vectors[rows].astype(np.float64) @ self.item_vectors.T.astype(np.float64)

    def labels(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Return the relevant items of some queries."""
        return [self.relevant[self.relevant[:, 0] == row, 1] for row in rows]


def load(path: Path) -> Block:
    """Read a block from a .npz file.

    It holds `scores` float [m, n] (higher is better), `query_ids`, `item_ids`, `queries` and
    `items` (text), `query_vectors` [m, d] and `item_vectors` [n, d], `indexing` bool [m],
    `relevant` whole numbers [l, 2] of rows and columns, and `recipe`, text of a JSON object.

    Raises:
        FormatError: An array is missing, or has another shape than the others say.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
    except (ValueError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path}: not a file of NumPy arrays: {error}") from error
    sizes = {"2": 2}
    for name, axes in _SHAPES.items():
        if name not in held:
            raise FormatError(f"{path}: expected the array {name!r}; got {', '.join(sorted(held))}")
        shape = held[name].shape
        wanted = tuple(sizes.setdefault(axis, got) for axis, got in zip(axes, shape, strict=False))
        if len(shape) != len(axes) or wanted != shape:
            raise FormatError(f"{path}: {name} must have the shape {wanted}; got {shape}")
    if not np.isfinite(held["scores"]).all():
        raise FormatError(f"{path}: scores must be finite numbers")
    indexing = held["indexing"].astype(bool)
    if indexing.all() or not indexing.any():
        raise FormatError(
            f"{path}: expected indexing queries and others; got {indexing.sum()} of m"
        )
    arrays = {name: held[name] for name in _SHAPES} | {"indexing": indexing}
    recipe = json.loads(str(held["recipe"])) if "recipe" in held else {}
    return Block(name=path.name.removesuffix(".npz"), recipe=recipe, **arrays)
