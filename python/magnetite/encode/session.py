"""An ONNX Runtime session that survives fork and pickle and lets Ctrl-C through."""

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

_live: "weakref.WeakSet[Session]" = weakref.WeakSet()


class Session:
    """One graph and its thread pool, opened when first used in a process."""

    def __init__(self, model: Path, threads: int) -> None:
        self.model = model
        self.threads = threads
        self._lock = threading.Lock()
        self._opened: onnxruntime.InferenceSession | None = None
        _live.add(self)

    def open(self) -> "onnxruntime.InferenceSession":
        """Return the session of this process."""
        with self._lock:
            if self._opened is None:
                self._opened = _open(self.model, self.threads)
            return self._opened

    def __reduce__(self) -> tuple[Any, ...]:
        return Session, (self.model, self.threads)

    def _forget(self) -> None:
        """Start anew in a forked child: the pool's threads stayed behind in the parent.

        The old session is kept for ever, since taking it down would wait for those threads.
        """
        if self._opened is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._opened))
        self._opened = None
        self._lock = threading.Lock()


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


Run = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]


def run_batches(session: Session, work: Callable[[Run], None]) -> None:
    """Call `work(run)`, where `run(ids, mask)` gives the vectors of one batch.

    Ctrl-C during the call stops the graph between two of its nodes. Only the main thread hears
    signals, so there `work` runs on a thread of its own.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; `work` has stopped or stops at its next node.
    """
    import onnxruntime

    opened = session.open()
    options = onnxruntime.RunOptions()

    def run(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        if options.terminate:
            raise KeyboardInterrupt
        return opened.run(["embedding"], {"ids": ids, "mask": mask}, options)[0]  # type: ignore[no-any-return]

    if threading.current_thread() is not threading.main_thread():
        work(run)
        return

    failed: list[BaseException] = []
    # Not `join`: interrupted, that of CPython 3.11 and 3.12 takes a running thread for ended, and
    # the process then leaves without it, in the middle of the graph.
    ended = threading.Event()

    def guarded() -> None:
        try:
            work(run)
        except BaseException as error:  # raised again on the caller's thread
            failed.append(error)
        finally:
            ended.set()

    worker = threading.Thread(target=guarded, name="magnetite-encode")
    worker.start()
    try:
        while not ended.wait(POLL_S):
            pass
    except BaseException:
        options.terminate = True
        ended.wait(GRACE_S)
        raise
    if failed:
        raise failed[0]
