"""What a command writes is not what it reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vidgap_vis.errors import ConfigError


def check_output(flag: str, output: Path, inputs: Iterable[str | Path]) -> None:
    """Raise ConfigError where writing `output` would replace what a command reads.

    Args:
        flag: that names the output.
        output: a file, which may exist.
        inputs: files and folders; no file inside such a folder may be replaced.
    """
    target = output.resolve()
    sources = [Path(path).resolve() for path in inputs]
    inside = target.exists() and any(source in target.parents for source in sources)
    if target in sources or inside:
        raise ConfigError("", flag, f"{output} is an input, and would be overwritten")
    if target.exists() and not target.is_file():
        raise ConfigError("", flag, f"{output} is no regular file, and would be replaced by one")
