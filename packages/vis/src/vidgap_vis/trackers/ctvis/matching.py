"""Which query is which instance, as CTVIS's release has it for its contrastive loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vidgap_segmenter import ClipOutput, ClipTargets
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.mask2former import Criterion


def release_queries(
    criterion: Criterion,
    output: ClipOutput,
    targets: Sequence[ClipTargets],
    sizes: Sequence[tuple[int, int]],
) -> Tensor:
    """Match once more, with all instances of a clip in every frame, absent ones as class K.

    The masks of a clip are not padded as its frames are, so that points of the two differ where
    clips of several sizes share a batch.

    Args:
        criterion: whose costs count.
        output: of B clips of T frames.
        targets: B of them, masks (N, T, H, W).
        sizes: (H, W) of each clip before padding.

    Returns:
        (B, N, T) int64, the query of each instance in each frame, -1 where it is absent.
    """
    tables = []
    for index, (clip, (height, width)) in enumerate(zip(targets, sizes, strict=True)):
        cropped = replace(clip, masks=clip.masks[..., :height, :width])
        listed = FrameTargets.from_clips(
            [cropped], (height, width), label_of_absent=criterion.num_classes
        )
        table = criterion.match(output.clip(index), listed).table(0)  # (N, T)
        tables.append(table.where(clip.masks.flatten(2).any(-1), -1))
    return pad_sequence(tables, batch_first=True, padding_value=-1)
