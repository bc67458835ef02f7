"""What a command writes is not what it reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vidgap_vis.errors import ConfigError


def check_output(flag: str, output: Path, inputs: Iterable[str | Path]) -> None:
    """Raise ConfigError where the file to write by `flag` is one of the inputs."""
    if output.resolve() in {Path(path).resolve() for path in inputs}:
        raise ConfigError("", flag, f"{output} is an input, and would be overwritten")
