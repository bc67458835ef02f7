"""Identity is there to be learned: look-alikes differ in features of a frozen backbone.

A linear probe on what an ImageNet backbone sees inside exact masks, fitted on training clips,
names look-alikes of held-out clips; colours do not, and neither does the nearest centre.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vis.support.identity import (
    Floats,
    Question,
    Sight,
    centres,
    colour_histograms,
    fit_probe,
    pooled_features,
    skill,
)

from vidgap_segmenter.backbones import Backbone
from vidgap_vis import build
from vidgap_vis.demo.plan import make_plan
from vidgap_vis.synthetic import Scene, SyntheticOptions, clip_scene, render

OPTIONS = SyntheticOptions(lookalike_share=1.0)
NUM_TRAIN, NUM_VALID = 300, 60
"""As many clips as the demo trains and tests on."""

NUM_OUTPUTS = 8


def thinned(scene: Scene, step: int) -> Scene:
    """Return the scene at every `step`-th frame."""
    instances = tuple(replace(one, poses=one.poses[::step]) for one in scene.instances)
    return replace(scene, instances=instances)


def fitted(options: SyntheticOptions, backbone: Backbone) -> Floats:
    """Return a probe, fitted on training clips."""
    described, sights = [], []
    for index in range(NUM_TRAIN):
        scene = thinned(clip_scene(options, "train", index), 4)
        rendered = render(scene)
        described.append(pooled_features(rendered, backbone))
        sights.append(Sight.of(scene, rendered))
    return fit_probe(described, sights, NUM_OUTPUTS)


def skills(options: SyntheticOptions) -> dict[str, dict[str, float]]:
    """Return the skill of each description at each kind of question, on held-out clips."""
    config = make_plan().config("video/pretrain", seed=1, root=Path()).model
    model = build.segmenter(config, None, 4)
    build.load_backbone(model, str(config.backbone_weights))
    backbone = model.eval().backbone
    probe = fitted(options, backbone)
    described: dict[str, list[Floats]] = {}
    questions: dict[str, list[list[Question]]] = {}
    for index in range(NUM_VALID):
        scene = clip_scene(options, "valid", index)
        rendered = render(scene)
        sight, features = Sight.of(scene, rendered), pooled_features(rendered, backbone)
        for kind, asked in (
            ("5 frames", sight.after(5)),
            ("10 frames", sight.after(10)),
            ("absence", sight.across_absence()),
        ):
            questions.setdefault(kind, []).append(asked)
        for name, values in (
            ("probe", features @ probe),
            ("features", features),
            ("histogram", colour_histograms(rendered)),
            ("centre", centres(rendered)),
        ):
            described.setdefault(name, []).append(values)
    table = {
        kind: {name: skill(asked, values) for name, values in described.items()}
        for kind, asked in questions.items()
    }
    for kind, row in table.items():
        num = sum(map(len, questions[kind]))
        print(kind, num, {name: round(value, 2) for name, value in row.items()})
    return table


@pytest.mark.slow  # 45 s each: the backbone on 2,700 frames
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_linear_probe_on_frozen_features_tells_look_alikes_apart(seed: int) -> None:
    for kind, row in skills(replace(OPTIONS, seed=seed)).items():
        assert row["probe"] >= 0.85, kind
        assert row["centre"] < 0.4, kind
        if kind != "5 frames":  # after so few, an instance is still turned and lit as before
            assert row["histogram"] < 0.3, kind


@pytest.mark.slow
def test_the_probe_fails_where_the_marks_are_as_small_as_three_pixels() -> None:
    for kind, row in skills(replace(OPTIONS, mark_size=0.1)).items():
        assert row["probe"] < 0.6, kind


def test_skill_is_one_for_identities_and_nothing_for_what_look_alikes_share() -> None:
    sights, identities, shared = [], [], []
    rng = np.random.default_rng(0)
    for index in range(12):
        scene = clip_scene(OPTIONS, "train", index)
        sight = Sight.of(scene, render(scene))
        num, length = sight.clear.shape
        sights.append(sight)
        identities.append(np.repeat(np.eye(8)[:num, None], length, axis=1))
        shared.append(rng.normal(sight.groups[:, None, None], 0.1, (num, length, 3)))
    for questions in ([s.after(5) for s in sights], [s.across_absence() for s in sights]):
        assert skill(questions, identities) == 1
        assert abs(skill(questions, shared)) < 0.25


def test_questions_are_about_clear_views_and_absences() -> None:
    clear = np.array([[1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]], bool)
    absent = np.array([[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]], bool)
    sight = Sight(np.array([0, 0, 1]), clear, absent)
    assert sight.after(4) == [Question(0, 0, 4, (0, 1)), Question(1, 0, 4, (0, 1))]
    assert sight.across_absence() == [Question(0, 1, 4, (0, 1))]


def test_the_probe_finds_the_one_direction_that_is_an_individuals_own() -> None:
    rng = np.random.default_rng(0)
    sight = Sight(np.zeros(3, np.int64), np.ones((3, 9), bool), np.zeros((3, 9), bool))
    clips = [rng.normal(0, [1, 1, 20, 1], (3, 9, 4)) for _ in range(40)]
    for clip in clips:
        clip[:, :, 1] = 0.2 * clip[:, :, 1] + rng.permutation([-1.0, 0, 1])[:, None]
    probe = fit_probe(clips[:30], [sight] * 30, 1)
    questions = [sight.after(4)] * 10
    assert skill(questions, [clip @ probe for clip in clips[30:]]) > 0.9
    assert skill(questions, clips[30:]) < 0.3
