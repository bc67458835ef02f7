"""Errors that cross rooms: what users can repair, and how work ends early.

An `InputError` is one line that names the file, the item and the fault.
"""

from __future__ import annotations

from collections.abc import Sized
from os import PathLike, fspath
from pathlib import Path
from typing import ClassVar, Protocol


class InputError(ValueError):
    """An input is wrong; reads `FILE: item: what, wanted, got` on one line.

    It survives pickling, so it keeps its type when it comes out of a worker process.

    Args:
        file: the file or folder at fault.
        item: what in it is at fault, as in "annotations[3] (id 7)"; "": the whole file.
        message: what is wrong, what is wanted, what came.
    """

    exit_code: ClassVar[int] = 1
    """What the command line exits with."""

    def __init__(self, file: str | PathLike[str], item: str, message: str) -> None:
        self.file = fspath(file)
        self.item = item
        self.message = message
        super().__init__(self.file, item, message)

    def __str__(self) -> str:
        parts = (part for part in (self.file, self.item, self.message) if part)
        return " ".join(": ".join(parts).split())


class ConfigError(InputError):
    """A configuration or a command line is wrong; the item is the key, as in `data.num_framez`."""

    exit_code: ClassVar[int] = 2


def check(name: str, holds: bool, wanted: str, got: object) -> None:
    """Raise ValueError about an argument unless `holds`; reads `NAME must be WANTED, got GOT`."""
    if not holds:
        raise ValueError(f"{name} must be {wanted}, got {got}")


def reason_of(error: Exception) -> str:
    """Return an error's message, or its kind where it has none."""
    return str(error) or type(error).__name__


class FitReport(Protocol):
    """How weights fit a model, as `vidgap_segmenter.LoadReport` does; `str()` is a table."""

    @property
    def missing(self) -> Sized:
        """Weights that the model has and the file does not."""

    @property
    def unexpected(self) -> Sized:
        """Weights that the file has and the model does not."""

    @property
    def mismatched(self) -> Sized:
        """Weights of another shape."""


class WeightsError(InputError):
    """Weights do not fit a model.

    Attributes:
        report: every missing, unexpected and mismatched weight.
    """

    def __init__(self, file: str | PathLike[str], report: FitReport) -> None:
        self.report = report
        counts = [
            f"{len(names)} {kind}"
            for kind in ("missing", "unexpected", "mismatched")
            if (names := getattr(report, kind))
        ]
        super().__init__(file, "", f"weights do not fit the model: {', '.join(counts)}")

    def __reduce__(self) -> tuple[type[WeightsError], tuple[str, FitReport]]:
        return type(self), (self.file, self.report)


class TrainingError(RuntimeError):
    """Training cannot go on; a checkpoint of the last step with finite weights is kept."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def was_terminated(stop: BaseException) -> bool:
    """Return whether what ended some work was SIGTERM."""
    return isinstance(stop, Terminated) or isinstance(stop.__cause__, Terminated)


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop and left a checkpoint. It survives pickling.

    Attributes:
        folder: the run's folder, from which it resumes.
        stage: the command that resumes it.
        step: steps done.
        steps: steps of the whole run.
    """

    def __init__(self, folder: Path, stage: str, step: int, steps: int) -> None:
        self.folder, self.stage, self.step, self.steps = folder, stage, step, steps
        super().__init__(
            f"stopped after step {step} of {steps}; go on with: vidgap {stage} --resume {folder}"
        )

    def __reduce__(self) -> tuple[type[TrainingInterrupted], tuple[Path, str, int, int]]:
        return type(self), (self.folder, self.stage, self.step, self.steps)
