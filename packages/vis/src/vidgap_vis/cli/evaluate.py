"""`vidgap evaluate` and `vidgap evaluate images`."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.parser import MODEL, Parser, whole
from vidgap_vis.cli.predict import check_device
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.files import check_output, replacing

METRICS = ("ap", "hota")
GROUPINGS = ("class", "size", "occlusion", "length")
"""Those of `evaluation.groups`, which takes long to import."""


class Evaluate(Command):
    """`vidgap evaluate`."""

    summary = "track AP of a results JSON against a YouTube-VIS JSON with truth, and how sure it is"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument("results", metavar="RESULTS", type=Path, help="results JSON")
        parser.add_argument("--gt", type=Path, required=True, help="annotations with truth")
        parser.add_argument("--json", type=Path, help="write all numbers here, 0..1")
        parser.add_argument(
            "--metrics",
            type=some_of(METRICS),
            default=["ap"],
            help="of ap,hota: hota adds HOTA, DetA, AssA, IDF1, identity switches and fragments",
        )
        parser.add_argument(
            "--min_score",
            type=share,
            default=0.3,
            help="of the weakest track that hota counts (0.3); AP counts all",
        )
        parser.add_argument(
            "--by",
            type=some_of(GROUPINGS),
            default=[],
            help="of class,size,occlusion,length: rows for each group, too",
        )
        parser.add_argument(
            "--long",
            type=Path,
            help="with --by length: the long videos, a JSON list of ids or a YouTube-VIS JSON",
        )
        parser.add_argument(
            "--against", type=Path, help="other results JSON: what these gain over it, paired"
        )
        parser.add_argument(
            "--seeds",
            type=Path,
            nargs="+",
            default=[],
            help="results JSONs of the same run with other seeds: mean and spread",
        )

    def run(self, options: Namespace) -> int:
        from vidgap_vis.evaluation import Evaluation
        from vidgap_vis.evaluation.groups import read_long_videos
        from vidgap_vis.evaluation.report import Report
        from vidgap_vis.formats import read_youtube_vis

        if options.json is not None:
            inputs = [options.results, options.gt, options.against, options.long, *options.seeds]
            check_output("--json", options.json, [path for path in inputs if path is not None])
        self._check(options)
        long_videos = None if options.long is None else read_long_videos(options.long)
        truth = read_youtube_vis(options.gt)
        report = Report()
        evaluation = Evaluation.of_files(options.results, truth)
        if "ap" in options.metrics:
            report.add_ap(options.results.stem, evaluation)
        report.add_groups(evaluation, options.by, long_videos)
        if "hota" in options.metrics:
            report.add_tracking(evaluation, options.min_score)
        if options.against is not None:
            other = Evaluation.of_files(options.against, truth)
            names = (str(options.against), str(options.results))
            report.add_comparison(names, other, evaluation, options.by, long_videos)
        if options.seeds:
            others = {str(path): Evaluation.of_files(path, truth) for path in options.seeds}
            report.add_seeds({str(options.results): evaluation, **others})
        write_metrics(options.json, report.data)
        print("\n\n".join(report.tables))
        return 0

    @staticmethod
    def _check(options: Namespace) -> None:
        """Refuse what would fail after minutes of work."""
        if options.long is not None and "length" not in options.by:
            raise ConfigError("", "--long", "wanted with --by length, got it without")
        runs = [options.results, *options.seeds]
        if len({path.resolve() for path in runs}) < len(runs):
            raise ConfigError("", "--seeds", "wanted other files than RESULTS, each once")
        others = [*options.seeds, *([options.against] if options.against else [])]
        for path in others:
            if not path.exists():
                raise InputError(path, "", "no such file")
        if options.against is not None and options.against.resolve() == options.results.resolve():
            raise ConfigError("", "--against", "wanted another file than RESULTS")
        if "hota" in options.metrics and find_spec("trackeval") is None:
            message = "hota needs the package trackeval: pip install 'vidgap-vis[eval]'"
            raise ConfigError("", "--metrics", message)


class EvaluateImages(Command):
    """`vidgap evaluate images`."""

    summary = "COCO mask AP of a model on still images, as clips of copies (paper A.2)"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument("model", metavar="WEIGHTS", type=Path, help=MODEL)
        parser.add_argument("--gt", type=Path, required=True, help="COCO JSON with truth")
        parser.add_argument("--images", type=Path, required=True, help="folder of its images")
        parser.add_argument(
            "--copies", type=whole(1), default=3, help="frames of a clip, as in training (3)"
        )
        parser.add_argument(
            "--short_edge", type=whole(1), help="resize images to this before the model"
        )
        parser.add_argument(
            "--max_size", type=whole(1), help="then the long edge is this at most (1333)"
        )
        parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (auto)")
        parser.add_argument("--json", type=Path, help="write the metrics here, 0..1")

    def run(self, options: Namespace) -> int:
        from tqdm import tqdm

        from vidgap_vis.evaluation import IMAGE_METRICS, evaluate_images, format_table
        from vidgap_vis.formats import read_coco
        from vidgap_vis.inference.images import check_same_classes, segment_images
        from vidgap_vis.inference.segmenter import device_of
        from vidgap_vis.inference.step import MAX_SIZE
        from vidgap_vis.weights import open_weights

        check_device(options.device)
        if options.json is not None:
            inputs = [options.gt, options.images, options.model]
            check_output("--json", options.json, inputs)
        truth = read_coco(options.gt, options.images)
        weights = open_weights(options.model)
        check_same_classes(truth, weights.classes)
        test = weights.usage.test
        found = segment_images(
            weights.model.to(device_of(options.device)),
            truth,
            num_copies=options.copies,
            short_edge=options.short_edge or test.short_edge,
            max_size=options.max_size or test.max_size or MAX_SIZE,
            progress=tqdm,
        )
        metrics = evaluate_images(truth, found)
        write_metrics(options.json, metrics)
        print(format_table({options.model.name: metrics}, IMAGE_METRICS))
        return 0


def write_metrics(path: Path | None, metrics: Mapping[str, Any]) -> None:
    """Write metrics as JSON, whole or not at all; None: nowhere."""
    if path is not None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


def some_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a reader of words with commas between them, each one of the `known`."""

    def read(text: str) -> list[str]:
        words = [word.strip() for word in text.split(",")]
        for word in words:
            if word not in known:
                raise ArgumentTypeError(f"wanted words of {','.join(known)}, got {word!r}")
        return list(dict.fromkeys(words))

    return read


def share(text: str) -> float:
    """Read a number in [0, 1]."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"wanted a number in [0, 1], got {text!r}")
    return value
