"""Marks: equal in area and nearly so in circumference, and each where its instance is."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from vidgap_vis.synthetic import texture
from vidgap_vis.synthetic.marks import KINDS, Mark, draw_kinds, draw_marks, num_shared

AXIS = np.linspace(-2.5, 2.5, 1001, dtype=np.float32)
STEP = 0.005


@pytest.mark.parametrize("kind", KINDS)
def test_a_mark_has_the_area_and_about_the_circumference_of_the_others(kind: str) -> None:
    depth = Mark(kind, 0.3, -0.2, 0.7, 1.0).depth(AXIS[None, :], AXIS[:, None])
    assert (depth > 0).sum() * STEP**2 == pytest.approx(np.pi, rel=0.01)
    circumference = (np.abs(depth) < 0.05).sum() * STEP**2 / 0.1
    assert circumference == pytest.approx(10.2, rel=0.11)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mark_lies_where_its_centre_is_as_large_as_its_radius_and_turned(kind: str) -> None:
    upright, moved = Mark(kind, 0, 0, 0, 1.0), Mark(kind, 0.5, -0.25, np.pi / 2, 0.5)
    x, y = np.meshgrid(AXIS[::20], AXIS[::20])
    np.testing.assert_allclose(  # a quarter turn takes (x, y) to (-y, x)
        moved.depth(0.5 - 0.5 * y, -0.25 + 0.5 * x), 0.5 * upright.depth(x, y), atol=1e-5
    )


@pytest.mark.parametrize(("num_marks", "num_alike", "most_shared"), [(1, 5, 0), (2, 5, 1)])
def test_look_alikes_share_as_few_marks_as_can_be(
    num_marks: int, num_alike: int, most_shared: int
) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        taken: list[tuple[str, ...]] = []
        for _ in range(num_alike):
            taken.append(draw_kinds(num_marks, taken, rng))
        assert max(num_shared(one, other) for one, other in combinations(taken, 2)) <= most_shared


def test_more_look_alikes_than_kinds_are_drawn_all_the_same() -> None:
    rng = np.random.default_rng(0)
    assert draw_kinds(1, [(kind,) for kind in KINDS], rng)[0] in KINDS


@pytest.mark.parametrize("num_marks", [1, 2, 3, 4])
def test_marks_have_the_size_asked_for_and_several_stand_apart(num_marks: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        marks = draw_marks(draw_kinds(num_marks, [], rng), 0.2, rng)
        assert [mark.radius for mark in marks] == [0.2] * num_marks
        places = np.array([(mark.x, mark.y) for mark in marks])
        assert np.hypot(*places.T).max() < 0.5
        for first, second in combinations(places, 2):
            assert np.hypot(*(first - second)) > 0.3


def test_look_alikes_show_as_much_of_either_colour() -> None:
    rng = np.random.default_rng(0)
    gaps = []
    for pattern in texture.PATTERNS:
        for _ in range(10):
            look = texture.draw_look(pattern, 1, 0.4, rng)
            other = texture.draw_lookalike([look], rng)
            gaps.append(abs(texture.shown_share(look) - texture.shown_share(other)))
    assert np.mean(gaps) < 0.02
    assert np.max(gaps) < 0.1
