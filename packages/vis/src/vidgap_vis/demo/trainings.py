"""The demo's trainings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vidgap_vis.config import FinetuneConfig, PretrainConfig
from vidgap_vis.experiments.processes import saying
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


def train(out: Path, name: str, training: Training) -> None:
    """Do a training in the folder `name` of `out`; what it says goes into a log beside that."""
    folder = out / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with saying(folder.with_suffix(".log")):
        if isinstance(training.config, PretrainConfig):
            pretrain(training.config, folder, profile=training.profile)
        else:
            start = out / training.parent / WEIGHTS_FOLDER
            finetune(training.config, start, folder, profile=training.profile)


def steps_done(folder: Path) -> int:
    """Return the step of the last line of a run's metrics."""
    path = folder / METRICS_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return int(json.loads(lines[-1])["step"]) if lines and lines[-1].endswith("}") else 0
