"""`vidgap bench`."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.parser import MODEL, Parser, picture_size, several, whole
from vidgap_vis.cli.predict import check_device, naming

if TYPE_CHECKING:
    from vidgap_vis.inference.segmenter import VideoSegmenter
    from vidgap_vis.speed import Case

NUM_CLASSES = 40


class Bench(Command):
    """`vidgap bench`."""

    summary = "how fast videos are followed on this machine: every stage, and end to end"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument("--model", type=Path, help=f"{MODEL}; random weights by default")
        parser.add_argument("--backbone", default="resnet50", help="of random weights (resnet50)")
        parser.add_argument(
            "--no_module", action="store_true", help="random weights without temporal module"
        )
        parser.add_argument(
            "--size",
            type=picture_size,
            default="720x1280",
            help="HEIGHTxWIDTH of the video (720x1280)",
        )
        parser.add_argument(
            "--short_edge", type=whole(1), default=360, help="frames are resized to this (360)"
        )
        parser.add_argument(
            "--frames", type=several(whole(1)), default="1", help="of a step, as 1,10 (1)"
        )
        parser.add_argument(
            "--tracks", type=several(whole(1)), default="10", help="in a frame, as 1,10,30 (10)"
        )
        parser.add_argument("--steps", type=whole(1), default=5, help="that are timed (5)")
        parser.add_argument(
            "--threads", type=whole(1), help="of the CPU; torch's choice by default"
        )
        parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (auto)")
        parser.add_argument(
            "--dtype", default="fp32", choices=["fp32", "bf16"], help="of the model"
        )
        parser.add_argument(
            "--compile",
            action="store_true",
            help="torch.compile; on a GPU CUDA graphs, from torch 2.14 on",
        )
        parser.add_argument("--json", type=Path, help="file for the numbers")

    def run(self, options: Namespace) -> int:
        import torch

        from vidgap_segmenter import ClipSegmenter
        from vidgap_vis.files import replacing
        from vidgap_vis.speed import Subject, format_speeds

        check_device(options.device)
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        segmenter = segmenter_of(options)
        network = segmenter.model
        assert isinstance(network, ClipSegmenter)
        subject = Subject(
            network,
            segmenter.classes,
            segmenter.make_tracker,
            segmenter.device,
            compiled=options.compile,
        )
        with naming(""):
            for case in cases(options):
                subject.check(case)
        speeds = []
        for case in cases(options):
            print(f"{case.frames} frames a step, {case.tracks} tracks ...", file=sys.stderr)
            speeds.append(subject.measure(case))
            if options.json is not None:  # what there is, if a later one is stopped
                found = [speed.to_json() for speed in speeds]
                with replacing(options.json) as temporary:
                    temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(format_speeds(speeds))
        return 0


def cases(options: Namespace) -> Iterator[Case]:
    """Yield what is measured."""
    from vidgap_vis.speed import Case

    for frames, tracks in product(options.frames, options.tracks):
        yield Case(options.short_edge, options.size, frames, tracks, options.dtype, options.steps)


def segmenter_of(options: Namespace) -> VideoSegmenter:
    """Return the model of a weights folder, or one of the project's size with random weights."""
    from vidgap_vis import build
    from vidgap_vis.classes import from_categories
    from vidgap_vis.config import ModelConfig, TemporalConfig
    from vidgap_vis.inference.segmenter import VideoSegmenter

    if options.model is not None:
        return VideoSegmenter.from_pretrained(
            options.model, device=options.device, dtype=options.dtype
        )
    temporal = None if options.no_module else TemporalConfig()
    network = build.segmenter(ModelConfig(backbone=options.backbone), temporal, NUM_CLASSES)
    classes = from_categories((number, f"class {number}") for number in range(1, NUM_CLASSES + 1))
    return VideoSegmenter(network, classes, device=options.device, dtype=options.dtype)
