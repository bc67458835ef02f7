"""Masks of learned queries beside those of the last level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tolerances import TOLERANCE
from vis.support.networks import SIZES
from vis.support.squares import write_squares

from vidgap_segmenter import ClipOutput, Mask2Former, MaskDINO
from vidgap_segmenter.joint import Mask2FormerVIS
from vidgap_vis.classes import from_categories
from vidgap_vis.formats.images import Picture
from vidgap_vis.inference.places import PART, SURE, Places, same_in_mirror, some_frames
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.inference.sights import at_cells
from vidgap_vis.trackers.detections import Bools

CLASSES = from_categories([(1, "a"), (2, "b"), (3, "c")])
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


def at_frame(mask: torch.Tensor, output: ClipOutput) -> Bools:
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


def bright_or_dark(frame: Picture) -> Bools:
    """Queries that are appearances: what is bright, what is dark; at cells of four pixels."""
    grey = frame[2::4, 2::4, 0]
    return np.stack([grey > 200, grey < 50])


def left_or_right(frame: Picture) -> Bools:
    """Queries that are places: what stands out in the left half, what in the right."""
    out = np.abs(frame[2::4, 2::4, 0].astype(int) - 128) > 60
    left = np.arange(out.shape[1]) < out.shape[1] / 2
    return np.stack([out & left, out & ~left])


def black_and_white(columns: tuple[int, int]) -> tuple[Picture, Bools]:
    """A frame with a white and a black square, and their masks, and one that no query covers."""
    frame = np.full((40, 64, 3), 128, np.uint8)
    masks = np.zeros((3, 40, 64), bool)
    for mask, column, grey in zip(masks, columns, (255, 0), strict=False):
        mask[8:24, column : column + 12] = True
        frame[mask] = grey
    masks[2, 32:, 24:40] = True
    return frame, masks


def test_what_is_an_appearance_stays_in_the_mirror_and_what_is_a_place_does_not() -> None:
    frames = [black_and_white(columns) for columns in ((4, 40), (48, 12))]
    assert same_in_mirror(bright_or_dark, frames) == 1
    assert same_in_mirror(left_or_right, frames) == 0
    middle = black_and_white((28, 4))  # the right half has most of the white one
    assert same_in_mirror(left_or_right, [middle]) == 0
    assert same_in_mirror(lambda frame: left_or_right(frame) & False, frames) is None
    assert same_in_mirror(bright_or_dark, []) is None


def test_learned_masks_of_a_frame_are_those_of_a_clip() -> None:
    model = small()
    places = Places.of(model)
    assert places is not None
    segmenter = VideoSegmenter(model, CLASSES, device="cpu")
    frame = np.random.default_rng(0).integers(0, 256, (*FRAME, 3), dtype=np.uint8)
    clip = torch.from_numpy(frame).permute(2, 0, 1)[None, None]
    with torch.no_grad():
        output = model.step(clip, None, with_head_inputs=True)[0]
    rows, columns = output.mask_extent
    expected = (learned_of(model, output)[0, :, :rows, :columns] > 0).numpy()
    assert expected.any()
    assert not expected.all()
    np.testing.assert_array_equal(places.look(segmenter, frame), expected)


def test_some_frames_are_evenly_spread_with_what_is_in_them(tmp_path: Path) -> None:
    corner = (8, 8)
    path = [corner, None, corner, None, corner, corner]
    videos = write_squares(tmp_path, [path, [None, None, corner, None, None, corner]])
    truth = videos.read_masks(videos.videos[0], videos.videos[0].instances, range(6))
    for count, times in ((9, [0, 2, 4, 5]), (6, [0, 2, 4, 5]), (4, [0, 2, 5]), (3, [5]), (1, [])):
        found = list(some_frames(videos, count))
        assert len(found) == len(times)
        for (frame, masks), time in zip(found, times, strict=True):
            np.testing.assert_array_equal(frame, videos.read_frame(videos.videos[0], time))
            there = truth[:, time].any(axis=(1, 2))
            np.testing.assert_array_equal(masks, truth[there, time])
