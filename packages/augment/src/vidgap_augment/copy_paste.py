"""Video copy & paste: a copy of an instance moves smoothly in front (paper §3.1.2, eqs. 1-2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vidgap_augment.arguments import Per, check_number, check_per, check_range
from vidgap_augment.draw import chance, integer, uniform, uniforms
from vidgap_augment.geometry import (
    EMPTY,
    Matrix,
    Placement,
    Points,
    Step,
    compose,
    inverse,
    mean_scale,
    mirroring,
    move_points,
    moved_box,
    rotation_matrix,
    scaling,
    translation,
)
from vidgap_augment.plan import Paste, Plan, SourceMasks
from vidgap_augment.transform import ClipTransform

MAX_TRIES = 50
"""Positions drawn for a pasted instance before the middle of the frame is taken."""

NUM_POINTS = 100
"""Pixels of an instance, evenly spaced, by which its share inside the frame is measured."""


@dataclass(frozen=True)
class Pose:
    """Position of the middle of a pasted instance, in pixels of the frame; its scale and angle.

    `scale` is relative to its size in the frame, `angle_deg` counter-clockwise.
    """

    x: float
    y: float
    scale: float
    angle_deg: float


@dataclass(frozen=True)
class Copy:
    """One instance pasted a second time.

    Attributes:
        instance: the pivot's row in the source.
        middle: (x, y) in the source, which goes to the positions of the poses.
        flip: whether it is mirrored.
        poses: one for each of the T frames; None if it does not show the copy.
    """

    instance: int
    middle: tuple[float, float]
    flip: bool
    poses: tuple[Pose | None, ...]


class VideoCopyPaste(ClipTransform[tuple[Copy, ...]]):
    """Paste an instance of a clip into it once more, as a new instance with its own identity.

    The pivot is drawn uniformly from the instances that are visible (one of a hundred of their
    pixels), are no crowd and have `min_area` pixels. It is cut from the clip's source: the still
    image of a `PseudoClip` in the same `ClipCompose`, or else each frame. It may be mirrored, then
    moves on a smooth path from one pose to another: each parameter is interpolated at jittered
    times and never goes back. The paste covers all others (eq. 2) and has the pivot's label. Ranges
    that the paper does not give: docs/paper.md#vcp.

    Args:
        probability: that a clip gets a paste.
        scale_range: smallest and largest scale at the start, relative to the pivot's size.
        scale_change: smallest and largest scale at the end, relative to that at the start.
        max_rotation_deg: angles at the start and at the end are within plus and minus this.
        max_displacement: the longest way along each axis, as a fraction of the frame's side.
        flip_probability: of mirroring; one decision a paste.
        min_inside: the least share of the instance that is inside the frame at the start.
        min_area: the least pixels of a pivot in its source.
        jitter: the largest shift of a frame's time, in frames, 0..0.5; drawn for each parameter.
        per: "image" draws pivot and pose for each frame anew, each paste with an identity of one
            frame: the arm that the paper compares with (Table 3).

    Raises:
        ValueError: an argument is out of range; or, when called, instances have no masks.
    """

    def __init__(
        self,
        probability: float = 0.5,
        scale_range: Sequence[float] = (0.8, 1.25),
        scale_change: Sequence[float] = (0.9, 1.1),
        max_rotation_deg: float = 15.0,
        max_displacement: float = 0.15,
        flip_probability: float = 0.5,
        min_inside: float = 0.5,
        min_area: int = 32**2,
        jitter: float = 0.25,
        per: Per = "video",
    ) -> None:
        super().__init__()
        self.probability = check_number("probability", probability, 0.0, 1.0)
        self.scale_range = check_range("scale_range", scale_range, 1e-3, 1e3)
        self.scale_change = check_range("scale_change", scale_change, 1e-3, 1e3)
        self.max_rotation_deg = check_number("max_rotation_deg", max_rotation_deg, 0.0, 180.0)
        self.max_displacement = check_number("max_displacement", max_displacement, 0.0, 10.0)
        self.flip_probability = check_number("flip_probability", flip_probability, 0.0, 1.0)
        self.min_inside = check_number("min_inside", min_inside, 0.0, 1.0)
        self.min_area = check_number("min_area", min_area, 0, 2**62)
        self.jitter = check_number("jitter", jitter, 0.0, 0.5)
        self.per = check_per(per)

    def add(self, plan: Plan, params: tuple[Copy, ...]) -> Plan:
        """Return the plan with the pastes, the last in front."""
        for copy in params:
            plan = with_copy(plan, copy)
        return plan

    def draw(self, plan: Plan, generator: torch.Generator | None = None) -> tuple[Copy, ...]:
        """Draw the pastes of a clip: none, one, or one a frame with a pivot."""
        masks = plan.masks_for(self)
        if not chance(self.probability, generator) or masks is None:
            return ()
        num_frames = plan.num_frames
        spans = [range(num_frames)]
        if self.per == "image":
            spans = [range(time, time + 1) for time in range(num_frames)]
        copies = (self._draw_copy(plan, masks, span, generator) for span in spans)
        return tuple(copy for copy in copies if copy is not None)

    def _draw_copy(
        self, plan: Plan, masks: SourceMasks, span: range, generator: torch.Generator | None
    ) -> Copy | None:
        """Draw the paste of the frames of `span`; None if there is no pivot."""
        pivots = [row for row in range(len(masks)) if self._is_pivot(plan, masks, row, span)]
        if not pivots:
            return None
        row = pivots[integer(0, len(pivots) - 1, generator)]
        moments = [0] if masks.is_still else list(span)
        moment = next(moment for moment in moments if self._is_large(masks, row, moment))
        left, top, right, bottom = masks.boxes[row][moment]
        middle = ((left + right) / 2, (top + bottom) / 2)
        flip = chance(self.flip_probability, generator)
        points = mask_points(masks, row, moment) - np.array(middle)
        if flip:
            points = points * np.array([-1.0, 1.0])
        path = self._draw_path(plan, points, len(span), generator)
        before, after = span.start, plan.num_frames - span.stop
        return Copy(row, middle, flip, (None,) * before + path + (None,) * after)

    def _is_pivot(self, plan: Plan, masks: SourceMasks, row: int, span: range) -> bool:
        if plan.crowds is not None and bool(plan.crowds[row]):
            return False
        for time in span:
            moment = 0 if masks.is_still else time
            if self._is_large(masks, row, moment) and is_visible(masks, row, moment, plan, time):
                return True
        return False

    def _is_large(self, masks: SourceMasks, row: int, moment: int) -> bool:
        return masks.areas[row][moment] >= max(self.min_area, 1)

    def _draw_path(
        self, plan: Plan, points: Points, length: int, generator: torch.Generator | None
    ) -> tuple[Pose, ...]:
        """Draw the poses of an instance whose pixels lie at `points` (M, 2) about its middle."""
        height, width = plan.placement.size
        limit = self.max_rotation_deg
        angles = uniforms(2, -limit, limit, generator)
        scale = uniform(*self.scale_range, generator)
        scales = [scale, scale * uniform(*self.scale_change, generator)]
        canvas_scale = mean_scale(plan.placement.matrices[0])
        turn = rotation_matrix(angles[0], (0.0, 0.0))[:, :2] * (scale * canvas_scale)
        start = self._draw_start(points @ turn.T, (height, width), generator)
        way = uniforms(2, -self.max_displacement, self.max_displacement, generator)
        xs = [start[0], start[0] + way[0] * width]
        ys = [start[1], start[1] + way[1] * height]
        columns = [self._between(ends, length, generator) for ends in (xs, ys, scales, angles)]
        return tuple(Pose(*values) for values in zip(*columns, strict=True))

    def _draw_start(
        self, points: Points, size: tuple[int, int], generator: torch.Generator | None
    ) -> tuple[float, float]:
        """Draw a middle such that enough of the points (M, 2) about it are inside the frame."""
        limits = np.array([size[1], size[0]], dtype=np.float64)
        for _ in range(MAX_TRIES):
            x, y = uniform(0.0, size[1], generator), uniform(0.0, size[0], generator)
            moved = points + np.array([x, y])
            if np.mean(np.all((moved >= 0) & (moved < limits), axis=1)) >= self.min_inside:
                return x, y
        return size[1] / 2, size[0] / 2

    def _between(
        self, ends: Sequence[float], length: int, generator: torch.Generator | None
    ) -> list[float]:
        """Return the values of a parameter in each frame, from one end to the other."""
        offsets = uniforms(length, -self.jitter, self.jitter, generator)
        steps = max(length - 1, 1)
        shares = [min(max((t + offset) / steps, 0.0), 1.0) for t, offset in enumerate(offsets)]
        return [ends[0] + share * (ends[1] - ends[0]) for share in shares]


def with_copy(plan: Plan, copy: Copy) -> Plan:
    """Return a plan with one more instance: the pivot's label, a new id, no crowd."""
    canvas_scale = mean_scale(plan.placement.matrices[0])
    matrices = np.stack([pose_matrix(copy, pose, canvas_scale) for pose in copy.poses])
    assert plan.masks is not None, "a paste without masks"
    height, width = plan.masks.masks.shape[-2:]
    start = Placement.start(plan.num_frames, (height, width))
    placement = start.then(Step(matrices, plan.placement.size))
    shown = tuple(pose is not None for pose in copy.poses)
    paste = Paste(plan.frames, plan.masks, copy.instance, shown, placement)
    return replace(
        plan,
        pastes=(*plan.pastes, paste),
        labels=None if plan.labels is None else appended(plan.labels, plan.labels[copy.instance]),
        ids=None if plan.ids is None else appended(plan.ids, plan.ids.new_tensor(plan.next_id)),
        next_id=plan.next_id + 1,
        crowds=None if plan.crowds is None else appended(plan.crowds, plan.crowds.new_zeros(())),
    )


def pose_matrix(copy: Copy, pose: Pose | None, canvas_scale: float) -> Matrix:
    """Return the (2, 3) matrix from the source to a frame (A_t of eq. 1).

    Args:
        copy: what is pasted.
        pose: in this frame; None: the frame does not show it, and the matrix is not used.
        canvas_scale: the factor by which the frame enlarges the source.
    """
    if pose is None:
        return np.eye(2, 3)
    matrix = translation(-copy.middle[0], -copy.middle[1])
    if copy.flip:
        matrix = compose(mirroring(0.0), matrix)
    size = pose.scale * canvas_scale
    matrix = compose(scaling(size, size), matrix)
    matrix = compose(rotation_matrix(pose.angle_deg, (0.0, 0.0)), matrix)
    return compose(translation(pose.x, pose.y), matrix)


def appended(column: Tensor, value: Tensor) -> Tensor:
    """Return (N,) values with one more, (N + 1,)."""
    return torch.cat([column, value.reshape(1)])


def mask_points(masks: SourceMasks, row: int, moment: int) -> Points:
    """Return the centres (x, y) of about `NUM_POINTS` pixels of a mask, (M, 2)."""
    left, top, right, bottom = masks.boxes[row][moment]
    pixels = masks.masks[row, moment, top:bottom, left:right].nonzero().cpu().numpy()  # row, column
    chosen = pixels[:: max(1, len(pixels) // NUM_POINTS)]
    return chosen[:, ::-1] + (left + 0.5, top + 0.5)


def is_visible(masks: SourceMasks, row: int, moment: int, plan: Plan, time: int) -> bool:
    """Return whether one of an instance's `mask_points` is visible in a frame."""
    placement = plan.placement
    box, matrix = masks.boxes[row][moment], placement.matrices[time]
    if moved_box(box, matrix, placement.size) == EMPTY:
        return False
    points = move_points(matrix, mask_points(masks, row, moment))
    visible = np.all((points >= 0) & (points < placement.size[::-1]), axis=1)
    for canvas in placement.cuts[time]:
        back = move_points(inverse(canvas.matrices[time]), points)
        visible &= np.all((back >= 0) & (back < canvas.size[::-1]), axis=1)
    return bool(visible.any())
