"""The vectors of a corpus larger than memory: read, encoded and written at the same time."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue

import numpy as np

from magnetite.encode.encoder import Encoder
from magnetite.encode.engines import BATCH_TOKENS, Done, Window, runs
from magnetite.encode.parts import Parts, Text
from magnetite.encode.session import Vectors

WAITING = 4
"""Parts in memory beside one a thread: two that wait, one being read, one being written."""


@dataclass
class Written:
    """What a run did."""

    rows: int = 0
    resumed: int = 0
    """Rows that an earlier run had made."""
    done: Done = field(default_factory=Done)
    """By this run."""


def encode_corpus(
    texts: Iterable[Text],
    encoder: Encoder,
    parts: Parts,
    progress: Callable[[Done], object] = lambda _: None,
) -> Written:
    """Write the vectors of all texts that are not written yet.

    Args:
        texts: Ids and texts, the same in every run; read once, as they are needed.
        encoder: The one that the job of `parts` names.
        parts: Where the vectors go.
        progress: Hears of every batch, and of parts that are there already.

    Raises:
        FormatError: A part that is there was made of other texts.
        OSError: The disk.
    """
    written = Written()

    def heard(done: Done) -> None:
        written.done += done
        progress(done)

    with ThreadPoolExecutor(1, "magnetite-write") as writer:
        work = _Work(encoder, parts, writer, written, progress)
        try:
            encoder.engine.encode(work.windows(texts), BATCH_TOKENS, heard, apart=True)
        except BaseException:
            writer.shutdown(cancel_futures=True)
            raise
        work.settle()
    written.rows = parts.rows
    return written


@dataclass
class _Work:
    encoder: Encoder
    parts: Parts
    writer: ThreadPoolExecutor
    written: Written
    progress: Callable[[Done], object]
    writes: list[Future[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # More than can be under way at once, so that `windows` waits for writes alone: these end,
        # whereas nobody makes ready what a run that fails leaves behind. A queue and no semaphore,
        # whose lock a Ctrl-C may leave taken.
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(self.encoder.threads + WAITING):
            self._room.put(None)

    def windows(self, texts: Iterable[Text]) -> Iterator[Window]:
        """Give the parts that are still to be made, each with what puts it on the disk."""
        prompt = self.encoder.prompt(self.parts.job.prompt)
        for number, window in enumerate(runs(texts, lambda one: one.text)):
            if self.parts.known(number, window):
                self.written.resumed += len(window)
                self.progress(Done(len(window)))
                continue
            self._room.get()
            self.settle(whole=False)
            out = np.empty((len(window), self.encoder.dim), np.float32)
            yield Window(
                [prompt + one.text for one in window], out, self._writes(number, window, out)
            )

    def _writes(self, number: int, texts: list[Text], out: Vectors) -> Callable[[], None]:
        def write() -> None:
            try:
                self.parts.write(number, texts, out)
            finally:
                self._room.put(None)

        return lambda: self.writes.append(self.writer.submit(write))

    def settle(self, *, whole: bool = True) -> None:
        """Raise what a write raised; wait for the `whole` of them, or only look."""
        for future in list(self.writes):
            if whole or future.done():
                future.result()
                self.writes.remove(future)
