"""The demo's trainings, side by side."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from vidgap_vis.config import FinetuneConfig, PretrainConfig
from vidgap_vis.demo.processes import num_processes, process_pool
from vidgap_vis.training.finetune import finetune
from vidgap_vis.training.metrics import METRICS_FILE
from vidgap_vis.training.pretrain import pretrain
from vidgap_vis.training.run_folder import WEIGHTS_FOLDER


@dataclass(frozen=True)
class Training:
    """A run of the demo.

    Attributes:
        config: of pre-training, or of fine-tuning.
        parent: the name of the training that fine-tuning starts from; "" for pre-training.
        profile: log where a step's time goes.
    """

    config: PretrainConfig | FinetuneConfig
    parent: str = ""
    profile: bool = False


def train_all(out: Path, trainings: Mapping[str, Training]) -> None:
    """Do all trainings, each as soon as its parent is done.

    What a training says goes into a log beside its folder, progress to the screen.

    Args:
        out: where each gets a folder of its name.
        trainings: by name, parents first; of those whose parents are done the first goes first.

    Raises:
        ValueError: a parent does not come before.
        Exception: the error of the training that failed first.
    """
    for name, training in trainings.items():
        if training.parent and training.parent not in [*trainings][: [*trainings].index(name)]:
            raise ValueError(f"{name}: parent must come before it, got {training.parent!r}")
    waiting = dict(trainings)
    running: dict[Future[None], str] = {}
    done: set[str] = set()
    processes = num_processes()
    total = sum(one.config.train.steps for one in trainings.values())
    bar = tqdm(total=total, unit="step", desc="train", dynamic_ncols=True, mininterval=0)
    with bar, process_pool() as pool:
        while waiting or running:
            ready = [name for name, one in waiting.items() if one.parent in {"", *done}]
            for name in ready[: processes - len(running)]:
                running[pool.submit(_train, out, name, waiting.pop(name))] = name
            pause = 1.0 if sys.stderr.isatty() else 10.0
            finished, _ = wait(running, timeout=pause, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
                done.add(running.pop(future))
            bar.update(sum(_steps_done(out / name) for name in trainings) - bar.n)


def _train(out: Path, name: str, training: Training) -> None:
    folder = out / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        folder.with_suffix(".log").open("w", encoding="utf-8") as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        logger = logging.getLogger("vidgap_vis")  # of this process alone
        logger.setLevel(logging.INFO)
        logger.handlers = [logging.StreamHandler(log)]
        if isinstance(training.config, PretrainConfig):
            pretrain(training.config, folder, profile=training.profile)
        else:
            start = out / training.parent / WEIGHTS_FOLDER
            finetune(training.config, start, folder, profile=training.profile)


def _steps_done(folder: Path) -> int:
    """Return the step of the last line of a run's metrics."""
    path = folder / METRICS_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return int(json.loads(lines[-1])["step"]) if lines and lines[-1].endswith("}") else 0
