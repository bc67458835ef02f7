"""What the decoder adds: masks of queries as learned, before it looks, and of its last level."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.mask2former.decoder import MaskedDecoder
from vidgap_vis.inference.sights import at_cells
from vidgap_vis.trackers.bits import MaskBits
from vidgap_vis.trackers.detections import Bools, to_host

SURE = 0.5
"""The class probability from which a query says that there is something."""

PART = 0.2
"""The share of an instance that a query's mask has at least to be one of those that cover it."""


@dataclass
class Places:
    """Compares the masks of learned queries with those of the last level, frame by frame.

    A learned query is the same for all frames. What its mask finds, it finds by what the features
    say of place and appearance; what the last level's finds beyond, the decoder has added.

    Args:
        decoder: of the network, whose frames have queries of their own.
    """

    decoder: MaskedDecoder
    _ious: list[tuple[float, float]] = field(default_factory=list)
    _covering: list[int] = field(default_factory=list)

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
