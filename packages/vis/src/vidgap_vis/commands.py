"""The commands: each says its arguments, and calls what does the work.

What is heavy is imported when a command runs, so that `vidgap --help` answers at once.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from vidgap_vis.arguments import Parser
from vidgap_vis.command import Command
from vidgap_vis.config import FinetuneConfig, PretrainConfig
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.export_command import Export
from vidgap_vis.weights_commands import WeightsConvert, WeightsExport


class Doctor(Command):
    """`vidgap doctor`."""

    summary = "versions, devices, and which backend each op uses, why, and whether it is right"

    def add_arguments(self, parser: Parser) -> None:
        """Take nothing."""

    def run(self, parser: Parser, options: Namespace) -> int:  # noqa: ARG002 (others read configs)
        """Print the report; 1 where an op disagrees with its reference."""
        from vidgap_vis import doctor

        return doctor.run()


class Demo(Command):
    """`vidgap demo`."""

    summary = "the whole job on generated data: pre-train, fine-tune, track, evaluate"

    def add_arguments(self, parser: Parser) -> None:
        """Take a folder, how much, and a seed."""
        parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write")
        parser.add_argument("--quick", action="store_true", help="fewer steps, to see it run")
        parser.add_argument("--profile", action="store_true", help="print where a step's time goes")
        parser.add_argument(
            "--seed",
            type=int,
            default=1,
            help="of data and training; the tracker's settings were chosen on the clips of seed 0",
        )

    def run(self, parser: Parser, options: Namespace) -> int:  # noqa: ARG002 (others read configs)
        """Run the demo."""
        if options.seed < 0:
            raise ConfigError("", "--seed", f"wanted 0 or more, got {options.seed}")
        from vidgap_vis import demo

        return demo.run(
            out=options.out, quick=options.quick, seed=options.seed, profile=options.profile
        )


class Pretrain(Command):
    """`vidgap pretrain`."""

    summary = "pre-train on pseudo-clips made from single images (COCO JSON)"

    def add_arguments(self, parser: Parser) -> None:
        """Take a configuration and a folder."""
        parser.add_section(PretrainConfig)
        add_run_arguments(parser)

    def run(self, parser: Parser, options: Namespace) -> int:
        """Train; print where the weights are."""
        config = parser.configuration(options, PretrainConfig)
        from vidgap_vis.pretrain import pretrain
        from vidgap_vis.train import say

        out, resume = run_folder(options, "pretrain"), options.resume is not None
        with parser.locating(options):
            weights = pretrain(config, out, resume=resume, profile=options.profile)
        say(str(weights), sys.stdout)
        return 0


class Finetune(Command):
    """`vidgap finetune`."""

    summary = "fine-tune on videos (YouTube-VIS or OVIS JSON), and on images beside them"

    def add_arguments(self, parser: Parser) -> None:
        """Take a configuration, the weights to start from and a folder."""
        parser.add_section(FinetuneConfig)
        parser.add_argument("--init", type=Path, metavar="WEIGHTS", help="weights to start from")
        add_run_arguments(parser)

    def run(self, parser: Parser, options: Namespace) -> int:
        """Train; print where the weights are."""
        config = parser.configuration(options, FinetuneConfig)
        if options.init is None and options.resume is None:
            raise ConfigError("", "--init", "missing, wanted the weights folder to start from")
        from vidgap_vis.finetune import finetune
        from vidgap_vis.train import say

        out, resume = run_folder(options, "finetune"), options.resume is not None
        with parser.locating(options):
            weights = finetune(config, options.init, out, resume=resume, profile=options.profile)
        say(str(weights), sys.stdout)
        return 0


class Predict(Command):
    """`vidgap predict`."""

    summary = "track instances in videos: an overlay to look at, results as JSON"

    def add_arguments(self, parser: Parser) -> None:
        """Take inputs, weights and what to write."""
        parser.add_argument(
            "inputs", nargs="+", metavar="INPUT", help="videos, folders of frames, or one JSON"
        )
        parser.add_argument("--model", type=Path, required=True, help="weights folder")
        parser.add_argument("--out", type=Path, help="overlay video; a folder for several inputs")
        parser.add_argument("--json", type=Path, help="results file (YouTube-VIS format)")
        parser.add_argument("--images", type=Path, help="folder of the frames that a JSON names")
        parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
        parser.add_argument(
            "--dtype", default="fp32", choices=["fp32", "bf16"], help="of the model"
        )
        parser.add_argument("--classes", help="names of the classes to look for, as cat,dog")
        parser.add_argument("--score", type=float, default=0.3, help="least score drawn")
        parser.add_argument("--latency", type=int, default=10, help="frames the model sees at once")
        parser.add_argument("--short_edge", type=int, help="resize frames to this before the model")

    def run(self, parser: Parser, options: Namespace) -> int:  # noqa: ARG002 (others read configs)
        """Predict; print what was written and how fast."""
        from vidgap_vis.outputs import check_output
        from vidgap_vis.predict import PredictOptions, predict
        from vidgap_vis.segmenter import VideoSegmenter

        if options.json is not None:
            check_output("--json", options.json, [options.model])
        check_device(options.device)
        with naming(""):
            settings = PredictOptions(latency=options.latency, score=options.score)
        if options.short_edge is not None and options.short_edge < 1:
            raise ConfigError("", "--short_edge", f"wanted 1 or more, got {options.short_edge}")
        names = None
        if options.classes is not None:
            names = [name.strip() for name in options.classes.split(",")]
        with naming("--classes"):
            segmenter = VideoSegmenter.from_pretrained(
                options.model,
                device=options.device,
                dtype=options.dtype,
                short_edge=options.short_edge,
                keep=names,
            )
        summary = predict(
            options.inputs,
            segmenter,
            out=options.out,
            json=options.json,
            images_root=options.images,
            options=settings,
        )
        written = [*summary.overlays, *([options.json] if options.json else [])]
        rate = summary.num_frames / max(summary.seconds, 1e-9)
        print("\n".join(map(str, written)))
        print(f"{summary.num_frames} frames, {rate:.1f} a second", file=sys.stderr)
        return 0


class Evaluate(Command):
    """`vidgap evaluate`."""

    summary = "track AP of a results JSON against a YouTube-VIS JSON with truth"

    def add_arguments(self, parser: Parser) -> None:
        """Take the results and the truth."""
        parser.add_argument("results", metavar="RESULTS", type=Path, help="results JSON")
        parser.add_argument("--gt", type=Path, required=True, help="annotations with truth")
        parser.add_argument("--json", type=Path, help="write the metrics here, 0..1")
        parser.add_argument("--by", choices=["class"], help="a row for each class, too")

    def run(self, parser: Parser, options: Namespace) -> int:  # noqa: ARG002 (others read configs)
        """Print the table."""
        from vidgap_vis.data import read_youtube_vis
        from vidgap_vis.evaluation import format_table, match_results, track_metrics
        from vidgap_vis.outputs import check_output
        from vidgap_vis.results import read_results

        if options.json is not None:
            check_output("--json", options.json, [options.results, options.gt])
        truth = read_youtube_vis(options.gt)
        matches = match_results(truth, read_results(options.results, truth))
        metrics = matches.summary()
        rows = {options.results.stem: metrics}
        if options.by == "class":
            for label, found in track_metrics(matches).per_class.items():
                rows[f"  {truth.classes[label].name}"] = found
        write_metrics(options.json, metrics)
        print(format_table(rows))
        return 0


class EvaluateImages(Command):
    """`vidgap evaluate images`."""

    summary = "COCO mask AP of a model on still images, as clips of copies (paper A.2)"

    def add_arguments(self, parser: Parser) -> None:
        """Take the weights and the truth."""
        parser.add_argument("model", metavar="WEIGHTS", type=Path, help="weights folder")
        parser.add_argument("--gt", type=Path, required=True, help="COCO JSON with truth")
        parser.add_argument("--images", type=Path, required=True, help="folder of its images")
        parser.add_argument(
            "--copies", type=int, default=3, help="frames of a clip, as in training"
        )
        parser.add_argument("--short_edge", type=int, help="resize images to this before the model")
        parser.add_argument("--json", type=Path, help="write the metrics here, 0..1")

    def run(self, parser: Parser, options: Namespace) -> int:  # noqa: ARG002 (others read configs)
        """Print the table."""
        from tqdm import tqdm

        from vidgap_vis import build
        from vidgap_vis.data import read_coco
        from vidgap_vis.evaluation import IMAGE_METRICS, evaluate_images, format_table
        from vidgap_vis.image_inference import check_same_classes, segment_images
        from vidgap_vis.outputs import check_output

        for flag in ("copies", "short_edge"):
            value = getattr(options, flag)
            if value is not None and value < 1:
                raise ConfigError("", f"--{flag}", f"wanted 1 or more, got {value}")
        if options.json is not None:
            inputs = [options.gt, options.images, options.model]
            check_output("--json", options.json, inputs)
        truth = read_coco(options.gt, options.images)
        model, classes = build.load(options.model)
        check_same_classes(truth, classes)
        found = segment_images(
            model, truth, num_copies=options.copies, short_edge=options.short_edge, progress=tqdm
        )
        metrics = evaluate_images(truth, found)
        write_metrics(options.json, metrics)
        print(format_table({options.model.name: metrics}, IMAGE_METRICS))
        return 0


class DataSample(Command):
    """`vidgap data sample`."""

    summary = "generate a data set with truth: images, and clips of look-alikes that cross"

    def add_arguments(self, parser: Parser) -> None:
        """Take a folder and what it shall hold."""
        from vidgap_vis.sample import SampleOptions

        parser.add_section(SampleOptions, file=False)
        parser.add_argument("--out", type=Path, required=True, help="folder to make")

    def run(self, parser: Parser, options: Namespace) -> int:
        """Write the data set."""
        from vidgap_vis.sample import SampleOptions, write_sample

        print(write_sample(options.out, parser.configuration(options, SampleOptions)))
        return 0


class DataPseudo(Command):
    """`vidgap data pseudo`."""

    summary = "write pseudo-clips of still images: YouTube-VIS JSON, frames and a preview"

    def add_arguments(self, parser: Parser) -> None:
        """Take the images, a folder, and how clips are made."""
        from vidgap_vis.config import PseudoExportConfig

        parser.add_argument("annotations", metavar="ANNOTATIONS", type=Path, help="COCO JSON")
        parser.add_argument("--images", type=Path, required=True, help="folder of its images")
        parser.add_argument("--out", type=Path, required=True, help="folder to make")
        parser.add_section(PseudoExportConfig)

    def run(self, parser: Parser, options: Namespace) -> int:
        """Write the clips."""
        from vidgap_vis import build
        from vidgap_vis.atomic import check_folder_is_free
        from vidgap_vis.config import PseudoExportConfig
        from vidgap_vis.data import read_coco
        from vidgap_vis.pseudo_data import PREVIEW, write_pseudo_clips

        config = parser.configuration(options, PseudoExportConfig)
        check_folder_is_free(options.out)
        folder = write_pseudo_clips(
            options.out,
            read_coco(options.annotations, options.images),
            build.image_clips(config.clip),
            clips_per_image=config.clips_per_image,
            max_images=config.max_images,
            seed=config.seed,
        )
        print(folder / PREVIEW)
        return 0


COMMANDS: dict[str, type[Command]] = {
    "doctor": Doctor,
    "demo": Demo,
    "pretrain": Pretrain,
    "finetune": Finetune,
    "predict": Predict,
    "evaluate": Evaluate,
    "evaluate images": EvaluateImages,
    "data sample": DataSample,
    "data pseudo": DataPseudo,
    "weights convert": WeightsConvert,
    "weights export": WeightsExport,
    "export": Export,
}
"""Every command by its name."""


def write_metrics(path: Path | None, metrics: dict[str, float | None]) -> None:
    """Write metrics as JSON, whole or not at all; None: nowhere."""
    from vidgap_vis.atomic import replacing

    if path is not None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


def add_run_arguments(parser: Parser) -> None:
    """Add what pre-training and fine-tuning share."""
    parser.add_argument("--out", type=Path, help="the run's folder; runs/NAME of the config file")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in DIR")
    parser.add_argument("--profile", action="store_true", help="print where a step's time goes")


def check_device(name: str) -> None:
    """Raise ConfigError where there is no device of a name; "auto" is always there."""
    known = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", name)
    if known is None:
        raise ConfigError("", "--device", f"wanted auto, cpu, cuda or cuda:N, got {name!r}")
    if name.startswith("cuda"):
        import torch

        if int(known[1] or 0) >= torch.cuda.device_count():
            raise ConfigError(
                "", "--device", f"{name} is not there, got {torch.cuda.device_count()} GPUs"
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


def run_folder(options: Namespace, stage: str) -> Path:
    """Return the folder of a run: `--resume`, `--out`, or runs/ and the configuration's name."""
    if options.resume is not None:
        if options.out not in (None, options.resume):
            message = f"is another folder than --resume {options.resume}; leave it out"
            raise ConfigError("", f"--out {options.out}", message)
        return options.resume
    if options.out is not None:
        return options.out
    files: list[Any] = options.config or []
    return Path("runs") / (Path(str(files[-1])).stem if files else stage)
