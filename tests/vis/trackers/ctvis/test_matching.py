"""What the release's matching does otherwise: absent instances take part, masks are not padded."""

from __future__ import annotations

import torch
from torch import Tensor

from vidgap_segmenter import ClipOutput, ClipTargets
from vidgap_segmenter.mask2former import Criterion
from vidgap_vis.trackers.ctvis import release_queries

SIZE = (8, 8)


def corner(row: int, column: int) -> Tensor:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[row : row + 3, column : column + 3] = True
    return mask


def make(
    masks: list[Tensor | None], queries: list[Tensor], none_logits: list[float]
) -> tuple[ClipOutput, ClipTargets]:
    """One frame: N instances, None where absent; queries that show masks, and logits of "none"."""
    nothing = torch.zeros(SIZE, dtype=torch.bool)
    shown = torch.stack([nothing if mask is None else mask for mask in masks])[:, None]
    count = len(masks)
    targets = ClipTargets(torch.zeros(count, dtype=torch.int64), shown, torch.arange(count))
    class_logits = torch.tensor([[0.0, value] for value in none_logits])[None, :, None]
    mask_logits = torch.stack([8 * (mask.float() - 0.5) for mask in queries])[None, :, None]
    embeddings = torch.zeros(1, len(queries), 1, 4)
    return ClipOutput(class_logits, mask_logits, embeddings, (), SIZE, SIZE), targets


def test_an_absent_instance_may_take_a_query_from_one_that_is_present() -> None:
    """Query 0 shows a third of the instance, 1 other pixels; 0 is sure of "none", 1 is not."""
    part, others = corner(0, 0) & corner(0, 2), corner(4, 4) & corner(4, 6)
    output, targets = make([corner(0, 0), None], [part, others], [6.0, -6.0])
    criterion = Criterion(1, num_points=2000)
    ours = criterion(output, [targets]).matchings[0].tables()
    release = release_queries(criterion, output, [targets], [SIZE])
    assert (ours[0, :, 0].tolist(), release[0, :, 0].tolist()) == ([0, -1], [1, -1])


def test_masks_of_a_smaller_clip_are_stretched_over_its_padded_frames() -> None:
    """The instance is in the middle of a clip of 4 x 4 in a batch padded to 8 x 8."""
    small = torch.zeros(SIZE, dtype=torch.bool)
    small[1:3, 1:3] = True
    stretched = torch.zeros(SIZE, dtype=torch.bool)
    stretched[2:6, 2:6] = True
    output, targets = make([small], [small, stretched], [0.0, 0.0])
    criterion = Criterion(1, num_points=500)
    assert criterion(output, [targets]).matchings[0].tables().item() == 0
    assert release_queries(criterion, output, [targets], [SIZE]).item() == 0
    assert release_queries(criterion, output, [targets], [(4, 4)]).item() == 1


def test_clips_of_different_numbers_of_instances_share_a_table() -> None:
    one, two = corner(0, 0), corner(5, 5)
    output, targets = make([one, two], [one, two], [0.0, 0.0])
    both = ClipOutput(
        output.class_logits.repeat(2, 1, 1, 1),
        output.mask_logits.repeat(2, 1, 1, 1, 1),
        output.embeddings.repeat(2, 1, 1, 1),
        (),
        SIZE,
        SIZE,
    )
    single = ClipTargets(targets.labels[:1], targets.masks[1:], targets.ids[:1])
    tables = release_queries(Criterion(1, num_points=500), both, [targets, single], [SIZE, SIZE])
    assert tables.tolist() == [[[0], [1]], [[1], [-1]]]
