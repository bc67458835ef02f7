"""Data sets of clips: `dataset[(epoch, index)]` is a clip sample of `vidgap_augment.sample`.

All that is random about a clip comes from one generator, seeded from (seed, epoch, index), so that
a clip is the same in any process, in any order, with any number of workers, after any resume.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from vidgap_augment import Sample, drop_empty
from vidgap_vis.classes import ClassList
from vidgap_vis.errors import InputError
from vidgap_vis.formats.coco import ImageInfo, ImageSet
from vidgap_vis.formats.images import Picture
from vidgap_vis.formats.youtube_vis import VideoSet

ClipKey = tuple[int, int]
"""(epoch, index)."""


class Transform(Protocol):
    """A transform of `vidgap_augment`: an image or clip sample in, a clip sample out."""

    def __call__(self, sample: Sample, generator: torch.Generator, /) -> Sample:
        """Transform one sample; everything random comes from `generator`."""


def clip_generator(seed: int, epoch: int, index: int) -> torch.Generator:
    """Return the CPU generator of one clip.

    NumPy's SeedSequence hashes the three integers, each 0 or more, and the first 64 bits that it
    gives seed torch: neighbouring epochs and indices have nothing in common.
    """
    state = np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


class ClipDataset(Dataset[Sample], ABC):
    """What training draws clips from."""

    classes: ClassList

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of clips of an epoch."""

    @abstractmethod
    def __getitem__(self, key: ClipKey) -> Sample:
        """Return the clip of (epoch, index); InputError where a file of it is at fault."""


class PseudoClipDataset(ClipDataset):
    """Clips made from single images; an epoch has one of each image with an instance.

    Args:
        image_set: where the images are.
        transform: turns an image sample into a clip sample (`PseudoClip` is in it).
        seed: 0 or more.

    Raises:
        InputError: no image is left.
    """

    def __init__(self, image_set: ImageSet, transform: Transform, seed: int) -> None:
        self.image_set = image_set
        self.classes = image_set.classes
        self.transform = transform
        self.seed = seed
        self._chosen = [i for i, image in enumerate(image_set.images) if image.instances]
        if not self._chosen:
            raise InputError(image_set.path, "annotations", "no image has an instance to train on")

    def __len__(self) -> int:
        return len(self._chosen)

    def image(self, index: int) -> ImageInfo:
        """Return the image that the clips of an index are made from."""
        return self.image_set.images[self._chosen[index]]

    def __getitem__(self, key: ClipKey) -> Sample:
        epoch, index = key
        return self.transform(self.sample(index), clip_generator(self.seed, epoch, index))

    def sample(self, index: int) -> Sample:
        """Return the image sample of an index: the instances that cover a pixel."""
        chosen = self._chosen[index]
        masks = torch.from_numpy(self.image_set.read_masks(chosen))
        labels = [instance.label for instance in self.image_set.images[chosen].instances]
        visible = masks.flatten(1).any(dim=1)  # a polygon may cover no pixel
        return {
            "image": tv_tensors.Image(channels_first(self.image_set.read_image(chosen))),
            "masks": tv_tensors.Mask(masks[visible]),
            "labels": torch.tensor(labels, dtype=torch.int64)[visible],
        }


class VideoClipDataset(ClipDataset):
    """Clips of frames sampled from videos; an epoch has one of each video with an instance.

    Instances absent from all chosen frames are dropped; `ids` count the instances of the video.

    Args:
        video_set: where the videos are.
        num_frames: T.
        frame_range: how far from the reference frame the others may lie; see `choose_frames`.
        transform: clip sample in, clip sample out.
        seed: 0 or more.
        with_replacement: see `choose_frames`.
        reverse_probability: of a clip that runs backwards.

    Raises:
        InputError: no video is left.
    """

    def __init__(
        self,
        video_set: VideoSet,
        num_frames: int,
        frame_range: int,
        transform: Transform,
        seed: int,
        *,
        with_replacement: bool = False,
        reverse_probability: float = 0.0,
    ) -> None:
        if num_frames < 1 or frame_range < 0:
            raise ValueError(
                f"num_frames must be at least 1 and frame_range at least 0, "
                f"got {num_frames} and {frame_range}"
            )
        self.video_set = video_set
        self.classes = video_set.classes
        self.num_frames = num_frames
        self.frame_range = frame_range
        self.with_replacement = with_replacement
        self.reverse_probability = reverse_probability
        self.transform = transform
        self.seed = seed
        self._chosen = [video for video in video_set.videos if video.instances]
        if not self._chosen:
            raise InputError(video_set.path, "annotations", "no video has an instance to train on")

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, key: ClipKey) -> Sample:
        epoch, index = key
        generator = clip_generator(self.seed, epoch, index)
        video = self._chosen[index]
        frames = choose_frames(
            len(video),
            self.num_frames,
            self.frame_range,
            generator,
            with_replacement=self.with_replacement,
        )
        if (
            self.reverse_probability
            and torch.rand((), generator=generator) < self.reverse_probability
        ):
            frames.reverse()
        # An instance whose segmentation is null in all of them needs no mask to be made.
        ids = [
            number
            for number, instance in enumerate(video.instances)
            if any(instance.segmentations[frame] is not None for frame in frames)
        ]
        instances = [video.instances[number] for number in ids]
        pictures = [channels_first(self.video_set.read_frame(video, frame)) for frame in frames]
        masks = torch.from_numpy(self.video_set.read_masks(video, instances, frames))
        sample = {
            "video": tv_tensors.Video(torch.stack(pictures)),
            "masks": tv_tensors.Mask(masks),
            "labels": torch.tensor([instance.label for instance in instances], dtype=torch.int64),
            "ids": torch.tensor(ids, dtype=torch.int64),
        }
        return self.transform(drop_empty(sample), generator)


class MixedDataset(ClipDataset):
    """Pseudo-clips and clips of videos in a given ratio, for joint fine-tuning (CTVIS).

    Each clip draws which data set it is from and which member it is of (with replacement), by
    (seed, epoch, index) alone. An epoch has as many clips as both data sets together.

    Args:
        pseudo: made from images.
        video: with the same class names in the same order.
        ratio: pseudo-clips for each clip of a video, on average (1 / 1.5 for YouTube-VIS 2019).
        seed: 0 or more.

    Raises:
        ValueError: the ratio is not positive, or the classes differ.
    """

    def __init__(self, pseudo: ClipDataset, video: ClipDataset, ratio: float, seed: int) -> None:
        if not 0 < ratio < float("inf"):
            raise ValueError(f"ratio must be positive and finite, got {ratio}")
        check_same_classes(pseudo.classes, video.classes)
        self.classes = video.classes
        self.sources: Sequence[ClipDataset] = (pseudo, video)
        self.pseudo_share = ratio / (1 + ratio)
        self.seed = seed

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    def __getitem__(self, key: ClipKey) -> Sample:
        epoch, index = key
        generator = clip_generator(self.seed, epoch, index)
        is_pseudo = torch.rand((), dtype=torch.float64, generator=generator) < self.pseudo_share
        source = self.sources[0 if is_pseudo else 1]
        member = int(torch.randint(len(source), (), generator=generator))
        # A member drawn twice in an epoch must not give the same clip twice: each draw counts as
        # an epoch of its own.
        return source[(epoch * len(self) + index, member)]


def channels_first(frame: Picture) -> Tensor:
    """Turn (H, W, 3) into (3, H, W), as transforms and models take it; the memory is shared."""
    return torch.from_numpy(frame).permute(2, 0, 1)


def check_same_classes(one: ClassList, other: ClassList) -> None:
    """Raise ValueError unless both name the same classes in the same order (ids may differ)."""
    if len(one) != len(other):
        raise ValueError(f"data sets must have the same classes, got {len(one)} and {len(other)}")
    for a, b in zip(one, other, strict=True):
        if a.name != b.name:
            raise ValueError(
                f"data sets must have the same classes, got {a.name!r} and {b.name!r} "
                f"at index {a.index}"
            )


def choose_frames(
    length: int,
    num_frames: int,
    frame_range: int,
    generator: torch.Generator,
    *,
    with_replacement: bool = False,
) -> list[int]:
    """Choose the frames of a clip, in time order (CTVIS `data/vis/dataset_mapper.py`).

    A reference frame is drawn from the whole video, the others from those at most `frame_range`
    away. CTVIS draws the others with replacement; here a frame is repeated only where the window
    has too few: then all of it is taken, and the rest drawn from it with replacement. A clip as
    long as the window, 2 * `frame_range` + 1, is so many frames in a row, which begin anywhere; of
    a shorter video all frames, and some of them again (DVIS `dvis/data_video/dataset_mapper.py`).

    Args:
        length: frames of the video.
        num_frames: frames of the clip.
        frame_range: in frames.
        generator: on the CPU.
        with_replacement: draws as CTVIS does.
    """
    if num_frames == 2 * frame_range + 1 and not with_replacement:
        begin = int(torch.randint(max(length - num_frames, 0) + 1, (), generator=generator))
        row = [*range(begin, min(begin + num_frames, length))]
        again = torch.randint(length, (num_frames - len(row),), generator=generator)
        return sorted(row + again.tolist())
    reference = int(torch.randint(length, (), generator=generator))
    first, last = max(reference - frame_range, 0), min(reference + frame_range, length - 1)
    others = [frame for frame in range(first, last + 1) if frame != reference]
    if with_replacement and others:
        drawn = torch.randint(len(others), (num_frames - 1,), generator=generator)
        return sorted([reference, *(others[index] for index in drawn.tolist())])
    order = torch.randperm(len(others), generator=generator)[: num_frames - 1]
    chosen = [reference, *(others[index] for index in order.tolist())]
    missing = num_frames - len(chosen)
    extra = torch.randint(first, last + 1, (missing,), generator=generator)
    return sorted(chosen + extra.tolist())
