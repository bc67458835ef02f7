"""CTVIS's tracker and loss give the official code's numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vis.support import ctvis_inputs
from vis.trackers.official_runs import ctvis_loss, ctvis_tracker

from vidgap_vis.trackers.ctvis import CTVISOptions

OFFICIAL = json.loads((Path(__file__).parent / "official.json").read_text())
PARAMETERS: dict[str, Any] = {
    "inference_select_thr": 0.01,
    "init_score_thr": 0.01,
    "mask_nms_thr": 0.6,
    "num_dead_frames": 20,
    "maximum_cache": 10,
    "noise_frame_num": 8,
    "suppress_frame_num": 3,
    "none_frame_num": 2,
}


def test_defaults_are_the_released_configurations() -> None:
    assert CTVISOptions() == CTVISOptions(
        min_score=PARAMETERS["inference_select_thr"],
        new_track_score=PARAMETERS["init_score_thr"],
        duplicate_iou=PARAMETERS["mask_nms_thr"],
        match_threshold=0.3,
        frame_weight=True,
        memory="similarity_guided",
        memory_size=PARAMETERS["maximum_cache"],
        max_gap=PARAMETERS["num_dead_frames"],
        settling_frames=PARAMETERS["noise_frame_num"],
        min_visible=PARAMETERS["suppress_frame_num"],
        short_gap=PARAMETERS["none_frame_num"],
    )


@pytest.mark.parametrize("row", OFFICIAL["track"], ids=lambda row: str(row["case"]["seed"]))
def test_tracks_are_the_official_ones(row: dict[str, Any]) -> None:
    case = row["case"]
    logits, masks = ctvis_tracker(
        ctvis_inputs.video(case["seed"]),
        {
            **PARAMETERS,
            "frame_weight": case["frame_weight"],
            "match_score_thr": case["thr"],
            "embed_type": case["embed"],
        },
    )
    shown = np.abs(masks).sum((2, 3)) > 0
    assert ["".join("01"[frame] for frame in track.astype(int)) for track in shown] == row[
        "present"
    ]
    np.testing.assert_allclose(logits, row["logits"], atol=1e-9)
    np.testing.assert_allclose(masks.sum((1, 2, 3)), row["mask_sums"], atol=1e-9)


@pytest.mark.parametrize(
    "row", OFFICIAL["contrastive"], ids=lambda row: f"{row['seed']} memory {row['momentum']}"
)
def test_losses_and_gradients_are_the_official_ones(row: dict[str, Any]) -> None:
    arrays, frames = ctvis_inputs.batch(row["seed"])
    outputs = {name: torch.from_numpy(array) for name, array in arrays.items()}
    embeddings = outputs["pred_embeds"].requires_grad_()
    losses = ctvis_loss(outputs, frames, row["momentum"])
    assert {k: float(v.detach()) for k, v in losses.items()} == pytest.approx(
        row["losses"], abs=1e-12
    )
    (gradient,) = torch.autograd.grad(sum(losses.values()), embeddings)
    by_frame = gradient.abs().sum((1, 2))
    np.testing.assert_allclose(by_frame, row["grad_rows"], rtol=1e-9)
