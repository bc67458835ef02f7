"""Milliseconds from the mask logits of a frame to run lengths and scores at 720p, on one thread.

Logits are made up (`bench/masks/logits.py`): N objects of 1 to 6 % of the frame each, one that
covers most of it, and noise. The definition in PyTorch and the kernel of every instruction set that
runs here must agree in all pixels whose logit is not within 1e-4 of 0, and in the scores; else
nothing is said of times. Contenders take turns; processor time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

from bench.harness.cpu import CpuTiming, Effort
from bench.harness.cpu import measure as measured
from bench.harness.timing import circumstances
from bench.masks.logits import SHAPE, objects, speckles
from vidgap_segmenter import ClipOutput
from vidgap_segmenter.inference import resize_to
from vidgap_vis.inference.masks import FrameMasks, native, reference
from vidgap_vis.inference.masks.taps import Resizing
from vidgap_vis.native import extension, obstacle

PACKAGES = ["vidgap-vis", "torch", "numpy", "pycocotools"]
PADDED, FRAME, SIZE = (384, 640), (360, 640), (720, 1280)
LEVELS = ("x86-64-v4", "x86-64-v3", "baseline")
NEAR_ZERO, SCORE = 1e-4, 1e-5

Finish = Callable[[Tensor], FrameMasks]


@dataclass(frozen=True)
class Case:
    """A frame's tracks."""

    name: str
    logits: Tensor


def cases() -> tuple[Case, ...]:
    """Return what is timed."""
    tracks = [Case(f"{count} tracks", objects(count, (0.01, 0.06))) for count in (1, 10, 30)]
    return (
        *tracks,
        Case("1 large", objects(1, (0.6, 0.6))),
        Case("1 of noise", speckles(1)),
    )


def network_output() -> ClipOutput:
    """Return a network's output, of which only sizes are read."""
    return ClipOutput(
        class_logits=torch.zeros(1, 1, 1, 2),
        mask_logits=torch.zeros(1, 1, 1, *SHAPE),
        embeddings=torch.zeros(1, 1, 1, 1),
        auxiliary=(),
        frame_size=FRAME,
        padded_size=PADDED,
    )


def contenders() -> dict[str, Finish]:
    """Return the definition, and the kernels that run here, best first."""
    output = network_output()
    found: dict[str, Finish] = {
        "torch": lambda logits: reference.finish_masks(output, logits, SIZE, "bilinear")
    }
    compiled = extension(warns=False)
    if compiled is None:
        return found
    resizing = Resizing(SHAPE, PADDED, FRAME, SIZE, "bilinear")

    def with_level(level: str) -> Finish:
        def finish(logits: Tensor) -> FrameMasks:
            compiled.use_logit_kernels(level)
            return native.finish_masks(compiled, logits, resizing)

        return finish

    runnable = [level for level in LEVELS if compiled.use_logit_kernels(level)]
    compiled.use_logit_kernels(runnable[0])
    return found | {f"native, {level}": with_level(level) for level in runnable}


def measure(effort: Effort, path: Path | None) -> bool:
    """Check, measure, print, and write to a file, if there is one; return whether all agree."""
    torch.set_num_threads(1)
    finishes = contenders()
    if len(finishes) == 1:
        print(f"no kernels: {obstacle()}", file=sys.stderr)
        return False
    report: dict[str, Any] = circumstances(PACKAGES) | {"size": list(SIZE), "cases": []}
    for case in cases():
        found = {name: finish(case.logits) for name, finish in finishes.items()}
        faults = {name: fault(case.logits, masks) for name, masks in found.items()}
        if any(faults.values()):
            print(f"{case.name}: {faults}: no times", file=sys.stderr)
            return False
        share = float(found["torch"].areas.mean() / (SIZE[0] * SIZE[1]))
        timings = measured(
            {name: partial(call, case.logits) for name, call in finishes.items()},
            effort,
        )
        report["cases"].append(rows(case, share, timings))
        print_table(case, share, timings)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"written: {path}")
    return True


def fault(logits: Tensor, masks: FrameMasks) -> str | None:
    """Say in what masks are not those of the definition; None if they are."""
    for one, rle, score in zip(logits, masks.rles, masks.scores, strict=True):
        large = resize_to(network_output(), one[None], SIZE)[0]
        found = torch.from_numpy(np.ascontiguousarray(rle.decode()))
        pixels = int(((found != (large > 0)) & (large.abs() > NEAR_ZERO)).sum())
        if pixels:
            return f"{pixels} pixels differ"
        wanted = float((large.sigmoid() * found).sum() / max(1, int(found.sum())))
        if not abs(score - wanted) <= SCORE:
            return f"a score of {score}, not {wanted}"
    return None


def rows(case: Case, share: float, timings: dict[str, CpuTiming]) -> dict[str, Any]:
    """Return what to keep of a case."""
    return {
        "case": case.name,
        "tracks": len(case.logits),
        "share_of_frame": round(share, 4),
        "rows": [{"contender": name, **timing.as_json()} for name, timing in timings.items()],
    }


def print_table(case: Case, share: float, timings: dict[str, CpuTiming]) -> None:
    """Print the times of a case."""
    print(f"{case.name}, {share:.1%} of the frame each")
    cells = []
    for name, timing in timings.items():
        numbers = timing.process.as_json()
        cells.append(
            [
                name,
                f"{numbers['median']:.2f}",
                f"[{numbers['q1']:.2f}, {numbers['q3']:.2f}]",
                f"{timings['torch'].process.median / timing.process.median:.0f}",
                "-" if timing.peak_mib is None else f"{timing.peak_mib:.0f}",
            ]
        )
    heads = ("", "ms", "quartiles", "x torch", "MiB")
    aligned = ("left", "right", "right", "right", "right")
    print(tabulate(cells, heads, disable_numparse=True, colalign=aligned), "\n")
