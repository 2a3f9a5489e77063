"""The compiled engine. Strict: it converts nothing; the Python packages above it are polite."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CurSearch",
    "CurSolver",
    "FormatError",
    "Index",
    "StaticEncoder",
    "Tokenizer",
    "Tokens",
    "pack",
    "read_metadata",
    "read_tensors",
    "resolve_threads",
]

class FormatError(ValueError):
    """A file is not what it should be: truncated, changed, of another kind or version."""

# k, queries, whether they are stored vectors, rows then, rows changed since, points: recall, what is
# sure, codes, rows, probes, rescore, slack
_Point = tuple[float, float, int, int, int, int, float | None]
_Curve = tuple[int, int, bool, int, int, list[_Point]]

@final
class CurSolver:
    """A ridge regression that takes its rows one after the other."""

    def __new__(cls, dim: int, ridge: float, noise: float, tolerance: float) -> CurSolver:
        """No rows of `dim` numbers; ε is `ridge` mean squared lengths of the first rows, plus `noise`."""
    def append(self, rows: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
        """Learn that the rows scored so."""
    def solution(self) -> NDArray[np.float64]:
        """Return what explains the scores."""
    @property
    def rank(self) -> int:
        """How many directions the rows have."""

_Picks = Sequence[NDArray[np.int64] | list[str] | NDArray[np.bool_]]
# probes, rescore, slack
_Effort = tuple[int | None, int | None, float | None]

@final
class CurSearch:
    """The search of a batch of queries, between two rounds."""

    def __new__(
        cls,
        index: Index,
        count: int,
        *,
        init: Sequence[NDArray[np.int64] | list[str]],
        vectors: NDArray[np.float64] | None,
        toward: bool,
        rounds: Sequence[tuple[int, float | None]],
        ridge: float,
        noise: float,
        weight: float,
        seed: int,
        only: _Picks,
        exclude: _Picks,
    ) -> CurSearch:
        """A search of `index` for `count` queries."""
    def ask(
        self, *, only: _Picks, exclude: _Picks, effort: _Effort, threads: int | None
    ) -> tuple[NDArray[np.int64] | list[str], NDArray[np.int64]] | None:
        """Return the ids to score next, query after query, and how many each has; None once it is over."""
    def tell(self, scores: NDArray[np.float64]) -> None:
        """Take the scores of what was asked for."""
    def best(
        self, k: int, threads: int | None
    ) -> tuple[
        NDArray[np.int64] | list[str | None],
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.int64],
    ]:
        """Return ids, scores and estimates of the `k` best, and how many each query has."""
    def rest(
        self, k: int, *, only: _Picks, exclude: _Picks, effort: _Effort, threads: int | None
    ) -> tuple[NDArray[np.int64] | list[str | None], NDArray[np.float32], NDArray[np.int64]]:
        """Return ids and estimates of the `k` best that were not scored, and how many each query has."""
    def vectors(self, threads: int | None) -> NDArray[np.float64]:
        """Return what every query became in the space of the factors."""

@final
class Index:
    """An index over dense vectors: a snapshot for searches, and whoever may replace it."""

    @staticmethod
    def build(
        vectors: NDArray[np.float32],
        ids: NDArray[np.int64] | list[str] | None,
        *,
        metric: str,
        kind: str | None,
        lists: int | None,
        parts: int | None,
        storage: str,
        encoder: str | None,
        seed: int,
        threads: int | None,
    ) -> Index:
        """Return an index of `vectors`; `ids` is None, an int64 array, or a list of str."""
    @staticmethod
    def open(path: Path, full: bool, writable: bool) -> Index:
        """Return the index at `path`; `full` compares every checksum now, `writable` takes the lock."""
    @staticmethod
    def verify(path: Path, threads: int | None) -> tuple[int, int, int]:
        """Return rows, deleted rows and segments of the index at `path`, of which everything holds."""
    @staticmethod
    def open_as(path: Path, manifest: str, known: Index | None, writable: bool) -> Index:
        """Return the index of segments at `path` that `manifest`, which the caller keeps, describes."""
    @staticmethod
    def verify_as(path: Path, manifest: str, threads: int | None) -> tuple[int, int, int]:
        """Return what `verify` does, of the index that `manifest` describes."""
    def prepare(self) -> str:
        """Write down what was changed; return the manifest of it, for a caller who keeps that."""
    def settle(self, manifest: str) -> None:
        """Remove what `manifest`, which the caller keeps from now on, does not name."""
    def begin_at(self, path: Path) -> Index:
        """Return this index as it will be at `path` once it is committed; the lock is taken now."""
    def save(self, path: Path) -> None:
        """Make the directory `path` hold this index, in one step that happens or does not."""
    def refresh(self) -> bool:
        """See what was committed since; return whether anything was."""
    def add(
        self,
        vectors: NDArray[np.float32],
        ids: NDArray[np.int64] | list[str] | None,
        threads: int | None,
    ) -> None:
        """Add rows; `ids` as in `build`."""
    def upsert(
        self, vectors: NDArray[np.float32], ids: NDArray[np.int64] | list[str], threads: int | None
    ) -> None:
        """Add rows in place of those that are called so."""
    def delete(self, ids: NDArray[np.int64] | list[str]) -> int:
        """Delete the rows that are called so; return how many there were."""
    def compact(self, threads: int | None = None) -> None:
        """Build all rows together."""
    def close(self) -> None:
        """Give the lock back."""
    def begin_batch(self) -> None:
        """Keep changes back until `end_batch`."""
    def end_batch(self, keep: bool) -> None:
        """Commit what was changed since `begin_batch`, or forget it."""
    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        probes: int | None,
        rescore: int | None,
        slack: float | None,
        target_recall: float | None,
        only: Sequence[NDArray[np.int64] | list[str] | NDArray[np.bool_]],
        exclude: Sequence[NDArray[np.int64] | list[str] | NDArray[np.bool_]],
        min_score: float | None,
        dim: int | None,
        threads: int | None,
    ) -> tuple[
        NDArray[np.int64] | list[str | None],
        NDArray[np.float32],
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.int64],
    ]:
        """Return ids, scores `[n, k]`, and for each query its results, codes compared, rows scored."""
    def explain(
        self,
        query: NDArray[np.float32],
        k: int,
        *,
        probes: int | None,
        rescore: int | None,
        slack: float | None,
        target_recall: float | None,
        only: Sequence[NDArray[np.int64] | list[str] | NDArray[np.bool_]],
        exclude: Sequence[NDArray[np.int64] | list[str] | NDArray[np.bool_]],
    ) -> tuple[
        int | None,
        int | None,
        float | None,
        list[tuple[int, int | None, list[int], int, int, int]],
    ]:
        """Return probes, rescore, slack, and for each segment what a search did in it."""
    def tune(self, queries: NDArray[np.float32] | None, k: int, threads: int | None) -> _Curve:
        """Measure what recall costs for `k` results and keep it with the index; return it."""
    def learn(self, k: int, threads: int | None) -> None:
        """Measure what recall costs for `k` results, on stored vectors, unless that is known."""
    def curve(self, k: int) -> _Curve | None:
        """Return what recall costs for `k` results, if that is known."""
    def is_stale(self, k: int) -> bool | None:
        """Return whether what is known for `k` results is old, or None if nothing is."""
    def get(self, ids: NDArray[np.int64] | list[str]) -> NDArray[np.float32]:
        """Return the vectors of the rows that are called so."""
    def contains(self, ids: NDArray[np.int64] | list[str]) -> NDArray[np.bool_]:
        """Return for each id whether a row is called so."""
    def __len__(self) -> int: ...
    @property
    def ids(self) -> NDArray[np.int64] | list[str]:
        """Every id, ascending."""
    @property
    def id_kind(self) -> Literal["numbers", "text"]:
        """`numbers` or `text`."""
    @property
    def dim(self) -> int:
        """Numbers in a row."""
    @property
    def lists(self) -> int | None:
        """Lists that the rows are in, or None if every search looks at all rows."""
    @property
    def segments(self) -> int:
        """Segments that the rows are in."""
    @property
    def dead(self) -> int:
        """Rows that are deleted but still lie in a segment."""
    @property
    def metric(self) -> Literal["dot", "cosine", "l2"]:
        """`dot`, `cosine` or `l2`."""
    @property
    def storage(self) -> Literal["f32", "f16", "int8"]:
        """`f32`, `f16` or `int8`."""
    @property
    def encoder(self) -> str | None:
        """The fingerprint of the encoder that made the vectors, or None."""

def resolve_threads(threads: int | None = None) -> int:
    """Return the number of threads a call will use: `threads`, else `MAGNETITE_NUM_THREADS`, else the CPUs at hand."""

# as `magnetite.text.sources` makes them: str, rows of code points, Arrow's offsets and bytes
_Texts = (
    list[str]
    | Iterator[str]
    | NDArray[np.uint32]
    | tuple[tuple[NDArray[np.int32] | NDArray[np.int64], NDArray[np.uint8]], ...]
)

@final
class Tokenizer:
    """A tokenizer as its `tokenizer.json` defines it."""

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Tokenizer:
        """Read a `tokenizer.json`."""

    @staticmethod
    def from_json(json: str) -> Tokenizer:
        """Take the text of a `tokenizer.json`."""

    def to_json(self) -> str:
        """Return the text of the `tokenizer.json` that this tokenizer was made from."""

    @property
    def engine(self) -> str:
        """What turns text into ids: the family of the fast path, or "tokenizers" for Hugging Face's."""

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a token, or None."""

    def id_to_token(self, token_id: int) -> str | None:
        """Return the token of an id, or None."""

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        """Return the text of some ids."""

    def encode_batch(
        self,
        texts: _Texts,
        max_tokens: int | None,
        special_tokens: bool,
        offsets: bool,
        threads: int | None,
    ) -> Tokens:
        """Return the ids of every text, in order."""

    def encode_pairs(
        self,
        first: _Texts,
        second: _Texts,
        max_tokens: int | None,
        strategy: str | None,
        special_tokens: bool,
        offsets: bool,
        threads: int | None,
    ) -> Tokens:
        """Return the ids of every pair of texts, one row a pair; one first text counts for all."""

    def chunk(
        self,
        texts: list[str],
        prefixes: list[str],
        max_tokens: int,
        overlap: int,
        threads: int | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return windows of texts: documents, spans, tokens, and the length of each document's prefix."""

    def encode_padded(
        self,
        texts: _Texts,
        max_tokens: int | None,
        special_tokens: bool,
        threads: int | None,
        out: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the ids of every text as one rectangle and one of ones and zeros, new or in `out`."""

@final
class Tokens:
    """The ids of some texts, one row a text; its arrays cannot be written to."""

    @property
    def ids(self) -> NDArray[np.int32]:
        """Every row's ids, row after row."""

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where each row begins, and where the last ends."""

    @property
    def truncated(self) -> NDArray[np.int64]:
        """The rows that were cut."""

    @property
    def offsets(self) -> NDArray[np.int64] | None:
        """First character and the one after the last of each id, if asked for."""

    @property
    def type_ids(self) -> NDArray[np.int32] | None:
        """The type of each id, of rows of pairs."""

    def __len__(self) -> int: ...
    def padded_type_ids(self) -> NDArray[np.int64]:
        """Return the types of all ids as a rectangle of the shape of `padded`."""

    def fill_type_ids(self, rows: NDArray[np.int64], width: int) -> NDArray[np.int64]:
        """Return the types of the ids of some rows as a rectangle of the shape of `fill`."""

    def padded(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return all rows as one rectangle of ids and one of ones and zeros."""

    def fill(
        self, rows: NDArray[np.int64], width: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return some rows as rectangles of a given width."""

def pack(
    lengths: NDArray[np.int64], batch_tokens: int, max_tokens: int
) -> list[tuple[NDArray[np.int64], int]]:
    """Batches of rows of like length."""

@final
class StaticEncoder:
    """A vector for each token, a weight for each token: their weighted sum, normalised."""

    @staticmethod
    def load(path: str | os.PathLike[str]) -> StaticEncoder:
        """Read the `table`, `scale` and `weight` of a safetensors file."""

    @property
    def dim(self) -> int:
        """Numbers in a vector."""

    @property
    def vocab_size(self) -> int:
        """How many tokens have a vector."""

    def encode(
        self, ids: NDArray[np.int32], starts: NDArray[np.int64], threads: int | None
    ) -> NDArray[np.float32]:
        """Return one unit vector a row of ids, zeros for a row without."""

    def encode_texts(
        self,
        tokenizer: Tokenizer,
        texts: list[str],
        max_tokens: int | None,
        threads: int | None,
        out: NDArray[np.float32],
    ) -> tuple[int, NDArray[np.int64]]:
        """Write one unit vector a text to `out`; return how many tokens there were, and the rows cut."""

def read_tensors(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Return the tensors of a safetensors file by name."""

def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the notes that a safetensors file carries."""
