"""Plans rendered by torch alone, as on a GPU: the same clips as in CPU memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from augment.chains import CHAINS, far_from_edges, ones_like, smooth_clip
from augment.clips import SEEDS, generator
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import TURNED_EDGE
from torch import Tensor
from torch.nn import functional

from vidgap_augment import ClipCompose, Sample, VideoCopyPaste
from vidgap_augment.geometry import Placement, Step, translation
from vidgap_augment.plan import Paste, Plan, SourceMasks
from vidgap_augment.render import Rendered, render
from vidgap_augment.render.cpu import render_on_cpu
from vidgap_augment.render.device import render_on_device
from vidgap_augment.sample import open_sample


def rendered_on_device(
    sample: Sample, pipeline: ClipCompose, seed: int
) -> tuple[Rendered, Rendered]:
    """Return a clip rendered in CPU memory, and rendered by torch alone."""
    plan = pipeline.extend(open_sample(sample).plan, generator(seed))
    return render(plan), render_on_device(plan)


@settings(max_examples=20)
@given(st.sampled_from(sorted(CHAINS)), st.booleans(), SEEDS)
def test_torch_alone_makes_the_same_clip(chain: str, pasted: bool, seed: int) -> None:
    clip = smooth_clip(3, 2, 50, 70, seed % 1000)
    paste = [VideoCopyPaste(1.0, min_area=1)] if pasted else []
    pipeline = ClipCompose([*CHAINS[chain], *paste])
    ours, theirs = rendered_on_device(clip, pipeline, seed)
    edges = torch.zeros(2, *ours.frames.shape[-2:], dtype=torch.bool)
    for shown in rendered_on_device(ones_like(clip), ClipCompose(CHAINS[chain]), seed):
        assert shown.masks is not None
        edges |= ~far_from_edges(shown.masks, 3).all(dim=0)
    both = [by_row(ours), by_row(theirs)]
    if pasted:  # its rim cuts those behind it
        edges |= near_edges(both[0].get(3)) | near_edges(both[1].get(3))
    for n in set(both[0]) | set(both[1]):
        one, other = (masks.get(n, torch.zeros_like(edges)) for masks in both)
        assert not ((one != other) & ~near_edges(one) & ~edges).any()
    difference = (ours.frames.float() - theirs.frames.float()).abs().amax(dim=1)
    assert (difference[~edges] <= TURNED_EDGE).all()


def by_row(rendered: Rendered) -> dict[int, Tensor]:
    """Return the masks (T, H, W) by their rows in the plan."""
    assert rendered.masks is not None
    return dict(zip(rendered.kept.tolist(), rendered.masks, strict=True))


def near_edges(mask: Tensor | None) -> Tensor:
    """Return where (T, H, W) changes within a pixel; nowhere of no mask."""
    return torch.tensor(False) if mask is None else ~far_from_edges(mask, 1)


NO_INSTANCES = {
    "masks": torch.zeros(0, 2, 50, 70, dtype=torch.bool),
    "labels": torch.zeros(0, dtype=torch.int64),
    "ids": torch.zeros(0, dtype=torch.int64),
}


@pytest.mark.parametrize("chain", sorted(CHAINS))
def test_a_clip_without_instances_is_made_too(chain: str) -> None:
    clip = smooth_clip(1, 2, 50, 70, 0) | NO_INSTANCES
    ours, theirs = rendered_on_device(clip, ClipCompose(CHAINS[chain]), 3)
    assert theirs.frames.shape == ours.frames.shape
    assert ours.masks is not None
    assert theirs.masks is not None
    assert len(theirs.masks) == 0
    assert theirs.masks.shape == ours.masks.shape
    assert theirs.boxes is not None
    assert theirs.boxes.shape == (0, 2, 4)
    assert theirs.kept.tolist() == []


@pytest.mark.parametrize("make", [render_on_cpu, render_on_device])
def test_a_paste_may_be_cut_from_another_source(make: Callable[..., Rendered]) -> None:
    """A still of another size, on two frames that stay as they are where it does not cover them."""
    clip = smooth_clip(2, 2, 50, 70, 0)
    frames, masks = clip["video"].as_subclass(Tensor), clip["masks"].as_subclass(Tensor)
    picture = torch.arange(3 * 20 * 20).reshape(1, 3, 20, 20).to(torch.uint8)
    own = torch.zeros(1, 1, 20, 20, dtype=torch.bool)
    own[..., 4:14, 3:18] = True
    matrices = np.stack([translation(10.0, 5.0), translation(-8.0, 33.0)])
    placement = Placement.start(2, (20, 20)).then(Step(matrices, (50, 70)))
    paste = Paste(picture, SourceMasks(own), 0, (True, True), placement)
    plan = Plan(frames, Placement.start(2, (50, 70)), SourceMasks(masks), pastes=(paste,))
    made = make(plan, keep_absent=True)
    assert made.masks is not None
    for time, (x, y) in enumerate([(10, 5), (-8, 33)]):
        wide = functional.pad(picture[0], (x, 50 - x, y, 30 - y))
        covered = functional.pad(own[0, 0], (x, 50 - x, y, 30 - y))
        assert torch.equal(made.masks[2, time], covered)
        assert torch.equal(made.masks[:2, time], masks[:, time] & ~covered)
        assert torch.equal(made.frames[time], torch.where(covered, wide, frames[time]))


@pytest.mark.parametrize("device", ["cuda"])
def test_tensors_on_a_gpu_stay_there(device: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    clip = smooth_clip(3, 3, 50, 70, 0)
    there = clip | {key: clip[key].to(device) for key in ("video", "masks", "labels", "ids")}
    pipeline = ClipCompose([*CHAINS["rotate, flip"], VideoCopyPaste(1.0, min_area=1)])
    ours, theirs = pipeline(clip, generator(1)), pipeline(there, generator(1))
    assert theirs["video"].device.type == device
    assert torch.equal(ours["ids"], theirs["ids"].cpu())
    assert np.mean((ours["masks"] != theirs["masks"].cpu()).numpy()) < 0.01
