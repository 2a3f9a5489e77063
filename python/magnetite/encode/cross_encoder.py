"""Two texts in, one score out."""

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from magnetite import _core
from magnetite._core import FormatError
from magnetite.encode.artifact import CROSS_ENCODER, TOKENIZER, Artifact
from magnetite.encode.engines import (
    BATCH_TOKENS,
    Batch,
    Done,
    Filling,
    OnnxEngine,
    Progress,
    Ragged,
    Window,
    runs,
)
from magnetite.encode.frame import Cut
from magnetite.encode.pairs import Pair, Pairing
from magnetite.encode.session import run_batches
from magnetite.text import Tokenizer

Scores = NDArray[np.float32]
Activation = Literal["none", "sigmoid"]
log = logging.getLogger(__name__)


class Ranked(TypedDict):
    """A document's place in the list that was given, and its score."""

    corpus_id: int
    score: float
    text: NotRequired[str]


class CrossEncoder:
    """A sealed cross-encoder, ready to run on this machine: a higher score is a better match.

    One may be used from several threads at once, after `fork`, and after pickling, as an `Encoder`.
    """

    def __init__(
        self, artifact: Artifact, *, threads: int | None = None, cut: Cut = "document"
    ) -> None:
        self.artifact = artifact
        self.threads = _core.resolve_threads(threads)
        self.truncated = 0
        """Pairs cut to `max_tokens` since the cross-encoder was loaded; the first is logged."""
        self._count = threading.Lock()
        self._asked = (threads, cut)
        tokenizer = Tokenizer.load(artifact.directory / TOKENIZER)
        self.pairing = Pairing.of(tokenizer, self.max_tokens, cut=cut, threads=self.threads)
        self.engine = OnnxEngine(artifact, tokenizer, self.threads)

    @classmethod
    def load(
        cls,
        directory: str | os.PathLike[str],
        threads: int | None = None,
        *,
        cut: Cut = "document",
    ) -> "CrossEncoder":
        """Return the cross-encoder of an artifact.

        Args:
            directory: What `magnetite export` or `magnetite train` wrote.
            threads: For the tokenizer and the engine alike; else `MAGNETITE_NUM_THREADS`, else
                the CPUs at hand.
            cut: Which text of a pair that is too long loses its end: the `document`, as long as a
                token of it is left; or the `longest`, until both are alike.

        Raises:
            FormatError: A file is missing, truncated or changed.
            ValueError: The artifact is an encoder; `cut` is neither of the two.
        """
        if cut not in ("document", "longest"):
            raise ValueError(f"cut is {cut!r}; wanted 'document' or 'longest'")
        return cls(Artifact.load(directory, kind=CROSS_ENCODER), threads=threads, cut=cut)

    @property
    def max_tokens(self) -> int:
        """Tokens kept of a pair, special tokens included."""
        return self.artifact.manifest.max_tokens

    @property
    def fingerprint(self) -> str:
        """Names the cross-encoder: equal fingerprints give equal scores to equal pairs."""
        return self.artifact.fingerprint

    def predict(
        self,
        pairs: Pair | Sequence[Pair],
        *,
        activation: Activation = "none",
        batch_tokens: int = BATCH_TOKENS,
        show_progress: bool | None = None,
    ) -> Any:  # noqa: ANN401 - an array, or a number for a single pair
        """Return the score of each pair, in order; for a single pair, its score.

        A score does not depend on the pairs scored with it (1e-6 of the largest or of 1, float32).

        Args:
            pairs: A query and a document, or a sequence of them.
            activation: `none` gives the model's own numbers, `sigmoid` squeezes them into (0, 1).
            batch_tokens: Tokens in a batch, padding included. Changes speed, never scores.
            show_progress: None shows a bar on a terminal when the work is long.

        Returns:
            float32 scores, [n], or one number.

        Raises:
            TypeError: A pair is not two strings; its place is named.
            ValueError: The activation is unknown.
        """
        if activation not in ("none", "sigmoid"):
            raise ValueError(f"activation is {activation!r}; wanted 'none' or 'sigmoid'")
        if batch_tokens < 1:
            raise ValueError(f"batch_tokens is {batch_tokens}; wanted at least 1")
        single = _is_pair(pairs)
        listed = _checked([pairs] if single else pairs)
        hidden = None if show_progress is None else not show_progress
        delay = 2 if show_progress is None else 0
        with tqdm(total=len(listed), unit="pair", disable=hidden, delay=delay) as bar:

            def heard(done: Done) -> None:
                bar.update(done.texts)
                self._tell_truncated(done.truncated)

            scores = self._scored(listed, batch_tokens, heard)
        if activation == "sigmoid":
            scores = sigmoid(scores.astype(np.float64)).astype(np.float32)
        return float(scores[0]) if single else scores

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        *,
        return_documents: bool = False,
        activation: Activation = "none",
        show_progress: bool | None = None,
    ) -> list[Ranked]:
        """Return the documents' numbers and scores, best first; equal scores by lower number.

        Args:
            query: What is asked.
            documents: What is ranked.
            top_k: How many to return; None for all.
            return_documents: Give each document's `text` too.
            activation: As `predict` takes it.
            show_progress: As `predict` takes it.

        Raises:
            TypeError: The query or a document is not a string.
            ValueError: `top_k` is below 1, or as `predict`.
        """
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k is {top_k}; wanted at least 1, or None for all")
        if isinstance(documents, str):
            raise TypeError("documents must be a sequence of str; got a single str")
        listed = list(documents)
        scores = self.predict(
            list(zip(repeat(query), listed, strict=False)),
            activation=activation,
            show_progress=show_progress,
        )
        found: list[Ranked] = []
        for place in np.argsort(-scores, kind="stable")[:top_k]:
            one = Ranked(corpus_id=int(place), score=float(scores[place]))
            if return_documents:
                one["text"] = listed[place]
            found.append(one)
        return found

    def score(self, query: str, items: Sequence[str]) -> Scores:
        """Return the raw score of each item for one query, [n] float32."""
        return self.pairs([query] * len(items), items)

    def pairs(self, queries: Sequence[str], items: Sequence[str]) -> Scores:
        """Return the raw score of each query with the item at its place, [n] float32.

        Raises:
            ValueError: There are not as many items as queries.
        """
        if len(queries) != len(items):
            raise ValueError(f"{len(queries)} queries and {len(items)} items; wanted one for one")
        scores: Scores = self.predict(list(zip(queries, items, strict=True)), show_progress=False)
        return scores

    def batches(self, window: Sequence[Pair], filling: Filling, batch_tokens: int) -> list[Batch]:
        """Tokenize and pack the pairs of a window; at least one batch if it has any."""
        rows, truncated = self.pairing.rows(window)
        return self.engine.pack(filling, rows, truncated, batch_tokens)

    def score_rows(self, rows: Ragged, *, beside: bool = False) -> Scores:
        """Return the scores of pairs that are tokens already, [n, 1].

        Args:
            rows: What `pairing.rows` gives.
            beside: The rows are one batch, of like length, and other threads have others: each is
                run by one thread, as many at a time as there are. Ctrl-C waits for it.
        """
        out = np.empty((len(rows.starts) - 1, 1), np.float32)
        self.engine.run(rows, out, beside=beside)
        return out

    def _scored(self, pairs: Sequence[Pair], batch_tokens: int, heard: Progress) -> Scores:
        out = np.empty((len(pairs), 1), np.float32)
        lock = threading.Lock()

        def packed() -> Iterator[list[Batch]]:
            start = 0
            for window in runs(pairs, lambda pair: pair[1]):
                rows = out[start : start + len(window)]
                start += len(window)
                yield self.batches(window, Filling(Window([], rows), lock, heard), batch_tokens)

        source = packed()
        if first := next(source, None):
            run_batches(self.engine.session(first), _before(first, source))
        return out[:, 0]

    def _tell_truncated(self, count: int) -> None:
        if not count:
            return
        with self._count:
            first, self.truncated = self.truncated == 0, self.truncated + count
        if first:
            log.warning(
                "pairs over %d tokens lose an end, %d of them so far; CrossEncoder.truncated "
                "counts on",
                self.max_tokens,
                count,
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.artifact.directory, self.fingerprint, *self._asked)

    def __repr__(self) -> str:
        return (
            f"CrossEncoder({str(self.artifact.directory)!r}, max_tokens={self.max_tokens}, "
            f"threads={self.threads})"
        )


def _reopen(directory: Path, fingerprint: str, threads: int | None, cut: Cut) -> CrossEncoder:
    found = CrossEncoder.load(directory, threads, cut=cut)
    if found.fingerprint != fingerprint:
        raise FormatError(
            f"{directory} holds cross-encoder {found.fingerprint[:12]}…, not {fingerprint[:12]}…, "
            "which was pickled; put the old artifact back, or pickle the cross-encoder again"
        )
    return found


def _before(first: list[Batch], rest: Iterator[list[Batch]]) -> Iterator[list[Batch]]:
    yield first
    yield from rest


def sigmoid(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + e^-s), which never overflows."""
    small = np.exp(-np.abs(scores))
    found: NDArray[np.float64] = np.where(scores < 0, small, 1.0) / (1 + small)
    return found


def _is_pair(value: object) -> bool:
    """Whether it is two strings: a list of two pairs is not."""
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(isinstance(text, str) for text in value)
    )


def _checked(pairs: Iterable[Any]) -> list[Pair]:
    """Return the pairs as a list, or say which of them is none."""
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        kind = type(pairs).__name__
        raise TypeError(f"pairs must be a sequence of (query, document); got {kind}")
    listed = list(pairs)
    for place, pair in enumerate(listed):
        if not _is_pair(pair):
            raise TypeError(f"pairs[{place}] must be two str, query and document; got {pair!r:.80}")
    return listed
