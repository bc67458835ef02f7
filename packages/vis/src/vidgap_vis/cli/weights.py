"""`vidgap weights convert`, `vidgap weights export` and `vidgap weights slim`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import get_args

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.parser import Parser, whole
from vidgap_vis.cli.tracker_flags import add_tracker_flags, given_tracker
from vidgap_vis.config.network import Anchors


class WeightsConvert(Command):
    """`vidgap weights convert`."""

    summary = "official files of segmenters and trackers, Hugging Face folders -> weights"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument(
            "source",
            metavar="SOURCE",
            type=Path,
            help=".pkl, .pth, .safetensors, a folder, or USER/NAME on the Hugging Face Hub",
        )
        parser.add_argument("--out", type=Path, required=True, help="weights folder to make")
        parser.add_argument(
            "--classes",
            help="cat,dog; a file with a name per line; or a JSON with categories",
        )
        parser.add_argument(
            "--num_classes", type=whole(1), help="start the class head afresh for so many classes"
        )
        parser.add_argument(
            "--num_heads",
            type=whole(1),
            help="attention heads (in no file; 8 in all official networks)",
        )
        parser.add_argument(
            "--architecture",
            choices=["mask2former", "mask2former_vis"],
            help="of a Mask2Former's weights (in no file): frame by frame, as without this, or "
            "whole clips (Mask2Former-VIS)",
        )
        parser.add_argument(
            "--num_queries",
            type=whole(1),
            help="of a Mask DINO (in no file; 300 in official networks)",
        )
        parser.add_argument(
            "--anchors",
            choices=get_args(Anchors),
            help="of a Mask DINO (in no file; taken from the official configuration of its "
            "strides): bitmask for a ..._bitmask.yaml, selected without mask-enhanced boxes",
        )
        parser.add_argument(
            "--leave_out",
            default="",
            help="prefixes of the source's names that the network need not know, as a.,b.",
        )
        parser.add_argument(
            "--no_check", action="store_true", help="do not compare with Hugging Face's network"
        )
        parser.add_argument("--overwrite", action="store_true", help="replace what --out holds")
        add_tracker_flags(parser, "what the file's head is for")

    def run(self, options: Namespace) -> int:
        from vidgap_vis.weights.class_names import read_names
        from vidgap_vis.weights.convert import ConvertOptions, convert_weights

        settings = ConvertOptions(
            classes=None if options.classes is None else read_names(options.classes),
            num_classes=options.num_classes,
            leave_out=[prefix.strip() for prefix in options.leave_out.split(",") if prefix.strip()],
            num_heads=options.num_heads,
            architecture=options.architecture,
            num_queries=options.num_queries,
            anchors=options.anchors,
            check=not options.no_check,
            overwrite=options.overwrite,
            tracker=given_tracker(self.parser, options.tracker) or None,
        )
        print(convert_weights(options.source, options.out, settings))
        return 0


class WeightsExport(Command):
    """`vidgap weights export`."""

    summary = "weights -> a file that the official code loads, or a Hugging Face folder"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument("model", metavar="WEIGHTS", type=Path, help="weights folder")
        parser.add_argument(
            "--to", required=True, choices=["official", "hugging_face"], help="the format"
        )
        parser.add_argument(
            "--out", type=Path, required=True, help="a .pkl file; a folder for hugging_face"
        )
        parser.add_argument("--overwrite", action="store_true", help="replace what --out holds")

    def run(self, options: Namespace) -> int:
        from vidgap_vis.weights.convert import export_weights

        print(export_weights(options.model, options.out, options.to, overwrite=options.overwrite))
        return 0


class WeightsSlim(Command):
    """`vidgap weights slim`."""

    summary = "weights -> the same without a frozen backbone, which an installed package has"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument("model", metavar="WEIGHTS", type=Path, help="weights folder")
        parser.add_argument("--out", type=Path, required=True, help="weights folder to make")
        parser.add_argument("--overwrite", action="store_true", help="replace what --out holds")
        add_tracker_flags(parser, "what the weights say")

    def run(self, options: Namespace) -> int:
        from vidgap_vis.weights.slim import slim

        tracker = given_tracker(self.parser, options.tracker)
        print(slim(options.model, options.out, tracker=tracker, overwrite=options.overwrite))
        return 0
