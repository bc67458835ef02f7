"""Where the time of following a video goes, stage by stage."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Clock:
    """Adds up the seconds of stages.

    Args:
        device: a GPU is waited for at both ends of a stage.
        now: the time in seconds: of a clock on the wall, or `time.process_time`.
    """

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter) -> None:
        self.device = device
        self.now = now
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the block's time to a stage, less that of the stages inside it."""
        before = sum(self.seconds.values())
        start = self._time()
        yield
        spent = self._time() - start
        self.seconds[name] += spent - (sum(self.seconds.values()) - before)

    @contextmanager
    def watching(self, owner: object, method: str, name: str) -> Iterator[None]:
        """Within the block, add the time of an object's method to a stage."""
        plain = getattr(owner, method)

        def timed(*args: Any, **options: Any) -> Any:
            with self.stage(name):
                return plain(*args, **options)

        setattr(owner, method, timed)
        try:
            yield
        finally:
            delattr(owner, method)

    def _time(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.now()
