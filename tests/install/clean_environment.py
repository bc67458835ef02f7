"""Install every package alone, by the README's commands, into an environment that shares nothing.

    python tests/install/clean_environment.py [augment temporal segmenter vis]

Takes minutes and several gigabytes a package (torch is downloaded), so it is not part of the test
suite; `make test-install` runs it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "augment": ["./packages/augment"],
    "temporal": ["./packages/temporal"],
    "segmenter": ["./packages/segmenter"],
    "vis": ["./packages/augment", "./packages/temporal", "./packages/segmenter", "./packages/vis"],
}


def install_and_try(name: str) -> float:
    """Install `name` into a new environment, run its README's example; return the seconds taken."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", *COMMANDS[name]],
                       cwd=ROOT, check=True)  # fmt: skip
        readme = (ROOT / "packages" / name / "README.md").read_text(encoding="utf-8")
        script = Path(folder) / "example.py"
        script.write_text(
            "\n".join(re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)),
            encoding="utf-8",
        )
        subprocess.run([python, script], cwd=folder, check=True)
    return time.monotonic() - started


if __name__ == "__main__":
    for package in sys.argv[1:] or list(COMMANDS):
        print(f"{package}: installed alone, example runs ({install_and_try(package):.0f} s)")
