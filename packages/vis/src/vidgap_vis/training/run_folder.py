"""A run's folder: what it holds, what it was made from, and whether a resumed run is the same run.

config.yaml       the configuration, as `-c` takes it
provenance.json   stage, configuration, hashes of the data files and parent weights, versions
metrics.jsonl     losses
checkpoint/       where to go on from
weights/          the result
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidgap_vis.config import RunConfig
from vidgap_vis.config.reading import flat, to_mapping, write_yaml
from vidgap_vis.errors import InputError
from vidgap_vis.files import check_folder_is_free, replacing
from vidgap_vis.weights.provenance import PROVENANCE_FILE, sha256, versions

RUN_CONFIG_FILE = "config.yaml"
WEIGHTS_FOLDER = "weights"

MAY_CHANGE = {
    "data.root",
    "data.pseudo.root",
    "train.num_workers",
    "train.num_threads",
    "train.device",
    "train.checkpoint_every",
    "train.log_every",
    "train.log_with",
}
"""Keys that a resumed run may change: they do not change what is computed."""


@dataclass(frozen=True)
class Parent:
    """The weights that a run begins with, by the SHA-256 of their files.

    Attributes:
        weights: the segmenter's; None: the run has no parent.
        head: a head's; None: none is trained, or the parent has none.
    """

    weights: str | None = None
    head: str | None = None


@dataclass(frozen=True)
class Provenance:
    """What weights were made from.

    Attributes:
        stage: `pretrain` or `finetune`.
        config: the configuration, as plain values.
        seed: the run's seed.
        data: SHA-256 of each annotation file, by its key in the configuration.
        parent: SHA-256 of the weights that were loaded first; None: none were.
        parent_head: SHA-256 of the head's, where one was trained and they had one.
        versions: of Python and of the packages that compute.
    """

    stage: str
    config: dict[str, Any]
    seed: int
    data: dict[str, str]
    parent: str | None
    parent_head: str | None
    versions: dict[str, str]

    @classmethod
    def of(
        cls, stage: str, config: RunConfig, data: Mapping[str, Path], parent: Parent
    ) -> Provenance:
        """Describe a run; `data` are its annotation files, the rest as the attributes."""
        return cls(
            stage=stage,
            config=to_mapping(config),
            seed=config.train.seed,
            data={key: sha256(path) for key, path in data.items()},
            parent=parent.weights,
            parent_head=parent.head,
            versions=versions(),
        )


def open_run(folder: Path, provenance: Provenance, *, resume: bool) -> None:
    """Make a run's folder, or check that the run in it is this one.

    Raises:
        InputError: the folder is not empty and `resume` is off; or it holds no run, or another.
    """
    if resume:
        check_same_run(folder, provenance)
        return
    if (folder / PROVENANCE_FILE).exists():
        raise InputError(
            folder, "", f"holds another run; choose another --out, or go on with --resume {folder}"
        )
    check_folder_is_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml(folder / RUN_CONFIG_FILE, provenance.config)
    with replacing(folder / PROVENANCE_FILE) as temporary:
        temporary.write_text(json.dumps(asdict(provenance), indent=2) + "\n", encoding="utf-8")


def check_same_run(folder: Path, provenance: Provenance) -> None:
    """Raise InputError unless `folder` holds a run of the same stage, configuration and data."""
    before, now = read_provenance(folder, provenance.stage), asdict(provenance)
    old, new = (
        {".".join(key): value for key, value in flat(said["config"])} for said in (before, now)
    )
    for key in [*old, *new]:
        if key not in MAY_CHANGE and old.get(key) != new.get(key):
            was, now_ = old.get(key), new.get(key)
            raise InputError(folder, key, f"was {was!r} in the run to resume, now {now_!r}")
    for key, digest in before["data"].items():
        if now["data"].get(key) != digest:
            raise InputError(folder, key, "the file has changed since the run began")
    if any(now[key] != before.get(key) for key in ("parent", "parent_head")):
        raise InputError(folder, "--init", "holds other weights than those the run began with")


def read_provenance(folder: Path, stage: str) -> dict[str, Any]:
    """Return the provenance of the run in a folder; InputError unless it is one of `stage`."""
    try:
        said = json.loads((folder / PROVENANCE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(folder, "", f"holds no run to resume ({PROVENANCE_FILE})") from error
    if said["stage"] != stage:
        raise InputError(folder, "", f"holds a run of {said['stage']}, wanted one of {stage}")
    return said
