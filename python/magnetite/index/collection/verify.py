"""Whether both sides of a collection hold, and say the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from magnetite import _core
from magnetite._core import FormatError
from magnetite.index.collection.document import Document, Record, record_of, restored
from magnetite.index.collection.where import fields_of

if TYPE_CHECKING:
    from pathlib import Path

    from magnetite.index.collection.documents import Documents, Snapshot


@dataclass(frozen=True)
class VerifiedCollection:
    """What `Collection.verify` found whole."""

    directory: str
    documents: int
    deleted: int
    """Vectors of deleted and replaced documents that still lie in a segment."""
    segments: int

    def __str__(self) -> str:
        parts = "1 segment" if self.segments == 1 else f"{self.segments} segments"
        gone = f"{self.deleted} deleted vectors"
        return f"{self.directory}: verified; {self.documents} documents, {gone}, {parts}"


def verify(documents: Documents, vectors: Path, threads: int | None) -> VerifiedCollection:
    """Return what there is.

    Raises:
        FormatError: Something does not hold.
    """
    with documents.reading() as snapshot:
        for fault in snapshot.faults():
            raise FormatError(f"{documents.path}: damaged ({fault}); restore or rebuild")
        manifest = snapshot.state().manifest
        try:
            found, deleted, segments = _core.Index.verify_as(vectors, manifest, threads)
        except FileNotFoundError as error:
            raise FormatError(f"{error.filename}: missing; restore or rebuild") from error
        index = _core.Index.open_as(vectors, manifest, None, writable=False)
        try:
            rows = _documents(snapshot)
        except ValueError as error:
            raise FormatError(f"{documents.path}: {error}; restore or rebuild") from error
        if not np.array_equal(rows, np.asarray(index.ids)):
            said = f"{len(rows)} documents, but {found} vectors, or of other documents"
            raise FormatError(f"{documents.path}: {said}; restore or rebuild")
    return VerifiedCollection(str(vectors.parent), found, deleted, segments)


def _documents(snapshot: Snapshot) -> list[int]:
    """Return the rows of all documents, each of which is what was stored."""
    fields = groupby(snapshot.fields(), key=lambda field: field[0])
    seen = next(fields, None)
    rows = []
    for row, record in snapshot.records():
        document = _document(record)
        name = row if document is None else document.id
        if document is None or record_of(document, document.passage) != record:
            raise ValueError(f"document {name!r} (row {row}) is not what was stored")
        if seen is not None and seen[0] < row:
            break
        said = set(fields_of(document.metadata))
        got = set()
        if seen is not None and seen[0] == row:
            got = {(field, kind, value) for _, field, kind, value in seen[1]}
            seen = next(fields, None)
        if said != got:
            raise ValueError(f"conditions do not see the metadata of document {name!r}")
        rows.append(row)
    if seen is not None:
        raise ValueError(f"conditions see row {seen[0]}, which is no document")
    return rows


def _document(record: Record) -> Document | None:
    try:
        name, text, title = map(restored, (record.id, record.text, record.title))
        held = json.loads(record.metadata)
        return Document(name, text, title, held) if isinstance(held, dict) else None
    except (ValueError, TypeError, AttributeError, RecursionError):  # of another type, perhaps
        return None
