"""`vidgap predict`."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.parser import MODEL, Parser, whole
from vidgap_vis.cli.signals import terminable
from vidgap_vis.cli.tracker_flags import add_tracker_flags, given_tracker
from vidgap_vis.config.tracking import MAX_TOP_K
from vidgap_vis.errors import ConfigError, InputError

if TYPE_CHECKING:
    from vidgap_vis.video.sources.excerpt import Moment


class Predict(Command):
    """`vidgap predict`."""

    summary = "track instances in videos: an overlay to look at, results as JSON"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument(
            "inputs",
            nargs="+",
            metavar="INPUT",
            help="videos, images, folders of frames, patterns of these, a camera's number, a URL; "
            "or one JSON",
        )
        parser.add_argument("--model", type=Path, required=True, help=MODEL)
        parser.add_argument("--out", type=Path, help="overlay video; a folder for several inputs")
        parser.add_argument("--json", type=Path, help="results file (YouTube-VIS format)")
        parser.add_argument("--jsonl", type=Path, help="a line of JSON a frame, as frames come")
        parser.add_argument("--csv", type=Path, help="table with a row a track")
        parser.add_argument("--mots", type=Path, help="MOTS text; a folder for several inputs")
        parser.add_argument("--crops", type=Path, help="folder for cut-outs of every track")
        parser.add_argument(
            "--resume", action="store_true", help="go on where a run with the same --jsonl ended"
        )
        parser.add_argument("--images", type=Path, help="folder of the frames that a JSON names")
        parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (auto)")
        parser.add_argument(
            "--dtype", default="fp32", choices=["fp32", "bf16"], help="of the model"
        )
        parser.add_argument(
            "--compile",
            action="store_true",
            help="have torch.compile make the model's step; worth its minutes for long videos",
        )
        parser.add_argument("--classes", help="names of the classes to look for, as cat,dog")
        parser.add_argument(
            "--score", type=float, default=0.3, help="least score shown, but in --json (0.3)"
        )
        parser.add_argument(
            "--draw",
            default="masks,ids,labels",
            help="of masks,boxes,trails,ids,labels (masks,ids,labels)",
        )
        parser.add_argument("--start", type=a_moment, help="as 120, a frame, or 12.5s or 1:02.5")
        parser.add_argument("--end", type=a_moment, help="before which it ends, likewise")
        parser.add_argument("--every", type=whole(1), default=1, help="one of so many frames (1)")
        parser.add_argument("--max_frames", type=whole(1), help="of each video, at most")
        parser.add_argument(
            "--strict", action="store_true", help="fail where a part of a video does not decode"
        )
        parser.add_argument(
            "--latency", type=int, help="frames the model sees at once (1, or a clip)"
        )
        parser.add_argument(
            "--short_edge", type=whole(1), help="resize frames to this before the model"
        )
        parser.add_argument(
            "--max_size", type=whole(1), help="then the long edge is this at most (1333)"
        )
        parser.add_argument(
            "--top_k", type=whole(1, MAX_TOP_K), help="tracks a video lists in --json (20)"
        )
        parser.add_argument(
            "--batch_videos",
            type=whole(1),
            default=1,
            help="videos that share the model's steps, where they have one size (1)",
        )
        parser.add_argument(
            "--pipeline",
            choices=["on", "off"],
            default="on",
            help="decode, segment, draw and encode at the same time, in threads",
        )
        add_tracker_flags(parser, "the weights'")

    def run(self, options: Namespace) -> int:
        from vidgap_vis.inference.predict import PredictOptions, Stopped, predict
        from vidgap_vis.inference.segmenter import VideoSegmenter
        from vidgap_vis.video.sources import Span

        check_device(options.device)
        with naming(""):
            settings = PredictOptions(
                latency=options.latency,
                score=options.score,
                batch_videos=options.batch_videos,
                pipeline=options.pipeline == "on",
                span=Span(options.start, options.end, options.every, options.max_frames),
                draw=[name.strip() for name in options.draw.split(",")],
                strict=options.strict,
            )
        names = None
        if options.classes is not None:
            names = [name.strip() for name in options.classes.split(",")]
        tracker = chosen_tracker(options.model, given_tracker(self.parser, options.tracker))
        with naming("--classes"), self.parser.locating():
            segmenter = VideoSegmenter.from_pretrained(
                options.model,
                device=options.device,
                dtype=options.dtype,
                short_edge=options.short_edge,
                max_size=options.max_size,
                keep=names,
                tracker=tracker,
                top_k=options.top_k,
                compiled=options.compile,
            )
        with terminable():
            try:
                summary = predict(
                    options.inputs,
                    segmenter,
                    out=options.out,
                    json=options.json,
                    jsonl=options.jsonl,
                    mots=options.mots,
                    csv=options.csv,
                    crops=options.crops,
                    images_root=options.images,
                    weights=options.model,
                    resume=options.resume,
                    options=settings,
                )
            except Stopped as stop:
                print("\n".join(map(str, stop.summary.written)))
                raise
        rate = summary.num_frames / max(summary.seconds, 1e-9)
        print("\n".join(map(str, summary.written)))
        print(f"{summary.num_frames} frames, {rate:.1f} a second", file=sys.stderr)
        return 0


def a_moment(text: str) -> Moment:
    """Read a frame's number, or a time."""
    from vidgap_vis.video.sources import moment

    try:
        return moment(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def chosen_tracker(weights: Path, given: dict[str, Any]) -> dict[str, Any] | None:
    """Return the tracker of the weights, or the one named, with the options that are given.

    None: no flag says anything of it.
    """
    from vidgap_vis.weights import usage_of

    if not given:
        return None
    chosen = dict(usage_of(weights).tracker or {})
    name = given.get("name")
    return given if name not in (None, chosen.get("name")) else chosen | given


def check_device(name: str, flag: str = "--device") -> None:
    """Raise ConfigError where no device has this name; "auto" always exists."""
    known = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", name)
    if known is None:
        raise ConfigError("", flag, f"wanted auto, cpu, cuda or cuda:N, got {name!r}")
    if name.startswith("cuda"):
        import torch

        if int(known[1] or 0) >= torch.cuda.device_count():
            raise ConfigError(
                "", flag, f"{name} is not there, got {torch.cuda.device_count()} GPUs"
            )


@contextmanager
def naming(flag: str) -> Iterator[None]:
    """Turn a ValueError about an argument into a ConfigError that names its flag, if any."""
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise ConfigError("", flag, str(error)) from error
