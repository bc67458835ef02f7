"""Identities for other models' instances: stable, never used again, in bounded memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vis.support.stream_model import moving_squares

from vidgap_vis import TrackStream
from vidgap_vis.inference.foreign import Instances
from vidgap_vis.inference.track_stream import usual_tracker
from vidgap_vis.trackers import OnlineTracker, QueryAssociator, QueryOptions
from vidgap_vis.trackers.base import size_of
from vidgap_vis.video.write import OverlayWriter

SIZE = (64, 96)
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def instances(time: int, seed: int | None = None, embeddings: bool = False) -> dict[str, Any]:
    """The squares of a frame as arrays, in an order of its own."""
    frame = moving_squares(time + 1)[time]
    masks = np.stack([(frame == colour).all(axis=-1) for colour in COLOURS])
    order = np.random.default_rng(time if seed is None else seed).permutation(3)
    order = order[masks[order].any(axis=(1, 2))]
    found = {"masks": masks[order], "scores": 0.9 - 0.1 * order, "labels": order % 2}
    return found | ({"embeddings": np.eye(3)[order]} if embeddings else {})


def as_supervision(found: dict[str, Any]) -> Any:
    supervision = pytest.importorskip("supervision")
    boxes = np.zeros((len(found["masks"]), 4), np.float32)
    return supervision.Detections(
        xyxy=boxes, mask=found["masks"], confidence=found["scores"], class_id=found["labels"]
    )


def as_torchvision(found: dict[str, Any]) -> dict[str, torch.Tensor]:
    masks = torch.from_numpy(found["masks"])[:, None].float() * 0.8
    return {
        "boxes": torch.zeros(len(masks), 4),
        "masks": masks,
        "scores": torch.from_numpy(found["scores"]),
        "labels": torch.from_numpy(found["labels"]),
    }


def as_segments(found: dict[str, Any], binary: bool) -> dict[str, Any]:
    masks = torch.from_numpy(found["masks"])
    ids = torch.full(SIZE, -1)
    for index, mask in enumerate(masks):
        ids[mask] = index
    return {
        "segmentation": masks.float() if binary else ids,
        "segments_info": [
            {"id": index, "label_id": int(label), "score": float(score), "was_fused": False}
            for index, (label, score) in enumerate(
                zip(found["labels"], found["scores"], strict=True)
            )
        ],
    }


KINDS: dict[str, Any] = {
    "arrays": lambda found: found,
    "torchvision": as_torchvision,
    "segments": lambda found: as_segments(found, False),
    "binary maps": lambda found: as_segments(found, True),
    "supervision": as_supervision,
    "embeddings": None,
}


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_stable_whoever_finds_the_instances(kind: str) -> None:
    # The third square is out of sight in every fifth frame: looks alone find it again.
    followed: list[dict[int, int]] = []
    with TrackStream(["cat", "dog"]) as stream:
        for time in range(1, 30):
            if kind == "embeddings":
                found = instances(time, embeddings=True)
            else:
                found = KINDS[kind](instances(time))
            result = stream(found)
            assert (result.frame_index, result.size) == (time - 1, SIZE)
            truth = [(moving_squares(time + 1)[time] == c).all(axis=-1) for c in COLOURS]
            followed.append({})
            for track, name, mask in zip(
                result.track_ids.tolist(), result.names, result.masks, strict=True
            ):
                (which,) = [k for k in range(3) if np.array_equal(mask, truth[k])]
                assert name == ("cat", "dog")[which % 2]
                followed[-1][which] = track
    assert [2 in ids for ids in followed] == [bool(time % 5) for time in range(1, 30)]
    for which in range(3):
        tracks = list(dict.fromkeys(ids[which] for ids in followed if which in ids))
        assert len(tracks) == (6 if which == 2 and kind != "embeddings" else 1)
        assert tracks == sorted(tracks)
    assert result.scores.max() <= 0.9


def test_scores_below_are_left_out() -> None:
    stream = TrackStream(["cat", "dog"], score_threshold=0.75)
    results = [stream(instances(time)) for time in range(1, 5)]
    assert all(len(result) == 2 for result in results)
    ranked = stream.finish()
    assert ranked.ids.tolist()[:3] == sorted(
        ranked.ids.tolist()[:3], key=lambda k: -ranked.scores[ranked.ids.tolist().index(k)]
    )


def test_frames_without_instances() -> None:
    stream = TrackStream(["cat", "dog"])
    with pytest.raises(ValueError, match="size must be given, as no mask tells the frame's"):
        stream({"masks": [], "scores": [], "labels": []})
    assert len(stream({"masks": [], "scores": [], "labels": []}, SIZE)) == 0
    assert len(stream({"segmentation": None, "segments_info": []})) == 0
    assert len(stream(instances(1))) == 3
    assert len(stream({"masks": np.zeros((0, 1, *SIZE)), "scores": [], "labels": []})) == 0
    assert stream(instances(1)).track_ids.tolist() == [4, 5, 6]  # nothing tells that they are


def test_an_empty_first_frame_may_be_given_to_a_tracker_of_ones_own() -> None:
    tracker = OnlineTracker(QueryAssociator(QueryOptions()), any_number=True)
    stream = TrackStream(["cat", "dog", "cow"], tracker)
    assert len(stream({"masks": [], "scores": [], "labels": []}, SIZE)) == 0


def test_an_empty_frame_of_another_size_is_refused() -> None:
    stream = TrackStream(["cat", "dog"])
    stream(instances(1))
    with pytest.raises(ValueError, match="every frame of a video must be"):
        stream({"masks": [], "scores": [], "labels": []}, (2 * SIZE[0], SIZE[1]))
    with pytest.raises(ValueError, match="every frame of a video must be"):
        stream(Instances(np.zeros((0, 9, 9), np.bool_), np.zeros(0), np.zeros(0)))


def test_a_closed_stream_ranks_but_takes_no_more() -> None:
    with TrackStream(["cat", "dog"]) as stream:
        stream(instances(1))
    assert len(stream.finish().ids) > 0
    with pytest.raises(ValueError, match="the stream is closed"):
        stream(instances(2))


def test_embeddings_may_come_after_empty_frames() -> None:
    stream = TrackStream(["cat", "dog"])
    nothing = {"masks": [], "scores": [], "labels": []}
    assert [stream(nothing, SIZE).frame_index for _ in range(2)] == [0, 1]
    results = [stream(instances(time, embeddings=True), SIZE) for time in range(1, 12)]
    assert [result.frame_index for result in results] == [*range(2, 13)]
    assert set(np.concatenate([result.track_ids for result in results]).tolist()) == {1, 2, 3}
    assert len(stream(nothing)) == 0


@pytest.mark.parametrize("embeddings", [False, True])
def test_scores_are_of_all_frames_whoever_chose_the_tracker(embeddings: bool) -> None:
    tracker = usual_tracker(embeddings)
    streams = [TrackStream(["cat", "dog"]), TrackStream(["cat", "dog"], tracker)]
    for stream in streams:
        for _ in range(9):
            stream({"masks": [], "scores": [], "labels": []}, SIZE)
        stream(instances(1, embeddings=embeddings))
    own, given = (stream.finish() for stream in streams)
    assert own.scores.max() == pytest.approx(0.09)
    assert own.scores.tolist() == given.scores.tolist()
    assert own.ids.tolist() == given.ids.tolist()


def test_a_state_of_before_frames_were_counted_so_is_refused() -> None:
    state = TrackStream(["cat"]).state_dict()
    with pytest.raises(ValueError, match="state must be of this version of vidgap-vis, got an"):
        TrackStream(["cat"]).load_state_dict({**state, "num_before": 0})


def test_one_name_is_no_list_of_names() -> None:
    with pytest.raises(ValueError, match="classes must be a list of names, got 'person'"):
        TrackStream("person")


def test_small_and_unsure_instances_are_followed() -> None:
    stream = TrackStream(["cat"])
    for time in range(9):
        mask = np.zeros((1, 720, 1280), np.bool_)
        mask[0, 301:306, 401 + time : 407 + time] = True
        result = stream({"masks": mask, "scores": [0.05], "labels": [0]})
        assert result.track_ids.tolist() == [1]
        assert result.rles[0].area() == 30


def test_a_track_that_ends_is_said_once_and_its_id_is_not_used_again() -> None:
    stream = TrackStream(["cat", "dog"])
    seen, ended = set(), []
    for time in range(120):
        nothing = {"masks": [], "scores": [], "labels": []}
        result = stream(instances(time % 4) if time < 4 or time > 60 else nothing, SIZE)
        seen |= set(result.track_ids.tolist())
        ended += result.ended
        assert not set(ended) & set(result.track_ids.tolist())
    assert len(ended) == len(set(ended))
    assert {1, 2, 3} <= set(ended)
    assert len(seen) >= 6


def test_a_stream_goes_on_from_its_state() -> None:
    whole, part = (TrackStream(["cat", "dog"]) for _ in range(2))
    wanted = [whole(instances(time)).track_ids.tolist() for time in range(20)]
    found = [part(instances(time)).track_ids.tolist() for time in range(9)]
    state = part.state_dict()
    going = TrackStream(["cat", "dog"])
    going.load_state_dict(state)
    found += [going(instances(time)).track_ids.tolist() for time in range(9, 20)]
    assert found == wanted
    fresh = TrackStream(["cat", "dog"])
    fresh.load_state_dict(TrackStream(["cat", "dog"]).state_dict())
    assert len(fresh(instances(1))) == 3


def test_the_state_does_not_grow() -> None:
    stream = TrackStream(["cat", "dog"])
    sizes = []
    for time in range(600):
        stream(instances(time % 40))
        sizes.append(size_of(stream.state_dict()["tracker"]))
    assert max(sizes[300:]) <= max(sizes[:300]) + 64 * 120  # sums of ended tracks, a bounded heap


ONE = np.ones((1, 8, 8), np.bool_)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("nonsense", "instances must be Instances, supervision.Detections, or a mapping .*got str"),
        ({"masks": ONE}, "instances must have scores, got masks"),
        ({"masks": ONE[0], "scores": [1], "labels": [0]}, r"masks must be \(N, H"),
        ({"masks": ONE, "scores": [1, 1], "labels": [0]}, r"scores must be \(1,\), one a mask"),
        ({"masks": ONE, "scores": [7], "labels": [0]}, r"in 0\.\.1, got \[7"),
        ({"masks": ONE, "scores": [1], "labels": [2]}, "labels must be 0 to 1, got 2"),
        (
            {"masks": ONE, "scores": [1], "labels": [0], "embeddings": [[np.nan]]},
            "embeddings must be finite",
        ),
    ],
    ids=range(7),
)
def test_what_is_no_frame_is_named(found: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrackStream(["cat", "dog"])(found)


def test_frames_that_differ_are_named() -> None:
    stream = TrackStream(["cat", "dog"])
    stream(instances(1))
    other = {"masks": np.ones((1, 8, 8), bool), "scores": [0.5], "labels": [0]}
    with pytest.raises(ValueError, match=r"must be \(64, 96\), got \(8, 8\)"):
        stream(other)
    with pytest.raises(ValueError, match=r"masks must be \(9, 9\), got \(64, 96\)"):
        TrackStream(["cat", "dog"])(instances(1), (9, 9))
    with pytest.raises(ValueError, match="embeddings must have 0 channels, as before, got 3"):
        stream(instances(2, embeddings=True))
    with pytest.raises(ValueError, match="tracker must take any number of instances"):
        TrackStream(["cat"], OnlineTracker(QueryAssociator()))
    with pytest.raises(ValueError, match="classes must name one at least"):
        TrackStream([])


def test_tensors_may_be_of_any_precision() -> None:
    found = instances(2, embeddings=True)
    half = {
        name: torch.as_tensor(found[name]).to(torch.bfloat16) for name in ("scores", "embeddings")
    }
    taken = Instances.of({**found, **half})
    np.testing.assert_array_equal(taken.scores, half["scores"].float().numpy())


def test_instances_pass_through() -> None:
    found = Instances.of(instances(1))
    assert Instances.of(found) is found


def example(number: int) -> str:
    """Return one of the page's examples."""
    page = (Path(__file__).parents[3] / "docs" / "predict.md").read_text()
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)[number]


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `clip.mp4` where examples look for it."""
    monkeypatch.chdir(tmp_path)
    with OverlayWriter("clip.mp4", 10, SIZE) as writer:
        for frame in moving_squares(2):
            writer.write(frame)


@pytest.mark.slow
@pytest.mark.usefixtures("clip")
def test_the_example_with_torchvision_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With random weights in place of those that it fetches."""
    from torchvision.models import detection

    make = detection.maskrcnn_resnet50_fpn

    def untrained(**_: object) -> Any:
        torch.manual_seed(0)
        sizes = {"box_score_thresh": 0.0, "box_detections_per_img": 5}
        return make(weights=None, weights_backbone=None, **sizes)

    monkeypatch.setattr(detection, "maskrcnn_resnet50_fpn", untrained)
    exec(compile(example(0), "docs/predict.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said if line[0].isdigit()] == ["0", "1"]


@pytest.mark.slow
@pytest.mark.usefixtures("clip")
def test_the_example_with_hugging_face_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise."""
    transformers = pytest.importorskip("transformers")
    config = transformers.Mask2FormerConfig(
        num_queries=7, decoder_layers=2, encoder_layers=1, num_labels=80
    )
    torch.manual_seed(0)
    model = transformers.Mask2FormerForUniversalSegmentation(config)
    processor = transformers.Mask2FormerImageProcessor(do_resize=False)
    for owner, made in (
        (transformers.AutoImageProcessor, processor),
        (transformers.Mask2FormerForUniversalSegmentation, model),
    ):
        monkeypatch.setattr(owner, "from_pretrained", lambda _, made=made: made)
    names: dict[str, Any] = {}
    exec(compile(example(1), "docs/predict.md", "exec"), names)
    assert names["result"].frame_index == 1
    assert names["result"].size == SIZE
