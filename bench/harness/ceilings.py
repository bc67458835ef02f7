"""The machine's rates, measured in the same run as the contenders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F

from bench.harness.contender import CHANNELS, Cost
from bench.harness.timing import seconds_of

REPEATS = 5


@dataclass(frozen=True)
class Ceilings:
    """Rates that nothing on this machine exceeds by much.

    Attributes:
        bytes: read and written a second by a large copy.
        flops: a second, of the faster of a large matrix product and a 3x3 convolution.
        lines: L1 look-ups of a GPU a second, one a clock and multiprocessor (an assumption, not
            a measurement); 0 on a CPU.
    """

    bytes: float
    flops: float
    lines: float

    def seconds(self, cost: Cost) -> float:
        """Return the least time for some work."""
        looks = cost.lines / self.lines if self.lines else 0.0
        return max(cost.bytes / self.bytes, cost.flops / self.flops, looks)

    def as_json(self) -> dict[str, float]:
        """Return the rates in 1e9 a second."""
        return {f"giga_{name}": round(rate / 1e9, 1) for name, rate in asdict(self).items()}


def measured(device: str, dtype: torch.dtype, quick: bool) -> Ceilings:
    """Measure the rates with torch's current number of threads."""
    small = device == "cpu"
    size = 2 ** (24 if quick else 26) if small else 2**30
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    side = 1024 if small else 8192
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    height = 40 if small else 320
    frames = torch.randn(1, CHANNELS, height, height, device=device, dtype=dtype)
    frames = frames.contiguous(memory_format=torch.channels_last)
    weight = torch.randn(CHANNELS, CHANNELS, 3, 3, device=device, dtype=dtype)
    weight = weight.contiguous(memory_format=torch.channels_last)
    product = 2 * side**3 / fastest(lambda: left @ right, device)
    flops = 2 * height**2 * weight.numel()
    convolution = flops / fastest(lambda: F.conv2d(frames, weight, padding=1), device)
    copied = 2 * size / fastest(lambda: target.copy_(source), device)
    return Ceilings(copied, max(product, convolution), lines(device))


def lines(device: str) -> float:
    """Return the look-ups of cache lines a second, or 0."""
    if device == "cpu":
        return 0.0
    chip: Any = torch.cuda.get_device_properties(0)
    return float(chip.multi_processor_count * getattr(chip, "clock_rate", 0) * 1e3)


def fastest(call: Callable[[], Any], device: str) -> float:
    """Return the seconds of the fastest of several calls."""
    if device == "cpu":
        which = 0 if torch.get_num_threads() == 1 else 1
        call()
        return min(seconds_of(call)[which] for _ in range(REPEATS))
    times = []
    for _ in range(REPEATS + 1):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop) / 1000)
    return min(times[1:])
