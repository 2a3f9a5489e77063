"""Vectors that need not fit in memory: arrays, .npy files, Parquet, iterators, block by block."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

import numpy as np

from magnetite.extras import need
from magnetite.index import arguments

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from magnetite.index.arguments import Ids, Named

    Block: TypeAlias = tuple[NDArray[np.float32], Named | None]
    Source = ArrayLike | str | os.PathLike[str] | Iterable[Any]

#: Bytes without a budget.
DEFAULT_BUDGET = 4 << 30
#: Copies of a block's float32 rows that building holds at a time: as they came, in the order of
#: their ids, in the order of their lists, and as much again for codes, training and joining small
#: blocks.
COPIES = 4
#: Fewer rows get no lists of their own, and would be built again when small segments are merged.
LEAST_ROWS = 32_768


def blocks(source: Source, ids: Ids | None, memory_budget: int | None) -> Iterator[Block]:
    """Yield rows and their ids in blocks that can be built within `memory_budget` bytes.

    Args:
        source: An array, `numpy.memmap` among them; the path of a .npy file, which is mapped; or an
            iterable of blocks: arrays [n, dim], or pairs of an array and its ids.
        ids: One a row for an array or a file; None for an iterable, whose blocks bring their own.
        memory_budget: Bytes; 4 GB if None.

    Raises:
        ValueError: A budget that does not hold 32,768 rows, ids of another length, both kinds of
            ids, an iterable of nothing.
        TypeError: Something that is none of these.
    """
    if is_array(source):
        array = as_array(source)
        names = None if ids is None else arguments.ids(ids)
        yield from _joined(iter([(array, names)]), memory_budget)
    elif ids is not None:
        raise ValueError("ids must come with the blocks of an iterator, as (vectors, ids)")
    else:
        yield from _joined(map(_pair, cast("Iterable[Any]", source)), memory_budget)


def is_array(source: Source) -> TypeGuard[ArrayLike | str | os.PathLike[str]]:
    """Return whether `source` is rows, or a file of them, and no iterator of blocks.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(source, (str, os.PathLike, list, tuple)) or hasattr(source, "__array__"):
        return True
    if isinstance(source, Iterable):
        return False
    raise TypeError(
        "vectors must be an array, the path of a .npy file, or an iterable of blocks; "
        f"got {type(source).__name__}"
    )


def as_array(source: ArrayLike | str | os.PathLike[str]) -> NDArray[Any]:
    """Return the rows of `source`; those of a file are mapped."""
    if isinstance(source, (str, os.PathLike)):
        mapped: NDArray[Any] = np.load(Path(source), mmap_mode="r")  # refuses pickles
        return mapped
    return np.asarray(source)


def count(source: Source) -> int | None:
    """Return how many rows `source` has, if that can be told."""
    return len(as_array(source)) if is_array(source) else None


def read_parquet(
    path: str | os.PathLike[str],
    vectors: str = "vector",
    ids: str | None = "id",
    *,
    rows: int = 65536,
) -> Iterator[tuple[NDArray[Any], NDArray[Any] | None]]:
    """Yield the rows of a Parquet file in blocks, as `Index.build` and `Index.add` take them.

    Args:
        path: The file.
        vectors: The column of vectors: lists of numbers, all of one length.
        ids: The column of ids, text or whole numbers; None if the rows have none.
        rows: Rows of a block.

    Raises:
        MissingExtraError: Without pyarrow (the extra `arrow`).
        ValueError: A missing column, missing values, vectors of different lengths.
    """
    parquet = need("pyarrow.parquet", extra="arrow", purpose="reading Parquet")
    columns = [vectors] if ids is None else [vectors, ids]
    with parquet.ParquetFile(path) as file:
        known = file.schema_arrow.names
        if missing := [column for column in columns if column not in known]:
            raise ValueError(f"{path} must have a column {missing[0]!r}; it has {known}")
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            names = None if ids is None else batch.column(ids)
            if names is not None and names.null_count:
                raise ValueError(f"{path}: column {ids!r} must have a value in every row")
            block = _vectors(batch.column(vectors))
            if block is None:
                raise ValueError(f"{path}: column {vectors!r} must hold vectors of one length")
            yield block, None if names is None else names.to_numpy(zero_copy_only=False)


def _vectors(column: Any) -> NDArray[Any] | None:  # noqa: ANN401 - a pyarrow array has no types
    """Return a column of lists as rows; None if they are no lists, or of different lengths."""
    if not hasattr(column.type, "value_type") or not hasattr(column, "flatten"):
        return None
    flat = column.flatten()
    dim = len(flat) // max(len(column), 1)
    lengths = np.diff(np.asarray(column.offsets)) if hasattr(column, "offsets") else np.array(dim)
    if column.null_count or flat.null_count or dim * len(column) != len(flat):
        return None
    if (lengths != dim).any():
        return None
    numbers: NDArray[Any] = flat.to_numpy(zero_copy_only=False)
    return numbers.reshape(len(column), dim)


def _pair(block: ArrayLike | tuple[ArrayLike, Ids | None]) -> tuple[NDArray[Any], Named | None]:
    vectors, ids = block if isinstance(block, tuple) else (block, None)
    return np.asarray(vectors), None if ids is None else arguments.ids(ids)


def _joined(
    pairs: Iterator[tuple[NDArray[Any], Named | None]], memory_budget: int | None
) -> Iterator[Block]:
    """Cut and join what comes to blocks of one size, but for the last."""
    held: list[Block] = []
    step = 0
    for vectors, ids in pairs:
        if vectors.ndim != 2:
            raise ValueError(f"vectors must have the shape (n, dim); got {vectors.shape}")
        if ids is not None and len(ids) != len(vectors):
            raise ValueError(f"ids must have {len(vectors)} elements; got {len(ids)}")
        if held and (
            vectors.shape[1] != held[0][0].shape[1] or (ids is None) != (held[0][1] is None)
        ):
            raise ValueError("blocks must agree in their columns, and in whether they bring ids")
        step = step or _step(vectors.shape[1], memory_budget)
        start = 0
        while start < len(vectors) or not held:
            end = min(len(vectors), start + step - sum(len(rows) for rows, _ in held))
            rows = arguments.rows(vectors[start:end], "vectors")
            held.append((rows, None if ids is None else ids[start:end]))
            start = end
            if sum(len(rows) for rows, _ in held) == step:
                yield _one(held)
                held = []
                if start == len(vectors):
                    break
    if not step:
        raise ValueError("vectors must have at least one block; got none")
    if held:
        yield _one(held)


def _step(dim: int, memory_budget: int | None) -> int:
    """Return the rows of a block."""
    budget = DEFAULT_BUDGET if memory_budget is None else memory_budget
    row = max(dim, 1) * 4 * COPIES
    if memory_budget is not None and budget < LEAST_ROWS * row:
        want = f"at least {LEAST_ROWS * row:,} bytes for rows of {dim} columns"
        raise ValueError(f"memory_budget must be {want}; got {memory_budget:,}")
    return max(budget // row, LEAST_ROWS)


def _one(held: list[Block]) -> Block:
    if len(held) == 1:
        return held[0]
    rows = np.concatenate([rows for rows, _ in held])
    names = [ids for _, ids in held]
    if names[0] is None:
        return rows, None
    if isinstance(names[0], list):
        return rows, [name for some in names for name in some or ()]
    return rows, np.concatenate([some for some in names if some is not None])
