"""Ctrl-C as a wish: the step in hand is finished and saved, then KeyboardInterrupt is raised."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Interruptible:
    """Within, the first Ctrl-C sets `wanted`; the second interrupts at once."""

    def __init__(self) -> None:
        self.wanted = False
        self._before: object = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]
