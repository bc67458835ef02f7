"""Clips a second on one thread: ours, torchvision, albumentations, and OpenCV's floor.

Three pipelines at 5, 10 and 20 instances (`cases`): pre-training's pseudo-clips, T = 3 at
1024x1024; fine-tuning's, T = 10, at 480x864; and real clips, T = 10, 720x1280 to 480x864. Samples
are generated (`inputs`); a measurement takes several of them, each with its own draws, and every
contender applies what ours drew (`draws`). Contenders take turns on one thread, timed in process
time; a repeat is one pass over all samples; the table has the median and the 10th and 90th
percentile over the repeats. Ours draws its numbers within the time; the others are given them.

ours           the pipeline, in one pass
torchvision    the same as v2 ops frame by frame; "once": with the colours changed before the
               still is replicated
floor          one LUT, and warpAffine for each frame and each four masks: no paste, no antialias.
               Ours may be below it: it packs up to 32 masks and warps only what is seen
albumentations the part that its `images=` supports, on clips, beside our pipeline of that part

First all contenders but the floor must agree with ours (`agreement`), without the auto
augmentation, whose operations the libraries define differently; else nothing is timed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import torch

from bench.augment import albumentations
from bench.augment.agreement import Agreement
from bench.augment.amount import Amount
from bench.augment.cases import (
    COMMON,
    CONFIGS,
    Config,
    ablation_contenders,
    agreement,
    common_agreement,
    common_contenders,
    contenders,
)
from bench.harness.timing import Rates, circumstances, interleaved

PACKAGES = ["vidgap-augment", "torch", "torchvision", "opencv-python-headless", "numpy"]
ABLATED = (CONFIGS[0], 10)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run OpenCV and torch on one thread, and restore their numbers of threads."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


@one_thread()
def measure(amount: Amount, path: Path | None) -> bool:
    """Check, measure, print, and write to a file, if any; return whether all agree."""
    library = albumentations.find()
    if library is None:
        print(albumentations.MISSING)
    report: dict[str, Any] = circumstances([*PACKAGES, "albumentations"])
    report["scope"] = asdict(amount)
    report["agreement"] = {config.letter: compared(config, library) for config in CONFIGS}
    if not all(one.is_good() for found in report["agreement"].values() for one in found.values()):
        print("they do not make the same clips: nothing is timed", file=sys.stderr)
        return False
    report["clips_per_second"] = [
        row for config in CONFIGS for row in measured(config, library, amount)
    ]
    report["ablation"] = ablated(amount)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1, default=asdict) + "\n")
        print(f"\nwritten: {path}")
    return True


def compared(config: Config, library: Any) -> dict[str, Agreement]:
    """Return and print the agreement of torchvision, and albumentations if installed, with ours."""
    found = {"torchvision": agreement(config)}
    if library is not None:
        found["albumentations"] = common_agreement(config, library)
    for name, one in found.items():
        print(f"{config.letter}  ours and {name} {one}", flush=True)
    return found


def measured(config: Config, library: Any, amount: Amount) -> list[dict[str, Any]]:
    """Time one pipeline at each number of instances; print a line each."""
    print(f"\n{config.letter}  {config.title}; clips/s, median [10th, 90th percentile]")
    rows = []
    for num_instances in amount.instances:
        timings = interleaved(contenders(config, num_instances, amount.cases), amount.repeats)
        if library is not None:
            common = common_contenders(config, library, num_instances, amount.cases)
            timings |= interleaved(common, amount.repeats)
        ratios = {name: round(ratio, 3) for name, ratio in ratios_of(timings).items()}
        print(f"   {num_instances} instances")
        for name, timing in timings.items():
            print(f"     {line(name, timing)}{remark(name, ratios)}", flush=True)
        rows.append(
            {
                "config": config.letter,
                "instances": num_instances,
                "rates": {name: timing.as_json() for name, timing in timings.items()},
                "ours_is_faster_by": ratios,
            }
        )
    return rows


def ratios_of(timings: dict[str, Rates]) -> dict[str, float]:
    """Return how much faster ours is than each contender, by the medians."""
    return {
        name: timings[COMMON if name == "albumentations" else "ours"].median / timing.median
        for name, timing in timings.items()
        if name not in ("ours", COMMON)
    }


def remark(name: str, ratios: dict[str, float]) -> str:
    """Return the remark printed beside a contender's rate."""
    if name not in ratios:
        return ""
    if name == "floor":
        return f"   ours takes {1 / ratios[name]:.2f} x its time"
    return f"   ours is {ratios[name]:.2f} x as fast"


def ablated(amount: Amount) -> dict[str, Any]:
    """Time ours with parts taken out; print and return it."""
    config, num_instances = ABLATED
    print(f"\nours without parts, {config.letter}, {num_instances} instances, a paste in each clip")
    timings = interleaved(ablation_contenders(config, num_instances, amount.cases), amount.repeats)
    for name, timing in timings.items():
        print(f"     {line(name, timing)}   {1000 / timing.median:5.1f} ms a clip", flush=True)
    return {name: timing.as_json() for name, timing in timings.items()}


def line(name: str, rates: Rates) -> str:
    """Return a name and its rate with the spread."""
    low, high = rates.spread
    return f"{name:<26}{rates.median:7.2f}  [{low:5.2f}, {high:5.2f}]"
