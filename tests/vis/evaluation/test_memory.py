"""What evaluating takes: memory of a video, not of a file, and no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from vis.support.run_lengths import compressed

from vidgap_vis import native
from vidgap_vis.formats import Rle

NUM_VIDEOS, NUM_FRAMES, NUM_TRACKS, SIZE = 40, 10, 25, (160, 320)


def write_files(folder: Path) -> list[str]:
    """Results of some 200 MB, the same for each video; truth is the first track of each."""
    pixels = SIZE[0] * SIZE[1]
    counts = compressed([1] * 20_000 + [pixels - 20_000])
    mask = {"size": list(SIZE), "counts": counts}
    Rle(SIZE, counts).checked()
    one = json.dumps({"category_id": 1, "score": 0.5, "segmentations": [mask] * NUM_FRAMES})[1:]
    results, truth = folder / "results.json", folder / "gt.json"
    with results.open("w") as file:
        for index in range(NUM_VIDEOS * NUM_TRACKS):
            file.write("[" if index == 0 else ",\n")
            file.write(f'{{"video_id": {index % NUM_VIDEOS + 1}, {one}')
        file.write("]")
    assert results.stat().st_size > 190e6
    names = [f"{frame}.jpg" for frame in range(NUM_FRAMES)]
    ids = range(1, NUM_VIDEOS + 1)
    content = {
        "categories": [{"id": 1, "name": "one"}],
        "videos": [
            {"id": i, "height": SIZE[0], "width": SIZE[1], "file_names": names} for i in ids
        ],
        "annotations": [
            {"id": i, "video_id": i, "category_id": 1, "segmentations": [mask, *[None] * 9]}
            for i in ids
        ],
    }
    truth.write_text(json.dumps(content))
    return [str(results), str(truth)]


MEMORY_CODE = """
import sys
from vidgap_vis.evaluation import Evaluation

def memory_mib(field):
    status = open("/proc/self/status").read()
    return int(status.split(field + ":")[1].split()[0]) / 1024

before = memory_mib("VmRSS")
evaluation = Evaluation.of_files(*sys.argv[1:])
assert len(evaluation.videos) == 40, len(evaluation.videos)
assert evaluation.ap()["AR1"] == 0
print(memory_mib("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.skipif(native._native is None, reason="the extension is not built")
def test_a_file_of_200_mb_takes_the_memory_of_a_few_videos(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MEMORY_CODE, *write_files(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 100


NO_TORCH_CODE = """
import sys
from vidgap_vis.cli.main import main

assert main(sys.argv[1:]) == 0
loaded = {"torch", "torchvision", "vidgap_segmenter", "vidgap_temporal", "av"} & set(sys.modules)
assert not loaded, loaded
"""


@pytest.mark.parametrize("words", [(), ("--by", "class")], ids=str)
def test_the_command_evaluates_without_torch(words: tuple[str, ...], tmp_path: Path) -> None:
    results, truth = tmp_path / "results.json", tmp_path / "gt.json"
    mask = Rle((2, 3), "06").to_dict()
    item = {"id": 1, "video_id": 1, "category_id": 1, "score": 0.5, "segmentations": [mask]}
    content = {
        "categories": [{"id": 1, "name": "one"}],
        "videos": [{"id": 1, "height": 2, "width": 3, "file_names": ["a.jpg"]}],
        "annotations": [item],
    }
    results.write_text(json.dumps([item]))
    truth.write_text(json.dumps(content))
    command = [sys.executable, "-W", "error", "-c", NO_TORCH_CODE]
    command += ["evaluate", str(results), "--gt", str(truth), *words]
    if native._native is None:
        command[1:3] = []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "100.0" in done.stdout
