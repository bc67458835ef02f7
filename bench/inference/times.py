"""Milliseconds a frame from a video to tracks: every stage, and beside Hugging Face.

Mask2Former with random weights, whose predictions are replaced by discs that move
(`vidgap_vis.speed`), on a video of 720p. Stages are processor time of one thread, one after
another; `end to end` is `vidgap predict` with overlay and results. Hugging Face's network has the
same weights and segments frame by frame, without tracks; both are timed from decoded frames to
masks of their size, ours with tracker and without temporal module, for theirs has none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bench.harness.timing import circumstances
from bench.inference import chart
from bench.inference.hugging_face import milliseconds
from vidgap_segmenter import Mask2Former
from vidgap_temporal import MultiScaleTemporalModule
from vidgap_vis.classes import from_categories
from vidgap_vis.inference.segmenter import query_tracker
from vidgap_vis.speed import Case, Speed, Subject, format_speeds

NUM_CLASSES = 40
PACKAGES = ["vidgap-vis", "torch", "numpy", "opencv-python-headless", "av", "transformers"]
SIZE = (720, 1280)
SHOWN = ("draw", "encode", "decode")
"""Stages that Hugging Face's side does not have."""


CASES: dict[str, dict[str, tuple[Case, ...]]] = {
    "full": {
        "resnet50": (
            *(Case(360, SIZE, 1, tracks) for tracks in (1, 10, 30)),
            Case(360, SIZE, 10, 10, steps=1),
            Case(480, SIZE, 1, 10, steps=3),
        ),
        "swin_tiny": tuple(Case(edge, SIZE, 1, 10, steps=3) for edge in (360, 480)),
    },
    "quick": {"resnet50": (Case(96, (192, 320), 1, 5, steps=1),)},
}
"""By amount and backbone."""


def measure(amount: str, path: Path | None) -> bool:
    """Measure, print, and write to a file, if there is one; return True."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for backbone, cases in CASES[amount].items():
        speeds = {module: list(measured(backbone, cases, module)) for module in (True, False)}
        print(f"\n{backbone}, with temporal module\n{format_speeds(speeds[True])}")
        print(f"\n{backbone}, without\n{format_speeds(speeds[False])}")
        for speed in speeds[True]:
            rows.append({"backbone": backbone, "module": True, **speed.to_json()})
        for speed in speeds[False]:
            rows.append({"backbone": backbone, "module": False, **compared(backbone, speed)})
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        report = circumstances(PACKAGES) | {"rows": rows}
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        chart.draw(rows, path.with_suffix(".png"))
        print(f"\nwritten: {path}")
    return True


def network(backbone: str, *, module: bool) -> Mask2Former:
    """Return a network with random weights."""
    torch.manual_seed(0)
    temporal = MultiScaleTemporalModule(channels=256, num_scales=3) if module else None
    return Mask2Former(backbone, NUM_CLASSES, temporal).eval()


def measured(backbone: str, cases: tuple[Case, ...], module: bool) -> Iterator[Speed]:
    """Yield the speeds of a network."""
    classes = from_categories((number, f"class {number}") for number in range(1, NUM_CLASSES + 1))
    subject = Subject(
        network(backbone, module=module),
        classes,
        query_tracker,
        torch.device("cpu"),
        time.process_time,
    )
    for case in cases:
        yield subject.measure(case)


def compared(backbone: str, speed: Speed) -> dict[str, Any]:
    """Return the numbers to keep of a network without module, with Hugging Face's beside them."""
    if speed.case.frames > 1:
        return speed.to_json()
    ours = sum(ms for name, ms in speed.ms.items() if name not in (*SHOWN, "end to end"))
    theirs = milliseconds(network(backbone, module=False), speed.case)
    print(
        f"{speed.case.tracks} tracks, decoded frames to masks: ours {ours:.0f} ms, "
        f"Hugging Face {theirs:.0f} ms, {theirs / ours:.2f} times"
    )
    return {**speed.to_json(), "ours": round(ours, 1), "hugging_face": round(theirs, 1)}
