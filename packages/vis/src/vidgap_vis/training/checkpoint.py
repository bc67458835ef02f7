"""Checkpoints of a run: whole or absent, read without running what they hold.

`OUT/checkpoint/step_000500` appears by one renaming, then its predecessor goes, so that at every
moment a complete one is there. Accelerate writes weights (safetensors) and optimiser, and reads
them back with `weights_only`; the scale of fp16's losses is JSON. Data order, augmentation and the
points of the loss depend on seeds and the step alone, so nothing else but the step is needed.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors import SafetensorError
from torch.amp import GradScaler

from vidgap_vis.errors import InputError

CHECKPOINT_FOLDER = "checkpoint"
SCALER_FILE = "scaler.json"
PENDING_FILE = "pending.json"
"""What the log had not written yet."""

TORCH_WRITES = "inline_container"
"""What the error of `torch.save` names on a full disk."""

_PREFIX = "step_"
_PARTIAL = ".partial"


def save_checkpoint(
    accelerator: Accelerator,
    scaler: GradScaler,
    run: Path,
    step: int,
    pending: Mapping[str, Any],
) -> None:
    """Write the state after `step` steps; all processes call it.

    Args:
        accelerator: has prepared what is saved.
        scaler: of fp16's losses.
        run: the run's folder.
        step: how many are done.
        pending: of the log, what it has not written yet.

    Raises:
        InputError: it cannot be written; the one before is kept.
    """
    folder = run / CHECKPOINT_FOLDER
    partial, final = folder / _PARTIAL, folder / f"{_PREFIX}{step:06d}"
    main = accelerator.is_main_process
    if main:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    accelerator.wait_for_everyone()
    with writing(folder, partial if main else None):
        accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if main:
        with writing(folder, partial):
            (partial / SCALER_FILE).write_text(json.dumps(scaler.state_dict()))
            (partial / PENDING_FILE).write_text(json.dumps(pending))
            to_disk(partial)
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        for older in checkpoints(run)[:-1]:
            shutil.rmtree(older)
    accelerator.wait_for_everyone()


@contextmanager
def writing(folder: Path, partial: Path | None) -> Iterator[None]:
    """Turn what is said of a full disk into an InputError about `folder`, without `partial`."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if isinstance(error, RuntimeError) and TORCH_WRITES not in str(error):
            raise
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
        reason = str(error).split("\n")[0]
        raise InputError(folder, "", f"no checkpoint can be written ({reason})") from error


def to_disk(folder: Path) -> None:
    """Wait until the files in a folder are on the disk, lest a power cut leave it empty ones."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def checkpoints(run: Path) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first."""
    found = (run / CHECKPOINT_FOLDER).glob(f"{_PREFIX}*")
    return sorted((path for path in found if path.name[len(_PREFIX) :].isdecimal()), key=step_of)


def step_of(checkpoint: Path) -> int:
    """Return the number of steps done when a checkpoint was written."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def load_checkpoint(
    accelerator: Accelerator, scaler: GradScaler, run: Path
) -> tuple[int, dict[str, Any]]:
    """Load the last checkpoint into what `accelerator` has prepared, and into `scaler`.

    Returns:
        The steps that it has done, 0 where the run was stopped before its first checkpoint, and
        what the log had not written yet.

    Raises:
        InputError: a file of it is missing or damaged, or holds more than tensors and numbers.
    """
    found = checkpoints(run)
    if not found:
        return 0, {}
    try:
        accelerator.load_state(str(found[-1]))
        scaler.load_state_dict(json.loads((found[-1] / SCALER_FILE).read_text()))
        pending: dict[str, Any] = {}  # as in checkpoints of before there was such a file
        if (found[-1] / PENDING_FILE).is_file():
            pending = json.loads((found[-1] / PENDING_FILE).read_text())
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        reason = str(error).split("\n")[0]
        raise InputError(found[-1], "", f"damaged checkpoint ({reason})") from error
    return step_of(found[-1]), pending
