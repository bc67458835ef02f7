"""Video auto augmentation: the same random operations on all frames (paper §3.1.1, Table 1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from vidgap_augment import photometric
from vidgap_augment.arguments import Per, check_count, check_per
from vidgap_augment.draw import integer, uniform
from vidgap_augment.plan import Plan
from vidgap_augment.render import materialised
from vidgap_augment.rotation import Rotation, SlowRotation
from vidgap_augment.transform import ClipTransform

OpName: TypeAlias = Literal[
    "identity", "autocontrast", "equalize", "gaussian_blur",
    "contrast", "sharpness", "color", "brightness",
    "hue", "posterize", "solarize", "rotation",
]  # fmt: skip

POOL: tuple[OpName, ...] = get_args(OpName)
"""The operations of the paper's Table 1."""


def _enhancement(unit: float) -> float:
    return 0.95 - 0.9 * unit


STRENGTHS: dict[OpName, Callable[[float], float]] = {
    "gaussian_blur": lambda unit: 0.1 + 1.9 * unit,  # radius in pixels
    "contrast": _enhancement,  # factors that only reduce: 0.05 to 0.95
    "sharpness": _enhancement,
    "color": _enhancement,
    "brightness": _enhancement,
    "hue": lambda unit: unit - 0.5,  # fraction of the circle
    "posterize": lambda unit: 8 - max(1, math.ceil(4 * unit)),  # bits: 4 to 7
    "solarize": lambda unit: 256 - max(1, math.ceil(255 * unit)),  # threshold: 1 to 255
}
"""Maps a number in [0, 1) to AugSeg's strength; the other operations have none."""

OPERATIONS: dict[OpName, Callable[[Tensor, float], Tensor]] = {
    "autocontrast": lambda frames, _: photometric.autocontrast(frames),
    "equalize": lambda frames, _: photometric.equalize(frames),
    "gaussian_blur": photometric.gaussian_blur,
    "contrast": photometric.contrast,
    "sharpness": photometric.sharpness,
    "color": photometric.color,
    "brightness": photometric.brightness,
    "hue": photometric.hue,
    "posterize": lambda frames, bits: photometric.posterize(frames, int(bits)),
    "solarize": lambda frames, threshold: photometric.solarize(frames, int(threshold)),
}
"""The operations on pixels; identity changes none, and rotation is geometry."""


@dataclass(frozen=True)
class Op:
    """One operation and its strength (0 where it has none)."""

    name: OpName
    strength: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in POOL:
            raise ValueError(f"name must be one of {POOL}, got {self.name!r}")


@dataclass(frozen=True)
class Augmentation:
    """What a `VideoAutoAugment` does to a clip.

    Attributes:
        ops: in order, one list for the whole clip, or one for each of the T frames.
        rotation: of the frames; None unless it was drawn.
    """

    ops: tuple[tuple[Op, ...], ...]
    rotation: Rotation | None


class VideoAutoAugment(ClipTransform[Augmentation]):
    """Change the colours of a clip by a few operations drawn once, the same on every frame.

    The number of operations is drawn from `min_ops`..`max_ops`, then each from the pool, with
    replacement, with its own strength (AugSeg, Zhao et al., 2022; docs/paper.md#vaa). They are
    Pillow's, or as `vidgap_augment.photometric` says.

    Autocontrast, equalize and contrast measure the source: the still image, without the black
    corners of the rotation, or all frames of a real clip together. So frames stay photometrically
    identical. Put it before a paste: after one in the same `ClipCompose` the frames are rendered
    first, so black corners are measured too, and the paste is changed with them.

    Args:
        max_ops: the most operations, the paper's k.
        min_ops: the fewest.
        pool: names of the operations to draw from.
        max_rotation_deg: of the pool's rotation, a `SlowRotation`. 0, for clips that are rotated
            already as by `PseudoClip`: drawing it changes nothing.
        per: "image" draws operations and strengths for each frame separately: the arm that the
            paper compares with (Table 3).

    Raises:
        ValueError: an argument is out of range, or a name of `pool` is unknown.
    """

    def __init__(
        self,
        max_ops: int = 3,
        min_ops: int = 1,
        pool: Sequence[OpName] = POOL,
        max_rotation_deg: float = 15.0,
        per: Per = "video",
    ) -> None:
        super().__init__()
        self.max_ops = check_count("max_ops", max_ops)
        self.min_ops = check_count("min_ops", min_ops, least=0)
        if min_ops > max_ops:
            raise ValueError(f"min_ops must be at most max_ops, {max_ops}, got {min_ops}")
        names = tuple(pool) if isinstance(pool, Iterable) and not isinstance(pool, str) else ()
        if not names or not all(name in POOL for name in names):
            raise ValueError(f"pool must be one or more of {POOL}, got {pool!r}")
        self.pool = names
        self.per = check_per(per)
        self.rotation = SlowRotation(max_rotation_deg, per=per)

    def draw(self, plan: Plan, generator: torch.Generator | None = None) -> Augmentation:
        num_frames = plan.num_frames
        num_lists = num_frames if self.per == "image" else 1
        ops = tuple(self._draw_ops(generator) for _ in range(num_lists))
        turned = [any(op.name == "rotation" for op in some) for some in ops]
        if not any(turned) or self.rotation.max_rotation_deg == 0:
            return Augmentation(ops, None)
        rotation = self.rotation.draw_frames(num_frames, generator)
        if self.per == "image":
            angles = zip(rotation.angles_deg, turned, strict=True)
            rotation = replace(rotation, angles_deg=tuple(a if on else 0.0 for a, on in angles))
        return Augmentation(ops, rotation)

    def _draw_ops(self, generator: torch.Generator | None) -> tuple[Op, ...]:
        ops = []
        for _ in range(integer(self.min_ops, self.max_ops, generator)):
            name = self.pool[integer(0, len(self.pool) - 1, generator)]
            unit = uniform(0.0, 1.0, generator)
            ops.append(Op(name, STRENGTHS[name](unit)) if name in STRENGTHS else Op(name))
        return tuple(ops)

    def add(self, plan: Plan, params: Augmentation) -> Plan:
        """Change the pixels of the source, and rotate if rotation was drawn."""
        if plan.pastes:
            plan = materialised(plan)
        if self.per == "video":
            frames = apply_ops(plan.frames, params.ops[0])
        else:
            last = len(plan.frames) - 1
            frames = torch.cat(
                [
                    apply_ops(plan.frames[min(time, last)][None], ops)
                    for time, ops in enumerate(params.ops)
                ]
            )
        plan = replace(plan, frames=frames)
        if params.rotation is None:
            return plan
        return plan.then(self.rotation.step(params.rotation, plan.shape))


def apply_ops(frames: Tensor, ops: Sequence[Op]) -> Tensor:
    """Apply operations, in order, to frames (S, 3, H, W) uint8 together; skip rotation."""
    for op in ops:
        if op.name in OPERATIONS:
            frames = OPERATIONS[op.name](frames, op.strength)
    return frames
