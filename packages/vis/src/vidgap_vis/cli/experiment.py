"""`vidgap experiment`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import get_args

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.parser import Parser, several, whole
from vidgap_vis.cli.predict import check_device
from vidgap_vis.cli.signals import terminable
from vidgap_vis.config.training import Precision

FOLDER = Path("experiments")
"""Where an experiment's name is looked for."""


class Experiment(Command):
    """`vidgap experiment`."""

    summary = "arms by seeds: train, track and compare them in one table; goes on where it was left"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument(
            "experiment", metavar="NAME", type=Path, help="a folder with arms.yaml, or one's name"
        )
        parser.add_argument("--out", type=Path, help="folder of its runs; runs/NAME by default")
        parser.add_argument(
            "--seeds", type=several(whole(0)), help="as 1,2,3; the experiment's by default"
        )
        parser.add_argument(
            "--processes", type=whole(1), help="at once, a thread each; 2, or as many as cores"
        )
        parser.add_argument(
            "--root", type=Path, help="folder of the files of an experiment on files"
        )
        parser.add_argument(
            "--gpus", type=several(whole(0)), default=[], help="as 0,1; a process on each"
        )
        parser.add_argument(
            "--precision",
            choices=get_args(Precision),
            help="in which everything is trained; the experiment's by default",
        )
        parser.add_argument(
            "--plot",
            type=Path,
            help="draw arms and gains here, PNG or SVG (needs matplotlib)",
        )
        parser.add_argument(
            "--with",
            dest="elsewhere",
            metavar="RESULTS",
            type=Path,
            nargs="+",
            default=[],
            help="results.json files of other seeds, run earlier or elsewhere: one table of all",
        )
        parser.add_argument("--quick", action="store_true", help="a few steps, to see it run")

    def run(self, options: Namespace) -> int:
        from vidgap_vis.experiments import run_experiment
        from vidgap_vis.experiments.plot import check_plot, write_plot

        if options.plot is not None:
            check_plot(options.plot)  # before hours of training
        for gpu in options.gpus:
            check_device(f"cuda:{gpu}", "--gpus")
        folder: Path = options.experiment
        if not folder.is_dir() and (FOLDER / folder).is_dir():
            folder = FOLDER / folder
        name = f"{folder.name}_quick" if options.quick else folder.name
        with terminable():
            summary = run_experiment(
                folder,
                options.out or Path("runs") / name,
                seeds=options.seeds,
                processes=options.processes,
                gpus=options.gpus,
                precision=options.precision,
                root=options.root,
                elsewhere=options.elsewhere,
                quick=options.quick,
            )
        if options.plot is not None:
            write_plot(options.plot, summary.data)
        print(summary)
        return 0
