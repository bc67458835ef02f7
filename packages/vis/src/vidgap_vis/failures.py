"""How work ends early, apart from a fault in one place of a file (`errors.py`)."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from vidgap_vis.errors import InputError


class WeightsError(InputError):
    """Weights do not fit a model.

    Attributes:
        table: every missing, unexpected and mismatched weight, one a line.
    """

    def __init__(self, file: str | PathLike[str], table: str) -> None:
        self.table = table
        kinds = [line.split()[0] for line in table.splitlines() if line]
        counts = [
            f"{kinds.count(kind)} {kind}"
            for kind in ("missing", "unexpected", "mismatched")
            if kind in kinds
        ]
        super().__init__(file, "", f"weights do not fit the model: {', '.join(counts)}")


class TrainingError(RuntimeError):
    """Training cannot go on; a checkpoint of the last step with finite weights is kept."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop and left a checkpoint.

    Attributes:
        folder: the run's folder, from which it resumes.
        step: steps done.
        steps: steps of the whole run.
    """

    def __init__(self, folder: Path, stage: str, step: int, steps: int) -> None:
        self.folder, self.step, self.steps = folder, step, steps
        super().__init__(
            f"stopped after step {step} of {steps}; go on with: vidgap {stage} --resume {folder}"
        )
