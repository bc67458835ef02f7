"""What is in a scene: a background and instances, the farthest first, posed in every frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vidgap_vis.synthetic import motion, shapes, texture
from vidgap_vis.synthetic.backdrop import Backdrop, draw_backdrop
from vidgap_vis.synthetic.colour import FloatArray
from vidgap_vis.synthetic.occluder import Occluder, draw_occluder
from vidgap_vis.synthetic.options import SyntheticOptions

CLASS_NAMES = tuple(shapes.OUTLINES)
"""The name of each class, in the order of the labels."""

KINDS = (
    ("image", "train"),
    ("image", "valid"),
    ("clip", "train"),
    ("clip", "valid"),
    ("clip", "test"),
)
"""What a data set consists of. The place of a kind is part of its seed."""

MOST_COVERED = 0.45
"""Share of the frame that the instances of a scene would cover side by side, at most."""


@dataclass(frozen=True)
class Role:
    """What an instance is, apart from where it is.

    Attributes:
        shape: the name of its outline: its class, or that of a distractor.
        group: equal for the look-alikes of a scene.
        look: its appearance.
        radius: in pixels, of the disc of equal area.
        aspect: how much it is stretched along its first axis.
    """

    shape: str
    group: int
    look: texture.Look
    radius: float
    aspect: float

    @property
    def label(self) -> int:
        """Its index in CLASS_NAMES."""
        return CLASS_NAMES.index(self.shape)


@dataclass(frozen=True)
class Instance:
    """One instance of a scene: what it is, and its pose in each frame."""

    role: Role
    poses: tuple[shapes.Pose, ...]

    @property
    def outline(self) -> shapes.Outline:
        """Its outline."""
        return (shapes.OUTLINES | shapes.DISTRACTORS)[self.role.shape]

    @property
    def look(self) -> texture.Look:
        """Its appearance."""
        return self.role.look


@dataclass(frozen=True)
class Scene:
    """All that a clip shows, or a still, which is a scene of one frame.

    Attributes:
        size: (H, W) in pixels.
        backdrop: the background, its drift and its light.
        light: direction towards the light (x, y, z), of length 1, z towards the viewer.
        instances: the farthest first; each covers those before it, in every frame.
        occluder: stands before all of them, if there is one.
        distractors: things of no class, behind all instances.
    """

    size: tuple[int, int]
    backdrop: Backdrop
    light: FloatArray
    instances: tuple[Instance, ...]
    occluder: Occluder | None
    distractors: tuple[Instance, ...] = ()

    @property
    def num_frames(self) -> int:
        """How many frames the scene has."""
        return len(self.instances[0].poses)


def image_scene(options: SyntheticOptions, split: str, index: int) -> Scene:
    """Draw the scene of one still of a split, "train" or "valid"."""
    return draw_scene(options, 1, stream(options.seed, "image", split, index))


def clip_scene(options: SyntheticOptions, split: str, index: int) -> Scene:
    """Draw the scene of one clip of a split, "train", "valid" or "test"."""
    return draw_scene(options, options.num_frames, stream(options.seed, "clip", split, index))


def stream(seed: int, kind: str, split: str, index: int) -> np.random.Generator:
    """Return the generator of one item, which depends on no other."""
    return np.random.default_rng([seed, KINDS.index((kind, split)), index])


def draw_scene(options: SyntheticOptions, num_frames: int, rng: np.random.Generator) -> Scene:
    """Draw a scene of `num_frames` frames."""
    roles = draw_roles(options, rng)
    cast = motion.Cast(
        groups=np.array([role.group for role in roles]),
        radii=np.array([role.radius for role in roles]),
    )
    paths = motion.draw_paths(cast, options, num_frames, rng)
    slant, turn = rng.uniform(0.7, 0.95), rng.uniform(-2.2, -0.9)  # from above, left or right
    light = np.array([slant * np.cos(turn), slant * np.sin(turn), 1.0])
    occluded = rng.random() < options.occluder_share
    return Scene(
        size=options.size,
        backdrop=draw_backdrop(options.size, options.background_contrast, rng),
        light=(light / np.linalg.norm(light)).astype(np.float32),
        instances=tuple(
            Instance(role, draw_poses(role, path, options.deformation, rng))
            for role, path in zip(roles, paths, strict=True)
        ),
        occluder=draw_occluder(options.size, options.occluder_width, rng) if occluded else None,
        distractors=tuple(draw_distractors(options, num_frames, rng)),
    )


def draw_distractors(
    options: SyntheticOptions, num_frames: int, rng: np.random.Generator
) -> list[Instance]:
    """Draw things of no class, which drift straight on at up to half the speed of instances."""
    fewest, most = options.num_distractors
    if most == 0:
        return []
    drawn = []
    frame = np.array([options.size[1], options.size[0]], np.float64)
    for _ in range(int(rng.integers(fewest, most + 1))):
        role = replace(draw_role(-1, 1, options, rng), shape=str(rng.choice([*shapes.DISTRACTORS])))
        heading = motion.turned(np.array([1.0, 0.0]), rng.uniform(0, 2 * np.pi))
        step = heading * options.max_speed * options.size[0] * rng.uniform(0, 0.5)
        middle = rng.uniform(0.1, 0.9, 2) * frame
        path = middle + (np.arange(num_frames) - (num_frames - 1) / 2)[:, None] * step
        drawn.append(Instance(role, draw_poses(role, path, options.deformation, rng)))
    return drawn


def draw_roles(options: SyntheticOptions, rng: np.random.Generator) -> list[Role]:
    """Draw the instances of a scene, in random depth order: a group of look-alikes, and others."""
    fewest, most = options.num_instances
    num = int(rng.integers(fewest, most + 1))
    num_alike = 1
    if num > 1 and rng.random() < options.lookalike_share:
        num_alike = int(rng.integers(2, num + 1, 2).max())
    roles = [draw_role(group, num, options, rng) for group in range(num - num_alike + 1)]
    group = roles[:1]
    while len(group) < num_alike:
        group.append(draw_lookalike(group, rng))
    roles += group[1:]
    return [roles[index] for index in rng.permutation(num)]


def draw_role(group: int, num: int, options: SyntheticOptions, rng: np.random.Generator) -> Role:
    """Draw one instance of any class, small enough that `num` of its size have room."""
    height, width = options.size
    least, largest = (share * height for share in options.radius_range)
    roomy = np.sqrt(MOST_COVERED * height * width / (np.pi * num))
    shape = CLASS_NAMES[int(rng.integers(len(CLASS_NAMES)))]
    return Role(
        shape=shape,
        group=group,
        look=texture.draw_look(shape, options.num_marks, options.mark_size, rng),
        radius=rng.uniform(least, max(least, min(largest, roomy))),
        aspect=rng.uniform(0.92, 1.12),
    )


def draw_lookalike(group: list[Role], rng: np.random.Generator) -> Role:
    """Draw another individual, which a tracker can barely tell from those of `group`."""
    look = texture.draw_lookalike([role.look for role in group], rng)
    return replace(group[0], look=look, radius=group[0].radius * rng.uniform(0.98, 1.02))


def draw_poses(
    role: Role, path: NDArray[np.float64], deformation: float, rng: np.random.Generator
) -> tuple[shapes.Pose, ...]:
    """Draw the poses along a path (T, 2): a steady spin, and a size that breathes a little.

    Its aspect swings by a factor of up to e ** deformation, and its area stays.
    """
    frame = np.arange(len(path))
    angles = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.07) * frame
    breath = 1 + 0.05 * np.sin(rng.uniform(0, 2 * np.pi) + rng.uniform(0.1, 0.3) * frame)
    aspects = np.full(len(path), role.aspect)
    if deformation > 0:
        swing = np.sin(rng.uniform(0, 2 * np.pi) + rng.uniform(0.2, 0.6) * frame)
        aspects *= np.exp(deformation * swing)
    poses = zip(path, angles, role.radius * breath, aspects, strict=True)
    return tuple(
        shapes.Pose(float(x), float(y), float(angle), float(radius), float(aspect))
        for (x, y), angle, radius, aspect in poses
    )
