"""The script for a machine with a GPU."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench import run

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "bench" / "gpu.sh"


def test_gpu_script_is_a_shell_script_that_says_what_it_would_do() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    done = subprocess.run(
        [SCRIPT, "--dry-run"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not done.stderr
    steps = [line.split()[0] for line in done.stdout.splitlines()]
    names = [benchmark.name for benchmark in run.BENCHMARKS if "cuda" in benchmark.devices]
    kernels = [f"bench-{name}" for name in (*names, "ms_deform_attn_float32")]
    assert steps[:4] == ["environment", "carried", "packages", "backends"]
    others = {"builds", "tests", "sanitizer", "video", "counters", "compiled"}
    assert set(steps[4:]) == {*others, *kernels}
    assert steps[-2:] == ["counters", "compiled"]  # what may be cut off


def test_gpu_script_runs_tests_that_are_there() -> None:
    named = [
        line for line in SCRIPT.read_text().splitlines() if "tests/" in line and "#" not in line
    ]
    paths = {word.strip('()"') for line in named for word in line.replace("=", " ").split()}
    wanted = {path for path in paths if path.startswith("tests/")}
    assert len(wanted) >= 4
    assert all((ROOT / path).exists() for path in wanted)
