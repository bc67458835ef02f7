"""From a scene to pictures and exact masks, by the painter's algorithm."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidgap_vis.synthetic import backdrop, shading, shapes, texture
from vidgap_vis.synthetic.colour import FloatArray
from vidgap_vis.synthetic.occluder import draw_over
from vidgap_vis.synthetic.scene import Instance, Scene

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Render:
    """A rendered scene.

    Attributes:
        frames: (T, H, W, 3) uint8, RGB.
        footprints: (N, T, H, W) bool, the pixels of which an instance's whole outline covers half
            or more, whatever is in front of it.
        masks: (N, T, H, W) bool, the part of the footprint that neither a nearer instance's
            footprint nor the occluder covers; no pixel belongs to two.
        hidden: (T, H, W) bool, the pixels of which the occluder covers half or more.
    """

    frames: NDArray[np.uint8]
    footprints: BoolArray
    masks: BoolArray
    hidden: BoolArray


def render(scene: Scene) -> Render:
    """Render every frame of `scene`; no random number is drawn."""
    num_frames, instances = scene.num_frames, scene.instances
    frames = np.empty((num_frames, *scene.size, 3), np.uint8)
    footprints = np.zeros((len(instances), num_frames, *scene.size), np.bool_)
    hidden = np.zeros((num_frames, *scene.size), np.bool_)
    surfaces = [paint(instance) for instance in instances]
    behind = [(one, paint(one)) for one in scene.distractors]
    unseen = np.zeros(scene.size, np.bool_)
    for t in range(num_frames):
        time = t / max(num_frames - 1, 1)
        canvas = backdrop.see(scene.backdrop, scene.size, time)
        for distractor, surface in behind:
            draw(canvas, unseen, distractor, surface, distractor.poses[t], scene.light)
        for n, (instance, surface) in enumerate(zip(instances, surfaces, strict=True)):
            draw(canvas, footprints[n, t], instance, surface, instance.poses[t], scene.light)
        if scene.occluder is not None:
            view = backdrop.view(scene.backdrop, time)
            hidden[t] = draw_over(canvas, scene.occluder, view) >= 0.5
        canvas *= backdrop.brightness(scene.backdrop, scene.size, time)
        frames[t] = np.clip(255 * canvas + 0.5, 0, 255).astype(np.uint8)
    return Render(frames, footprints, visible(footprints) & ~hidden, hidden)


def visible(footprints: BoolArray) -> BoolArray:
    """Return the visible parts of footprints (N, ...), farthest first; no two share a pixel."""
    nearer = np.zeros_like(footprints)
    nearer[:-1] = np.logical_or.accumulate(footprints[:0:-1], axis=0)[::-1]
    return footprints & ~nearer


def paint(instance: Instance) -> FloatArray:
    """Return the instance's surface as a square picture, about as fine as the frames."""
    extent = instance.outline.reach
    largest = max(pose.radius for pose in instance.poses)
    return texture.paint(instance.look, int(np.ceil(2 * extent * largest)), extent)


def draw(
    canvas: FloatArray,
    footprint: BoolArray,
    instance: Instance,
    surface: FloatArray,
    pose: shapes.Pose,
    light: FloatArray,
) -> None:
    """Draw an instance onto `canvas` (H, W, 3), and where it is into `footprint` (H, W)."""
    outline = instance.outline
    span = (outline.reach * max(pose.aspect, 1 / pose.aspect) + 0.5) * pose.radius  # with shadow
    left, right = max(int(pose.x - span), 0), min(int(pose.x + span) + 1, canvas.shape[1])
    top, bottom = max(int(pose.y - span), 0), min(int(pose.y + span) + 1, canvas.shape[0])
    if right - left < 2 or bottom - top < 2:  # only the edge of a shadow, if that
        return
    x = shapes.pixel_centres(left, right)[None, :]
    y = shapes.pixel_centres(top, bottom)[:, None]
    first, second = shapes.to_local(pose, x, y)
    depth = outline.radial_position(first, second)
    covered = shapes.coverage(outline, pose, x, y)
    lit = shading.light_surface(
        look_up(surface, outline.reach, first, second), depth, pose.radius, light
    )
    patch = canvas[top:bottom, left:right]
    patch *= shading.cast_shadow(covered, pose.radius, light)[:, :, None]
    patch += covered[:, :, None] * (lit - patch)
    footprint[top:bottom, left:right] = covered >= 0.5


def look_up(
    surface: FloatArray, extent: float, first: FloatArray, second: FloatArray
) -> FloatArray:
    """Return the colours (H, W, 3) of a painted surface at the instance's own coordinates."""
    scale, shift = len(surface) / (2 * extent), (len(surface) - 1) / 2
    return cv2.remap(
        surface,
        first * np.float32(scale) + np.float32(shift),
        second * np.float32(scale) + np.float32(shift),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
