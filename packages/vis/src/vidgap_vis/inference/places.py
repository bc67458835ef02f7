"""Learned queries: what the decoder adds to their masks, and whether they are places.

Their masks, before the decoder has looked, are compared with those of its last level; and the query
that covers an instance with the one that covers it in the mirrored frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.mask2former.decoder import MaskedDecoder
from vidgap_vis.formats.images import Picture
from vidgap_vis.formats.youtube_vis import VideoSet
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.inference.sights import FOUND, at_cells
from vidgap_vis.trackers.bits import MaskBits
from vidgap_vis.trackers.detections import Bools, to_host

SURE = 0.5
"""The class probability from which a query says that there is something."""

PART = 0.2
"""The share of an instance that a query's mask has at least to be one of those that cover it."""


Looked: TypeAlias = tuple[Picture, Bools]
"""A frame (H, W, 3) and the true masks in it, (N, H, W)."""


@dataclass
class Places:
    """Compares the masks of learned queries with those of the last level, frame by frame.

    A learned query is the same for all frames. What its mask finds, it finds by what the features
    say of place and appearance; what the last level's finds beyond, the decoder has added.

    Args:
        decoder: of the network, whose frames have queries of their own.
    """

    decoder: MaskedDecoder
    _ious: list[tuple[float, float]] = field(default_factory=list, init=False)
    _covering: list[int] = field(default_factory=list, init=False)

    @classmethod
    def of(cls, network: object) -> Places | None:
        """Return what compares them; None: the network has no learned queries of single frames."""
        decoder = getattr(network, "decoder", None)
        if not isinstance(decoder, MaskedDecoder) or getattr(network, "joint", False):
            return None
        return cls(decoder)

    @torch.inference_mode()
    def add(self, output: ClipOutput, masks: Bools) -> None:
        """Take the frames of a step.

        Args:
            output: of one clip of T frames, with head inputs.
            masks: (N, T, H, W), the instances of these frames.
        """
        assert output.head_inputs is not None
        rows, columns = output.mask_extent
        learned = self.decoder.learned_masks(output.head_inputs.mask_features[0])  # (T, Q, h, w)
        last = output.mask_logits[0].transpose(0, 1)
        sure = output.class_probabilities[0].amax(dim=-1).T >= SURE  # (T, Q)
        levels = [level[..., :rows, :columns] > 0 for level in (learned, last)]
        for time, (first, end, says) in enumerate(zip(*to_host([*levels, sure]), strict=True)):
            cells = at_cells(masks[:, time], (rows, columns))
            there = MaskBits.of(cells[cells.any(axis=(1, 2))])
            if not len(there):
                continue
            ious = (there.iou(MaskBits.of(one)).max(axis=1).tolist() for one in (first, end))
            self._ious += zip(*ious, strict=True)
            parts = there.shared(MaskBits.of(end[says])) >= PART * there.areas[:, None]
            self._covering += parts.sum(axis=1).tolist()

    def found(self) -> dict[str, float | None]:
        """Return means over instances and frames; None where there were none.

        Returns:
            "learned" and "last": the IoU of the mask that covers an instance best, of the learned
            queries and of the last level; "covering": how many queries that are sure have a part
            of it.
        """
        if not self._ious:
            return dict.fromkeys(("learned", "last", "covering"))
        learned, last = np.mean(self._ious, axis=0).tolist()
        return {"learned": learned, "last": last, "covering": float(np.mean(self._covering))}

    @torch.inference_mode()
    def look(self, segmenter: VideoSegmenter, frame: Picture) -> Bools:
        """Return the masks of the learned queries in a frame, (Q, h, w), at the cells of the frame.

        Args:
            segmenter: of this network; what it remembers of earlier frames is left out.
            frame: (H, W, 3).
        """
        output, _ = segmenter.step([torch.from_numpy(frame)], None, with_head_inputs=True)
        assert output.head_inputs is not None
        rows, columns = output.mask_extent
        learned = self.decoder.learned_masks(output.head_inputs.mask_features[0])[0]
        (masks,) = to_host([learned[:, :rows, :columns] > 0])
        return masks


def same_in_mirror(look: Callable[[Picture], Bools], frames: Iterable[Looked]) -> float | None:
    """Return how often the query that covers an instance covers it in the mirrored frame, too.

    A query that is a place covers another instance there, or none, unless its place and the
    instance's are symmetric; one that is an appearance covers the same. By chance alone it is one
    of the Q queries.

    Args:
        look: gives the masks of the learned queries in a frame, (Q, h, w), as `Places.look`.
        frames: with the true masks.

    Returns:
        The share, of the instances that a query covers in both by an IoU of a half or more; None
        if there are none.
    """
    same: list[bool] = []
    for frame, masks in frames:
        one, other = (
            MaskBits.of(at_cells(truth, shown.shape[1:])).iou(MaskBits.of(shown))
            for truth, shown in (
                (masks, look(frame)),
                (masks[:, :, ::-1], look(np.ascontiguousarray(frame[:, ::-1]))),
            )
        )
        both = (one.max(axis=1) >= FOUND) & (other.max(axis=1) >= FOUND)
        same += (one.argmax(axis=1) == other.argmax(axis=1))[both].tolist()
    return float(np.mean(same)) if same else None


def some_frames(videos: VideoSet, count: int) -> Iterator[Looked]:
    """Yield so many frames, evenly spread over all; those without instances are left out."""
    frames = [(video, time) for video in videos.videos for time in range(len(video))]
    count = min(count, len(frames))
    for index in range(count):
        video, time = frames[(2 * index + 1) * len(frames) // (2 * count)]
        masks = videos.read_masks(video, video.instances, [time])[:, 0]
        masks = masks[masks.any(axis=(1, 2))]
        if len(masks):
            yield videos.read_frame(video, time), masks
