"""`vidgap export`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.parser import MODEL, Parser, picture_size, whole
from vidgap_vis.files import check_output


class Export(Command):
    """`vidgap export`."""

    summary = "one step of a stream as a file that torch, or an ONNX runtime, runs alone"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument("model", metavar="WEIGHTS", type=Path, help=MODEL)
        parser.add_argument("--out", type=Path, required=True, help="file to write (.pt2 or .onnx)")
        parser.add_argument(
            "--format", choices=["torch", "onnx"], help="by the file's name where it is not given"
        )
        parser.add_argument(
            "--size",
            type=picture_size,
            default="360x640",
            help="HEIGHTxWIDTH of the frames; the file takes no other (default 360x640)",
        )
        parser.add_argument(
            "--num_frames", type=whole(1), default=1, help="frames of a step, fixed too (default 1)"
        )
        parser.add_argument(
            "--repeated",
            type=whole(0),
            default=0,
            help="of these, how many the next step begins with again: clips of joint networks "
            "(default 0)",
        )

    def run(self, options: Namespace) -> int:
        from vidgap_vis.inference.export import export

        check_output("--out", options.out, [options.model])
        steps = (options.size, options.num_frames, options.repeated)
        print(export(options.model, options.out, *steps, options.format))
        return 0
