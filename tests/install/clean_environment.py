"""Install every package alone, by the README's commands, into an environment that shares nothing.

    python tests/install/clean_environment.py [augment temporal segmenter vis other-torch]

`other-torch` builds the segmenter without torch and runs it on the oldest version that it admits.
Takes minutes and several gigabytes a package (torch is downloaded), so it is not part of the test
suite; `make test-install` runs it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "augment": ["./packages/augment"],
    "temporal": ["./packages/temporal"],
    "segmenter": ["./packages/segmenter"],
    "vis": ["./packages/augment", "./packages/temporal", "./packages/segmenter", "./packages/vis"],
    "other-torch": ["torch==2.11.*", "torchvision==0.26.*", "./packages/segmenter"],
}
NATIVE = {
    "segmenter": ("import vidgap_segmenter as m", "ms_deform_attn", "cpu"),
    "other-torch": ("import torch; print(torch.__version__); import vidgap_segmenter as m",
                    "ms_deform_attn", "cpu"),
    "temporal": ("import vidgap_temporal as m", "conv_gru", "cuda"),
}  # fmt: skip
"""What must run on a kernel of ours, where there are tools to build it."""

NATIVE_EVALUATION = "from vidgap_vis import native; assert native.obstacle() is None"


def install_and_try(name: str) -> float:
    """Install `name` into a new environment, run its README's example; return the seconds taken."""
    started = time.monotonic()
    package = "segmenter" if name == "other-torch" else name
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", *COMMANDS[name]],
                       cwd=ROOT, check=True)  # fmt: skip
        check_kernels(name, python, folder)
        readme = (ROOT / "packages" / package / "README.md").read_text(encoding="utf-8")
        script = Path(folder) / "example.py"
        script.write_text(
            "\n".join(re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)),
            encoding="utf-8",
        )
        subprocess.run([python, script], cwd=folder, check=True)
    return time.monotonic() - started


def check_kernels(name: str, python: Path, folder: str) -> None:
    """Print the op's backends; it must be native if the tools to build it are here."""
    tool = "nvcc" if name == "temporal" else "c++"
    if shutil.which(tool) is None:
        return
    if name == "vis":
        subprocess.run([python, "-c", NATIVE_EVALUATION], cwd=folder, check=True)
    if name not in NATIVE:
        return
    load, op, device = NATIVE[name]
    command = f"{load}; print(m.backends()); assert m.backends()['{op}']['{device}'] == 'native'"
    subprocess.run([python, "-c", command], cwd=folder, check=True)


def main(names: Sequence[str]) -> None:
    """Try each of `names` in turn."""
    for name in names or list(COMMANDS):
        print(f"{name}: installed alone, example runs ({install_and_try(name):.0f} s)", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
