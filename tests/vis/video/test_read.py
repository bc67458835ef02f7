"""Frames in, overlay videos out, and every broken input named in one line."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vidgap_vis.errors import InputError
from vidgap_vis.video.read import open_video
from vidgap_vis.video.sources import natural_key
from vidgap_vis.video.write import OverlayWriter


def picture(size: tuple[int, int], step: int = 0) -> np.ndarray:
    """A smooth picture with saturated colours that moves with `step`, RGB."""
    rows, columns = np.indices(size, dtype=np.float32)
    red = 127 + 120 * np.sin((columns + 2 * step) / 9)
    green = 127 + 120 * np.cos(rows / 11)
    blue = np.where(columns > size[1] / 2, 220, 30)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def write(path: Path, size: tuple[int, int], num_frames: int, fps: float = 12) -> list[np.ndarray]:
    frames = [picture(size, step) for step in range(num_frames)]
    with OverlayWriter(path, fps, size) as writer:
        for frame in frames:
            writer.write(frame)
    return frames


def save(path: Path, frame: np.ndarray) -> None:
    assert cv2.imwrite(str(path), frame[..., ::-1])


def message_of(error: pytest.ExceptionInfo[InputError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("size", [(64, 96), (63, 96), (64, 97), (37, 51)], ids=str)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_written_video_reads_back(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    frames = write(tmp_path / f"out{suffix}", size, 15)
    video = open_video(tmp_path / f"out{suffix}")
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert (video.size, video.fps, video.num_frames) == (even, 12, 15)
    read = np.stack(list(video))
    assert read.shape == (15, *even, 3)
    assert read.dtype == np.uint8
    inner = read[:, : size[0], : size[1]].astype(int)
    assert np.abs(inner - np.stack(frames)).mean() < 5
    assert np.abs(inner.mean(axis=(0, 1, 2)) - np.mean(frames, axis=(0, 1, 2))).max() < 2


def test_iterating_again_starts_again(tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", (32, 48), 6)
    video = open_video(tmp_path / "out.mp4")
    assert len(list(video)) == len(list(video)) == 6


def test_browsers_can_play_it(tmp_path: Path) -> None:
    """H.264, yuv420p, BT.709 and said so, the index before the data."""
    write(tmp_path / "out.mp4", (64, 96), 5, fps=30000 / 1001)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_range) == (1, 1)
        assert stream.average_rate == Fraction(30000, 1001)
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"before")

    def fail() -> None:
        with OverlayWriter(target, 10, (32, 32)) as writer:
            writer.write(picture((32, 32)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("angle", [90, -90, 180])
def test_the_rotation_tag_is_honoured(tmp_path: Path, angle: int) -> None:
    frame = picture((32, 64))
    with av.open(str(tmp_path / "phone.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "yuv420p"
        stream.set_display_rotation(angle)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    video = open_video(tmp_path / "phone.mp4")
    upright = np.rot90(frame, angle // 90)
    assert video.size == upright.shape[:2]
    assert np.abs(next(iter(video)).astype(int) - upright).mean() < 12


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    names = ["frame2.png", "frame10.png", "frame1.PNG", "notes.txt", ".hidden.png", "10.jpg"]
    for index, name in enumerate(names):
        save(tmp_path / "x.png", np.full((8, 10, 3), 20 * index, np.uint8))
        (tmp_path / "x.png").rename(tmp_path / name)
    (tmp_path / "10.jpg").unlink()
    (tmp_path / "notes.txt").write_text("not a frame")
    video = open_video(tmp_path)
    assert (video.size, video.fps, video.num_frames) == ((8, 10), None, 3)
    assert [frame[0, 0, 0] for frame in video] == [40, 0, 20]


def test_natural_key_sorts_names_that_begin_with_digits_or_letters() -> None:
    names = ["b", "10a", "9", "a2", "a10", "a1b3", "a1b20", "٣"]
    found = [path.name for path in sorted(map(Path, names), key=natural_key)]
    assert found.index("9") < found.index("10a")
    assert found.index("a2") < found.index("a10")
    assert found.index("a1b3") < found.index("a1b20")


def test_colours_are_rgb(tmp_path: Path) -> None:
    save(tmp_path / "0.png", np.full((8, 8, 3), (250, 10, 20), np.uint8))
    assert next(iter(open_video(tmp_path)))[0, 0].tolist() == [250, 10, 20]


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.mp4: no such file or folder$") as error:
        open_video(tmp_path / "nowhere.mp4")
    message_of(error)


@pytest.mark.parametrize("content", ["hello\n" * 200, ""], ids=["text", "empty"])
def test_a_file_that_is_no_video_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "text.mp4").write_text(content)
    with pytest.raises(InputError, match=r"text\.mp4: not a video that decodes \(Invalid") as error:
        open_video(tmp_path / "text.mp4")
    message_of(error)


def test_a_file_with_sound_alone_is_named(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(InputError, match=r"sound\.wav: holds no video stream"):
        open_video(tmp_path / "sound.wav")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"no image in this folder \(\.jpg, ") as error:
        open_video(tmp_path)
    message_of(error)


def test_a_broken_frame_of_a_folder_is_named(tmp_path: Path) -> None:
    for index in range(3):
        save(tmp_path / f"{index}.jpg", picture((32, 48), index))
    data = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(data[: len(data) // 2])
    video = open_video(tmp_path)
    with pytest.raises(InputError, match=r"1\.jpg: the image does not decode") as error:
        list(video)
    message_of(error)


def test_a_frame_of_another_size_is_named(tmp_path: Path) -> None:
    save(tmp_path / "0.png", picture((32, 48)))
    save(tmp_path / "1.png", picture((30, 48)))
    video = open_video(tmp_path)
    wanted = r"1\.png: every frame must be 48x32 \(width x height\), got 48x30"
    with pytest.raises(InputError, match=wanted) as error:
        list(video)
    message_of(error)


def test_an_overlay_of_an_unknown_kind_is_named(tmp_path: Path) -> None:
    wanted = r"out\.gif: an overlay must end in \.mp4, \.m4v, \.mov, \.mkv, got '\.gif'"
    with pytest.raises(InputError, match=wanted):
        OverlayWriter(tmp_path / "out.gif", 10, (8, 8))


def test_an_overlay_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    writer = OverlayWriter(tmp_path / "file" / "out.mp4", 10, (8, 8))
    with pytest.raises(InputError, match=r"out\.mp4: its folder cannot be made"), writer:
        pass


def test_a_frame_of_another_shape_is_refused(tmp_path: Path) -> None:
    with OverlayWriter(tmp_path / "out.mp4", 10, (32, 32)) as writer:
        writer.write(picture((32, 32)))
        with pytest.raises(ValueError, match=r"must be \(32, 32, 3\) uint8, got \(32, 30, 3\)"):
            writer.write(picture((32, 30)))


@pytest.mark.parametrize("fps", [0, -1.5])
def test_fps_must_be_positive(tmp_path: Path, fps: float) -> None:
    with pytest.raises(ValueError, match=f"fps must be positive, got {fps}"):
        OverlayWriter(tmp_path / "out.mp4", fps, (8, 8))
