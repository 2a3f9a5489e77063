"""Vectors in, the most similar rows out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from magnetite import _core

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Ids = Sequence[str] | Sequence[int] | NDArray[np.int64]

Metric = Literal["dot", "cosine", "l2"]
Storage = Literal["f32", "f16", "int8"]


@dataclass(frozen=True)
class Cost:
    """What each query cost."""

    codes: NDArray[np.int64]  # [n]: codes compared with the query
    rows: NDArray[np.int64]  # [n]: rows scored exactly


@dataclass(frozen=True)
class Hits:
    """Results of a search, best first; equal scores by lower id."""

    ids: NDArray[Any]  # [n, k]: int64 with -1, or str with None, where there is no result
    scores: NDArray[np.float32]  # [n, k]: -inf where there is no result
    counts: NDArray[np.int64]  # [n]: results of each query
    cost: Cost

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.counts)


class Index:
    """An immutable index over vectors of one length; made by `build` or `open`.

    Scores grow with similarity: `dot` and `cosine` as they are, `l2` as −‖q−x‖². Safe to search
    from many threads at once and after `fork`.
    """

    def __init__(self, core: _core.Index) -> None:
        self._core = core

    @classmethod
    def build(
        cls,
        vectors: ArrayLike,
        ids: Ids | None = None,
        metric: Metric = "dot",
        *,
        kind: Literal["flat", "ivf"] | None = None,
        lists: int | None = None,
        parts: int | None = None,
        storage: Storage = "f32",
        encoder: str | None = None,
        seed: int = 0,
        threads: int | None = None,
    ) -> Index:
        """Return an index of `vectors`.

        Args:
            vectors: Finite numbers; rows of zeros are refused under cosine.  # [n, dim]
            ids: What each row is called, all different: text or numbers from 0; by default
                the row's place.                                              # [n]
            metric: What the scores mean.
            kind: `flat` looks at every row, `ivf` at codes of the rows in the nearest lists; by
                default the first below 32,768 rows.
            lists: How many lists; by default 4 times the root of the number of rows.
            parts: Parts of a code, half a byte each; by default one for four columns.
            storage: How the rows are kept; scores are exact for what is kept. `f16` rounds each
                number to 11 bits and refuses numbers beyond 65,504; `int8` rounds to steps of 1/127
                of the row's largest number.
            encoder: Fingerprint of the encoder that made the vectors; kept with the index.
            seed: The same vectors, ids and seed give the same bytes.
            threads: As in `resolve_threads`; changes no byte of the index.

        Raises:
            ValueError: A shape, number or id that cannot be used; the message names it.
            TypeError: Something that is not an array of real numbers.
        """
        rows = _rows(vectors, "vectors")
        core = _core.Index.build(
            rows,
            _ids(ids),
            metric=metric,
            kind=kind,
            lists=lists,
            parts=parts,
            storage=storage,
            encoder=encoder,
            seed=seed,
            threads=threads,
        )
        return cls(core)

    @classmethod
    def open(cls, path: str | os.PathLike[str], verify: Literal["full", "lazy"] = "full") -> Index:
        """Return the index that `save` left at `path`, mapped rather than read.

        Args:
            path: The directory.
            verify: `full` compares every checksum now, `lazy` each block's at its first touch.

        Raises:
            FormatError: Not an index, or one that was changed or truncated.
            OSError: The directory cannot be read.
        """
        if verify not in ("full", "lazy"):
            raise ValueError(f'verify must be "full" or "lazy"; got {verify!r}')
        return cls(_core.Index.open(Path(path), full=verify == "full"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Make the directory `path` hold this index, in one step that happens or does not.

        Raises:
            OSError: The disk is full, another writer is saving there, or the directory holds files
                that are no part of an index. What was there before is untouched.
        """
        self._core.save(Path(path))

    def search(
        self,
        queries: ArrayLike,
        k: int = 10,
        *,
        probes: int | None = None,
        rescore: int | None = None,
        encoder: str | None = None,
        threads: int | None = None,
    ) -> Hits:
        """Return the `k` best rows for each query, best first; equal scores by lower id.

        Args:
            queries: One vector, or one a row.                             # [dim] or [n, dim]
            k: Results wanted for each query; at least 1.
            probes: Lists to look into; more find more. Of no effect on a flat index, which
                looks at every row.
            rescore: Rows to score exactly for each query, at least `k`; more find more.
            encoder: Fingerprint of the encoder that made the queries. If it is given and the index
                knows its own, they must be the same; None asks no question.
            threads: As in `resolve_threads`; changes no bit of the result.

        Raises:
            ValueError: Another dim than the index has, numbers that are not finite, zeros under
                cosine, another encoder's queries.
            TypeError: Something that is not an array of real numbers.
        """
        if encoder is not None and self.encoder not in (None, encoder):
            raise ValueError(
                f"queries must come from the encoder that filled this index, {self.encoder}; "
                f"got {encoder}; encode them with that one, or pass encoder=None to search anyway"
            )
        rows = np.asarray(queries)
        rows = _rows(rows[None] if rows.ndim == 1 else rows, "queries")
        found = self._core.search(rows, k, probes=probes, rescore=rescore, threads=threads)
        ids, scores, counts, codes, scored = found
        if isinstance(ids, list):
            ids = np.array(ids, dtype=object).reshape(scores.shape)
        return Hits(ids, scores, counts, Cost(codes, scored))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._core)

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        return self._core.dim

    @property
    def lists(self) -> int | None:
        """Lists that the rows are in, or None if every search looks at all rows."""
        return self._core.lists

    @property
    def metric(self) -> Metric:
        """What the scores mean."""
        return self._core.metric

    @property
    def storage(self) -> Storage:
        """How the rows are kept."""
        return self._core.storage

    @property
    def encoder(self) -> str | None:
        """Fingerprint of the encoder that made the vectors, if it was told."""
        return self._core.encoder

    def __repr__(self) -> str:
        return f"Index({len(self):,} rows of {self.dim}, metric={self.metric!r})"


def _rows(values: ArrayLike, name: str) -> NDArray[np.float32]:
    """Return `values` as float32 rows in C order, copied if need be; refuses other things."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        remedy = "give an array of real numbers, such as Encoder.encode returns"
        raise TypeError(f"{name} must be float32 of shape (n, dim); got {array.dtype}; {remedy}")
    if array.ndim != 2:
        raise ValueError(f"{name} must have the shape (n, dim); got {array.shape}")
    with np.errstate(over="ignore"):  # what overflows is refused by the engine, which names the row
        return np.ascontiguousarray(array, dtype=np.float32)


def _ids(ids: Ids | None) -> NDArray[np.int64] | list[str] | None:
    """Return `ids` as the engine takes them; refuses what is neither text nor whole numbers."""
    if ids is None:
        return None
    if isinstance(ids, str):
        raise TypeError("ids must be a sequence, one a row; got one str")
    array = ids if isinstance(ids, np.ndarray) else np.array(list(ids), dtype=object)
    if array.ndim == 1 and all(isinstance(name, str) for name in array):
        return [str(name) for name in array]
    if array.ndim == 1 and array.dtype == object and all(_is_whole(name) for name in array):
        array = np.array(list(array))
    if array.ndim != 1 or array.dtype.kind not in "iu":
        got = f"{array.dtype} of shape {array.shape}"
        raise TypeError(f"ids must be one a row, all int64 or all str; got {got}")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"ids must be below 2^63; got {array.max()}")
    return np.ascontiguousarray(array, dtype=np.int64)


def _is_whole(name: object) -> bool:
    return isinstance(name, (int, np.integer)) and not isinstance(name, bool)
