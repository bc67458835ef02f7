"""The instances of a batch frame by frame, and which query was matched with which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from vidgap_segmenter.boxes import mask_boxes
from vidgap_segmenter.points import frame_masks, sample_masks
from vidgap_segmenter.targets import ClipTargets


@dataclass(frozen=True, eq=False)
class FrameTargets:
    """The instances present in B*T frames, N in all, frame by frame.

    Attributes:
        frames: the frame of each, b*T + t, (N,), int64, ascending.
        instances: which one of its clip's targets each is, (N,), int64.
        ids: its identity within the clip, (N,), int64.
        labels: class indices, (N,), int64.
        masks: (N, H + 3, W + 3), bool: each within a frame of zeros, as `sample_masks` needs.
        counts: instances in each frame, B*T numbers that sum to N.
        num_instances: of each clip, B numbers.
        padded_size: (H', W') of the frames that points cover.
    """

    frames: Tensor
    instances: Tensor
    ids: Tensor
    labels: Tensor
    masks: Tensor
    counts: tuple[int, ...]
    num_instances: tuple[int, ...]
    padded_size: tuple[int, int]

    @classmethod
    def from_clips(
        cls,
        clips: Sequence[ClipTargets],
        padded_size: tuple[int, int],
        *,
        label_of_absent: int | None = None,
    ) -> FrameTargets:
        """List the instances that are present in each frame; frames are numbered B-major.

        Args:
            clips: B of them.
            padded_size: (H', W') that points cover.
            label_of_absent: lists all instances in every frame; where one is absent its mask is
                empty and this is its label (CTVIS's release). None: only those present.
        """
        listed, labels = [], []
        for clip in clips:
            present = clip.masks.flatten(2).any(-1).T  # (T, N)
            of_frame = clip.labels.expand_as(present)
            if label_of_absent is not None:
                of_frame = of_frame.where(present, label_of_absent)
                present = torch.ones_like(present)
            listed.append(present)
            labels.append(of_frame)
        return cls._of(clips, padded_size, listed, labels)

    @classmethod
    def from_whole_clips(
        cls,
        clips: Sequence[ClipTargets],
        padded_size: tuple[int, int],
        *,
        list_unseen: bool = False,
    ) -> FrameTargets:
        """List the instances of each clip in all of its frames, those that have a pixel in one.

        All frames of a clip list the same instances in the same order. Where one is absent its mask
        is empty.

        Args:
            clips: B of them.
            padded_size: (H', W') that points cover.
            list_unseen: lists those that have no pixel in any frame, too.
        """
        seen = [clip.masks.flatten(1).any(-1) | list_unseen for clip in clips]  # (N,)
        listed = [
            row.expand(clip.masks.shape[1], -1) for clip, row in zip(clips, seen, strict=True)
        ]
        labels = [clip.labels.expand_as(rows) for clip, rows in zip(clips, listed, strict=True)]
        return cls._of(clips, padded_size, listed, labels)

    @classmethod
    def _of(
        cls,
        clips: Sequence[ClipTargets],
        padded_size: tuple[int, int],
        listed: Sequence[Tensor],
        clip_labels: Sequence[Tensor],
    ) -> FrameTargets:
        """List the instances of each frame that `listed` says, with their labels: (T, N) each."""
        frames, instances, ids, labels, masks = [], [], [], [], []
        counts: list[int] = []
        for clip, rows, of_frame in zip(clips, listed, clip_labels, strict=True):
            frame, instance = rows.nonzero(as_tuple=True)
            frames.append(frame + len(counts))
            instances.append(instance)
            ids.append(clip.ids[instance])
            labels.append(of_frame[rows])
            masks.append(clip.masks.transpose(0, 1)[rows])
            counts.extend(rows.sum(1).tolist())
        return cls(
            frames=torch.cat(frames),
            instances=torch.cat(instances),
            ids=torch.cat(ids),
            labels=torch.cat(labels),
            masks=frame_masks(torch.cat(masks)),
            counts=tuple(counts),
            num_instances=tuple(len(clip) for clip in clips),
            padded_size=padded_size,
        )

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.counts) // len(self.num_instances)

    @cached_property
    def slots(self) -> Tensor:
        """The index of each instance among those of its frame, (N,), int64."""
        slots = [slot for count in self.counts for slot in range(count)]
        return torch.tensor(slots, dtype=torch.int64, device=self.frames.device)

    @cached_property
    def boxes(self) -> Tensor:
        """The box around each mask, normalised by the padded frame, (N, 4), float32."""
        masks = self.masks[:, 1:-2, 1:-2]
        height, width = masks.shape[1:]
        shares = [width / self.padded_size[1], height / self.padded_size[0]]
        boxes = mask_boxes(masks)
        return boxes * boxes.new_tensor(shares).repeat(2)

    def by_slot(self, values: Tensor) -> Tensor:
        """Pad values (N, ...) with zeros to one row a frame, (B*T, n, ...)."""
        size = (len(self.counts), max(self.counts, default=0), *values.shape[1:])
        table = values.new_zeros(size)
        table[self.frames, self.slots] = values
        return table

    def matching(self, frames: Tensor, queries: Tensor, rows: Tensor) -> Matching:
        """Pair queries of frames with rows of these targets, (R,) int64 each."""
        # Without the masks, which would otherwise live as long as the losses.
        return Matching(
            frames,
            queries,
            rows,
            self.instances[rows],
            self.ids[rows],
            self.num_frames,
            self.num_instances,
        )

    def sample(self, which: Tensor, points: Tensor) -> Tensor:
        """Sample masks `which` (R,) at points over the padded frame (R, P, 2), giving (R, P)."""
        return sample_masks(self.masks, which, points, self.padded_size)


@dataclass(frozen=True, eq=False)
class Matching:
    """R pairs of a query in a frame and an instance that is present there.

    Attributes:
        frames: b*T + t, (R,), int64.
        queries: (R,), int64.
        rows: of the `FrameTargets` that were matched, (R,), int64.
        instances: which one of its clip's targets each is, (R,), int64.
        ids: its identity within the clip, (R,), int64.
        num_frames: T.
        num_instances: of each clip, B numbers.
    """

    frames: Tensor
    queries: Tensor
    rows: Tensor
    instances: Tensor
    ids: Tensor
    num_frames: int
    num_instances: tuple[int, ...]

    @property
    def clips(self) -> Tensor:
        """The clip of each pair, (R,), int64."""
        return self.frames // self.num_frames

    def tables(self) -> Tensor:
        """Return the query of each instance of each clip in each frame, -1 for none.

        Returns:
            (B, N, T) int64, N the most that a clip has.
        """
        num_clips, most = len(self.num_instances), max(self.num_instances, default=0)
        tables = self.queries.new_full((num_clips, most, self.num_frames), -1)
        tables[self.clips, self.instances, self.frames % self.num_frames] = self.queries
        return tables

    def table(self, clip: int) -> Tensor:
        """Return the query of each instance of a clip in each frame, (N, T) int64, -1 for none."""
        return self.tables()[clip, : self.num_instances[clip]]
