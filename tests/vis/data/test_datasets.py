"""Data sets: a clip depends on (seed, epoch, index) alone, and holds what its frames show."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from vidgap_augment import ClipCompose, ClipFlip, PseudoClip, Sample
from vidgap_vis.classes import ClassInfo
from vidgap_vis.data import (
    ClipDataset,
    MixedDataset,
    PseudoClipDataset,
    VideoClipDataset,
    choose_frames,
    clip_generator,
)
from vidgap_vis.data.category_maps import coco_to
from vidgap_vis.errors import InputError
from vidgap_vis.formats import read_coco, read_youtube_vis


def unchanged(sample: Sample, generator: torch.Generator) -> Sample:
    assert isinstance(generator, torch.Generator)
    return sample


def assert_same_clip(one: Sample, other: Sample) -> None:
    assert one.keys() == other.keys()
    for key in one:
        assert one[key].equal(other[key]), key


def videos(video_folder: Any, num_frames: int = 3, frame_range: int = 2) -> VideoClipDataset:
    video_set = read_youtube_vis(video_folder.save(), video_folder.root)
    return VideoClipDataset(video_set, num_frames, frame_range, unchanged, seed=5)


def pseudo(image_folder: Any, seed: int = 5) -> PseudoClipDataset:
    image_set = read_coco(image_folder.save(), image_folder.root)
    transform = ClipCompose([PseudoClip(num_frames=4), ClipFlip()])
    return PseudoClipDataset(image_set, transform, seed=seed)


def test_neighbouring_clips_have_generators_of_their_own() -> None:
    keys = [(seed, epoch, index) for seed in range(3) for epoch in range(5) for index in range(9)]
    first = {torch.rand(4, generator=clip_generator(*key)).numpy().tobytes() for key in keys}
    assert len(first) == len(keys)
    again = torch.rand(4, generator=clip_generator(*keys[7]))
    assert again.equal(torch.rand(4, generator=clip_generator(*keys[7])))


def test_the_generators_are_frozen() -> None:
    # Recorded once: an older run must resume with the clips it would have had.
    drawn = torch.randint(1 << 30, (2,), generator=clip_generator(1, 2, 3)).tolist()
    assert drawn == [30154903, 908938708]


@pytest.mark.parametrize("num_frames", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("frame_range", [0, 1, 2, 20])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 30])
def test_frames_are_near_and_in_order_and_repeat_only_where_the_window_is_short(
    length: int, frame_range: int, num_frames: int
) -> None:
    for index in range(20):
        frames = choose_frames(length, num_frames, frame_range, clip_generator(0, 0, index))
        assert len(frames) == num_frames
        assert frames == sorted(frames)
        assert 0 <= frames[0] <= frames[-1] < length
        windows = [
            set(range(max(r - frame_range, 0), min(r + frame_range, length - 1) + 1))
            for r in set(frames)
        ]
        if num_frames == 2 * frame_range + 1:
            assert set(frames) == {*range(frames[0], frames[0] + min(num_frames, length))}
            continue
        # Some reference explains the clip: all near it, none twice unless all of it is there.
        assert any(
            set(frames) <= window and (len(set(frames)) == num_frames or set(frames) == window)
            for window in windows
        )


def test_a_clip_as_long_as_its_window_begins_anywhere() -> None:
    clips = [choose_frames(9, 5, 2, clip_generator(0, 0, index)) for index in range(500)]
    starts = [clip[0] for clip in clips]
    assert all(clip == [*range(clip[0], clip[0] + 5)] for clip in clips)
    assert all(70 < starts.count(start) < 130 for start in range(5))


def test_clips_run_backwards_as_often_as_asked(video_folder: Any) -> None:
    dataset = videos(video_folder)
    forwards = [dataset[epoch, 0]["video"] for epoch in range(40)]
    dataset.reverse_probability = 1.0
    clips = [(dataset[epoch, 0]["video"], one) for epoch, one in enumerate(forwards)]
    assert all(torch.equal(back, one.flip(0)) for back, one in clips)
    dataset.reverse_probability = 0.5
    backwards = [
        not torch.equal(dataset[epoch, 0]["video"], one) for epoch, one in enumerate(forwards)
    ]
    assert 8 < sum(backwards) < 32


def test_with_replacement_frames_are_drawn_twice_though_there_are_enough() -> None:
    clips = [
        choose_frames(30, 5, 8, clip_generator(0, 0, index), with_replacement=True)
        for index in range(100)
    ]
    assert all(clip == sorted(clip) and clip[-1] - clip[0] <= 16 for clip in clips)
    assert 20 < sum(len(set(clip)) < 5 for clip in clips) < 80
    assert choose_frames(1, 3, 8, clip_generator(0, 0, 0), with_replacement=True) == [0, 0, 0]


@pytest.mark.parametrize(
    ("name", "num", "horse"), [("ytvis_2019", 21, 18), ("ytvis_2021", 23, 19), ("ovis", 17, 5)]
)
def test_maps_of_cocos_categories_are_those_of_ctvis(name: str, num: int, horse: int) -> None:
    table = coco_to(name)
    assert (len(table), table[19]) == (num, horse)
    assert set(table.values()) <= set(range(1, 26 if name == "ovis" else 41))


def test_every_frame_is_chosen_about_equally_often_as_reference() -> None:
    drawn = [choose_frames(5, 1, 3, clip_generator(0, 0, i))[0] for i in range(1000)]
    counts = [drawn.count(frame) for frame in range(5)]
    assert min(counts) > 150
    assert max(counts) < 250


def test_a_video_clip_shows_the_chosen_frames_and_their_instances(video_folder: Any) -> None:
    dataset = videos(video_folder)
    assert len(dataset) == 2
    seen = set()
    for epoch in range(20):
        clip = dataset[epoch, 0]
        frames = (clip["video"][:, 0, 0, 0].int() - 10).tolist()  # the red of frame t is 10 + t
        assert frames == sorted(frames)
        seen.add(tuple(frames))
        for n, (label, number) in enumerate(zip(clip["labels"], clip["ids"], strict=True)):
            annotation_id, expected = [(1, 0), (2, 1), (7, 1)][number]
            assert label == expected
            for t, frame in enumerate(frames):
                mask = video_folder.masks.get((annotation_id, frame))
                assert clip["masks"][n, t].any() == (mask is not None)
                if mask is not None:
                    assert clip["masks"][n, t].equal(torch.from_numpy(mask))
        # Instance 0 is always there; 1 from frame 4 on; 2 never.
        assert clip["ids"].tolist() == ([0, 1] if frames[-1] >= 4 else [0])
        assert clip["boxes"].shape == (len(clip["ids"]) * 3, 4)
    assert len(seen) > 5


def test_a_clip_in_which_nothing_is_visible_is_kept(video_folder: Any) -> None:
    dataset = videos(video_folder, num_frames=1, frame_range=0)
    clips = [dataset[epoch, 1] for epoch in range(20)]  # its instance is missing in frame 1 of 3
    empty = [clip for clip in clips if len(clip["ids"]) == 0]
    assert empty
    assert empty[0]["masks"].shape == (0, 1, 12, 16)
    assert empty[0]["boxes"].shape == (0, 4)


def test_a_pseudo_clip_has_the_masks_of_its_image(image_folder: Any) -> None:
    dataset = pseudo(image_folder)
    assert len(dataset) == 2  # the third image has no instance
    clip = dataset[0, 0]
    assert clip["video"].shape == (4, 3, 12, 16)
    assert clip["masks"].shape == (2, 4, 12, 16)
    assert clip["labels"].tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["image", "video"])
def test_a_clip_is_fixed_by_seed_epoch_and_index(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(f"{kind}_folder")
    make = pseudo if kind == "image" else videos
    one, other = make(folder), make(folder)
    for epoch, index in [(3, 1), (0, 0), (3, 0)]:
        assert_same_clip(one[epoch, index], other[epoch, index])
    changing = {one[epoch, 0]["video"].numpy().tobytes() for epoch in range(6)}
    assert len(changing) > 1


def test_a_polygon_that_covers_no_pixel_gives_no_instance(image_folder: Any) -> None:
    image_folder.content["annotations"][0]["segmentation"] = [[3.0] * 6]
    assert pseudo(image_folder)[0, 0]["labels"].tolist() == [0]


def test_a_set_without_instances_is_refused(image_folder: Any) -> None:
    path = image_folder.save(lambda content: content["annotations"].clear())
    with pytest.raises(InputError, match=r"annotations\.json: annotations: no image has an inst"):
        PseudoClipDataset(read_coco(path), unchanged, 0)


def test_videos_without_annotations_are_refused(video_folder: Any) -> None:
    path = video_folder.save(lambda content: content.update(annotations=None))
    with pytest.raises(InputError, match=r"annotations\.json: annotations: no video has an inst"):
        VideoClipDataset(read_youtube_vis(path), 2, 1, unchanged, 0)


def test_impossible_numbers_of_frames_are_refused(video_folder: Any) -> None:
    video_set = read_youtube_vis(video_folder.save())
    with pytest.raises(ValueError, match=r"num_frames must be at least 1 .*, got 0 and 1"):
        VideoClipDataset(video_set, 0, 1, unchanged, 0)
    with pytest.raises(ValueError, match="frame_range at least 0, got 1 and -1"):
        VideoClipDataset(video_set, 1, -1, unchanged, 0)


class Named(ClipDataset):
    """Gives its name and its key instead of a clip."""

    def __init__(self, name: str, length: int, class_name: str = "cat") -> None:
        self.name, self.length = name, length
        self.classes = (ClassInfo(0, 4, class_name),)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        return {"name": self.name, "key": key}


def test_a_mixture_keeps_the_ratio_and_never_gives_a_clip_twice() -> None:
    mixed = MixedDataset(Named("pseudo", 7), Named("video", 5), ratio=1 / 1.5, seed=0)
    assert len(mixed) == 12
    drawn = [mixed[epoch, index] for epoch in range(200) for index in range(12)]
    share = sum(clip["name"] == "pseudo" for clip in drawn) / len(drawn)
    assert share == pytest.approx(0.4, abs=0.03)
    assert {clip["key"][1] for clip in drawn if clip["name"] == "video"} == set(range(5))
    assert len({(clip["name"], clip["key"]) for clip in drawn}) == len(drawn)
    assert [mixed[3, i] for i in range(12)] == [mixed[3, i] for i in range(12)]
    assert any(a["name"] != b["name"] for a, b in pairwise(drawn))


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan"), float("inf")])
def test_a_mixture_needs_a_positive_ratio(ratio: float) -> None:
    with pytest.raises(ValueError, match="ratio must be positive and finite, got"):
        MixedDataset(Named("a", 1), Named("b", 1), ratio, 0)


def test_a_mixture_needs_the_same_classes() -> None:
    with pytest.raises(ValueError, match="same classes, got 'cat' and 'dog' at index 0"):
        MixedDataset(Named("a", 1), Named("b", 1, "dog"), 1.0, 0)
    two = Named("b", 1)
    two.classes = (*two.classes, ClassInfo(1, 5, "dog"))
    with pytest.raises(ValueError, match="same classes, got 1 and 2"):
        MixedDataset(Named("a", 1), two, 1.0, 0)
