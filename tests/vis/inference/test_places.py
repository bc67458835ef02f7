"""Masks of learned queries beside those of the last level."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tolerances import TOLERANCE
from vis.support.networks import SIZES

from vidgap_segmenter import ClipOutput, Mask2Former, MaskDINO
from vidgap_segmenter.joint import Mask2FormerVIS
from vidgap_vis.inference.places import PART, SURE, Places
from vidgap_vis.inference.sights import at_cells

FRAME = (40, 56)  # padded to 64 by 64


def small() -> Mask2Former:
    torch.manual_seed(0)
    model = Mask2Former("test_resnet.r160_in1k", num_classes=3, **SIZES).eval()
    with torch.no_grad():
        model.decoder.class_embed.weight.mul_(10)  # so that some queries are sure, and not all
    return model


def output_of(model: Mask2Former, num_frames: int = 2) -> ClipOutput:
    frames = torch.randint(0, 256, (1, num_frames, 3, *FRAME), dtype=torch.uint8)
    with torch.no_grad():
        return model.step(frames, None, with_head_inputs=True)[0]


def learned_of(model: Mask2Former, output: ClipOutput) -> torch.Tensor:
    assert output.head_inputs is not None
    with torch.no_grad():
        return model.decoder.learned_masks(output.head_inputs.mask_features[0])


def at_frame(mask: torch.Tensor, output: ClipOutput) -> npt.NDArray[np.bool_]:
    """A mask of the frame's size with the cells of logits (h, w)."""
    rows, columns = output.mask_extent
    cells = (mask[:rows, :columns] > 0).numpy()
    return cells.repeat(4, axis=0).repeat(4, axis=1)[: FRAME[0], : FRAME[1]]


def test_learned_masks_are_the_first_level_of_training() -> None:
    model = small()
    torch.manual_seed(1)
    output = output_of(model)
    assert output.head_inputs is not None
    maps = output.head_inputs.mask_features[0]
    features = [torch.randn(2, SIZES["channels"], side, side) for side in (2, 4, 8)]
    with torch.no_grad():
        levels = model.decoder(features, maps, every_level=True).levels
    learned = learned_of(model, output)
    torch.testing.assert_close(learned, levels[0].mask_logits, **TOLERANCE[torch.float32])
    assert (learned - levels[-1].mask_logits).abs().max() > 0.1


def test_what_a_level_outlines_is_found_by_it() -> None:
    model = small()
    output = output_of(model)
    learned = learned_of(model, output)
    last = output.mask_logits[0].transpose(0, 1)
    for key, masks in (("learned", learned), ("last", last)):
        places = Places.of(model)
        assert places is not None
        truth = np.stack(
            [[at_frame(masks[time, query], output) for time in (0, 1)] for query in (2, 5)]
        )
        assert truth.any(axis=(2, 3)).all()
        places.add(output, truth)
        assert places.found()[key] == 1


def test_it_is_what_loops_count() -> None:
    model = small()
    rng = np.random.default_rng(0)
    places = Places.of(model)
    assert places is not None
    learned_ious, last_ious, covering = [], [], []
    for num_frames in (2, 1):
        output = output_of(model, num_frames)
        truth = np.zeros((3, num_frames, *FRAME), bool)
        for instance, time in np.ndindex(2, num_frames):  # the third is never there
            top, left = rng.integers(0, 24, 2)
            truth[instance, time, top : top + 16, left : left + 20] = True
        truth[1, 0] = False
        places.add(output, truth)
        rows, columns = output.mask_extent
        learned = learned_of(model, output)
        for instance, time in np.ndindex(3, num_frames):
            if not truth[instance, time].any():
                continue
            cells = at_cells(truth[instance, time][None], (rows, columns))[0]
            ious: dict[str, list[float]] = {"learned": [], "last": []}
            count = 0
            for query in range(SIZES["num_queries"]):
                own = {
                    "learned": learned[time, query],
                    "last": output.mask_logits[0, query, time],
                }
                for key, logits in own.items():
                    mask = (logits[:rows, :columns] > 0).numpy()
                    ious[key].append((mask & cells).sum() / max(1, (mask | cells).sum()))
                sure = output.class_probabilities[0, query, time].max() >= SURE
                shown = (output.mask_logits[0, query, time][:rows, :columns] > 0).numpy()
                count += bool(sure) and (shown & cells).sum() >= PART * cells.sum()
            learned_ious.append(max(ious["learned"]))
            last_ious.append(max(ious["last"]))
            covering.append(count)
    assert 0 < np.mean(covering) < SIZES["num_queries"]
    found = places.found()
    assert found["learned"] == pytest.approx(np.mean(learned_ious), abs=1e-6)
    assert found["last"] == pytest.approx(np.mean(last_ious), abs=1e-6)
    assert found["covering"] == pytest.approx(np.mean(covering))


def test_without_instances_there_is_nothing() -> None:
    model = small()
    places = Places.of(model)
    assert places is not None
    places.add(output_of(model), np.zeros((1, 2, *FRAME), bool))
    places.add(output_of(model), np.zeros((0, 2, *FRAME), bool))
    assert places.found() == dict.fromkeys(("learned", "last", "covering"))


def test_networks_without_learned_queries_of_frames_are_not_asked() -> None:
    sizes = SIZES | {"num_queries": 4}
    dino = MaskDINO("test_resnet.r160_in1k", num_classes=3, **sizes)
    joint = Mask2FormerVIS("test_resnet.r160_in1k", num_classes=3, **sizes)
    for network in (dino, joint, object()):
        assert Places.of(network) is None
