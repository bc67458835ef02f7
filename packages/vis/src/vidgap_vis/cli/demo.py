"""`vidgap demo`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.parser import Parser, whole
from vidgap_vis.cli.signals import terminable


class Demo(Command):
    """`vidgap demo`."""

    summary = "the whole job on generated data: pre-train, fine-tune, track, evaluate"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write")
        parser.add_argument("--quick", action="store_true", help="fewer steps, to see it run")
        parser.add_argument(
            "--late_module",
            action="store_true",
            help="also train a model that gets its temporal module in fine-tuning",
        )
        parser.add_argument("--profile", action="store_true", help="print where a step's time goes")
        parser.add_argument(
            "--seed",
            type=whole(0),
            default=1,
            help="of data and training; the tracker's settings were chosen on the clips of seed 0",
        )

    def run(self, options: Namespace) -> int:
        from vidgap_vis import demo

        with terminable():
            return demo.run(
                out=options.out,
                quick=options.quick,
                seed=options.seed,
                late_module=options.late_module,
                profile=options.profile,
            )
