"""Errors that are the user's to repair: one line that names the file, the item and the fault."""

from __future__ import annotations

from os import PathLike, fspath
from typing import ClassVar


class InputError(ValueError):
    """Something given to us is wrong; reads `FILE: item: what, wanted, got` on one line.

    It survives pickling, so it keeps its type when it comes out of a worker process.

    Args:
        file: the file or folder at fault.
        item: the place inside it ("annotations[3] (id 7)"); "" where the whole file is meant.
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
