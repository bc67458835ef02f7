"""What a run shows while it trains: a bar with losses and ETA, `metrics.jsonl`, and run logs."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from accelerate.tracking import GeneralTracker
from tqdm import tqdm

from vidgap_vis.files import replacing

METRICS_FILE = "metrics.jsonl"
SMOOTHING = 0.95
"""How much of the bar's numbers stays from step to step."""
SHOWN = ("loss", "class", "mask", "dice", "box", "giou")
"""What the bar shows; the file has everything."""


class MetricsLog:
    """The bar on stderr, and one JSON line each `every` steps with the means since the last.

    Args:
        folder: where `metrics.jsonl` is; lines of later steps than `start` are removed, for those
            steps are run again.
        name: what stands before the bar.
        start: steps done before.
        steps: steps of the whole run.
        every: steps between lines.
        quiet: write nothing (processes but the first).
        trackers: Accelerate's, which take the same numbers; closed with the log.
        pending: what the log of a run that goes on had not written yet.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        start: int,
        steps: int,
        every: int,
        quiet: bool = False,
        trackers: Sequence[GeneralTracker] = (),
        pending: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.trackers = folder / METRICS_FILE, trackers
        self.steps, self.every, self.quiet = steps, every, quiet
        self._sums: dict[str, float] = {**(pending or {}).get("sums", {})}
        self._counts: dict[str, int] = {**(pending or {}).get("counts", {})}
        self._steps = 0  # since `_since`, for their time
        self._smooth: dict[str, float] = {}
        self._since = time.perf_counter()
        if not quiet:
            keep_until(self.path, start)
        interval = 0.2 if sys.stderr.isatty() else 10.0
        self._bar = tqdm(
            total=steps,
            initial=start,
            desc=name,
            unit="step",
            mininterval=interval,
            disable=quiet,
            dynamic_ncols=True,
        )

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        for tracker in self.trackers:
            tracker.finish()

    def add(self, step: int, losses: Mapping[str, float], lr: float) -> None:
        """Take the numbers of a step; `step` counts those done, 1 to `steps`."""
        if self.quiet:
            return
        for name, value in losses.items():
            if math.isnan(value):  # nothing was there to measure in this step
                continue
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1
            before = self._smooth.get(name, value)
            self._smooth[name] = SMOOTHING * before + (1 - SMOOTHING) * value
        self._steps += 1
        self._bar.set_postfix(
            {name: f"{self._smooth[name]:.3g}" for name in SHOWN if name in self._smooth},
            refresh=False,
        )
        self._bar.update()
        if step % self.every == 0 or step == self.steps:
            self._write(step, lr)

    def pending(self) -> dict[str, Any]:
        """Return what the next line will be made of, as plain numbers."""
        return {"sums": {**self._sums}, "counts": {**self._counts}}

    def _write(self, step: int, lr: float) -> None:
        now = time.perf_counter()
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        seconds = (now - self._since) / self._steps
        values = {**means, "lr": lr, "seconds_per_step": seconds}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values, "time": time.time()}) + "\n")
        for tracker in self.trackers:
            tracker.log(values, step=step)
        self._sums, self._counts, self._steps, self._since = {}, {}, 0, now


def keep_until(path: Path, step: int) -> None:
    """Remove the lines of `metrics.jsonl` that belong to later steps than `step`."""
    if not path.exists():
        return
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
