"""`vidgap evaluate` and `vidgap evaluate images`."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.parser import Parser, whole
from vidgap_vis.files import check_output, replacing


class Evaluate(Command):
    """`vidgap evaluate`."""

    summary = "track AP of a results JSON against a YouTube-VIS JSON with truth"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument("results", metavar="RESULTS", type=Path, help="results JSON")
        parser.add_argument("--gt", type=Path, required=True, help="annotations with truth")
        parser.add_argument("--json", type=Path, help="write the metrics here, 0..1")
        parser.add_argument("--by", choices=["class"], help="a row for each class, too")

    def run(self, options: Namespace) -> int:
        from vidgap_vis.evaluation import Evaluation, format_table, track_metrics

        if options.json is not None:
            check_output("--json", options.json, [options.results, options.gt])
        evaluation = Evaluation.of_files(options.results, options.gt)
        metrics = evaluation.ap()
        rows = {options.results.stem: metrics}
        if options.by == "class":
            for label, found in track_metrics(evaluation.table).per_class.items():
                rows[f"  {evaluation.truth.classes[label].name}"] = found
        write_metrics(options.json, metrics)
        print(format_table(rows))
        return 0


class EvaluateImages(Command):
    """`vidgap evaluate images`."""

    summary = "COCO mask AP of a model on still images, as clips of copies (paper A.2)"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument("model", metavar="WEIGHTS", type=Path, help="weights folder")
        parser.add_argument("--gt", type=Path, required=True, help="COCO JSON with truth")
        parser.add_argument("--images", type=Path, required=True, help="folder of its images")
        parser.add_argument(
            "--copies", type=whole(1), default=3, help="frames of a clip, as in training"
        )
        parser.add_argument(
            "--short_edge", type=whole(1), help="resize images to this before the model"
        )
        parser.add_argument("--json", type=Path, help="write the metrics here, 0..1")

    def run(self, options: Namespace) -> int:
        from tqdm import tqdm

        from vidgap_vis.evaluation import IMAGE_METRICS, evaluate_images, format_table
        from vidgap_vis.formats import read_coco
        from vidgap_vis.inference.images import check_same_classes, segment_images
        from vidgap_vis.weights import load

        if options.json is not None:
            inputs = [options.gt, options.images, options.model]
            check_output("--json", options.json, inputs)
        truth = read_coco(options.gt, options.images)
        model, classes = load(options.model)
        check_same_classes(truth, classes)
        found = segment_images(
            model, truth, num_copies=options.copies, short_edge=options.short_edge, progress=tqdm
        )
        metrics = evaluate_images(truth, found)
        write_metrics(options.json, metrics)
        print(format_table({options.model.name: metrics}, IMAGE_METRICS))
        return 0


def write_metrics(path: Path | None, metrics: dict[str, float | None]) -> None:
    """Write metrics as JSON, whole or not at all; None: nowhere."""
    if path is not None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
