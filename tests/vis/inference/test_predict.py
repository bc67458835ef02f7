"""`predict`: videos, folders and data sets in; overlays and a results file out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from vis.support.stream_model import CLASSES, ColourModel, draw_frame, moving_squares

from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.formats.result_writer import ResultEntry, ResultWriter
from vidgap_vis.formats.results import read_results
from vidgap_vis.formats.rle import Rle
from vidgap_vis.formats.youtube_vis import read_youtube_vis
from vidgap_vis.inference.jobs import Targets, apart, output_paths, plan
from vidgap_vis.inference.outputs.sink import tracks_of
from vidgap_vis.inference.predict import PredictOptions, predict
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.video.overlay import track_colour
from vidgap_vis.video.read import open_video
from vidgap_vis.video.write import OverlayWriter

QUIET = PredictOptions(latency=4, progress=False)


@pytest.fixture
def segmenter() -> VideoSegmenter:
    return VideoSegmenter(ColourModel(), CLASSES, device="cpu")


def write_video(path: Path, frames: list[np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with OverlayWriter(path, 12, frames[0].shape[:2], crf=5) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def write_folder(folder: Path, frames: list[np.ndarray]) -> Path:
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        assert cv2.imwrite(str(folder / f"{index:05d}.png"), frame[..., ::-1])
    return folder


def write_dataset(root: Path, lengths: dict[int, int], classes: object = CLASSES) -> Path:
    """Write videos of moving squares, id -> length, and their JSON without annotations."""
    videos = []
    for video_id, length in lengths.items():
        write_folder(root / f"clip{video_id}", moving_squares(length))
        names = [f"clip{video_id}/{index:05d}.png" for index in range(length)]
        videos.append(
            {"id": video_id, "width": 96, "height": 64, "length": length, "file_names": names}
        )
    categories = [{"id": info.category_id, "name": info.name} for info in classes]
    path = root / "valid.json"
    path.write_text(json.dumps({"videos": videos, "categories": categories, "annotations": None}))
    return path


def test_a_video_gives_an_overlay_and_results(tmp_path: Path, segmenter: VideoSegmenter) -> None:
    frames = moving_squares(11)
    video = write_video(tmp_path / "in" / "clip.mp4", frames)
    out, results = tmp_path / "out.mp4", tmp_path / "results.json"
    summary = predict([video], segmenter, out=out, json=results, options=QUIET)
    assert (summary.overlays, summary.num_videos, summary.num_frames) == ((out,), 1, 11)

    overlay = open_video(out)
    assert (overlay.fps, overlay.num_frames, overlay.size) == (12, 11, (4 * 64, 4 * 96))
    drawn = next(iter(overlay))
    blend = 0.55 * np.array((255, 0, 0)) + 0.45 * np.array(track_colour(1))
    red, green = drawn[4 * 16, 4 * 8], drawn[4 * 52, 4 * 90]
    assert min(np.abs(red - blend).max(), np.abs(green - blend).max()) < 30

    entries = json.loads(results.read_text())
    assert {entry["video_id"] for entry in entries} == {1}
    assert all(len(entry["segmentations"]) == 11 for entry in entries)
    sure = [entry for entry in entries if entry["score"] > 0.5]
    assert sorted(entry["category_id"] for entry in sure) == [7, 7, 9]
    gaps = [[mask is None for mask in entry["segmentations"]] for entry in sure]
    assert sorted(map(sum, gaps)) == [0, 0, 3]
    assert [t % 5 == 0 for t in range(11)] in gaps
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.mp4", "results.json"]


def test_a_dataset_keeps_its_ids_and_its_masks_lie_where_the_squares_are(
    tmp_path: Path, segmenter: VideoSegmenter
) -> None:
    dataset = write_dataset(tmp_path / "data", {31: 5, 4: 7})
    results = tmp_path / "results.json"
    summary = predict(
        [dataset],
        segmenter,
        out=tmp_path / "out",
        json=results,
        images_root=tmp_path / "data",
        options=QUIET,
    )
    assert summary.overlays == (tmp_path / "out" / "clip31.mp4", tmp_path / "out" / "clip4.mp4")
    assert all(path.is_file() for path in summary.overlays)
    videos = read_youtube_vis(dataset)
    tracks = [track for track in read_results(results, videos) if track.score > 0.5]
    assert sorted((track.video_id, track.label) for track in tracks) == [
        *[(4, 0), (4, 0), (4, 1)],
        *[(31, 0), (31, 0), (31, 1)],
    ]
    (green,) = [track for track in tracks if (track.video_id, track.label) == (4, 1)]
    for mask, frame in zip(green.masks, moving_squares(7), strict=True):
        assert mask is not None
        found, truth = mask.decode(), (frame == (0, 255, 0)).all(axis=-1)
        assert (found & truth).sum() / (found | truth).sum() > 0.7


def test_several_inputs_are_numbered_and_go_into_a_folder(
    tmp_path: Path, segmenter: VideoSegmenter
) -> None:
    inputs = [
        write_video(tmp_path / "a" / "clip.mp4", moving_squares(3)),
        write_folder(tmp_path / "clip", moving_squares(4)),
    ]
    results = tmp_path / "results.json"
    predict(inputs, segmenter, out=tmp_path / "out", json=results, options=QUIET)
    lengths = {e["video_id"]: len(e["segmentations"]) for e in json.loads(results.read_text())}
    assert lengths == {1: 3, 2: 4}
    assert open_video(tmp_path / "out" / "clip.mp4").num_frames == 3
    second = open_video(tmp_path / "out" / "clip_2.mp4")
    assert (second.num_frames, second.fps) == (4, QUIET.fps)


def test_each_output_may_be_left_out(tmp_path: Path, segmenter: VideoSegmenter) -> None:
    video = write_video(tmp_path / "clip.mp4", moving_squares(3))
    predict([video], segmenter, json=tmp_path / "results.json", options=QUIET)
    predict([video], segmenter, out=tmp_path / "overlays", options=QUIET)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"clip.mp4", "results.json", "overlays/clip.mp4"}


def test_the_score_decides_what_is_drawn_and_not_what_is_listed(
    tmp_path: Path, segmenter: VideoSegmenter
) -> None:
    video = write_video(tmp_path / "clip.mp4", moving_squares(3))
    out, results = tmp_path / "out.mp4", tmp_path / "results.json"
    options = PredictOptions(score=1.0, min_short_edge=64, progress=False)
    predict([video], segmenter, out=out, json=results, options=options)
    assert json.loads(results.read_text())
    for drawn, frame in zip(open_video(out), moving_squares(3), strict=True):
        assert np.abs(drawn.astype(int) - frame).mean() < 6


def test_top_k_bounds_what_a_video_lists(tmp_path: Path, segmenter: VideoSegmenter) -> None:
    video = write_video(tmp_path / "clip.mp4", moving_squares(3))
    results = tmp_path / "results.json"
    two = VideoSegmenter(
        segmenter.model,
        segmenter.classes,
        device="cpu",
        tracker=segmenter.make_tracker,
        top_k=2,
    )
    predict([video], two, json=results, options=QUIET)
    assert len(json.loads(results.read_text())) == 2


def test_a_video_without_objects_gives_an_empty_list(
    tmp_path: Path, segmenter: VideoSegmenter
) -> None:
    video = write_video(tmp_path / "clip.mp4", [draw_frame((32, 32), [])] * 3)
    predict([video], segmenter, json=tmp_path / "results.json", options=QUIET)
    assert json.loads((tmp_path / "results.json").read_text()) == []


def test_an_empty_mask_is_null_in_the_file(tmp_path: Path, segmenter: VideoSegmenter) -> None:
    result = segmenter.stream()(moving_squares(2)[1])
    assert result is not None
    empty = Rle.encode(np.zeros(result.size, np.bool_))
    later = replace(
        result,
        frame_index=1,
        rles=(empty, *result.rles[1:]),
        mask_scores=np.float32([0, 1, 1]),
    )
    with ResultWriter(tmp_path / "results.json") as writer:
        for one in (result, later):
            for track, _, _, rle in tracks_of(one, 0.0):
                writer.add(1, one.frame_index, track, rle)
        writer.finish_video(1, 2, [ResultEntry(1, 7, 0.5)])
    (entry,) = json.loads((tmp_path / "results.json").read_text())
    assert [mask is None for mask in entry["segmentations"]] == [False, True]


def test_progress_counts_frames(
    tmp_path: Path, segmenter: VideoSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "clip.mp4", moving_squares(9))
    predict([video], segmenter, json=tmp_path / "r.json", options=PredictOptions(latency=2))
    shown = capsys.readouterr().err
    assert "video 1/1" in shown
    assert "9/9" in shown


def test_a_frame_that_does_not_decode_leaves_no_results(
    tmp_path: Path, segmenter: VideoSegmenter
) -> None:
    folder = write_folder(tmp_path / "clip", moving_squares(4))
    (folder / "00002.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"00002\.png: the image does not decode"):
        predict(
            [folder],
            segmenter,
            out=tmp_path / "out.mp4",
            json=tmp_path / "results.json",
            options=QUIET,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]


def test_an_overlay_never_replaces_an_input(tmp_path: Path) -> None:
    videos = [write_video(tmp_path / f"{name}.mp4", moving_squares(2)) for name in "ab"]
    for inputs, out in ((videos[:1], videos[0]), (videos, tmp_path)):
        with pytest.raises(ConfigError, match=r"--out: .*a\.mp4 is an input"):
            plan(inputs, CLASSES, Targets(out=out))


def test_results_never_replace_an_input(tmp_path: Path, segmenter: VideoSegmenter) -> None:
    dataset = write_dataset(tmp_path / "data", {1: 1})
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for path in (dataset, tmp_path / "link" / dataset.name):
        with pytest.raises(ConfigError, match=r"--json: .*valid\.json is an input"):
            predict([dataset], segmenter, json=path, images_root=tmp_path / "data")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latency": 0}, "latency must be 1 frame or more, got 0"),
        ({"score": 7.0}, r"score must be in 0\.\.1, got 7\.0"),
        ({"score": float("nan")}, r"score must be in 0\.\.1, got nan"),
        ({"fps": 0.0}, r"fps must be above 0, got 0\.0"),
        ({"min_short_edge": -2}, "min_short_edge must be 0 or more, got -2"),
        ({"batch_videos": 0}, "batch_videos must be 1 or more, got 0"),
    ],
    ids=str,
)
def test_options_check_themselves(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PredictOptions(**options)


def test_overlay_names_differ(tmp_path: Path) -> None:
    names = apart(["a", "a", "a_2", "b"])
    found = output_paths("--out", names, tmp_path, (".mp4",), folder=True)
    assert [path.name for path in found if path] == ["a.mp4", "a_2.mp4", "a_2_2.mp4", "b.mp4"]
    assert apart(["Clip", "clip", "clip"]) == ["Clip", "clip_2", "clip_3"]  # one file elsewhere
    assert apart(["caf\u00e9", "cafe\u0301"]) == ["caf\u00e9", "cafe\u0301_2"]


def test_categories_that_the_model_knows_by_another_name_are_named(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", {1: 1})
    dataset.write_text(dataset.read_text().replace('"square"', '"giraffe"'))
    wanted = r"valid\.json: categories \(id 9\): must be 'square', as the model has it, got 'giraf"
    with pytest.raises(InputError, match=wanted):
        plan([dataset], CLASSES, Targets(out=tmp_path / "out"), images_root=tmp_path / "data")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "INPUT: at least one video, folder or JSON is wanted, got none"),
        (["a.json", "b.mp4"], "INPUT: a JSON must be the only input, as its ids are kept"),
        (["a.json"], "--images: missing; a.json needs the folder of its frames"),
    ],
)
def test_wrong_arguments_are_named(inputs: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(inputs, CLASSES, Targets(out=Path("out")))


def test_a_file_as_output_of_several_videos_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--out: must be a folder for 2 videos, got .*out\.mp4"):
        output_paths("--out", ["a", "b"], tmp_path / "out.mp4", (".mp4",), folder=True)


def test_nothing_to_write_is_named(segmenter: VideoSegmenter) -> None:
    with pytest.raises(ConfigError, match="--out: nothing to write; give one of --out, --json"):
        predict(["a.mp4"], segmenter)


def test_a_missing_input_is_named(tmp_path: Path, segmenter: VideoSegmenter) -> None:
    with pytest.raises(InputError, match=r"none\.mp4: no such file or folder"):
        predict([tmp_path / "none.mp4"], segmenter, json=tmp_path / "r.json", options=QUIET)
    assert not list(tmp_path.iterdir())
