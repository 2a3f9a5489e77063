"""What turns texts into vectors: ONNX Runtime over batches of like length, or Rust."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from magnetite import _core
from magnetite.encode.artifact import WEIGHTS, Artifact
from magnetite.encode.session import Cells, Session, Vectors, run_batches
from magnetite.text import Tokenizer, Tokens, pack

BATCH_TOKENS = 512
"""One thread's activations stay near it; docs/benchmarks.md says what was measured."""
ENOUGH_TOKENS = 512
"""For one thread to have batches of its own; fewer are shared by all."""
BATCHES_A_THREAD = 4
"""Of so many, at least, the longest first, threads end at about the same time."""
WINDOW_TEXTS = 8_192
"""Texts tokenized, sorted and packed at a time: bounds memory, and padding loses nothing."""
WINDOW_CHARS = 1 << 21
"""The same for long texts."""


NONE = np.zeros(0, np.int64)
Item = TypeVar("Item")


@dataclass
class Done:
    """What was done, a batch or more."""

    texts: int = 0
    tokens: int = 0
    cells: int = 0
    """Tokens and padding."""
    truncated: int = 0

    def __iadd__(self, other: "Done") -> "Done":
        self.texts += other.texts
        self.tokens += other.tokens
        self.cells += other.cells
        self.truncated += other.truncated
        return self

    @property
    def padding(self) -> float:
        """Part of the cells that hold no token."""
        return 1 - self.tokens / self.cells if self.cells else 0.0


@dataclass
class Window:
    """Texts that are tokenized and packed together, and where their vectors go."""

    texts: list[str]
    out: Vectors  # [n, dim]
    ready: Callable[[], object] = field(default=lambda: None)
    """Called once, when `out` is filled; on any thread."""


Progress = Callable[[Done], object]


class Engine(Protocol):
    """What turns texts into vectors."""

    def encode(
        self,
        windows: Iterable[Window],
        batch_tokens: int,
        progress: Progress,
        *,
        apart: bool = False,
    ) -> None:
        """Fill each window; `progress` hears of every batch, of one at a time.

        With `apart` each thread runs batches of its own, else only if the first window has enough
        for that. The last bits depend on it; so whoever goes on with windows that an earlier call
        began asks for it.
        """
        ...

    def encode_beside(
        self, ids: NDArray[np.int32], starts: NDArray[np.int64], out: Vectors
    ) -> None:
        """Fill `out` as `encode_ids` does, by one batch that runs beside those of other threads."""
        ...

    def encode_ids(self, ids: NDArray[np.int32], starts: NDArray[np.int64], out: Vectors) -> None:
        """Fill `out` with the vectors of rows of ids, which the caller has cut."""
        ...


def runs(items: Iterable[Item], text: Callable[[Item], str]) -> Iterator[list[Item]]:
    """Cut items into runs of at most `WINDOW_TEXTS`, ended early by `WINDOW_CHARS` of text."""
    run: list[Item] = []
    chars = 0
    for item in items:
        run.append(item)
        chars += len(text(item))
        if len(run) == WINDOW_TEXTS or chars >= WINDOW_CHARS:
            yield run
            run, chars = [], 0
    if run:
        yield run


class OnnxEngine:
    """ONNX Runtime over batches of like length, longest first.

    Many texts: a batch a thread, each run by that thread alone, so that none waits for another
    inside a layer. Few: every thread in each batch. The second kind of session is opened when
    needed, and has its own copy of the weights.
    """

    def __init__(self, artifact: Artifact, tokenizer: Tokenizer, threads: int) -> None:
        import onnxruntime  # noqa: F401 - now, since the first import takes long and hears no Ctrl-C

        self._tokenizer, self._threads = tokenizer, threads
        self._max_tokens = artifact.manifest.max_tokens
        model = artifact.graph
        self.together = Session(model, threads)
        self.apart = Session(model, 1, threads) if threads > 1 else self.together

    def encode(
        self,
        windows: Iterable[Window],
        batch_tokens: int,
        progress: Progress,
        *,
        apart: bool = False,
    ) -> None:
        """Fill each window, as `Engine.encode` says."""
        lock = threading.Lock()
        source = (Filling(window, lock, progress) for window in windows)
        first = [
            self.batches(filling, batch_tokens, self._threads) for filling in islice(source, 1)
        ]
        beside_those_that_run = (self.batches(filling, batch_tokens, 1) for filling in source)
        if first:
            session = self.apart if apart else self.session(first[0])
            run_batches(session, chain(first, beside_those_that_run))

    def session(self, batches: "Sequence[Batch]") -> Session:
        """Return `apart` if every thread can have some batches of its own."""
        tokens = sum(batch.done.tokens for batch in batches)
        return self.apart if tokens >= self._threads * ENOUGH_TOKENS else self.together

    def batches(self, filling: "Filling", batch_tokens: int, threads: int) -> "list[Batch]":
        """Tokenize and pack the texts of a window; at least one batch if it has any."""
        tokens = self._tokenizer.encode_batch(
            filling.window.texts, max_tokens=self._max_tokens, threads=threads
        )
        return self.pack(filling, tokens, tokens.truncated, batch_tokens)

    def encode_beside(
        self, ids: NDArray[np.int32], starts: NDArray[np.int64], out: Vectors
    ) -> None:
        """Fill `out` as `encode_ids` does, by one batch that runs beside those of other threads."""
        self.run(Ragged(ids, starts), out, beside=True)

    def encode_ids(self, ids: NDArray[np.int32], starts: NDArray[np.int64], out: Vectors) -> None:
        """Fill `out` with the vectors of rows of ids, which the caller has cut."""
        self.run(Ragged(ids, starts), out, beside=False)

    def run(self, rows: "Ragged", out: Vectors, *, beside: bool) -> None:
        """Fill `out` by one batch on one thread, `beside` others, or by as many as there should be.

        The first hears no Ctrl-C.
        """
        if not len(out):
            return
        if beside:
            width = max(1, int(np.diff(rows.starts).max()))
            out[:] = self.apart.run(*rows.fill(np.arange(len(out)), width))
            return
        filling = Filling(Window([], out), threading.Lock(), lambda _: None)
        batches = self.pack(filling, rows, NONE, BATCH_TOKENS)
        run_batches(self.session(batches), iter([batches]))

    def pack(
        self,
        filling: "Filling",
        tokens: "Tokens | Ragged",
        truncated: NDArray[np.int64],
        batch_tokens: int,
    ) -> "list[Batch]":
        """Return batches of rows of like length that fill `filling`; `truncated` were cut."""
        lengths = np.diff(tokens.starts)
        cut = np.zeros(len(lengths), dtype=bool)
        cut[truncated] = True
        share = int(lengths.sum()) // (self._threads * BATCHES_A_THREAD)
        most = min(batch_tokens, max(share, ENOUGH_TOKENS // BATCHES_A_THREAD))
        batches = []
        for rows, width in pack(lengths, most, self._max_tokens):
            tokens_of = int(lengths[rows].sum())
            done = Done(len(rows), tokens_of, len(rows) * width, int(cut[rows].sum()))
            batches.append(Batch(filling, tokens, rows, width, done))
        filling.left = len(batches)
        return batches


@dataclass
class Filling:
    """A window, and how many of its batches are still to come."""

    window: Window
    lock: threading.Lock
    progress: Progress
    left: int = 0

    def keep(self, batch: "Batch", vectors: Vectors) -> None:
        """Write a batch's vectors to their rows; the last makes the window ready."""
        self.window.out[batch.rows] = vectors
        with self.lock:
            self.left -= 1
            last = self.left == 0
            self.progress(batch.done)
        if last:
            self.window.ready()


@dataclass
class Ragged:
    """Ids that came as they are; a model hears nothing of what pads them."""

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    types: NDArray[np.int32] | None = None
    """Of the tokens of pairs."""

    def fill(self, rows: NDArray[np.int64], width: int) -> Cells:
        """Return some rows as rectangles of ids, of ones and zeros, and of types if there are."""
        mask = np.arange(width) < np.diff(self.starts)[rows, None]
        spans = [slice(self.starts[row], self.starts[row + 1]) for row in rows]

        def rectangle(values: NDArray[np.int32]) -> NDArray[np.int64]:
            cells = np.zeros(mask.shape, np.int64)
            cells[mask] = np.concatenate([values[span] for span in spans])
            return cells

        more = () if self.types is None else (rectangle(self.types),)
        return rectangle(self.ids), mask.astype(np.int64), *more


@dataclass
class Batch:
    """Some texts of a window, of like length."""

    filling: Filling
    tokens: "Tokens | Ragged"
    rows: NDArray[np.int64]
    width: int
    done: Done

    def cells(self) -> Cells:
        """Return ids and mask, and types where there are any, [n, L] each."""
        return self.tokens.fill(self.rows, self.width)

    def keep(self, vectors: Vectors) -> None:
        """Write the vectors to their rows."""
        self.filling.keep(self, vectors)


class StaticEngine:
    """Rust: the weighted mean of token vectors; nothing is padded, so the budget is no matter."""

    def __init__(self, artifact: Artifact, tokenizer: Tokenizer, threads: int) -> None:
        self._tokenizer, self._threads = tokenizer, threads
        self._max_tokens = artifact.manifest.max_tokens
        self._core = _core.StaticEncoder.load(artifact.directory / WEIGHTS)

    def encode(
        self,
        windows: Iterable[Window],
        batch_tokens: int,  # noqa: ARG002 - an engine's signature
        progress: Progress,
        *,
        apart: bool = False,  # noqa: ARG002
    ) -> None:
        """Fill each window; `progress` hears of each."""
        for window in windows:
            tokens, cut = self._core.encode_texts(
                self._tokenizer.core, window.texts, self._max_tokens, self._threads, window.out
            )
            progress(Done(len(window.texts), tokens, tokens, len(cut)))
            window.ready()

    def encode_beside(
        self, ids: NDArray[np.int32], starts: NDArray[np.int64], out: Vectors
    ) -> None:
        """Fill `out` as `encode_ids` does, by one thread."""
        out[:] = self._core.encode(ids, starts, 1)

    def encode_ids(self, ids: NDArray[np.int32], starts: NDArray[np.int64], out: Vectors) -> None:
        """Fill `out` with the vectors of rows of ids, which the caller has cut."""
        out[:] = self._core.encode(ids, starts, self._threads)


ENGINES: dict[str, type[OnnxEngine] | type[StaticEngine]] = {
    "onnx": OnnxEngine,
    "static": StaticEngine,
}
