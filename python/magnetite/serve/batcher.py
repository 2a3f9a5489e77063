"""Ids of many requests in, vectors out: one worker runs the engine on batches of all of them.

A request waits only while the engine is busy. When it is free it takes a window: rows of the
requests that wait, in the order of their coming, up to `WINDOW_TOKENS`; the engine sorts them by
length, packs them and runs them. A request with more rows than fit gives way to the others after
each window, so a long list does not hold up a question. A second window is handed over ahead of
time only when it is full: the worker then never waits for the event loop, and rows that come late
still share a batch.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from magnetite.serve.refusal import Refusal

WINDOW_TOKENS = 8192
"""docs/serving.md says what was measured."""
RATE_WEIGHT = 0.2
"""Of the newest window in the running mean of tokens a second."""

Ids = NDArray[np.int32]
Starts = NDArray[np.int64]
Vectors = NDArray[np.float32]
Engine = Callable[[Ids, Starts], Vectors]


class Job:
    """The rows of one request: which are still to be handed over, and where vectors go."""

    def __init__(self, ids: Ids, starts: Starts, dim: int, done: asyncio.Future[Vectors]) -> None:
        self.ids, self.starts, self.done = ids, starts, done
        self.out = np.empty((len(starts) - 1, dim), np.float32)
        self.next = 0
        self.unfinished = len(self.out)

    def take(self, room: int) -> "Piece | None":
        """Return the next rows of at most `room` tokens, None if not even one fits."""
        last = int(np.searchsorted(self.starts, self.starts[self.next] + room, "right")) - 1
        if last <= self.next:
            return None
        piece = Piece(self, self.next, last)
        self.next = last
        return piece

    @property
    def taken(self) -> bool:
        """Whether every row has been handed over."""
        return self.next == len(self.out)


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows `first` to `last` of a job."""

    job: Job
    first: int
    last: int

    @property
    def tokens(self) -> int:
        """In these rows."""
        return int(self.job.starts[self.last] - self.job.starts[self.first])


class Batcher:
    """Belongs to one event loop, whose thread alone touches the queue."""

    def __init__(
        self,
        engine: Engine,
        dim: int,
        *,
        limit_tokens: int,
        heard: Callable[[int, int, float], object] = lambda *_: None,
    ) -> None:
        """`heard(rows, tokens, seconds)` is called on the loop after each window."""
        self._engine, self._dim, self._limit, self._heard = engine, dim, limit_tokens, heard
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="magnetite-engine")
        self._queue: deque[Job] = deque()
        self._queued = 0  # tokens of the queue
        self._running = 0  # windows
        self.tokens = 0
        """Of all requests that are not finished."""
        self.rate = 0.0
        """Tokens a second of late; 0 before the first window."""

    async def encode(self, ids: Ids, starts: Starts) -> Vectors:
        """Return the vectors of ragged rows of ids; cancelled, drop what has not begun.

        Raises:
            Refusal: 413, more tokens than the server ever holds; 429, than it holds now.
        """
        tokens = len(ids)
        self._admit(tokens)
        loop = asyncio.get_running_loop()
        job = Job(ids, starts, self._dim, loop.create_future())
        if not job.unfinished:
            return job.out
        self._queue.append(job)
        self._queued += tokens
        self.tokens += tokens
        self._hand_over(loop)
        try:
            return await job.done
        finally:
            self._drop(job)

    def close(self) -> None:
        """Let the worker end after the window it is in."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _admit(self, tokens: int) -> None:
        if tokens > self._limit:
            raise Refusal(
                413,
                f"the texts have {tokens} tokens, and this server holds {self._limit} at a time; "
                "send fewer texts a request",
                param="input",
                code="too_many_tokens",
            )
        over = self.tokens + tokens - self._limit
        if over > 0:
            wait_s = over / self.rate if self.rate else 1.0
            raise Refusal(
                429,
                f"{self.tokens} tokens are waiting and the limit is {self._limit}; there should be "
                f"room for these {tokens} in {wait_s:.1f} s",
                code="busy",
                retry_after_s=wait_s,
            )

    def _drop(self, job: Job) -> None:
        """Forget rows that were not handed over; nothing where the job ran to its end."""
        if not job.taken:
            waiting = int(job.starts[-1] - job.starts[job.next])
            self._queue.remove(job)
            self._queued -= waiting
            self.tokens -= waiting
            job.next = len(job.out)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._queue and (
            self._running == 0 or (self._running == 1 and self._queued >= WINDOW_TOKENS)
        ):
            window = self._take()
            self._running += 1
            running = loop.run_in_executor(self._worker, self._run, window)
            running.add_done_callback(partial(self._ran, loop, window))

    def _take(self) -> list[Piece]:
        window: list[Piece] = []
        room = WINDOW_TOKENS
        while self._queue:
            job = self._queue[0]
            piece = job.take(room if window else max(room, int(np.diff(job.starts).max())))
            if piece is None:
                break
            window.append(piece)
            room -= piece.tokens
            self._queued -= piece.tokens
            self._queue.popleft()
            if not job.taken:
                self._queue.append(job)
        return window

    def _run(self, window: list[Piece]) -> float:
        """Write the vectors of a window, on the worker; return the seconds it took."""
        start = time.perf_counter()
        parts = [p.job.ids[p.job.starts[p.first] : p.job.starts[p.last]] for p in window]
        lengths = [np.diff(p.job.starts[p.first : p.last + 1]) for p in window]
        starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
        vectors = self._engine(np.concatenate(parts), starts)
        row = 0
        for piece in window:
            piece.job.out[piece.first : piece.last] = vectors[row : row + piece.last - piece.first]
            row += piece.last - piece.first
        return time.perf_counter() - start

    def _ran(
        self, loop: asyncio.AbstractEventLoop, window: list[Piece], ran: asyncio.Future[float]
    ) -> None:
        self._running -= 1
        tokens = sum(piece.tokens for piece in window)
        self.tokens -= tokens
        if ran.cancelled():
            return
        failed = ran.exception()
        for piece in window:
            job = piece.job
            job.unfinished -= piece.last - piece.first
            if job.done.done():  # its client has gone, or an earlier window of it failed
                continue
            if failed is not None:
                job.done.set_exception(failed)
            elif job.unfinished == 0:
                job.done.set_result(job.out)
        if failed is None:
            newest = tokens / ran.result()
            self.rate = newest if not self.rate else self.rate + RATE_WEIGHT * (newest - self.rate)
            self._heard(sum(p.last - p.first for p in window), tokens, ran.result())
        self._hand_over(loop)
