"""Seconds, memory and page size of `vidgap analyze`, with page, figures and JSON.

Data sets are made up (`bench/evaluation/sets.py`), as large as the benchmarks' validation sets; all
frames are one picture. The command runs in a process of its own, on one thread, several times.
Where playwright and Chromium are, the page is opened, too: the time to the end of loading, in
milliseconds, by the browser's own clock.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from tabulate import tabulate

from bench.evaluation.sets import OVIS, YOUTUBE_VIS, write_set
from bench.evaluation.times import ONE_THREAD, title
from bench.harness.timing import circumstances

COMMAND = """
import json, re, sys, time
from pathlib import Path
from vidgap_vis.cli.main import main
assert main(sys.argv[1:]) == 0
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps({"seconds": time.process_time(), "peak_mib": peak}))
"""
"""The command, which says at its end what it took."""

PACKAGES = ["vidgap-vis", "numpy", "pycocotools", "jinja2"]


def measure(amount: tuple[int, int], path: Path | None) -> bool:
    """Measure, print, and write to a file, if there is one; return True.

    Args:
        amount: one video in how many of each set, and how many runs.
        path: the file.
    """
    divisor, repeats = amount
    report: dict[str, Any] = circumstances(PACKAGES) | {"sets": []}
    for shape in (YOUTUBE_VIS.part(divisor), OVIS.part(divisor)):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            truth, _ = write_set(shape, root)
            write_frames(root / "frames", truth)
            runs = [run(root) for _ in range(repeats)]
            opened = [ms for _ in range(repeats) if (ms := open_page(root / "page.html"))]
        report["sets"].append(
            {
                "set": title(shape),
                "seconds": [one["seconds"] for one in runs],
                "peak_mib": max(one["peak_mib"] for one in runs),
                "page_mb": runs[0]["page_mb"],
                "opened_ms": opened,
            }
        )
    print_table(report)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"\nwritten: {path}")
    return True


def write_frames(folder: Path, truth: Path) -> None:
    """Write the frames of a set: links to one picture, which is smooth, as photographs are."""
    videos = json.loads(truth.read_text(encoding="utf-8"))["videos"]
    size = (videos[0]["width"], videos[0]["height"])
    coarse = np.random.default_rng(0).integers(0, 256, (36, 64, 3), dtype=np.uint8)
    folder.mkdir()
    picture = folder / "picture.jpg"
    assert cv2.imwrite(str(picture), cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))
    for video in videos:
        for name in video["file_names"]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(picture, folder / name)


def run(root: Path) -> dict[str, float]:
    """Run the command once; return processor seconds, peak memory and the page's size."""
    arguments = ["results.json", "--gt", "gt.json", "--images", "frames"]
    outputs = ["--out", "page.html", "--json", "all.json", "--figures", "figures"]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "analyze", *arguments, *outputs],
        env=os.environ | ONE_THREAD,
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found | {"page_mb": (root / "page.html").stat().st_size / 1e6}


def open_page(page: Path) -> float | None:
    """Return how long a browser takes to load a page, in milliseconds; None: there is none."""
    chromium = shutil.which("chromium")
    if chromium is None or find_spec("playwright") is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page()
        shown.goto(page.as_uri())
        loaded = "performance.getEntriesByType('navigation')[0].domComplete"
        found = float(shown.evaluate(loaded))
        browser.close()
    return found


def print_table(report: Mapping[str, Any]) -> None:
    """Print a row for each set."""
    cells = [
        [
            one["set"],
            f"{median(one['seconds']):.1f} [{min(one['seconds']):.1f}, {max(one['seconds']):.1f}]",
            f"{one['peak_mib']:.0f}",
            f"{one['page_mb']:.1f}",
            f"{median(one['opened_ms']):.0f}" if one["opened_ms"] else "-",
        ]
        for one in report["sets"]
    ]
    heads = ("", "processor s [least, most]", "MiB", "page, MB", "opened, ms")
    aligned = ("left", "right", "right", "right", "right")
    print(tabulate(cells, heads, disable_numparse=True, colalign=aligned))
