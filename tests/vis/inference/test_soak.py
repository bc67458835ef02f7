"""A hundred thousand frames: memory stays where it was, and identities are right to the end.

Run by hand, ten minutes on a free core (docs/results/streams.md has what came of it):

    VIDGAP_SOAK=100000 python -m pytest tests/vis/inference/test_soak.py -s
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from vis.support.stream_model import draw_frame

from vidgap_vis.video.write import OverlayWriter

NUM_FRAMES = int(os.environ.get("VIDGAP_SOAK", "0"))
SIZE = (64, 96)
MOST_GROWTH = 20 * 2**20
"""Bytes of the resident set, from frame 1,000 on."""

pytestmark = pytest.mark.skipif(not NUM_FRAMES, reason="run by hand: VIDGAP_SOAK=100000")

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from vis.support.stream_model import CLASSES, ColourModel
from vidgap_vis import VideoSegmenter
from vidgap_vis.inference.predict import PredictOptions, predict

model = ColourModel()
model.step_lengths = type("Count", (), {"append": lambda *_: None})()  # else the stand-in grows
segmenter = VideoSegmenter(model, CLASSES, device="cpu")
video, out = sys.argv[2:]
predict(
    [video],
    segmenter,
    out=f"{out}/overlay.mp4",
    jsonl=f"{out}/lines.jsonl",
    csv=f"{out}/tracks.csv",
    mots=f"{out}/mots.txt",
    json=f"{out}/results.json",
    options=PredictOptions(progress=False, min_short_edge=0, save_every=1000),
)
"""


def squares() -> Iterator[np.ndarray]:
    """Two squares go to and fro in opposite directions, a third is gone in every fifth frame."""
    span = SIZE[1] - 16
    for index in range(NUM_FRAMES):
        there = abs((index + span) % (2 * span) - span)
        corners = [(4, there), (40, span - there), (22, 40) if index % 5 else None]
        yield draw_frame(SIZE, corners)


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def frames_of(lines: Path) -> int:
    """Return how many frames the end of a file of lines speaks of."""
    if not lines.is_file():
        return 0
    with lines.open("rb") as file:
        file.seek(max(0, lines.stat().st_size - 8192))
        shown = [
            line for line in file.read().split(b"\n")[1:-1] if line.startswith(b'{"type": "fr')
        ]
    return json.loads(shown[-1])["frame"] + 1 if shown else 0


def test_memory_and_identities_hold(tmp_path: Path) -> None:
    video, out = tmp_path / "in.mp4", tmp_path / "out"
    with OverlayWriter(video, 25, SIZE, crf=10) as writer:
        for frame in squares():
            writer.write(frame)
    start = time.monotonic()
    tests = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tests), str(video), str(out)])
    held: list[tuple[int, int]] = []
    while process.poll() is None:
        time.sleep(0.5)
        try:
            held.append((frames_of(out / "lines.jsonl"), resident(process.pid)))
        except (OSError, IndexError):
            break  # it has just ended
    assert process.wait() == 0
    seconds = time.monotonic() - start
    wrong, num_frames = 0, 0
    with (out / "lines.jsonl").open() as file:
        for text in file:
            line = json.loads(text)
            if line["type"] == "frame":
                num_frames += 1
                ids = sorted(track["id"] for track in line["tracks"])
                wrong += ids != ([1, 2, 3] if line["frame"] % 5 else [1, 2])
    early = [size for frames, size in held if 1000 <= frames < 3000]
    later = [size for frames, size in held if frames >= 3000]
    print(
        f"\n{num_frames} frames in {seconds:.0f} s; wrong ids in {wrong}; "
        f"resident {min(early) / 2**20:.1f} MiB at first, {max(later) / 2**20:.1f} at most later"
    )
    for share in range(10):
        frames, size = held[len(held) * share // 10]
        print(f"  frame {frames}: {size / 2**20:.1f} MiB")
    assert num_frames == NUM_FRAMES
    assert wrong == 0
    assert max(later) - max(early) < MOST_GROWTH
