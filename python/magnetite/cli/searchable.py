"""A searchable folder: documents, an index of their vectors, and which encoder made them.

documents.jsonl, documents.starts.npy   what was given, and where each document begins
index/                                  their vectors; the id of a vector is the document's row
searchable.json                         written last: a folder without it is not finished
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from magnetite._core import FormatError
from magnetite.cli.documents import Document, Documents, write_documents
from magnetite.cli.vectors import Texts, Written, beside, write_vectors
from magnetite.evaluate.beir import Corpus
from magnetite.evaluate.retrieve import comparable
from magnetite.index import Index

if TYPE_CHECKING:
    from magnetite.encode import Encoder

_FORMAT = 1
_MANIFEST, _INDEX, _VECTORS = "searchable.json", "index", "vectors.npy"


@dataclass(frozen=True)
class Manifest:
    """What the folder says of itself; `model` is null for the built-in encoder."""

    model: str | None
    encoder: str
    documents: int
    format: int = _FORMAT


@dataclass(frozen=True)
class Hit:
    """A document and how well it answers."""

    document: Document
    score: float

    def as_json(self) -> dict[str, Any]:
        """Return the fields that `--json` shows."""
        return {"score": self.score} | asdict(self.document)


def build(
    folder: Path,
    corpus: Corpus,
    encoder: "Encoder",
    *,
    model: Path | None,
    kind: Literal["flat", "ivf"] | None,
    storage: Literal["f32", "f16", "int8"],
    threads: int | None,
) -> Written:
    """Fill the folder; go on from an earlier, killed run of the same corpus and encoder.

    Raises:
        FileExistsError: The folder already holds a finished index.
    """
    if (folder / _MANIFEST).exists():
        raise FileExistsError(f"{folder} already holds an index; remove it or give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_documents(folder, corpus)
    metric, normalize = comparable(encoder)
    written = write_vectors(
        Texts.of(corpus.passages),
        lambda texts: encoder.encode_document(texts, normalize=normalize, show_progress=False),
        folder / _VECTORS,
        encoder=encoder.fingerprint,
        dim=encoder.dim,
        keep_journal=True,
    )
    vectors = np.load(folder / _VECTORS, mmap_mode="r")
    index = Index.build(
        vectors,
        metric=metric,
        kind=kind,
        storage=storage,
        threads=threads,
        encoder=encoder.fingerprint,
    )
    index.save(folder / _INDEX)
    said = Manifest(
        None if model is None else str(model.resolve()), encoder.fingerprint, len(corpus)
    )
    _write_last(folder / _MANIFEST, json.dumps(asdict(said), indent=2) + "\n")
    (folder / _VECTORS).unlink()
    beside(folder / _VECTORS)[1].unlink()
    return written


class Searchable:
    """A finished folder, opened."""

    def __init__(self, folder: Path) -> None:
        """Open the folder.

        Raises:
            FormatError: It is not a finished searchable folder, or its parts do not fit.
        """
        self.manifest = _manifest(folder)
        self.documents = Documents(folder)
        self.index = Index.open(folder / _INDEX, verify="lazy")
        sizes = {self.manifest.documents, len(self.documents), len(self.index)}
        if len(sizes) != 1:
            raise FormatError(f"{folder}: its parts disagree on the number of documents: {sizes}")

    def model(self) -> Path | None:
        """Return where the encoder that filled the folder is; None is the built-in one.

        Raises:
            FileNotFoundError: It has gone.
        """
        if self.manifest.model is None:
            return None
        path = Path(self.manifest.model)
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: the encoder that filled the folder has gone; say where it is with --model"
            )
        return path

    def search(
        self, queries: Sequence[str], k: int, encoder: "Encoder", *, threads: int | None = None
    ) -> list[list[Hit]]:
        """Return the best `k` documents for each query.

        Raises:
            ValueError: Another encoder filled the folder.
        """
        vectors = encoder.encode_query(queries, normalize=comparable(encoder)[1])
        hits = self.index.search(vectors, k=k, encoder=encoder.fingerprint, threads=threads)
        return [
            self._read(ids[:count], scores[:count])
            for ids, scores, count in zip(hits.ids, hits.scores, hits.counts, strict=True)
        ]

    def _read(self, rows: Sequence[int], scores: Sequence[float]) -> list[Hit]:
        pairs = zip(rows, scores, strict=True)
        return [Hit(self.documents[int(row)], float(score)) for row, score in pairs]


def _manifest(folder: Path) -> Manifest:
    path = folder / _MANIFEST
    if not path.exists():
        unfinished = beside(folder / _VECTORS)[1].exists()
        remedy = (
            "an unfinished one; run the same `magnetite index` again"
            if unfinished
            else "build one with `magnetite index CORPUS -o DIR`"
        )
        raise FormatError(f"{folder}: not a searchable folder (no {_MANIFEST}): {remedy}")
    try:
        said = Manifest(**json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise FormatError(f"{path}: not a manifest: {error}") from error
    if said.format != _FORMAT:
        raise FormatError(f"{path}: expected format {_FORMAT}, got {said.format}")
    return said


def _write_last(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
