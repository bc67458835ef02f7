"""Frames from anything: damaged files, changing sizes and rates, streams, cameras, excerpts."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import av
import cv2
import numpy as np
import pytest
from vis.video.test_read import message_of, picture, save, write

from vidgap_vis.errors import InputError
from vidgap_vis.video.read import named_videos, open_video
from vidgap_vis.video.sources import (
    Camera,
    Excerpt,
    LiveStream,
    SourceGoneError,
    Span,
    VideoFile,
    moment,
)
from vidgap_vis.video.sources import camera as cameras


def damaged(tmp_path: Path) -> Path:
    """A video of which a stretch in the middle is overwritten."""
    write(tmp_path / "whole.mp4", (64, 96), 60)
    data = bytearray((tmp_path / "whole.mp4").read_bytes())
    media = data.index(b"mdat")
    middle = media + (len(data) - media) // 2
    data[middle : middle + 3000] = b"\xff" * 3000
    (tmp_path / "damaged.mp4").write_bytes(data)
    return tmp_path / "damaged.mp4"


def encode(
    path: Path, frames: list[av.VideoFrame], codec: str, pix_fmt: str, **options: str
) -> Path:
    """Write frames, whose pts count hundredths of a second, with an encoder."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = frames[0].height, frames[0].width, pix_fmt
        stream.codec_context.time_base = Fraction(1, 100)
        for frame in frames:
            frame.time_base = Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def frames_at(times: list[int], size: tuple[int, int] = (48, 64)) -> list[av.VideoFrame]:
    found = []
    for step, time in enumerate(times):
        frame = av.VideoFrame.from_ndarray(picture(size, step), format="rgb24")
        frame.pts = time
        found.append(frame)
    return found


def test_what_does_not_decode_is_left_out_and_counted_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = open_video(damaged(tmp_path))
    first, second = len(list(video)), len(list(video))
    assert 0 < first == second < 60
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path / 'damaged.mp4'}: ")
    assert "packets do not decode and are left out" in said


def test_strict_stops_there(tmp_path: Path) -> None:
    video = open_video(damaged(tmp_path), strict=True)
    with pytest.raises(
        InputError, match=r"damaged\.mp4: frame \d+: does not decode \(Inv"
    ) as error:
        list(video)
    message_of(error)


def test_a_file_without_its_index_is_named(tmp_path: Path) -> None:
    """An mp4 whose recording was cut off: its moov box was never written."""
    write(tmp_path / "whole.mkv", (64, 96), 30)
    with av.open(str(tmp_path / "plain.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for frame in frames_at([*range(30)], (64, 96)):
            frame.pts = None
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = (tmp_path / "plain.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: data.rindex(b"moov") - 4])
    with pytest.raises(InputError, match=r"cut\.mp4: not a video that decodes \(Invalid") as error:
        open_video(tmp_path / "cut.mp4")
    message_of(error)


def test_a_file_that_ends_early_gives_what_it_has(tmp_path: Path) -> None:
    write(tmp_path / "whole.mkv", (64, 96), 60)
    data = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    assert 5 < len(list(open_video(tmp_path / "cut.mkv"))) < 60


def test_a_file_of_no_frame_is_named(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "empty.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        container.start_encoding()
    with pytest.raises(InputError, match=r"empty\.mkv: "):
        open_video(tmp_path / "empty.mkv")


def test_times_are_the_files(tmp_path: Path) -> None:
    times = [0, 4, 8, 40, 44, 100]
    path = encode(tmp_path / "vfr.mp4", frames_at(times), "libx264", "yuv420p", bf="0")
    frames = list(open_video(path).frames())
    assert [frame.index for frame in frames] == [*range(6)]
    assert [frame.time for frame in frames] == [Fraction(time, 100) for time in times]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "name"),
    [("libx265", "yuv420p10le", "ten.mp4"), ("ffv1", "bgra", "alpha.mkv"),
     ("png", "rgba", "alpha.mov"), ("libx264", "yuv444p", "odd.mp4")],
)  # fmt: skip
def test_depths_and_alpha(tmp_path: Path, codec: str, pix_fmt: str, name: str) -> None:
    size = (47, 63) if name == "odd.mp4" else (48, 64)
    frames = frames_at([0, 4, 8], size)
    wanted = [frame.to_ndarray(format="rgb24") for frame in frames]
    path = encode(tmp_path / name, frames, codec, pix_fmt)
    found = list(open_video(path))
    assert {frame.shape for frame in found} == {(*size, 3)}
    for one, other in zip(found, wanted, strict=True):
        assert np.abs(one.astype(int) - other).mean() < 8


def resized(tmp_path: Path, sizes: list[tuple[int, int]]) -> Path:
    """Elementary streams of several sizes, one after another, as a broadcast has them."""
    path = tmp_path / "sizes.ts"
    parts = []
    for index, size in enumerate(sizes):
        part = tmp_path / f"{index}.ts"
        encode(part, frames_at([0, 4, 8], size), "mpeg2video", "yuv420p")
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    return path


def test_frames_of_another_size_are_fitted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = resized(tmp_path, [(48, 64), (96, 128), (48, 96)])
    frames = list(open_video(path))
    assert {frame.shape for frame in frames} == {(48, 64, 3)}
    narrow = frames[-1]
    halves = [picture((96, 128), step)[::2, ::2].astype(int) for step in range(3)]
    assert min(np.abs(frame - half).mean() for frame in frames[3:] for half in halves) < 20
    assert not narrow[:4].any()
    assert narrow[12:36].any()
    assert "frames of another size are fitted into the first one's" in caplog.text
    with pytest.raises(InputError, match=r"frame \d: every frame must be 64x48 .*, got 128x96"):
        list(open_video(path, strict=True))


def test_images_named_one_after_another_are_one_video(tmp_path: Path) -> None:
    files = []
    for index in range(3):
        files.append(tmp_path / "shots" / f"{index}.png")
        files[-1].parent.mkdir(exist_ok=True)
        save(files[-1], np.full((8, 10, 3), 20 * index, np.uint8))
    write(tmp_path / "clip.mp4", (32, 48), 3)
    inputs = [files[2], files[0], tmp_path / "clip.mp4", files[1]]
    found = [(name, source.num_frames) for name, source in named_videos(inputs)]
    assert found == [("shots", 2), ("clip", 3), ("1", 1)]
    ((name, source),) = named_videos([str(tmp_path / "shots" / "*.png")])
    assert name == "shots"
    assert [frame[0, 0, 0] for frame in source] == [0, 20, 40]


def test_images_of_two_folders_are_two_videos(tmp_path: Path) -> None:
    for folder in ("clip2", "clip10"):
        (tmp_path / folder).mkdir()
        for index in range(2):
            save(tmp_path / folder / f"{index}.png", np.full((8, 10, 3), 20 * index, np.uint8))
    found = list(named_videos([str(tmp_path / "*" / "*.png")]))
    assert [name for name, _ in found] == ["clip2", "clip10"]
    assert [[frame[0, 0, 0] for frame in source] for _, source in found] == [[0, 20]] * 2
    (tmp_path / "links").mkdir()
    for index, folder in enumerate(("clip2", "clip10", "clip2")):
        (tmp_path / "links" / f"{index}.png").symlink_to(tmp_path / folder / "0.png")
    ((name, source),) = named_videos([str(tmp_path / "links" / "*.png")])
    assert (name, source.num_frames) == ("links", 3)
    one_each = named_videos([str(tmp_path / "clip*" / "0.png")])
    assert [name for name, _ in one_each] == ["clip2", "clip10"]


def test_a_pattern_is_what_fits_it(tmp_path: Path) -> None:
    for name in ("clip10.mp4", "clip2.mp4", "[odd].mp4"):
        write(tmp_path / name, (32, 48), 2)
    pattern = str(tmp_path / "clip*.mp4")
    assert [name for name, _ in named_videos([pattern])] == ["clip2", "clip10"]
    assert [name for name, _ in named_videos([tmp_path / "[odd].mp4"])] == ["[odd]"]
    with pytest.raises(InputError, match=r"none\*: no file fits this pattern"):
        list(named_videos([str(tmp_path / "none*")]))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A server of the folder's files."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url_is_gone_through_once(tmp_path: Path, served: str) -> None:
    write(tmp_path / "clip.mp4", (32, 48), 5)
    ((name, video),) = named_videos([f"{served}/clip.mp4?token=1"])
    assert isinstance(video, LiveStream)
    assert (name, video.live, video.size, video.fps) == ("clip", True, (32, 48), 12)
    assert len(list(video)) == 5
    with pytest.raises(InputError, match="gives each frame once, and gave them already"):
        list(video)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/clip.mp4", "nonsense://here/there"])
def test_a_url_that_does_not_open_is_one_line(url: str) -> None:
    with pytest.raises(InputError, match="not a stream that opens and decodes") as error:
        open_video(url)
    message_of(error)


def test_a_pipe_is_gone_through_once(tmp_path: Path) -> None:
    write(tmp_path / "clip.mkv", (32, 48), 5)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = (tmp_path / "clip.mkv").read_bytes()
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    video = open_video(pipe)
    assert len(list(video)) == 5
    writer.join()


class Capture:
    """A camera of OpenCV's that gives some frames, some late, and goes away."""

    frames: ClassVar[list[np.ndarray | None]] = []

    def __init__(self, number: int) -> None:
        self.number = number
        self.left = list(self.frames)
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self.number == 3

    def get(self, _: int) -> float:
        return 29.97

    def read(self) -> tuple[bool, Any]:
        frame = self.left.pop(0) if self.left else None
        return frame is not None, frame

    def release(self) -> None:
        self.released = True


def test_a_camera_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(cameras, "MISSES", 2)
    monkeypatch.setattr(cameras.time, "sleep", lambda _: None)
    blue = np.full((8, 10, 3), (250, 10, 20), np.uint8)  # BGR
    monkeypatch.setattr(Capture, "frames", [blue, None, blue, blue])
    with pytest.raises(InputError, match=r"^camera 0: does not open; is it there, and free\?$"):
        open_video("0")
    camera = open_video("3")
    assert isinstance(camera, Camera)
    assert (camera.live, camera.size, camera.num_frames) == (True, (8, 10), None)
    shots = camera.shots()
    taken = [next(shots) for _ in range(3)]
    assert [shot.index for shot in taken] == [0, 1, 2]
    assert taken[0].picture()[0, 0].tolist() == [20, 10, 250]
    times = [shot.time for shot in taken]
    assert times[0] == 0
    assert times == sorted(times)
    with pytest.raises(SourceGoneError, match="camera 3: frame 3: the camera went away"):
        next(shots)
    assert camera._capture.released


def test_a_camera_that_is_left_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(Capture, "frames", [np.zeros((8, 10, 3), np.uint8)] * 9)
    camera = Camera(3)
    assert len(list(Excerpt(camera, Span(max_frames=4)))) == 4
    assert camera._capture.released


@pytest.mark.parametrize(
    ("span", "wanted"),
    [
        (Span(), [*range(30)]),
        (Span(start=3, end=9), [3, 4, 5, 6, 7, 8]),
        (Span(start=Fraction(1, 2), end=Fraction(1)), [6, 7, 8, 9, 10, 11]),
        (Span(start=5, every=4), [5, 9, 13, 17, 21, 25, 29]),
        (Span(every=10, max_frames=2), [0, 10]),
        (Span(end=2, max_frames=5), [0, 1]),
    ],
    ids=str,
)
def test_an_excerpt_takes_what_its_span_says(tmp_path: Path, span: Span, wanted: list[int]) -> None:
    write(tmp_path / "clip.mp4", (32, 48), 30, fps=12)
    source = open_video(tmp_path / "clip.mp4")
    excerpt = Excerpt(source, span)
    frames = list(excerpt.frames())
    assert [frame.index for frame in frames] == wanted
    assert [excerpt.number(index) for index in range(len(wanted))] == wanted
    assert excerpt.num_frames == len(wanted)
    assert [frame.time for frame in frames] == [Fraction(index, 12) for index in wanted]
    everything = list(source)
    assert all(np.array_equal(f.picture, everything[f.index]) for f in frames)


def test_an_excerpt_of_nothing_is_named(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4", (32, 48), 5)
    with pytest.raises(InputError, match="holds no frame between --start and --end"):
        list(Excerpt(VideoFile(tmp_path / "clip.mp4"), Span(start=7)))


def test_seconds_of_images_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "0.png", picture((8, 10)))
    source = open_video(tmp_path)
    with pytest.raises(InputError, match="its frames have no times; give --start and --end as"):
        Excerpt(source, Span(end=Fraction(2)))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("120", 120), ("12.5s", Fraction(25, 2)), ("3s", Fraction(3)), ("1:02.5", Fraction(125, 2)),
     ("1:00:01", Fraction(3601))],
)  # fmt: skip
def test_moments(text: str, wanted: int | Fraction) -> None:
    assert moment(text) == wanted
    assert isinstance(moment(text), type(wanted))


@pytest.mark.parametrize("text", ["", "-3", "s", "1:2:3:4", "12,5s", "1e3"])
def test_what_is_no_moment_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="wanted a frame as 120, or a time as"):
        moment(text)


@pytest.mark.parametrize("options", [{"every": 0}, {"max_frames": 0}, {"start": -1}], ids=str)
def test_spans_check_themselves(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Span(**options)
