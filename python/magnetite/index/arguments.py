"""What a caller may give, as the engine takes it: rows, ids, filters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Ids = Sequence[str] | Sequence[int] | NDArray[Any]
    Named = NDArray[np.int64] | list[str]
    Filter = Ids | NDArray[np.bool_] | Sequence[Ids] | Sequence[NDArray[np.bool_]]


def rows(values: ArrayLike, name: str) -> NDArray[np.float32]:
    """Return `values` as float32 rows in C order, copied if need be; refuses other things."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        remedy = "give an array of real numbers, such as Encoder.encode returns"
        raise TypeError(f"{name} must be float32 of shape (n, dim); got {array.dtype}; {remedy}")
    if array.ndim != 2:
        raise ValueError(f"{name} must have the shape (n, dim); got {array.shape}")
    if array.dtype == np.float32 and array.flags.c_contiguous:
        return array
    with np.errstate(over="ignore"):  # what overflows is refused by the engine, which names the row
        return np.ascontiguousarray(array, dtype=np.float32)


def ids(values: Ids, name: str = "ids") -> Named:
    """Return `values` as the engine takes ids; refuses what is neither text nor whole numbers."""
    if isinstance(values, str):
        raise TypeError(f"{name} must be a sequence, one a row; got one str")
    array = values if isinstance(values, np.ndarray) else np.array(list(values), dtype=object)
    if array.ndim == 1 and all(isinstance(one, str) for one in array):
        return [str(one) for one in array]
    if array.ndim == 1 and array.dtype == object and all(_is_whole(one) for one in array):
        array = np.array(list(array))
    if array.ndim != 1 or array.dtype.kind not in "iu":
        got = f"{array.dtype} of shape {array.shape}"
        raise TypeError(f"{name} must be one a row, all int64 or all str; got {got}")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must be below 2^63; got {array.max()}")
    return np.ascontiguousarray(array, dtype=np.int64)


def picks(value: Filter | None, name: str, queries: int) -> list[Named | NDArray[np.bool_]]:
    """Return what each query may find as the engine takes it: nothing, one for all, or one each."""
    if value is None:
        return []
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be ids or a mask of bool; got {type(value).__name__}")
    given: Any = value if isinstance(value, np.ndarray) else list(value)
    own = given.ndim == 2 if isinstance(given, np.ndarray) else any(map(_is_several, given))
    if not own:
        return [_pick(given, name)]
    if len(given) != queries:
        want = f"one for all queries, or one for each of the {queries}"
        raise ValueError(f"{name} must be {want}; got {len(given)}")
    return [_pick(one, name) for one in given]


def _pick(value: Ids | NDArray[np.bool_], name: str) -> Named | NDArray[np.bool_]:
    array = value if isinstance(value, np.ndarray) else None
    if array is None and isinstance(value, list) and value:
        array = np.array(value) if all(isinstance(one, (bool, np.bool_)) for one in value) else None
    if array is not None and array.dtype == np.bool_ and array.ndim == 1:
        return np.ascontiguousarray(array)
    if array is not None and array.size == 0 and array.ndim == 1:
        return []
    return ids(value, name)


def _is_several(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes))


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
