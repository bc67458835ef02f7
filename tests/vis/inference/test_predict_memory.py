"""A long video is predicted in flat memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]

MEASURE = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import torch
from vis.support.stream_model import CLASSES, ColourModel, draw_frame

from vidgap_vis.inference.predict import PredictOptions, predict
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.video.write import OverlayWriter

NUM_FRAMES = 1000
SIZE = (128, 192)  # frames kept by mistake would take 56 MiB
torch.set_num_threads(1)


def resident_mib():
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").open())
    return int(fields["VmRSS"].split()[0]) / 1024


class Watched(ColourModel):
    def step(self, frames, state):
        for _ in range(frames.shape[1]):
            self.resident.append(resident_mib())
        return super().step(frames, state)


folder = Path(sys.argv[2])
with OverlayWriter(folder / "in.mp4", 25, SIZE) as writer:
    for t in range(NUM_FRAMES):
        # Squares that come and go: new tracks all the time, hidden ones too.
        corners = [(t % 96, (14 * i + 3 * t) % 160) for i in range(4)]
        corners = [at if (t // 40 + i) % 3 else None for i, at in enumerate(corners)]
        writer.write(draw_frame(SIZE, corners, side=32))
model = Watched()
model.resident = []
predict(
    [folder / "in.mp4"],
    VideoSegmenter(model, CLASSES, device="cpu"),
    out=folder / "out.mp4",
    json=folder / "results.json",
    options=PredictOptions(latency=10, progress=False),
)
model.resident.append(resident_mib())
assert len(model.resident) == NUM_FRAMES + 1
print(model.resident[200], max(model.resident[200:]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc/self/status")
def test_memory_stays_flat_over_a_thousand_frames(tmp_path: Path) -> None:
    """The resident set grows by less than 20 MiB from frame 200 to the end."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(TESTS), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    early, most = map(float, run.stdout.split())
    assert most - early < 20, f"{early:.1f} MiB at frame 200, {most:.1f} MiB at most from there on"
    assert (tmp_path / "results.json").stat().st_size > 10_000
