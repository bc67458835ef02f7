"""What scenes hold, how they move, and who covers whom."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

from vidgap_vis.synthetic import (
    CLASS_NAMES,
    Scene,
    SyntheticOptions,
    clip_scene,
    find_crossings,
    image_scene,
    render,
    shapes,
)
from vidgap_vis.synthetic.crossings import runs_between
from vidgap_vis.synthetic.motion import draw_pairs
from vidgap_vis.synthetic.render import visible

OPTIONS = SyntheticOptions(num_frames=12)
SPLITS = ("train", "valid", "test")


def paths_of(scene: Scene) -> np.ndarray:
    return np.array([[(pose.x, pose.y) for pose in one.poses] for one in scene.instances])


def largest_group(scene: Scene) -> int:
    return max(Counter(instance.role.group for instance in scene.instances).values())


def test_a_scene_depends_on_seed_kind_split_and_index_alone() -> None:
    def picture(scene: Scene) -> bytes:
        return render(replace(scene, instances=scene.instances)).frames[:1].tobytes()

    same = [picture(clip_scene(OPTIONS, "train", 3)) for _ in range(2)]
    others = [
        picture(clip_scene(OPTIONS, "train", 4)),
        picture(clip_scene(OPTIONS, "valid", 3)),
        picture(image_scene(OPTIONS, "train", 3)),
        picture(clip_scene(replace(OPTIONS, seed=1), "train", 3)),
    ]
    assert same[0] == same[1]
    assert len({same[0], *others}) == 5


@pytest.mark.parametrize("max_speed", [0.02, 0.15])
def test_no_centre_moves_farther_than_the_speed_limit_and_somebody_comes_near_it(
    max_speed: float,
) -> None:
    for index in range(20):
        scene = clip_scene(replace(OPTIONS, max_speed=max_speed), "train", index)
        steps = np.linalg.norm(np.diff(paths_of(scene), axis=1), axis=2)
        limit = max_speed * OPTIONS.size[0]
        assert steps.max() <= limit * (1 + 1e-9)
        assert steps.max() > 0.6 * limit


def test_counts_radii_and_shares_are_those_of_the_options() -> None:
    options = replace(OPTIONS, num_instances=(3, 4), radius_range=(0.1, 0.12), num_frames=2)
    scenes = [clip_scene(options, "train", index) for index in range(120)]
    assert {len(scene.instances) for scene in scenes} == {3, 4}
    assert {one.role.label for scene in scenes for one in scene.instances} == {0, 1, 2, 3}
    radii = np.array([one.role.radius for scene in scenes for one in scene.instances])
    assert radii.min() >= 0.098 * 96
    assert radii.max() <= 0.1224 * 96
    share = np.mean([largest_group(scene) > 1 for scene in scenes])
    assert abs(share - 0.75) < 0.12  # three standard deviations of 120 draws


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_look_alikes_are_in_no_scene_or_in_all(share: float) -> None:
    options = replace(OPTIONS, lookalike_share=share, num_frames=1)
    groups = [largest_group(image_scene(options, "train", index)) for index in range(30)]
    assert all((group > 1) == bool(share) for group in groups)


def test_look_alikes_share_everything_but_direction_marks_and_a_little_size() -> None:
    scene = next(
        s for s in (clip_scene(OPTIONS, "train", i) for i in range(50)) if largest_group(s) >= 3
    )
    group = Counter(one.role.group for one in scene.instances).most_common(1)[0][0]
    first, *others = [one.role for one in scene.instances if one.role.group == group]
    for other in others:
        assert (other.label, other.aspect) == (first.label, first.aspect)
        assert (other.look.pattern, other.look.frequency) == (
            first.look.pattern,
            first.look.frequency,
        )
        np.testing.assert_array_equal(other.look.colours, first.look.colours)
        assert abs(other.radius / first.radius - 1) < 0.042
    assert len({one.look.kinds for one in [first, *others]}) == len(others) + 1


def test_deformed_instances_swing_in_aspect_and_keep_their_area() -> None:
    options = replace(OPTIONS, deformation=0.2, lookalike_share=0.0, leave_share=0.0)
    aspects = []
    for index in range(8):
        deformed, rigid = (
            clip_scene(replace(options, deformation=amount), "train", index)
            for amount in (0.2, 0.0)
        )
        for one in rigid.instances:
            assert len({pose.aspect for pose in one.poses}) == 1
        for one in deformed.instances:
            swing = np.log([pose.aspect / one.role.aspect for pose in one.poses])
            assert np.abs(swing).max() <= 0.2 + 1e-9
            aspects.append(np.ptp(swing))
            areas = [area_of(pose, one.outline) / pose.radius**2 for pose in one.poses]
            assert np.std(areas) < 0.03 * np.mean(areas)
    assert np.mean(aspects) > 0.2


def area_of(pose: shapes.Pose, outline: shapes.Outline) -> float:
    """Of an outline in the middle of a large picture, in pixels."""
    centred = replace(pose, x=60.0, y=60.0)
    x, y = shapes.pixel_centres(0, 120)[None, :], shapes.pixel_centres(0, 120)[:, None]
    return float(shapes.coverage(outline, centred, x, y).sum())


def test_distractors_lie_behind_and_belong_to_nobody() -> None:
    options = replace(OPTIONS, num_distractors=(2, 4), occluder_share=0.0)
    counts = set()
    for index in range(12):
        scene = clip_scene(options, "train", index)
        counts.add(len(scene.distractors))
        with_them, without = render(scene), render(replace(scene, distractors=()))
        np.testing.assert_array_equal(with_them.masks, without.masks)
        np.testing.assert_array_equal(with_them.footprints, without.footprints)
        # Well inside an instance nothing of them is seen; elsewhere something is.
        frames = with_them.footprints.reshape(-1, *options.size).view(np.uint8)
        shrunk = np.stack([cv2.erode(one, np.ones((3, 3))) for one in frames]) > 0
        inside = shrunk.reshape(with_them.footprints.shape).any(axis=0)
        gap = with_them.frames.astype(int) - without.frames
        differs = (np.abs(gap) > 8).any(axis=-1)  # edges are soft
        assert not differs[inside].any()
        assert differs.any()
        for one in scene.distractors:
            assert one.role.shape in shapes.DISTRACTORS
            steps = np.hypot(*np.diff([(pose.x, pose.y) for pose in one.poses], axis=0).T)
            assert steps.max() <= 0.5 * options.max_speed * options.size[0] + 1e-9
    assert counts == {2, 3, 4}


def test_test_clips_are_clips_of_their_own() -> None:
    frames = {split: render(clip_scene(OPTIONS, split, 0)).frames.tobytes() for split in SPLITS}
    assert len({*frames.values()}) == 3


def test_instances_hide_part_of_themselves_and_leave_the_frame_and_come_back() -> None:
    renders = [render(clip_scene(SyntheticOptions(), "train", index)) for index in range(30)]
    hidden, absent, returned = 0, 0, 0
    for rendered in renders:
        area, whole = rendered.masks.sum((2, 3)), rendered.footprints.sum((2, 3))
        hidden += int(((area < 0.5 * whole) & (whole > 0)).sum())
        absent += int((whole == 0).sum())
        returned += sum(len(runs_between(track == 0)) for track in whole)
    frames = sum(rendered.masks.shape[0] * rendered.masks.shape[1] for rendered in renders)
    assert 0.1 < hidden / frames < 0.3
    assert 0.01 < absent / frames < 0.15
    assert returned >= 5


def test_a_larger_share_leaves_the_frame_more_often() -> None:
    def absent(share: float) -> float:
        options = SyntheticOptions(leave_share=share)
        renders = [render(clip_scene(options, "train", index)) for index in range(12)]
        return float(np.mean([~one.footprints.any(axis=(2, 3)).all(axis=0) for one in renders]))

    shares = [absent(share) for share in (0.0, 0.25, 0.6)]
    assert shares == sorted(set(shares))


def test_visible_is_what_the_painter_leaves_over() -> None:
    footprints = np.random.default_rng(0).random((4, 3, 5, 7)) < 0.5
    masks = visible(footprints)
    for t, y, x in np.ndindex(footprints.shape[1:]):
        owners = np.flatnonzero(footprints[:, t, y, x])
        expected = owners[-1:].tolist()  # the last is the nearest
        assert np.flatnonzero(masks[:, t, y, x]).tolist() == expected


def test_every_covered_pixel_has_one_owner_the_nearest_in_every_frame() -> None:
    for index in range(8):
        rendered = render(clip_scene(OPTIONS, "train", index))
        assert rendered.masks.sum(axis=0).max() <= 1
        in_view = rendered.footprints.any(axis=0) & ~rendered.hidden
        np.testing.assert_array_equal(rendered.masks.any(axis=0), in_view)
        nearest = rendered.footprints.shape[0] - 1 - rendered.footprints[::-1].argmax(axis=0)
        np.testing.assert_array_equal(rendered.masks.argmax(axis=0)[in_view], nearest[in_view])


def test_the_picture_shows_the_nearest_instance_where_its_mask_is() -> None:
    scene = clip_scene(OPTIONS, "train", 2)
    together = render(scene)
    alone = render(replace(scene, instances=scene.instances[-1:]))
    np.testing.assert_array_equal(alone.masks[0], together.masks[-1])
    inside = np.stack(
        [cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) for mask in alone.masks[0]]
    )
    assert inside.any()
    np.testing.assert_array_equal(alone.frames[inside == 1], together.frames[inside == 1])


def test_a_footprint_does_not_depend_on_who_else_is_there() -> None:
    scene = clip_scene(OPTIONS, "train", 5)
    together = render(scene)
    for n in range(len(scene.instances)):
        alone = render(replace(scene, instances=scene.instances[n : n + 1]))
        np.testing.assert_array_equal(alone.footprints[0], together.footprints[n])
        np.testing.assert_array_equal(alone.masks[0], together.footprints[n] & ~together.hidden)


def test_one_instance_keeps_one_place_in_the_scene_over_the_frames() -> None:
    scene = clip_scene(OPTIONS, "train", 1)
    rendered = render(scene)
    for n, path in enumerate(paths_of(scene)):
        for t, (x, y) in enumerate(path):
            whole = rendered.footprints[n, t]
            radius = scene.instances[n].poses[t].radius
            if whole.sum() > 0.98 * np.pi * radius**2:  # all of it is inside the frame
                rows, columns = np.nonzero(whole)
                assert np.hypot(columns.mean() + 0.5 - x, rows.mean() + 0.5 - y) < 0.6


@pytest.mark.parametrize("size", [(33, 47), (96, 128), (150, 101)], ids=str)
def test_any_size_renders(size: tuple[int, int]) -> None:
    rendered = render(clip_scene(replace(OPTIONS, size=size, num_frames=3), "valid", 0))
    assert rendered.frames.shape == (3, *size, 3)
    assert rendered.masks.shape[1:] == (3, *size)
    assert rendered.frames.std() > 10


def test_pairs_are_disjoint_and_join_look_alikes_first() -> None:
    rng = np.random.default_rng(0)
    groups = np.array([0, 1, 0, 2, 0, 0, 1])
    for _ in range(20):
        pairs = draw_pairs(groups, rng)
        members = [member for pair in pairs for member in pair]
        assert len(members) == len(set(members)) == 6
        assert sum(groups[first] == groups[second] for first, second in pairs) == 3


def test_a_crossing_has_a_frame_before_and_a_frame_after_and_overlap_between() -> None:
    assert runs_between(np.array([1, 1, 0, 1, 1, 0, 1], bool)) == [(2, 5)]
    assert runs_between(np.array([0, 0], bool)) == []
    scene = clip_scene(SyntheticOptions(), "valid", 2)
    rendered = render(scene)
    crossings = find_crossings(scene, rendered)
    assert crossings
    for crossing in crossings:
        first, second = rendered.footprints[crossing.first], rendered.footprints[crossing.second]
        touching = (first & second).any(axis=(1, 2))
        assert touching[crossing.before + 1 : crossing.after].all()
        assert not touching[[crossing.before, crossing.after]].any()
        roles = [scene.instances[n].role for n in (crossing.first, crossing.second)]
        assert roles[0].group == roles[1].group


def test_the_names_of_the_classes() -> None:
    assert CLASS_NAMES == ("disc", "square", "triangle", "star")


def test_a_scene_may_hold_one_large_instance() -> None:
    options = replace(OPTIONS, num_instances=(1, 1), radius_range=(0.5, 0.5), lookalike_share=1.0)
    scene = clip_scene(options, "train", 0)
    assert len(scene.instances) == 1
    assert find_crossings(scene, render(scene)) == []
