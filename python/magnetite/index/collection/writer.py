"""The one writer of a collection, for the time of one call.

```
commit    new segments: write, force; the directory forced                     (the index prepares)
          documents, metadata and the manifest of the segments: one transaction  <- here it happens
          segments that the manifest does not name: removed                     (the index settles)
```

The manifest is kept by SQLite alone. Killed before the transaction is on the disk, the directory
holds segments that nothing names; killed after it, perhaps some that nothing names any more. Both
are swept by the next writer, and no reader ever looks at them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from magnetite import _core
from magnetite.index.collection.document import (
    Changes,
    Document,
    document_of,
    record_of,
    restored,
)
from magnetite.index.collection.documents import Change, Documents, State

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from magnetite.index.collection.where import Where

#: A block is one commit: so many documents, or so many characters of them.
BLOCK, BLOCK_CHARACTERS = 2048, 16 << 20

Encode = Callable[[list[str]], "NDArray[np.float32]"]


class Writer:
    """Has the lock; what it changes, it commits."""

    def __init__(
        self,
        documents: Documents,
        vectors: Path,
        known: _core.Index | None,
        threads: int | None,
    ) -> None:
        """Take the lock; what `known` has of the vectors is not checked again.

        Raises:
            OSError: Another writer has it.
        """
        self._documents, self._threads = documents, threads
        # Within a transaction nobody commits between a look at the manifest and the lock.
        with documents.writing() as (snapshot, _):
            self._state = snapshot.state()
            self._core = _core.Index.open_as(vectors, self._state.manifest, known, writable=True)

    def close(self) -> None:
        """Give the lock back; what was not committed is forgotten."""
        self._core.close()

    def put(self, documents: Sequence[Document], encode: Encode, *, replace: bool) -> Changes:
        """Commit documents of different ids; encode those whose text is new.

        Raises:
            ValueError: A document that is there, unless it is to be replaced.
        """
        passages = [one.passage for one in documents]
        records = [record_of(*pair) for pair in zip(documents, passages, strict=True)]
        with self._documents.reading() as snapshot:
            last = snapshot.last_row()
            known = snapshot.known([one.id for one in records]) if last else {}
        if known and not replace:
            there = restored(next(iter(known)))
            raise ValueError(f"ids must be new to the collection (upsert replaces); got {there!r}")
        rows: list[int] = []  # of what is written
        changed: list[int] = []  # their places among the documents
        new: list[int] = []  # places in `rows` of what is encoded
        for at, record in enumerate(records):
            old = known.get(record.id)
            if old is not None and old.digest == record.digest:
                continue
            if old is None:
                last += 1
            if old is None or old.encoded != record.encoded:
                new.append(len(rows))
            rows.append(last if old is None else old.row)
            changed.append(at)
        if rows:
            if new:
                vectors = encode([passages[changed[one]] for one in new])
                names = np.array([rows[one] for one in new], np.int64)
                self._core.upsert(vectors, names, self._threads)
            put = [records[at] for at in changed]
            self._commit(lambda change: change.put(rows, put), len(new))
        return Changes(
            added=len(records) - len(known),
            updated=len(rows) - (len(records) - len(known)),
            unchanged=len(records) - len(rows),
            encoded=len(new),
        )

    def delete(self, ids: Sequence[bytes] | None, where: Where | None) -> int:
        """Commit without the documents called so and for which `where` holds."""
        with self._documents.reading() as snapshot:
            rows = None if where is None else snapshot.rows(where)
            if ids is not None:
                named = np.array([one.row for one in snapshot.known(ids).values()], np.int64)
                rows = named if rows is None else np.intersect1d(rows, named)
        if rows is None or not len(rows):
            return 0
        self._core.delete(rows)
        self._commit(lambda change: change.delete(rows.tolist()), len(rows))
        return len(rows)

    def compact(self) -> None:
        """Commit the same documents, their vectors built together."""
        self._core.compact(self._threads)
        self._commit(lambda _: None, -self._state.changed)

    def tune(self, queries: NDArray[np.float32] | None, k: int) -> Any:  # noqa: ANN401 - the engine's tuple
        """Commit what recall costs for `k` results; return it as the engine says it."""
        curve = self._core.tune(queries, k, self._threads)
        self._commit(lambda _: None, 0)
        return curve

    def _commit(self, documents: Callable[[Change], None], changed: int) -> None:
        manifest = self._core.prepare()
        state = State(self._state.number + 1, self._state.changed + changed, manifest)
        with self._documents.writing() as (_, change):
            documents(change)
            change.become(state)
        self._state = state
        self._core.settle(manifest)


def blocks(documents: Iterable[Document | Mapping[str, Any]]) -> Iterator[list[Document]]:
    """Yield the documents in blocks, in none of which an id comes twice.

    Borders depend on the documents alone, so the same ones make the same segments.
    """
    held: dict[str, Document] = {}
    characters = 0
    for value in documents:
        document = document_of(value)
        full = len(held) == BLOCK or characters >= BLOCK_CHARACTERS
        if held and (full or document.id in held):
            yield list(held.values())
            held, characters = {}, 0
        held[document.id] = document
        characters += len(document.text)
    if held:
        yield list(held.values())
