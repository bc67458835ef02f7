"""What a generated data set holds."""

from __future__ import annotations

from dataclasses import dataclass

from vidgap_vis.errors import check


@dataclass(frozen=True)
class SyntheticOptions:
    """Counts, sizes and difficulty of a generated data set; the same options give the same bytes.

    Attributes:
        seed: everything is drawn from it; 0 or more.
        size: (H, W) of images and frames, pixels; 32 or more each.
        num_train_images, num_valid_images: stills.
        num_train_clips, num_valid_clips: clips.
        num_test_clips: clips that nothing is chosen by.
        num_frames: frames of each clip.
        num_instances: smallest and largest number of instances in a scene.
        radius_range: smallest and largest radius of an instance (that of the disc of equal area),
            as a share of the height; crowded scenes use the lower part.
        max_speed: the most that an instance's centre moves from frame to frame, as a share of
            the height; the speed of a clip is 0.8 to 1 times this. From about half a radius on, two
            that pass each other can swap positions from one frame to the next, which is
            what misleads association by overlap.
        lookalike_share: share of the scenes of two or more instances that hold look-alikes.
        pass_share: share of meetings in which the two pass and change sides; in the others they
            touch and turn back.
        leave_share: how often an instance is outside the frame between two meetings.
        num_marks: marks of each instance, by whose kinds it is told from its look-alikes; with 1,
            five of them can be told apart, with 2 fifteen.
        mark_size: radius of the disc that has a mark's area, as a share of the instance's radius;
            several marks need less, 0.3 for 2. Below about 0.3 the features of a backbone no
            longer tell look-alikes apart.
        occluder_share: share of the scenes in which an opaque bar stands before everything.
        occluder_width: its width, about, as a share of the height.
        background_contrast: strength of the background's texture, 0 to 1.
        deformation: how much instances stretch and squeeze as they move: their aspect swings by
            a factor of up to e to this; 0 to 0.5.
        num_distractors: smallest and largest number of things of no class behind the instances.
        min_area: an instance with fewer visible pixels in a frame counts as absent there.
    """

    seed: int = 0
    size: tuple[int, int] = (96, 128)
    num_train_images: int = 2000
    num_valid_images: int = 200
    num_train_clips: int = 100
    num_valid_clips: int = 24
    num_test_clips: int = 0
    num_frames: int = 20
    num_instances: tuple[int, int] = (2, 5)
    radius_range: tuple[float, float] = (0.15, 0.27)
    max_speed: float = 0.15
    lookalike_share: float = 0.75
    pass_share: float = 0.8
    leave_share: float = 0.25
    num_marks: int = 1
    mark_size: float = 0.4
    occluder_share: float = 0.5
    occluder_width: float = 0.3
    background_contrast: float = 0.5
    deformation: float = 0.0
    num_distractors: tuple[int, int] = (0, 0)
    min_area: int = 12

    def __post_init__(self) -> None:
        counts = ("num_train_images", "num_valid_images", "num_train_clips", "num_valid_clips")
        for name in ("seed", *counts, "num_test_clips"):
            check(name, getattr(self, name) >= 0, "0 or more", getattr(self, name))
        for name in ("num_frames", "min_area"):
            check(name, getattr(self, name) >= 1, "1 or more", getattr(self, name))
        shares = ("lookalike_share", "pass_share", "leave_share", "occluder_share")
        for name in (*shares, "background_contrast"):
            check(name, 0 <= getattr(self, name) <= 1, "in [0, 1]", getattr(self, name))
        check("size", min(self.size) >= 32, "(H, W) of 32 or more each", self.size)
        fewest, most = self.num_instances
        check("num_instances", 1 <= fewest <= most, "1 <= fewest <= most", self.num_instances)
        least, largest = self.radius_range
        check(
            "radius_range",
            0.02 <= least <= largest <= 0.5,
            "0.02 <= least <= largest <= 0.5",
            self.radius_range,
        )
        check("deformation", 0 <= self.deformation <= 0.5, "in [0, 0.5]", self.deformation)
        least_others, most_others = self.num_distractors
        check(
            "num_distractors",
            0 <= least_others <= most_others,
            "0 <= fewest <= most",
            self.num_distractors,
        )
        check("num_marks", 1 <= self.num_marks <= 4, "1 to 4", self.num_marks)
        check("mark_size", 0.05 <= self.mark_size <= 0.5, "in [0.05, 0.5]", self.mark_size)
        check("occluder_width", 0 < self.occluder_width <= 1, "in (0, 1]", self.occluder_width)
        check("max_speed", 0 < self.max_speed <= 1, "in (0, 1]", self.max_speed)
