"""Ctrl-C and SIGTERM: finish the step and leave a checkpoint; a second Ctrl-C stops at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from vidgap_vis.errors import Terminated

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While the block runs, a signal is `received`; Ctrl-C after it raises KeyboardInterrupt.

    SIGTERM may come again, as from a scheduler and from a parent process, and asks for the same.
    Outside the main thread, where Python allows no handlers, it does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def wanted(self) -> bool:
        """Whether a signal has come."""
        return self.received is not None

    @property
    def cause(self) -> Terminated | None:
        """What a stop is raised from: SIGTERM, if that came."""
        return Terminated("terminated") if self.received == signal.SIGTERM else None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        again, self.received = self.wanted, number
        if again:
            return
        # Not print: a handler may run while the interpreter is writing to the same stream.
        os.write(2, b"\nvidgap: finishing this step; Ctrl-C again stops at once\n")
