"""The documents of a searchable folder: JSON lines and where each begins; read one at a time."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from magnetite._core import FormatError
from magnetite.evaluate.beir import Corpus

_LINES, _STARTS = "documents.jsonl", "documents.starts.npy"


@dataclass(frozen=True)
class Document:
    """One document as it was given."""

    id: str
    title: str
    text: str

    @property
    def passage(self) -> str:
        """What an encoder reads."""
        return f"{self.title} {self.text}".strip()


def write_documents(folder: Path, corpus: Corpus) -> None:
    """Write the corpus into the folder."""
    starts = np.zeros(len(corpus) + 1, np.int64)
    with (folder / _LINES).open("wb") as stream:
        rows = zip(corpus.ids, corpus.titles, corpus.texts, strict=True)
        for row, (name, title, text) in enumerate(rows):
            line = json.dumps({"_id": name, "title": title, "text": text}).encode() + b"\n"
            starts[row + 1] = starts[row] + stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())
    np.save(folder / _STARTS, starts)


class Documents:
    """The documents of a folder, by row number."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _LINES
        self._starts = np.load(folder / _STARTS, mmap_mode="r")
        if self._starts[-1] != self._path.stat().st_size:
            raise FormatError(f"{self._path}: not as long as {_STARTS} says; build the index anew")

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, row: int) -> Document:
        with self._path.open("rb") as stream:
            stream.seek(self._starts[row])
            fields = json.loads(stream.readline())
        return Document(fields["_id"], fields["title"], fields["text"])

    def __iter__(self) -> Iterator[Document]:
        with self._path.open("rb") as stream:
            for line in stream:
                fields = json.loads(line)
                yield Document(fields["_id"], fields["title"], fields["text"])
