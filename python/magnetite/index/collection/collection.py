"""Text in, documents out."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from tqdm import tqdm

from magnetite import _core
from magnetite._core import FormatError
from magnetite.index import arguments
from magnetite.index.collection.document import Changes, Document, Found, stored
from magnetite.index.collection.documents import Documents, Snapshot
from magnetite.index.collection.similarity import comparable
from magnetite.index.collection.verify import VerifiedCollection, verify
from magnetite.index.collection.writer import Writer, blocks
from magnetite.index.curve import Curve
from magnetite.index.dense import Index

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from numpy.typing import ArrayLike, NDArray

    from magnetite.encode import Encoder
    from magnetite.index.collection.where import Where
    from magnetite.index.dense import Metric, Storage

DOCUMENTS, VECTORS = "documents.sqlite", "vectors"


class Collection:
    """Documents, their metadata and their vectors in one directory, committed together.

    Made by `create` or `open`. Each call that changes something is a commit, on the disk when it
    returns; `add` and `upsert` make one of each block of documents. One writer at a time: another
    is refused while such a call lasts. Readers wait for nobody, and each search sees one commit,
    the last, whoever made it. One object may be used from several threads at once and after `fork`.
    """

    def __init__(
        self, path: Path, encoder: Encoder | None, threads: int | None, *, read_only: bool
    ) -> None:
        self.path = path.absolute()
        self._documents = Documents(self.path / DOCUMENTS, read_only=read_only)
        self._encoder, self._threads, self._read_only = encoder, threads, read_only
        self._guard = threading.RLock()  # of the encoder and of what follows
        self._latest: tuple[int, Index] | None = None
        self._writing = threading.Lock()
        self._writer: int | None = None
        if encoder is not None:
            try:
                self._expect(encoder)
            except BaseException:
                self.close()
                raise

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        encoder: Encoder | None = None,
        *,
        metric: Metric | None = None,
        kind: Literal["flat", "ivf"] | None = None,
        storage: Storage = "f32",
        threads: int | None = None,
    ) -> Collection:
        """Return a new collection without documents.

        Args:
            path: A directory, made if it is missing.
            encoder: Makes the vectors; by default the built-in one. The collection remembers which
                it is, and where it lies.
            metric: What the scores mean; by default what the encoder was trained for.
            kind: As in `Index.build`.
            storage: As in `Index.build`.
            threads: As in `resolve_threads`.

        Raises:
            FileExistsError: `path` holds a collection.
            OSError: The directory cannot be written.
        """
        from magnetite.encode import Encoder
        from magnetite.encode.encoder import BUILTIN

        encoder = encoder or Encoder.load(threads=threads)
        metric, normalize = comparable(encoder, metric)
        model = encoder.artifact.directory.resolve()
        about = {
            "encoder": encoder.fingerprint,
            "model": None if model == BUILTIN.resolve() else str(model),
            "normalize": normalize,
        }
        rows, names = np.empty((0, encoder.dim), np.float32), np.empty(0, np.int64)
        index = Index.build(
            rows, names, metric, kind=kind, storage=storage, encoder=encoder.fingerprint
        )
        place = Path(path)

        def first() -> str:
            core = index._core.begin_at(place / VECTORS)
            try:
                return core.prepare()
            finally:
                core.close()

        Documents.create(place / DOCUMENTS, about, first)
        return cls(place, encoder, threads, read_only=False)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        encoder: Encoder | None = None,
        *,
        threads: int | None = None,
        read_only: bool = False,
    ) -> Collection:
        """Return the collection at `path`.

        Args:
            path: The directory.
            encoder: The one that filled it; by default loaded from where it lay then, once it is
                needed.
            threads: As in `resolve_threads`.
            read_only: Refuse changes.

        Raises:
            FormatError: No collection, or a damaged one.
            ValueError: Another encoder than the one that filled it.
            OSError: The directory cannot be read.
        """
        place = Path(path)
        if place.exists() and not (place / DOCUMENTS).exists():
            remedy = "make one with Collection.create or `magnetite index CORPUS -o DIR`"
            raise FormatError(f"{place}: not a collection (no {DOCUMENTS}): {remedy}")
        return cls(place, encoder, threads, read_only=read_only)

    @staticmethod
    def verify(path: str | os.PathLike[str], *, threads: int | None = None) -> VerifiedCollection:
        """Look at everything that the collection at `path` consists of; return what there is.

        What `Index.verify` looks at; the database's own structure; that each document is what was
        stored, has a vector, and that conditions see what its metadata says.

        Raises:
            FormatError: Something does not hold; the message names the file and what.
        """
        place = Path(path)
        with closing(Documents(place / DOCUMENTS, read_only=True)) as documents:
            return verify(documents, place / VECTORS, threads)

    @property
    def encoder(self) -> Encoder:
        """The encoder that filled the collection.

        Raises:
            FileNotFoundError: It has gone from where it was.
            ValueError: Another one lies there now.
        """
        with self._guard:
            if self._encoder is None:
                self._encoder = self._load()
            return self._encoder

    def _load(self) -> Encoder:
        from magnetite.encode import Encoder

        model = self._documents.about["model"]
        if model is not None and not Path(str(model)).exists():
            raise FileNotFoundError(
                f"{model}: the encoder that filled {self.path} has gone; say where it is with "
                "--model, or the argument encoder of Collection.open"
            )
        encoder = Encoder.load(None if model is None else str(model), threads=self._threads)
        self._expect(encoder)
        return encoder

    def _expect(self, encoder: Encoder) -> None:
        wanted = str(self._documents.about["encoder"])
        if encoder.fingerprint != wanted:
            raise ValueError(
                f"{self.path} must be used with the encoder that filled it, {wanted[:12]}…; "
                f"got {encoder.fingerprint[:12]}… from {encoder.artifact.directory}; "
                "give the first one, or make a new collection with the second"
            )

    @property
    def normalize(self) -> bool | None:
        """What the encoder is told of lengths, for vectors to be compared with these."""
        return self._documents.about["normalize"]  # type: ignore[return-value]

    # What it holds

    @overload  # a str is a sequence of str, and the one exception
    def search(  # type: ignore[overload-overlap]
        self,
        queries: str,
        k: int = 10,
        *,
        where: Where | None = None,
        min_score: float | None = None,
        target_recall: float | None = None,
    ) -> list[Found]: ...

    @overload
    def search(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        where: Where | None = None,
        min_score: float | None = None,
        target_recall: float | None = None,
    ) -> list[list[Found]]: ...

    def search(
        self,
        queries: str | Sequence[str],
        k: int = 10,
        *,
        where: Where | None = None,
        min_score: float | None = None,
        target_recall: float | None = None,
    ) -> list[Found] | list[list[Found]]:
        """Return the `k` documents that answer each query best, best first.

        Equal scores are ordered by which document came first.

        Args:
            queries: A question, or several.
            k: Results wanted for each.
            where: Conditions on metadata (`docs/collection.md`); there are `k` results, or as many
                as documents meet them.
            min_score: Leave out results with a lower score.
            target_recall: As in `Index.search`; `tune` measures it on real questions.

        Returns:
            For one question a list of results, for several a list of such lists.

        Raises:
            ValueError: A condition that cannot be understood, and what `Index.search` refuses.
        """
        vectors = self.encoder.encode_query(
            [queries] if isinstance(queries, str) else queries,
            normalize=self.normalize,
            show_progress=False,
        )
        found = self.search_vectors(
            vectors, k, where=where, min_score=min_score, target_recall=target_recall
        )
        return found[0] if isinstance(queries, str) else found

    def search_vectors(
        self,
        vectors: ArrayLike,
        k: int = 10,
        *,
        where: Where | None = None,
        min_score: float | None = None,
        target_recall: float | None = None,
    ) -> list[list[Found]]:
        """Return what `search` does, for vectors that the encoder made of questions, [n, dim]."""
        rows = arguments.rows(vectors, "vectors")
        with self._snapshot() as (snapshot, index):
            hits = index.search(
                rows,
                k,
                filter=None if where is None else snapshot.rows(where),
                min_score=min_score,
                target_recall=target_recall,
                threads=self._threads,
            )
            ids = [ids[:count].tolist() for ids, count in zip(hits.ids, hits.counts, strict=True)]
            documents = snapshot.documents(row for some in ids for row in some)
        if missing := {row for some in ids for row in some} - documents.keys():
            said = f"row {min(missing)} has a vector, but no document"
            raise FormatError(f"{self.path / DOCUMENTS}: {said}; restore or rebuild")
        scores = hits.scores.tolist()
        return [
            [Found(documents[row], score) for row, score in zip(some, best, strict=False)]
            for some, best in zip(ids, scores, strict=True)
        ]

    def get(self, ids: Iterable[str]) -> list[Document | None]:
        """Return the document of each id, or None where there is none."""
        wanted = _ids(ids)
        with self._documents.reading() as snapshot:
            found = snapshot.by_id(wanted)
        return [found.get(one) for one in wanted]

    def count(self, where: Where | None = None) -> int:
        """Return the number of documents for which `where` holds; without it, of all."""
        with self._snapshot() as (snapshot, index):
            return len(index) if where is None else len(snapshot.rows(where))

    def __len__(self) -> int:
        """Return the number of documents."""
        return self.count()

    def __contains__(self, id: object) -> bool:  # noqa: A002 - the word of the field
        """Return whether a document is called so."""
        if not isinstance(id, str):
            return False
        with self._documents.reading() as snapshot:
            return bool(snapshot.known([stored(id)]))

    def __iter__(self) -> Iterator[Document]:
        """Yield the documents of the last commit, in the order in which they came."""
        with self._documents.reading() as snapshot:
            yield from snapshot.all()

    def ids(self) -> Iterator[str]:
        """Yield the ids of the last commit, in the order in which they came."""
        with self._documents.reading() as snapshot:
            yield from snapshot.ids()

    @property
    def changed(self) -> int:
        """Vectors that came or went since all were built together; see `compact`."""
        with self._documents.reading() as snapshot:
            return snapshot.state().changed

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[Snapshot, Index]]:
        """Show the documents and the vectors of one commit, the last."""
        missing = None
        while True:
            with self._documents.reading() as snapshot:
                number = snapshot.number()
                try:
                    index = self._index(snapshot, number)
                except FileNotFoundError as error:
                    # A commit since has swept what this one names; but not twice the same.
                    if missing == number:
                        raise FormatError(
                            f"{error.filename}: missing; restore or rebuild"
                        ) from error
                    missing = number
                    continue
                yield snapshot, index
                return

    def _index(self, snapshot: Snapshot, number: int) -> Index:
        """Return the vectors of the commit."""
        latest = self._latest
        if latest is not None and latest[0] == number:
            return latest[1]
        known = None if latest is None else latest[1]._core
        manifest = snapshot.state().manifest
        index = Index(_core.Index.open_as(self.path / VECTORS, manifest, known, writable=False))
        with self._guard:
            if self._latest is None or self._latest[0] < number:
                self._latest = number, index
        return index

    # Changing it

    def add(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        progress: bool | None = None,
    ) -> Changes:
        """Add documents, block by block, each block a commit.

        Args:
            documents: `Document`, or dicts of `id`, `text` and, where known, `title`, `metadata`.
            progress: Show a bar; by default on a terminal.

        Raises:
            ValueError: An id that is there, or that came before in the same call (`upsert`
                replaces); what JSON cannot say in metadata. Blocks before it stay committed.
            OSError: Another writer is at work, the collection is open for reading only, or the disk
                is full; the block is not committed.
        """
        return self._put(documents, replace=False, progress=progress)

    def upsert(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        progress: bool | None = None,
    ) -> Changes:
        """Add documents in place of those that have their ids, block by block, each a commit.

        Only text that changed is encoded. Interrupted or killed, committed blocks stay, and the
        same call goes on from there at the price of reading the documents.

        Args:
            documents: As in `add`; of the same id the last one stays.
            progress: As in `add`.

        Raises:
            ValueError: As in `add`, but for ids.
            OSError: As in `add`.
        """
        return self._put(documents, replace=True, progress=progress)

    def _put(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        replace: bool,
        progress: bool | None,
    ) -> Changes:
        if isinstance(documents, (str, Mapping, Document)):
            kind = type(documents).__name__
            raise TypeError(f"documents must be several, such as a list of them; got one {kind}")
        encoder = self.encoder  # refused before anything is written
        changes = Changes()
        total = len(documents) if isinstance(documents, Sized) else None
        # As in Encoder.encode: quiet off a terminal, and for what is soon done.
        bar_of: dict[str, Any] = {"disable": None, "delay": 2}
        if progress is not None:
            bar_of = {"disable": not progress}

        def encode(texts: list[str]) -> NDArray[np.float32]:
            return encoder.encode_document(texts, normalize=self.normalize, show_progress=False)

        with self._written() as writer, tqdm(total=total, unit=" documents", **bar_of) as bar:
            for block in blocks(documents):
                changes += writer.put(block, encode, replace=replace)
                bar.update(len(block))
        return changes

    def delete(self, ids: Iterable[str] | None = None, *, where: Where | None = None) -> int:
        """Delete documents, in one commit; return how many there were.

        Args:
            ids: What they are called; unknown ones are ignored.
            where: Conditions that they meet; with `ids`, those that are called so and meet them.

        Raises:
            ValueError: Neither, or a condition that cannot be understood.
            OSError: As in `add`; nothing was deleted.
        """
        if ids is None and where is None:
            raise ValueError("delete needs ids or where; where={} deletes all")
        wanted = None if ids is None else _ids(ids)
        with self._written() as writer:
            return writer.delete(wanted, where)

    def compact(self) -> None:
        """Build all vectors together again, without those of deleted and replaced documents.

        As `Index.compact`; searches of many segments become faster. The database gives back what
        deleted documents held.

        Raises:
            OSError: As in `add`; nothing was changed.
        """
        with self._written() as writer:
            writer.compact()
            self._documents.shrink()

    def tune(self, queries: Sequence[str] | None = None, k: int = 10) -> Curve:
        """Measure what recall costs for `k` results, for `target_recall`; return it.

        Args:
            queries: Real questions, as in `Index.tune`.
            k: As in `Index.tune`.

        Raises:
            OSError: As in `add`; nothing was changed.
        """
        rows = None
        if queries is not None:
            rows = self.encoder.encode_query(queries, normalize=self.normalize)
        with self._written() as writer:
            return Curve.of(*writer.tune(rows, k))

    @contextmanager
    def _written(self) -> Iterator[Writer]:
        """Be the one writer for the time of the block."""
        if self._read_only:
            raise OSError(
                f"{self.path}: open for reading only; open it without read_only to change it"
            )
        me = threading.get_ident()
        if self._writer == me:
            raise RuntimeError("a collection cannot be changed by the documents that go into it")
        with self._writing:
            self._writer = me
            try:
                known = None if self._latest is None else self._latest[1]._core
                writer = Writer(self._documents, self.path / VECTORS, known, self._threads)
                try:
                    yield writer
                finally:
                    writer.close()
            finally:
                self._writer = None

    def close(self) -> None:
        """Close the files; the collection can no longer be used."""
        self._documents.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Collection({str(self.path)!r})"


def _ids(ids: Iterable[str]) -> list[bytes]:
    if isinstance(ids, str):
        raise TypeError("ids must be several, such as a list of them; got one str")
    wanted = list(ids)
    if wrong := [one for one in wanted if not isinstance(one, str)]:
        raise TypeError(f"ids must be str; got {type(wrong[0]).__name__}")
    return [stored(one) for one in wanted]
