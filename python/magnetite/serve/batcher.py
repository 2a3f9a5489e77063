"""Ids of many requests in, vectors out: the engine runs batches of all of them.

A request waits only while the engine is busy. Whenever it is free it gets a batch: a row of the
request whose turn it is, and rows of about its length from all that wait, up to a budget of tokens.
Turns go to the requests in the order of their coming, round and round, and every other turn to the
one with the fewest rows left. So hardly anything is padded, a long list does not hold up a
question, and is not held up by questions for ever.

Few rows are run by all threads together, for the shortest wait; if there are enough for a batch a
thread, each thread runs batches of its own, which takes the least work. One batch more is handed
over if there is enough for a whole one: threads then never wait for the event loop, and rows that
come late still share a batch.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from magnetite.serve.refusal import Refusal

NEAR = 0.8
"""Rows of a batch have at least this share of the tokens of the row whose turn it is."""
KEPT = 0.9
"""What is left of the past in the rate when a batch ends."""

Ids = NDArray[np.int32]
"""[t], or [t, 2] where a token has a type beside its id."""
Starts = NDArray[np.int64]
Vectors = NDArray[np.float32]
Engine = Callable[[Ids, Starts, bool], Vectors]


class Job:
    """A request: its rows, which of them wait, and where vectors go."""

    def __init__(self, ids: Ids, starts: Starts, dim: int, done: asyncio.Future[Vectors]) -> None:
        self.done = done
        self.out = np.empty((len(starts) - 1, dim), np.float32)
        self.rows = [ids[a:b] for a, b in pairwise(starts.tolist())]
        self.waiting = dict.fromkeys(range(len(self.out)))  # a set in the rows' order
        self.unfinished = len(self.out)


Batch = list[tuple[Job, int]]


class Batcher:
    """Belongs to one event loop, whose thread alone touches the queue."""

    def __init__(
        self,
        engine: Engine,
        dim: int,
        *,
        budget: int,
        threads: int,
        limit_tokens: int,
        param: str = "input",
        near: float = NEAR,
        heard: Callable[[int, float], object] = lambda *_: None,
    ) -> None:
        """Start the engine's workers.

        Args:
            engine: Ragged ids to vectors, on the calling thread; or, if its last argument is false,
                on all that it has.
            dim: Numbers in a vector.
            budget: Tokens of a batch, padding included.
            threads: Batches that the engine runs beside each other.
            limit_tokens: Of all requests; beyond it they are refused.
            param: The field of a request that holds its texts.
            near: Least share of the longest row's tokens in a batch; 0 where nothing is padded.
            heard: Called on the loop with the tokens of a batch that ended, and the seconds since
                the one before it did, or since it began.
        """
        self._engine, self._dim, self._heard = engine, dim, heard
        self._budget, self._limit, self._near = budget, limit_tokens, near
        self._param = param
        self._threads = threads
        self._workers = ThreadPoolExecutor(threads + 1, thread_name_prefix="magnetite-engine")
        self._jobs: deque[Job] = deque()  # those with rows that wait, by turns
        self._shelves: dict[int, deque[tuple[Job, int]]] = {}  # these rows by length
        self._turns = 0
        self._queued = 0  # tokens of the rows that wait
        self._busy = 0  # threads, or one more where a batch waits for one
        self.tokens = 0
        """Of all rows that wait or run."""
        self._ended_s = 0.0  # when a batch last did
        self._late_tokens = self._late_s = 0.0

    async def encode(self, ids: Ids, starts: Starts) -> Vectors:
        """Return the vectors of ragged rows of ids; cancelled, drop what has not begun.

        Raises:
            Refusal: 413, more tokens than the server ever holds; 429, than it holds now.
        """
        self._admit(len(ids))
        loop = asyncio.get_running_loop()
        job = Job(ids, starts, self._dim, loop.create_future())
        if not job.unfinished:
            return job.out
        for number, row in enumerate(job.rows):
            self._shelves.setdefault(len(row), deque()).append((job, number))
        self._jobs.append(job)
        self._queued += len(ids)
        self.tokens += len(ids)
        self._hand_over(loop)
        try:
            return await job.done
        finally:
            if job.waiting:
                self._drop(job)

    @property
    def rate(self) -> float:
        """Tokens a second of late; 0 before the first batch."""
        return self._late_tokens / self._late_s if self._late_s else 0.0

    def close(self) -> None:
        """Let the workers end after the batch they are in."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _admit(self, tokens: int) -> None:
        if tokens > self._limit:
            raise Refusal(
                413,
                f"the texts have {tokens} tokens, and this server holds {self._limit} at a time; "
                "send fewer texts a request",
                param=self._param,
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
        """Forget the rows of a job that were not handed over."""
        self._jobs.remove(job)
        for length in {len(job.rows[number]) for number in job.waiting}:
            shelf = deque(row for row in self._shelves.pop(length) if row[0] is not job)
            if shelf:
                self._shelves[length] = shelf
        dropped = sum(len(job.rows[number]) for number in job.waiting)
        self._queued -= dropped
        self.tokens -= dropped
        job.waiting.clear()

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._jobs and (
            self._busy < self._threads
            or (self._busy == self._threads and self._queued >= self._budget)
        ):
            beside = self._busy > 0 or self._queued >= self._threads * self._budget
            taken = 1 if beside else self._threads
            self._busy += taken
            batch = self._take()
            running = loop.run_in_executor(self._workers, self._run, batch, beside)
            running.add_done_callback(partial(self._ran, loop, batch, taken, loop.time()))

    def _take(self) -> Batch:
        """Return the next batch: the row whose turn it is, then what is like it."""
        self._turns += 1
        if self._turns % 2:
            job = self._jobs[0]
            self._jobs.rotate(-1)
        else:
            job = min(self._jobs, key=lambda one: len(one.waiting))
        number = next(iter(job.waiting))
        longest = len(job.rows[number]) if self._near else max(self._shelves)
        self._shelves[len(job.rows[number])].remove((job, number))
        batch = [(job, number)]
        room = self._budget - len(job.rows[number])
        lengths = sorted(self._shelves)
        for length in reversed(lengths[: bisect_right(lengths, longest)]):
            if length < self._near * longest:
                break
            shelf = self._shelves[length]
            cost = longest if self._near else length  # a shorter row is padded
            while shelf and room >= cost:
                batch.append(shelf.popleft())
                room -= cost
        self._taken(batch)
        return batch

    def _taken(self, batch: Batch) -> None:
        """Note that rows no longer wait."""
        for job, number in batch:
            length = len(job.rows[number])
            self._queued -= length
            del job.waiting[number]
            if not job.waiting:
                self._jobs.remove(job)
            if not self._shelves.get(length, True):
                del self._shelves[length]

    def _run(self, batch: Batch, beside: bool) -> None:  # noqa: FBT001 - an executor's call
        """Write the vectors of a batch; on a worker."""
        rows = [job.rows[number] for job, number in batch]
        starts = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=starts[1:])
        vectors = self._engine(np.concatenate(rows), starts, beside)
        for (job, number), vector in zip(batch, vectors, strict=True):
            job.out[number] = vector

    def _ran(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: Batch,
        taken: int,
        began_s: float,
        ran: asyncio.Future[None],
    ) -> None:
        self._busy -= taken
        tokens = sum(len(job.rows[number]) for job, number in batch)
        self.tokens -= tokens
        if ran.cancelled():
            return
        failed = ran.exception()
        for job, _ in batch:
            job.unfinished -= 1
            if job.done.done():  # its client has gone, or an earlier batch of it failed
                continue
            if failed is not None:
                job.done.set_exception(failed)
            elif job.unfinished == 0:
                job.done.set_result(job.out)
        now = loop.time()
        took = now - max(began_s, self._ended_s)
        self._ended_s = now
        self._late_tokens = KEPT * self._late_tokens + tokens
        self._late_s = KEPT * self._late_s + took
        self._heard(tokens, took)
        self._hand_over(loop)
