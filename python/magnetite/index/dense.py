"""Vectors in, the most similar rows out."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tqdm import tqdm

from magnetite import _core
from magnetite.index import arguments, sources
from magnetite.index.curve import Curve
from magnetite.index.explanation import Explanation, Looked
from magnetite.index.hits import Cost, Hits, Verified

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from types import TracebackType

    from numpy.typing import ArrayLike, NDArray

    from magnetite.index.arguments import Filter, Ids
    from magnetite.index.sources import Source

Metric = Literal["dot", "cosine", "l2"]
Storage = Literal["f32", "f16", "int8"]


class Index:
    """Vectors of one length, their ids, and what finds the most similar ones.

    Made by `build`, or by `open` from a directory. Scores grow with similarity: `dot` and `cosine`
    as they are, `l2` as −‖q−x‖². A search sees one snapshot from beginning to end, whatever is
    written meanwhile; searching is safe from many threads at once and after `fork`.

    `add`, `upsert`, `delete` and `compact` change an index in memory, and one that was opened with
    `writable=True` in its directory too: each call is one commit, on the disk when it returns, and
    happens or does not. A commit forces the disk a few times (milliseconds), so give many rows at
    once, or put many calls into one `batch`.
    """

    def __init__(self, core: _core.Index) -> None:
        self._core = core
        self._batching = False

    @classmethod
    def build(
        cls,
        vectors: Source,
        ids: Ids | None = None,
        metric: Metric = "dot",
        *,
        kind: Literal["flat", "ivf"] | None = None,
        lists: int | None = None,
        parts: int | None = None,
        storage: Storage = "f32",
        encoder: str | None = None,
        seed: int = 0,
        path: str | os.PathLike[str] | None = None,
        memory_budget: int | None = None,
        show_progress: bool | None = None,
        threads: int | None = None,
    ) -> Index:
        """Return an index of `vectors`.

        Args:
            vectors: Finite numbers; rows of zeros are refused under cosine.  # [n, dim]
                Or the path of a .npy file, which is mapped; or an iterable of blocks, each an array
                or a pair (vectors, ids), such as `read_parquet` gives.
            ids: Different names, all text or all whole numbers from 0.       # [n]
                By default 0 to n − 1.
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
            path: Build in this directory, block after block, instead of in memory; the index is
                there once all of it is, and what is returned is open for writing. Under Ctrl-C, or
                killed, there is no index.
            memory_budget: Bytes that building may hold beside `vectors` and, without `path`, beside
                the index. Rows are built in blocks that keep to it, each a segment with lists of
                its own; `lists` then has no effect. None builds arrays in one piece, and other
                sources in blocks of about 4 GB of memory.
            show_progress: Show a bar for what comes in blocks; by default on a terminal.
            threads: As in `resolve_threads`; changes no byte of the index.

        Raises:
            ValueError: A shape, number or id that cannot be used; the message names it.
            TypeError: Something that is not an array of real numbers.
            OSError: `path` holds an index or other files, or the disk is full.
        """

        def built(rows: NDArray[np.float32], names: arguments.Named | None) -> _core.Index:
            return _core.Index.build(
                rows,
                names,
                metric=metric,
                kind=kind,
                lists=lists,
                parts=parts,
                storage=storage,
                encoder=encoder,
                seed=seed,
                threads=threads,
            )

        if path is None and memory_budget is None and sources.is_array(vectors):
            rows = arguments.rows(sources.as_array(vectors), "vectors")
            return cls(built(rows, None if ids is None else arguments.ids(ids)))
        stream = sources.blocks(vectors, ids, memory_budget)
        first = next(stream)
        empty = built(first[0][:0], None if first[1] is None else first[1][:0])
        index = cls(empty if path is None else empty.begin_at(Path(path)))
        try:
            index._add_blocks(
                first, stream, sources.count(vectors), threads, show_progress=show_progress
            )
        except BaseException:
            index.close()
            raise
        return index

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        verify: Literal["full", "lazy"] = "full",
        *,
        writable: bool = False,
    ) -> Index:
        """Return the index at `path`, mapped rather than read: a snapshot of this moment.

        Args:
            path: The directory.
            verify: `full` compares every checksum now, `lazy` each block's at its first touch.
            writable: Take the lock of the one writer; `close` gives it back.

        Raises:
            FormatError: Not an index, or one that was changed or truncated.
            OSError: The directory cannot be read, or another writer has the lock.
        """
        if verify not in ("full", "lazy"):
            raise ValueError(f'verify must be "full" or "lazy"; got {verify!r}')
        return cls(_core.Index.open(Path(path), full=verify == "full", writable=writable))

    @staticmethod
    def verify(path: str | os.PathLike[str], *, threads: int | None = None) -> Verified:
        """Look at everything that the index at `path` consists of; return what there is.

        Every checksum; ids that ascend and are live once; lists that hold every row; rows that are
        finite, of length 1 under cosine, and agree with what was computed of them.

        Raises:
            FormatError: Something does not hold; the message names the file and what.
        """
        return Verified(str(path), *_core.Index.verify(Path(path), threads))

    def refresh(self) -> bool:
        """See what others have committed since this index was opened; return whether anything was.

        Of no effect on an index in memory and on one that is open for writing.
        """
        return self._core.refresh()

    def close(self) -> None:
        """Give the lock back; the index stays readable. Of no effect without a lock."""
        self._core.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Make the directory `path` hold this index, in one step that happens or does not.

        Raises:
            OSError: The disk is full, a writer is open there, or the directory holds files
                that are no part of an index. What was there before is untouched.
        """
        self._core.save(Path(path))

    def add(
        self,
        vectors: Source,
        ids: Ids | None = None,
        *,
        memory_budget: int | None = None,
        show_progress: bool | None = None,
        threads: int | None = None,
    ) -> None:
        """Add rows, in one commit.

        Args:
            vectors: As in `build`.                                          # [n, dim]
            ids: Names that no row has; without any, rows are called by the numbers after the
                highest that ever was.                                       # [n]
            memory_budget: As in `build`.
            show_progress: As in `build`.
            threads: As in `resolve_threads`; changes no byte of the index.

        Raises:
            ValueError: An id that is there (`upsert` replaces), and what `build` refuses.
            OSError: The index is open for reading only, or the disk is full; nothing was added.
        """
        if memory_budget is None and sources.is_array(vectors):
            rows = arguments.rows(sources.as_array(vectors), "vectors")
            self._core.add(rows, None if ids is None else arguments.ids(ids), threads)
            return
        stream = sources.blocks(vectors, ids, memory_budget)
        self._add_blocks(
            next(stream), stream, sources.count(vectors), threads, show_progress=show_progress
        )

    def _add_blocks(
        self,
        first: sources.Block,
        rest: Iterator[sources.Block],
        total: int | None,
        threads: int | None,
        *,
        show_progress: bool | None,
    ) -> None:
        # tqdm's disable=None is quiet off a terminal.
        hidden = None if show_progress is None else not show_progress
        with self.batch(), tqdm(total=total, unit="row", unit_scale=True, disable=hidden) as bar:
            block: sources.Block | None = first
            while block is not None:
                self._core.add(block[0], block[1], threads)
                bar.update(len(block[0]))
                block = next(rest, None)

    def upsert(self, vectors: ArrayLike, ids: Ids, *, threads: int | None = None) -> None:
        """Add rows in place of those that have their ids, in one commit.

        Args:
            vectors: As in `build`.                                          # [n, dim]
            ids: All different; whether a row has such an id or not.         # [n]
            threads: As in `resolve_threads`; changes no byte of the index.

        Raises:
            ValueError: What `build` refuses.
            OSError: As in `add`; nothing was changed.
        """
        self._core.upsert(arguments.rows(vectors, "vectors"), arguments.ids(ids), threads)

    def delete(self, ids: Ids) -> int:
        """Delete the rows that have one of `ids`, in one commit; return how many there were.

        They are no longer found, but lie in their segment until `compact`, or until all of it is
        gone.

        Raises:
            OSError: As in `add`; nothing was deleted.
        """
        return self._core.delete(arguments.ids(ids))

    def compact(self, *, threads: int | None = None) -> None:
        """Build all rows together again, in one segment without deleted rows, in one commit.

        Takes as long as `build` and three times the memory of the vectors. What is written calls
        for it: an index answers from every segment, each with lists of its own. Small segments are
        merged on the way (`docs/architecture.md`), those of 32,768 rows and more only here.

        Raises:
            OSError: As in `add`; nothing was changed.
        """
        self._core.compact(threads)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Make one commit of all changes in the block, or none if it raises.

        This index shows the changes as they are made, others once they are committed. A batch
        within a batch is part of it.
        """
        if self._batching:
            yield
            return
        self._core.begin_batch()
        self._batching = True
        try:
            yield
        except BaseException:
            self._core.end_batch(keep=False)
            raise
        else:
            self._core.end_batch(keep=True)
        finally:
            self._batching = False

    def search(
        self,
        queries: ArrayLike,
        k: int = 10,
        *,
        filter: Filter | None = None,  # noqa: A002 - the word of the field
        exclude: Filter | None = None,
        min_score: float | None = None,
        dim: int | None = None,
        probes: int | None = None,
        rescore: int | None = None,
        slack: float | None = None,
        target_recall: float | None = None,
        encoder: str | None = None,
        threads: int | None = None,
    ) -> Hits:
        """Return the `k` best rows for each query, best first; equal scores by lower id.

        Args:
            queries: One vector, or one a row.                             # [dim] or [n, dim]
            k: Results wanted for each query; at least 1.
            filter: Rows that may be found: ids, of which unknown ones are ignored, or a mask whose
                place `i` is the row with the `i`-th id of `index.ids`. For all queries, or one for
                each: a list of `n`, or an array of two dimensions. There are exactly `k` results,
                    or
                as many as rows are allowed; few allowed rows are scored exactly.
            exclude: Rows that may not be found, in the same form: for each query its own positives,
                when negatives are mined.
            min_score: Leave out results with a lower score.
            dim: Compare the first `dim` columns of every row alone, exactly: for vectors trained so
                that these make a vector of their own (Matryoshka). Under cosine their length is
                made 1 again. Neither lists nor codes take part, so `probes` and `rescore` have no
                effect.
            probes: Lists to look into in each segment; more find more. Of no effect on a flat
                index, which looks at every row. With a filter a search looks into as many more as
                it takes to find as much.
            rescore: Rows to score exactly for each query, at least `k`; more find more.
            slack: End a search before `probes` lists once what the next may hold lies this far, in
                lengths of the query, below the `k`-th best row so far, and score no rows whose
                codes lie far below it, however many `rescore` allows; 0.02 to 0.2 is usual, more
                finds more. None never ends early; of no effect under l2.
            target_recall: Find this part of the true results, on average over queries like those
                that `tune` was given, for the least work that does. Without a call of `tune` for
                `k` or more results, stored vectors stand in for queries at the first use: they are
                easier to answer than questions. Takes the place of `probes`, `rescore` and
                `slack`.
            encoder: Fingerprint of the encoder that made the queries. If it is given and the index
                knows its own, they must be the same; None asks no question.
            threads: As in `resolve_threads`; changes no bit of the result.

        Raises:
            ValueError: Another dim than the index has, numbers that are not finite, zeros under
                cosine, another encoder's queries, a mask of another length than the index, a list
                of filters of another length than the queries, a recall that no effort reaches.
            TypeError: Something that is not an array of real numbers; a filter that is neither ids
                of the index's kind nor a mask.
        """
        if encoder is not None and self.encoder not in (None, encoder):
            raise ValueError(
                f"queries must come from the encoder that filled this index, {self.encoder}; "
                f"got {encoder}; encode them with that one, or pass encoder=None to search anyway"
            )
        array = np.asarray(queries)
        array = array[None] if array.ndim == 1 else array
        if dim is not None and 0 < dim < self.dim and array.shape[1:] == (self.dim,):
            array = array[:, :dim]
        rows = arguments.rows(array, "queries")
        if target_recall is not None:
            self._know_cost(k, threads)
        found = self._core.search(
            rows,
            k,
            probes=probes,
            rescore=rescore,
            slack=slack,
            target_recall=target_recall,
            only=arguments.picks(filter, "filter", len(rows)),
            exclude=arguments.picks(exclude, "exclude", len(rows)),
            min_score=min_score,
            dim=dim,
            threads=threads,
        )
        ids, scores, counts, codes, scored = found
        if isinstance(ids, list):
            ids = np.array(ids, dtype=object).reshape(scores.shape)
        return Hits(ids, scores, counts, Cost(codes, scored))

    def explain(
        self,
        query: ArrayLike,
        k: int = 10,
        *,
        filter: Filter | None = None,  # noqa: A002 - the word of the field
        exclude: Filter | None = None,
        probes: int | None = None,
        rescore: int | None = None,
        slack: float | None = None,
        target_recall: float | None = None,
    ) -> Explanation:
        """Return what `search` does for one query: lists probed, codes scanned, rows scored.

        Args:
            query: One vector.                                             # [dim]
            k: As in `search`, and so are the others.
            filter: As in `search`.
            exclude: As in `search`.
            probes: As in `search`.
            rescore: As in `search`.
            slack: As in `search`.
            target_recall: As in `search`.

        Raises:
            ValueError: As in `search`.
        """
        row = arguments.rows(np.asarray(query)[None], "query")
        if target_recall is not None:
            self._know_cost(k, None)
        probes, rescore, slack, segments = self._core.explain(
            row,
            k,
            probes=probes,
            rescore=rescore,
            slack=slack,
            target_recall=target_recall,
            only=arguments.picks(filter, "filter", 1),
            exclude=arguments.picks(exclude, "exclude", 1),
        )
        return Explanation(probes, rescore, slack, tuple(Looked(*looked) for looked in segments))

    def tune(
        self, queries: ArrayLike | None = None, k: int = 10, *, threads: int | None = None
    ) -> Curve:
        """Measure what recall costs, for `search(target_recall=...)`; in one commit.

        Args:
            queries: Vectors of real questions, hundreds or better thousands: the fewer, the more
                work a search does to be sure. Without any, stored vectors stand in, none of
                which may find itself: questions are not distributed like documents, and the curve
                says that it was measured so.                              # [n, dim]
            k: Results of a search; the curve holds for fewer too.
            threads: As in `resolve_threads`; changes nothing of the curve.

        Raises:
            ValueError: As in `search`.
            OSError: The index is open for reading only, or the disk is full.
        """
        rows = None if queries is None else arguments.rows(queries, "queries")
        return Curve.of(*self._core.tune(rows, k, threads))

    def curve(self, k: int = 10) -> Curve | None:
        """Return what is known of the cost of recall for `k` results, or None."""
        known = self._core.curve(k)
        return None if known is None else Curve.of(*known)

    def _know_cost(self, k: int, threads: int | None) -> None:
        stale = self._core.is_stale(k)
        if stale is None:
            self._core.learn(k, threads)
        elif stale:
            warnings.warn(
                "more than a fifth of the rows came or went since the cost of recall was measured; "
                "call tune() again",
                stacklevel=3,
            )

    def get(self, ids: Ids) -> NDArray[np.float32]:
        """Return the vectors of the rows that have these ids, as they are kept, [n, dim].

        Under cosine they have length 1; `f16` and `int8` give what they were rounded to.

        Raises:
            KeyError: An id that no row has.
        """
        return self._core.get(arguments.ids(ids))

    @property
    def ids(self) -> NDArray[Any]:
        """Every id, ascending; text by its UTF-8 bytes: int64, or str objects."""
        ids = self._core.ids
        return np.array(ids, dtype=object) if isinstance(ids, list) else ids

    def __contains__(self, name: object) -> bool:
        """Return whether a row is called so."""
        if self._core.id_kind == "text":
            return isinstance(name, str) and bool(self._core.contains([name])[0])
        if not isinstance(name, (int, np.integer)) or isinstance(name, bool):
            return False
        if not 0 <= name <= np.iinfo(np.int64).max:
            return False
        return bool(self._core.contains(np.array([name], dtype=np.int64))[0])

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
    def segments(self) -> int:
        """Segments that the rows are in; every search asks each of them."""
        return self._core.segments

    @property
    def deleted(self) -> int:
        """Deleted rows that still lie in a segment; `compact` removes them."""
        return self._core.dead

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
