"""An experiment of a few steps on a few clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from vis.support.tiny_runs import MODEL

from vidgap_vis.experiments.plan import FILE
from vidgap_vis.experiments.processes import Job

TINY = {key: value for key, value in asdict(MODEL).items() if value is not None}
TRAIN = {"steps": 2, "batch_size": 1, "warmup_steps": 0, "milestones": [], "num_workers": 0}
TRAIN |= {"precision": "fp32", "device": "cpu"}
COMMON = {"model": TINY, "temporal": None, "loss": {"num_points": 32}, "train": TRAIN}

TEMPORAL = {"num_heads": 2, "num_short_layers": 0, "num_gru_layers": 1}

CONTENT: dict[str, Any] = {
    "about": "Does it run?",
    "against": "index",
    "seeds": [1, 2],
    "synthetic": {
        "size": [32, 48],
        "num_train_images": 4,
        "num_valid_images": 3,
        "num_train_clips": 2,
        "num_valid_clips": 2,
        "num_frames": 4,
        "num_instances": [1, 2],
        "mark_size": 0.1,
    },
    "common": {
        "pretrain": {**COMMON, "clip": {"num_frames": 2, "size": None, "paste_min_area": 4}},
        "finetune": {**COMMON, "clip": {"num_frames": 2, "short_edges": []}},
    },
    "runs": {
        "stills": {"stage": "pretrain"},
        "clips": {"stage": "finetune", "init": "stills", "config": {"train": {"lr": 0.001}}},
        "embedded": {
            "stage": "finetune",
            "init": "stills",
            "config": {
                "model": TINY | {"embedding_dim": 8},
                "temporal": TEMPORAL,
                "contrast": {"weight": 1.0},
            },
        },
        "with module": {"stage": "pretrain", "config": {"temporal": TEMPORAL}},
    },
    "arms": {
        "index": {"run": "clips", "tracker": {"name": "index"}},
        "minvis": {"run": "clips", "tracker": {"name": "minvis"}},
        "stills": {"run": "stills", "tracker": {"name": "query"}},
        "ctvis": {"run": "embedded", "tracker": {"name": "ctvis"}},
        "overlap": {"run": "embedded", "tracker": {"name": "query"}},
        "forgets": {"run": "with module", "tracker": {"name": "minvis"}, "memory": False},
        "remembers": {"run": "with module", "tracker": {"name": "minvis"}},
        "one copy": {"run": "stills", "copies": 1},
        "two copies": {"run": "stills", "copies": 2},
    },
    "pairs": [["ctvis", "minvis"], ["two copies", "one copy"]],
}


def write(folder: Path, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(yaml.safe_dump({**CONTENT, **changes}, sort_keys=False))
    return folder


def here(
    jobs: dict[str, Job],
    progress: Callable[[int], object],
    _: int | None = None,
    gpus: Sequence[int] = (),
) -> dict[str, Any]:
    """Stand for `run_jobs`: do all jobs in this process."""
    assert not gpus
    done = {name: job.call() for name, job in jobs.items()}
    progress(len(done))
    return done
