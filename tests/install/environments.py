"""Environments for tests, with this one's libraries and only the installed packages of ours."""

from __future__ import annotations

import subprocess
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(
    *command: str | Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Run a command; its output is the failure's message."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def layered_environment(folder: Path, wheels: Sequence[Path]) -> Path:
    """Make an environment that sees this one's libraries, with only `wheels` of ours in it.

    A plain path in a `.pth` file adds the folder without reading the `.pth` files inside it, so
    editable installs of the packages under test stay invisible.
    """
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    scheme = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "posix_prefix", vars=scheme))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    run(
        python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed",
        "--prefix", folder, *wheels,
    )  # fmt: skip
    return python
