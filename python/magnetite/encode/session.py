"""An ONNX Runtime session that survives fork and pickle and lets Ctrl-C through."""

import ctypes
import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnxruntime

# Since 1.29 ONNX Runtime on Linux and macOS reports its use from a thread that starts with its
# import; a forked child then hangs when it exits. Nothing here reports anything: it stays off
# unless the variable is set to 0. Read at the import of onnxruntime, hence set before it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

POLL_S = 0.02
"""How long a Ctrl-C may wait before it is seen, where the wait itself cannot be interrupted."""
GRACE_S = 0.05
"""How long a stopped run is waited for; a run cut short ends at its next graph node."""
AHEAD = 2
"""Windows whose batches have not all begun: the one that runs, and the next."""

_live: "weakref.WeakSet[Session]" = weakref.WeakSet()

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
Cells = tuple[Ids, ...]
"""The inputs of a graph, [n, L] each, in the order of `INPUTS`."""
INPUTS = ("ids", "mask", "types")
"""Types are those of the tokens of a pair; a graph may do without."""


class Session:
    """One graph and its thread pool, opened when first used in a process."""

    def __init__(self, model: Path, threads: int, at_once: int = 1) -> None:
        self.model = model
        self.threads = threads
        """Of one run."""
        self.at_once = at_once
        """How many may be at work beside each other."""
        self._begin()
        _live.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._opened: onnxruntime.InferenceSession | None = None
        self.turns = threading.Semaphore(self.at_once)

    def open(self) -> "onnxruntime.InferenceSession":
        """Return the session of this process."""
        with self._lock:
            if self._opened is None:
                self._opened = _open(self.model, self.threads)
            return self._opened

    def run(self, *cells: Ids) -> Vectors:
        """Return the vectors of one batch, when it is its turn; deaf to Ctrl-C until then."""
        opened = self.open()
        with self.turns:
            [vectors] = opened.run(None, _named(opened, cells))
        return vectors  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        return Session, (self.model, self.threads, self.at_once)

    def _forget(self) -> None:
        """Start anew in a forked child: the pool's threads stayed behind in the parent.

        The old session is kept for ever, since taking it down would wait for those threads.
        """
        if self._opened is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._opened))
        self._begin()


def _forget_all() -> None:
    for session in list(_live):
        session._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _open(model: Path, threads: int) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Threads spin between the nodes of a run, which is faster, and sleep as soon as it ends.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(model), options, providers=["CPUExecutionProvider"], enable_fallback=False
    )


def _named(opened: "onnxruntime.InferenceSession", cells: Cells) -> dict[str, Ids]:
    """Return those of the cells that the graph reads."""
    read = {one.name for one in opened.get_inputs()}
    return {name: one for name, one in zip(INPUTS, cells, strict=False) if name in read}


class Batch(Protocol):
    """A rectangle of ids, and what becomes of its vectors."""

    def cells(self) -> Cells:
        """Return ids and mask, and types where there are any, [n, L] each."""
        ...

    def keep(self, vectors: Vectors) -> None:
        """Take the vectors, [n, dim], on the thread that ran the batch."""
        ...


def run_batches(session: Session, windows: Iterator[Sequence[Batch]]) -> None:
    """Run every batch of every window, `session.at_once` beside each other.

    The calling thread draws windows while others run: what it takes to make one overlaps with the
    one before it, and at most two wait. It alone hears Ctrl-C, which stops the runs between two
    nodes of their graphs.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; the runs have stopped or stop at their next node.
    """
    crew = _Crew(session)
    try:
        crew.start()
        while crew.wants_more():
            window = next(windows, None)
            if window is None:
                break
            crew.take(window)
        crew.finish()
    except BaseException:
        crew.stop()
        raise


class _Crew:
    """Threads that run batches one after the other, each on its own.

    The caller waits on queues alone. Ctrl-C may strike it between any two steps of the interpreter,
    also where it has just taken the lock of a semaphore or an event and not yet entered the block
    that gives it back: the threads would then wait for ever, and the process with them.
    """

    def __init__(self, session: Session) -> None:
        import onnxruntime

        self._session = session
        self._options = onnxruntime.RunOptions()
        self._todo: SimpleQueue[tuple[Batch, bool] | None] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()
        self._failed: list[BaseException] = []
        self._threads = 0
        """That have begun and of whose end nobody has heard."""

    def start(self) -> None:
        """Begin as many threads as the session runs at once, and make room for some windows."""
        for _ in range(self._session.at_once):
            self._threads += 1
            # Not to be joined: interrupted, `join` of CPython 3.11 and 3.12 takes a running thread
            # for ended, and the process then leaves without it, in the middle of the graph.
            threading.Thread(target=self._work, name="magnetite-encode").start()
        for _ in range(AHEAD):
            self._room.put(None)

    def wants_more(self) -> bool:
        """Wait until no more than one window waits; False if a run has failed."""
        while not self._failed:
            if _taken(self._room, POLL_S):
                return True
        return False

    def take(self, window: Sequence[Batch]) -> None:
        """Put the batches behind those that wait."""
        for place, batch in enumerate(window, 1):
            self._todo.put((batch, place == len(window)))
        if not window:
            self._room.put(None)

    def finish(self) -> None:
        """Return when all that was taken is done; raise what a thread raised."""
        self._dismiss()
        while self._threads:
            self._threads -= _taken(self._ended, POLL_S)
        if self._failed:
            raise self._failed[0]

    def stop(self) -> None:
        """Let no run go on beyond its next node, and wait for that a moment."""
        self._options.terminate = True
        self._dismiss()
        end = time.monotonic() + GRACE_S
        while self._threads and (left_s := end - time.monotonic()) > 0:
            self._threads -= _taken(self._ended, left_s)

    def _dismiss(self) -> None:
        for _ in range(self._threads):
            self._todo.put(None)

    def _work(self) -> None:
        try:
            opened = self._session.open()  # here, since it takes long and hears no Ctrl-C
            while (item := self._todo.get()) is not None and not self._options.terminate:
                batch, last = item
                if last:
                    self._room.put(None)
                inputs = _named(opened, batch.cells())
                with self._session.turns:
                    [vectors] = opened.run(None, inputs, self._options)
                batch.keep(vectors)
        except BaseException as error:  # raised again on the caller's thread
            self._failed.append(error)
            self._options.terminate = True
        finally:
            self._ended.put(None)


def _taken(queue: SimpleQueue[None], wait_s: float) -> bool:
    """Take one from `queue`; False if none comes so soon."""
    try:
        queue.get(timeout=wait_s)
    except Empty:
        return False
    return True
