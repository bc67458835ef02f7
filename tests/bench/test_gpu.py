"""The script for a machine with a GPU."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench import run

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "bench" / "gpu.sh"


def steps(part: str) -> list[str]:
    done = subprocess.run(
        [SCRIPT, "--dry-run", part], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not done.stderr
    return [line.split()[0] for line in done.stdout.splitlines()]


def test_gpu_script_is_a_shell_script_that_says_what_it_would_do() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    kernels, networks = steps("kernels"), steps("networks")
    first = ["environment", "carried", "packages", "backends"]
    assert kernels[:4] == networks[:4] == first
    benchmarks = {f"bench-{one.name}" for one in run.BENCHMARKS if "cuda" in one.devices}
    found = {name for name in (*kernels, *networks) if name.startswith("bench-")}
    assert found == {*benchmarks, "bench-ms_deform_attn_float32"}
    assert {"builds", "tests", "sanitizer", "counters"} <= set(kernels)
    assert {"vis", "masks", "train", "video-bf16", "video-fp32", "compiled"} <= set(networks)


def test_gpu_script_wants_to_know_which_part() -> None:
    done = subprocess.run([SCRIPT, "--dry-run"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "wanted kernels or networks" in done.stderr
    words = [SCRIPT, "kernels", "--dry-run"]  # not the name of a folder
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "wanted a folder, got '--dry-run'\n")


def test_gpu_script_runs_tests_that_are_there() -> None:
    named = [
        line for line in SCRIPT.read_text().splitlines() if "tests/" in line and "#" not in line
    ]
    paths = {word.strip('()"') for line in named for word in line.replace("=", " ").split()}
    wanted = {path for path in paths if path.startswith("tests/")}
    assert len(wanted) >= 4
    assert all((ROOT / path).exists() for path in wanted)
