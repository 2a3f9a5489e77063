"""What may be given for texts, and the forms of it that the engine reads where they lie."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from magnetite.extras import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Column: TypeAlias = tuple[NDArray[np.int32] | NDArray[np.int64], NDArray[np.uint8]]
    """Arrow's offsets, one more than there are texts, into Arrow's bytes."""

WINDOW = 4096
"""Texts of an array without str of its own that are made str at a time."""


class ArrowArray(Protocol):
    """An array with Arrow's own way out."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> object:
        """Return its schema and its array."""


class ArrowStream(Protocol):
    """A column in parts with Arrow's own way out."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return its stream."""


Texts: TypeAlias = Iterable[str] | ArrowArray | ArrowStream
"""Any iterable of str, a NumPy array of strings, an Arrow column of strings."""


def readable(
    texts: Texts,
) -> list[str] | Iterator[str] | NDArray[np.uint32] | tuple[Column, ...]:
    """Return `texts` in one of the forms that the engine reads.

    A list, and an Arrow column of `string` or `large_string`, are read where they lie; an array of
    NumPy's fixed width and an iterator are read a few thousand texts at a time. Other Arrow columns
    of strings (views, dictionaries) are converted first.

    Raises:
        TypeError: `texts` is one str, which would count as its characters, or no column of strings.
        ValueError: An Arrow column holds a null, named by its row.
        MissingExtraError: An Arrow column came without pyarrow (the extra `arrow`).
    """
    if isinstance(texts, str | bytes):
        kind = type(texts).__name__
        raise TypeError(f"texts must be an iterable of str; got one {kind}; wrap it in a list")
    if isinstance(texts, list):
        return texts
    if isinstance(texts, np.ndarray):
        return _numpy(texts)
    if hasattr(texts, "__arrow_c_stream__") or hasattr(texts, "__arrow_c_array__"):
        return _arrow(texts)
    return iter(texts)


def whole(texts: Texts) -> list[str] | tuple[Column, ...]:
    """Return `texts` as `readable` does, but all of them at once."""
    form = readable(texts)
    if isinstance(form, list | tuple):
        return form
    return texts.tolist() if isinstance(texts, np.ndarray) else list(form)


def _numpy(texts: NDArray[Any]) -> list[str] | Iterator[str] | NDArray[np.uint32]:
    if texts.ndim != 1:
        raise TypeError(f"texts must be one row of strings; got an array of shape {texts.shape}")
    if type(texts) is np.ndarray and texts.dtype.kind == "U":
        width = max(1, texts.dtype.itemsize // 4)
        plain = np.ascontiguousarray(texts, f"=U{width}")
        return plain.view(np.uint32).reshape(len(texts), width)
    if texts.dtype.kind == "T":
        windows = range(0, len(texts), WINDOW)
        return chain.from_iterable(texts[i : i + WINDOW].tolist() for i in windows)
    items: list[str] = texts.tolist()
    return items


def _arrow(texts: object) -> tuple[Column, ...]:
    pyarrow = need("pyarrow", extra="arrow", purpose="reading an Arrow column")
    kinds = pyarrow.types
    whole = isinstance(texts, pyarrow.Array | pyarrow.ChunkedArray)
    column: Any = texts if whole else pyarrow.chunked_array(texts)
    kind = column.type
    inner = kind.value_type if kinds.is_dictionary(kind) else kind
    if not (kinds.is_string(inner) or kinds.is_large_string(inner) or kinds.is_string_view(inner)):
        raise TypeError(f"texts must be an Arrow column of strings; got one of {kind}")
    if not (kinds.is_string(kind) or kinds.is_large_string(kind)):
        column = column.cast(pyarrow.large_string())
    if column.null_count:
        row = column.is_null().to_numpy(zero_copy_only=False).argmax()
        raise ValueError(f"texts must not be null; row {row} is; fill it or leave it out")
    parts = column.chunks if isinstance(column, pyarrow.ChunkedArray) else [column]
    return tuple(_column(part) for part in parts if len(part))


def _column(part: Any) -> Column:  # noqa: ANN401 - a pyarrow array has no types
    """Return the buffers of a part of a column; those of a slice hold more than the slice."""
    _, offsets, data = part.buffers()
    number = np.dtype(np.int64 if str(part.type) == "large_string" else np.int32)
    starts = np.frombuffer(offsets, number)[part.offset : part.offset + len(part) + 1]
    return starts, np.frombuffer(b"" if data is None else data, np.uint8)
