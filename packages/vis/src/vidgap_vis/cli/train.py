"""`vidgap pretrain` and `vidgap finetune`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.parser import Parser
from vidgap_vis.config import FinetuneConfig, PretrainConfig
from vidgap_vis.errors import ConfigError


class Pretrain(Command):
    """`vidgap pretrain`."""

    summary = "pre-train on pseudo-clips made from single images (COCO JSON)"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_section(PretrainConfig)
        add_init_argument(parser)
        add_run_arguments(parser)

    def run(self, options: Namespace) -> int:
        config = self.parser.configuration(PretrainConfig)
        from vidgap_vis.training.pretrain import pretrain

        out, resume = run_folder(options, "pretrain"), options.resume is not None
        with self.parser.locating():
            weights = pretrain(config, out, options.init, resume=resume, profile=options.profile)
        print_once(weights)
        return 0


class Finetune(Command):
    """`vidgap finetune`."""

    summary = "fine-tune on videos (YouTube-VIS or OVIS JSON), and on images beside them"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_section(FinetuneConfig)
        add_init_argument(parser)
        add_run_arguments(parser)

    def run(self, options: Namespace) -> int:
        config = self.parser.configuration(FinetuneConfig)
        if options.init is None and options.resume is None:
            raise ConfigError("", "--init", "missing, wanted the weights folder to start from")
        from vidgap_vis.training.finetune import finetune

        out, resume = run_folder(options, "finetune"), options.resume is not None
        with self.parser.locating():
            weights = finetune(config, options.init, out, resume=resume, profile=options.profile)
        print_once(weights)
        return 0


def print_once(weights: Path) -> None:
    """Print where the weights are, in the first of the processes that trained them."""
    from accelerate import PartialState

    if PartialState().is_main_process:
        print(weights)


def add_init_argument(parser: Parser) -> None:
    """Add the parent of a run."""
    parser.add_argument("--init", type=Path, metavar="WEIGHTS", help="weights to start from")


def add_run_arguments(parser: Parser) -> None:
    """Add what pre-training and fine-tuning share."""
    parser.add_argument("--out", type=Path, help="the run's folder; runs/NAME of the config file")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in DIR")
    parser.add_argument("--profile", action="store_true", help="print where a step's time goes")


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
