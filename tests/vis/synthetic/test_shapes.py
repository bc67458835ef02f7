"""Outlines, and the coverage that masks come from, against independent geometry."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from vidgap_vis.synthetic import SyntheticOptions, image_scene, render, shapes
from vidgap_vis.synthetic.scene import Instance
from vidgap_vis.synthetic.shapes import NUM_ANGLES, OUTLINES, Pose

HEIGHT, WIDTH = 48, 56
POSES = [
    Pose(x=28.3, y=23.6, angle_rad=0.0, radius=14.0, aspect=1.0),
    Pose(x=20.9, y=30.2, angle_rad=2.1, radius=9.7, aspect=1.12),
    Pose(x=2.0, y=46.5, angle_rad=-4.0, radius=13.1, aspect=0.92),  # half outside
]


def pixel_grid() -> tuple[shapes.FloatArray, shapes.FloatArray]:
    return (
        shapes.pixel_centres(0, WIDTH)[None, :],
        shapes.pixel_centres(0, HEIGHT)[:, None],
    )


def drawn_polygon(outline: shapes.Outline, pose: Pose, fineness: int) -> np.ndarray:
    """Draw the outline with OpenCV, `fineness` times as fine, and nothing of `shapes` but radii."""
    angles = 2 * np.pi * np.arange(NUM_ANGLES) / NUM_ANGLES
    x = outline.radii * np.cos(angles) * pose.radius * pose.aspect
    y = outline.radii * np.sin(angles) * pose.radius / pose.aspect
    cos, sin = np.cos(pose.angle_rad), np.sin(pose.angle_rad)
    points = np.stack([pose.x + cos * x - sin * y, pose.y + sin * x + cos * y], axis=1)
    canvas = np.zeros((HEIGHT * fineness, WIDTH * fineness), np.uint8)
    shift = 8
    corners = np.rint((points * fineness - 0.5) * 2**shift).astype(np.int32)
    cv2.fillPoly(canvas, [corners], 1, shift=shift)
    return canvas


@pytest.mark.parametrize("name", OUTLINES)
def test_every_outline_encloses_the_area_of_the_unit_disc(name: str) -> None:
    radii = OUTLINES[name].radii.astype(np.float64)
    np.testing.assert_allclose(0.5 * np.mean(radii**2) * 2 * np.pi, np.pi, rtol=1e-5)


@pytest.mark.parametrize("pose", POSES, ids=str)
@pytest.mark.parametrize("name", OUTLINES)
def test_coverage_is_that_of_the_polygon_drawn_at_high_resolution(name: str, pose: Pose) -> None:
    covered = shapes.coverage(OUTLINES[name], pose, *pixel_grid())
    fine = drawn_polygon(OUTLINES[name], pose, 16).astype(np.float64)
    exact = fine.reshape(HEIGHT, 16, WIDTH, 16).mean(axis=(1, 3))
    assert np.abs(covered - exact).max() < 0.2  # 16 samples a pixel, and OpenCV's own edge
    assert abs(covered.sum() - exact.sum()) < 0.01 * exact.sum() + 1


def rendered_mask(name: str, pose: Pose) -> np.ndarray:
    """Return the mask (H, W) of a scene with one instance."""
    scene = image_scene(SyntheticOptions(size=(HEIGHT, WIDTH)), "train", 0)
    role = replace(scene.instances[0].role, shape=name)
    alone = replace(scene, instances=(Instance(role, (pose,)),), occluder=None)
    return render(alone).masks[0, 0]


@pytest.mark.parametrize("pose", POSES, ids=str)
@pytest.mark.parametrize("name", OUTLINES)
def test_masks_are_exact_outside_a_band_of_one_pixel(name: str, pose: Pose) -> None:
    mask = rendered_mask(name, pose)
    fine = drawn_polygon(OUTLINES[name], pose, 16)
    band = np.ones((2 * 16 + 1, 2 * 16 + 1), np.uint8)  # one pixel to each side
    inner, outer = cv2.erode(fine, band)[8::16, 8::16], cv2.dilate(fine, band)[8::16, 8::16]
    assert mask[inner == 1].all()
    assert not mask[outer == 0].any()


@pytest.mark.parametrize("pose", POSES, ids=str)
@pytest.mark.parametrize("name", OUTLINES)
def test_a_mask_holds_the_pixels_that_are_covered_by_half(name: str, pose: Pose) -> None:
    mask = rendered_mask(name, pose)
    fine = drawn_polygon(OUTLINES[name], pose, 16).astype(np.float64)
    exact = fine.reshape(HEIGHT, 16, WIDTH, 16).mean(axis=(1, 3))
    clear = np.abs(exact - 0.5) > 0.2  # 16 samples a pixel, and OpenCV's own edge
    np.testing.assert_array_equal(mask[clear], exact[clear] > 0.5)
    assert clear.mean() > 0.95


@pytest.mark.parametrize("pose", POSES, ids=str)
@pytest.mark.parametrize("name", OUTLINES)
def test_sampling_only_near_the_outline_changes_nothing(name: str, pose: Pose) -> None:
    outline, side = OUTLINES[name], shapes.SUPERSAMPLING
    x = ((np.arange(WIDTH * side) + 0.5) / side).astype(np.float32)[None, :]
    y = ((np.arange(HEIGHT * side) + 0.5) / side).astype(np.float32)[:, None]
    inside = outline.radial_position(*shapes.to_local(pose, x, y)) < 1
    everywhere = inside.reshape(HEIGHT, side, WIDTH, side).mean(axis=(1, 3))
    np.testing.assert_allclose(
        shapes.coverage(outline, pose, *pixel_grid()), everywhere, rtol=0, atol=1.01 / side**2
    )
    differing = shapes.coverage(outline, pose, *pixel_grid()) != everywhere.astype(np.float32)
    assert differing.mean() < 0.001  # a sample exactly on the outline may round either way
