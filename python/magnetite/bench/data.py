"""What is searched, what is asked, and the right answers."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magnetite.index import Index

Floats = NDArray[np.float32]
Found = NDArray[np.int64]

MOST_QUERIES = 5_000
TRUTH = 100  # neighbours kept of each query


@dataclass(frozen=True)
class Data:
    """Vectors, queries and the places of each query's nearest vectors."""

    name: str
    vectors: Floats  # [n, dim], of length 1
    queries: Floats  # [m, dim], of length 1
    truth: Found  # [m, at least k], best first

    def fingerprint(self) -> str:
        """Return a name for the vectors that no others have."""
        return _digest(self.vectors)

    def asked(self) -> str:
        """Return a name for the queries and their answers."""
        return _digest(self.queries) + _digest(self.truth)

    def recall(self, ids: Found, k: int) -> float:
        """Return the part of the true `k` that `ids` hold, over the first `len(ids)` queries."""
        truth = self.truth[: len(ids), :k]
        return float((ids[:, :, None] == truth[:, None, :]).any(axis=1).mean())


def _digest(array: NDArray[Any]) -> str:
    digest = hashlib.blake2b(repr(array.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def load(vectors: Path, queries: Path | None, truth: Path | None, threads: int) -> Data:
    """Read .npy files; without queries, some of the vectors ask for the others.

    Without `truth` the right answers are found by exact search.

    Raises:
        ValueError: Shapes that do not fit together.
    """
    rows = normalized(np.load(vectors, mmap_mode="r"))
    if queries is None:
        step = max(10, len(rows) // 2_000)
        asked = np.zeros(len(rows), dtype=bool)
        asked[::step] = True
        rows, questions = np.ascontiguousarray(rows[~asked]), rows[asked]
        if truth is not None:
            raise ValueError("the right answers need their queries; give both files")
    else:
        questions = normalized(np.load(queries, mmap_mode="r"))
    questions = questions[:MOST_QUERIES]
    if questions.shape[1] != rows.shape[1]:
        raise ValueError(
            f"queries must have the vectors' {rows.shape[1]} columns; got {questions.shape[1]}"
        )
    if truth is None:
        answers = nearest(rows, questions, TRUTH, threads)
    else:
        answers = np.load(truth)[: len(questions)].astype(np.int64)
        if len(answers) != len(questions) or answers.max() >= len(rows):
            raise ValueError(
                f"the right answers must be {len(questions)} rows of numbers below {len(rows)}; "
                f"got {answers.shape}, highest {answers.max()}"
            )
    return Data(vectors.stem, rows, questions, answers)


def prose(folder: Path) -> Data:
    """Return the prose set: MiniLM vectors of text, and questions."""
    return Data(
        "prose",
        normalized(np.load(folder / "base.f16.npy")),
        normalized(np.load(folder / "query.f16.npy")),
        np.load(folder / "gt100.i32.npy").astype(np.int64),
    )


def centres(n: int = 100_000, dim: int = 384, threads: int = 1) -> Data:
    """Return rows around random centres: for where there is nothing real."""
    rng = np.random.default_rng(0)
    means = 1.5 * rng.standard_normal((500, dim))
    near = means[rng.integers(500, size=n + 2_000)] + rng.standard_normal((n + 2_000, dim))
    rows = normalized(near)
    vectors, queries = rows[:n], rows[n:]
    return Data("centres", vectors, queries, nearest(vectors, queries, TRUTH, threads))


def nearest(vectors: Floats, queries: Floats, k: int, threads: int) -> Found:
    """Return the places of the `k` nearest vectors by exact search."""
    index = Index.build(vectors, kind="flat", threads=threads)
    found: Found = index.search(queries, k, threads=threads).ids
    return found


def normalized(rows: NDArray[Any]) -> Floats:
    """Return rows of length 1, for which dot, cosine and l2 agree."""
    wide = np.array(rows, dtype=np.float32)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide
