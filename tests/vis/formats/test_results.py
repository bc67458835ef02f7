"""Results: streamed to disk in constant memory, whole or absent, and read with faults named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidgap_vis.classes import from_categories
from vidgap_vis.errors import InputError
from vidgap_vis.formats import Rle, VideoInfo, VideoSet
from vidgap_vis.formats.result_writer import ResultEntry, ResultWriter
from vidgap_vis.formats.results import read_results

SIZE = (12, 16)


@pytest.fixture
def video_set() -> VideoSet:
    """Videos 21 of 5 frames and 22 of 2; categories 3 and 8."""
    videos = tuple(
        VideoInfo(number, tuple(f"{number}/{frame}.jpg" for frame in range(length)), SIZE)
        for number, length in [(21, 5), (22, 2)]
    )
    classes = from_categories([(8, "fish"), (3, "person")])
    return VideoSet(Path("truth.json"), None, classes, videos, annotated=False)


def rle(left: int, size: tuple[int, int] = SIZE) -> Rle:
    mask = np.zeros(size, dtype=bool)
    mask[2:6, left : left + 3] = True
    return Rle.encode(mask)


def write(path: Path) -> None:
    """Two tracks and a half in video 21, frames out of order, videos interleaved."""
    with ResultWriter(path) as writer:
        for frame in (3, 1, 4):
            writer.add(21, frame, 7, rle(frame))
        writer.add(22, 0, 7, rle(9))
        writer.add(21, 0, 2, rle(8))
        writer.add(21, 0, 99, rle(1))
        scores = [
            ResultEntry(7, 8, 0.75),
            ResultEntry(2, 3, 0.5),
            ResultEntry(7, 3, 0.25),
            ResultEntry(4, 3, 0.125),
        ]
        writer.finish_video(21, 5, scores)
        writer.finish_video(22, 2, [ResultEntry(7, 3, 1)])


def test_what_was_written_is_read(tmp_path: Path, video_set: VideoSet) -> None:
    write(tmp_path / "results.json")
    tracks = read_results(tmp_path / "results.json", video_set)
    seven = (None, rle(1), None, rle(3), rle(4))
    assert [(t.video_id, t.label, t.score, t.masks) for t in tracks] == [
        (21, 1, 0.75, seven),
        (21, 0, 0.5, (rle(8), None, None, None, None)),
        (21, 0, 0.25, seven),
        (22, 0, 1.0, (rle(9), None)),
    ]
    assert os.listdir(tmp_path) == ["results.json"]


def test_what_is_taken_back_is_left_out(tmp_path: Path, video_set: VideoSet) -> None:
    with ResultWriter(tmp_path / "results.json") as writer:
        for frame in range(5):
            writer.add(21, frame, 7, rle(frame))
            writer.add(21, frame, 8, rle(9))
        writer.retract(21, 7, 1, 3)
        writer.retract(21, 8, 0, 4)
        writer.finish_video(21, 5, [ResultEntry(7, 8, 0.5), ResultEntry(8, 3, 0.25)])
        with pytest.raises(ValueError, match="video 21 is finished already"):
            writer.retract(21, 7, 0, 0)
    (track,) = read_results(tmp_path / "results.json", video_set)
    assert track.masks == (rle(0), None, None, None, rle(4))


def test_the_file_is_what_the_benchmark_takes(tmp_path: Path) -> None:
    write(tmp_path / "results.json")
    entry = json.loads((tmp_path / "results.json").read_text())[-1]
    assert entry == {
        "video_id": 22,
        "category_id": 3,
        "score": 1.0,
        "segmentations": [{"size": [12, 16], "counts": rle(9).counts}, None],
    }


@pytest.mark.parametrize("finish", [False, True], ids=["no video", "a video without tracks"])
def test_no_tracks_are_an_empty_list(tmp_path: Path, finish: bool) -> None:
    with ResultWriter(tmp_path / "results.json") as writer:
        if finish:
            writer.finish_video(3, 10, [])
    assert json.loads((tmp_path / "results.json").read_text()) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_and_keeps_an_older_file(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "results.json"
    target.write_text("old")

    def fail() -> None:
        with ResultWriter(target, masks_per_transaction=2) as writer:
            for frame in range(7):
                writer.add(1, frame, 0, rle(0))
            assert len(os.listdir(tmp_path)) == 3
            raise error

    with pytest.raises(error):
        fail()
    assert os.listdir(tmp_path) == ["results.json"]
    assert target.read_text() == "old"


def add_twice(writer: ResultWriter) -> None:
    writer.add(1, 0, 5, rle(0))
    writer.add(1, 0, 5, rle(1))


def finish_twice(writer: ResultWriter) -> None:
    writer.finish_video(1, 3, [])
    writer.finish_video(1, 3, [])


def add_after_the_end(writer: ResultWriter) -> None:
    writer.finish_video(1, 3, [])
    writer.add(1, 0, 5, rle(0))


def add_beyond_the_end(writer: ResultWriter) -> None:
    writer.add(1, 3, 5, rle(0))
    writer.finish_video(1, 3, [])


def mix_sizes(writer: ResultWriter) -> None:
    writer.add(1, 0, 5, rle(0))
    writer.add(1, 1, 5, rle(0, (16, 12)))
    writer.finish_video(1, 3, [])


MISUSES: dict[str, tuple[Callable[[ResultWriter], None], str]] = {
    "two masks": (add_twice, "track 5 has a mask in frame 0 of video 1 already"),
    "finished twice": (finish_twice, "video 1 is finished already"),
    "after the end": (add_after_the_end, "video 1 is finished already"),
    "beyond the end": (
        add_beyond_the_end,
        r"masks in frames 0\.\.2, got frame 3",
    ),
    "sizes": (mix_sizes, r"masks of video 1 must be of one size, got \[\(12, 16\), \(16, 12\)\]"),
    "not finished": (lambda w: w.add(4, 0, 5, rle(0)), "video 4 has masks but was not finished"),
    "negative frame": (lambda w: w.add(4, -1, 5, rle(0)), "frame_index must be at least 0, got -1"),
    "score": (
        lambda w: w.finish_video(1, 3, [ResultEntry(5, 1, float("nan"))]),
        r"score must be in \[0, 1\], got nan of track 5",
    ),
}


@pytest.mark.parametrize(("misuse", "message"), MISUSES.values(), ids=list(MISUSES))
def test_misuse_is_refused_and_leaves_nothing(
    tmp_path: Path, misuse: Callable[[ResultWriter], None], message: str
) -> None:
    with pytest.raises(ValueError, match=message), ResultWriter(tmp_path / "r.json") as writer:
        misuse(writer)
    assert os.listdir(tmp_path) == []


def test_an_output_that_cannot_be_is_refused_at_once(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="a file is wanted here, got a folder"),
        ResultWriter(tmp_path),
    ):
        pass


Entries = list[dict[str, Any]]


def entry(key: str, value: object) -> Callable[[Entries], object]:
    return lambda entries: entries[1].update({key: value})


def mask(value: object) -> Callable[[Entries], object]:
    return lambda entries: entries[1]["segmentations"].__setitem__(0, value)


NOT_A_SCORE = r"\[1\]: score must be a number in \[0, 1\], got "
FAULTS: dict[str, tuple[Callable[[Entries], object], str]] = {
    "unknown video": (
        entry("video_id", 5),
        r"\[1\]: video_id 5 is not among the ids of videos in truth\.json",
    ),
    "unknown category": (
        entry("category_id", 5),
        r"\[1\]: category_id 5 is not among the ids of categories in truth\.json",
    ),
    "no video": (lambda e: e[1].pop("video_id"), r"\[1\]: key 'video_id' is missing"),
    "no score": (lambda e: e[1].pop("score"), r"\[1\]: key 'score' is missing"),
    "score nan": (entry("score", float("nan")), NOT_A_SCORE + "nan"),
    "score infinite": (entry("score", float("inf")), NOT_A_SCORE + "inf"),
    "score above 1": (entry("score", 1.5), NOT_A_SCORE + r"1\.5"),
    "score of text": (entry("score", "1"), NOT_A_SCORE + "'1'"),
    "too few frames": (
        lambda e: e[1]["segmentations"].pop(),
        r"\[1\]: segmentations must have 5 entries, one a frame of video 21, got 4",
    ),
    "another size": (
        mask({"size": [16, 12], "counts": "`6"}),
        r"\[1\]: segmentations\[0\]: RLE size must be \[12, 16\], got \[16, 12\]",
    ),
    "a broken mask": (
        mask({"size": [12, 16], "counts": "0P"}),
        r"\[1\]: segmentations\[0\]: RLE counts end inside a number",
    ),
    "a polygon": (
        mask([[1, 1, 5, 1, 5, 5]]),
        r"\[1\]: segmentations\[0\] must be an RLE or null, got \[\[1, 1",
    ),
    "not an object": (lambda e: e.append(None), r"\[4\]: must be an object, got null"),
}


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=list(FAULTS))
def test_a_fault_in_a_results_file_names_the_file_and_the_entry(
    tmp_path: Path, video_set: VideoSet, change: Callable[[Entries], object], message: str
) -> None:
    path = tmp_path / "results.json"
    write(path)
    entries = json.loads(path.read_text())
    change(entries)
    path.write_text(json.dumps(entries))
    with pytest.raises(InputError, match=message) as caught:
        read_results(path, video_set)
    assert str(caught.value).startswith(f"{path}: [")


def test_a_results_file_of_another_kind_is_refused(tmp_path: Path, video_set: VideoSet) -> None:
    path = tmp_path / "results.json"
    with pytest.raises(InputError, match=r"results\.json: no such file"):
        read_results(path, video_set)
    path.write_text("{}")
    with pytest.raises(InputError, match=r"results must be a JSON list, got \{\}"):
        read_results(path, video_set)
    path.write_text("[{")
    with pytest.raises(InputError, match="line 1 column 3: broken JSON"):
        read_results(path, video_set)


MEMORY_CODE = """
import sys
import numpy as np
from vidgap_vis.formats import Rle
from vidgap_vis.formats.result_writer import ResultWriter, ResultEntry

def memory_mib(field):
    status = open("/proc/self/status").read()
    return int(status.split(field + ":")[1].split()[0]) / 1024

masks = [Rle.encode(np.random.default_rng(seed).random((90, 160)) < 0.5) for seed in range(5)]
with ResultWriter(sys.argv[1]) as writer:
    for frame in range(3000):
        for track, mask in enumerate(masks):
            writer.add(1, frame, track, mask)
        if frame == 100:
            before = memory_mib("VmRSS")
    writer.finish_video(1, 3000, [ResultEntry(track, 1, 0.5) for track in range(5)])
print(memory_mib("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_long_video_is_written_in_constant_memory(tmp_path: Path) -> None:
    target = tmp_path / "results.json"
    command = [sys.executable, "-c", MEMORY_CODE, str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # 15,000 masks of noise are well over a hundred MiB of text.
    assert target.stat().st_size > 100 * 2**20
    assert float(done.stdout) < 20
