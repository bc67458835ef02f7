"""Hugging Face's Mask2Former frame by frame, with its own post-processing."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from bench.networks.models import Theirs
from vidgap_segmenter import Mask2Former, convert
from vidgap_vis.inference.step import with_short_edge
from vidgap_vis.speed import Case
from vidgap_vis.speed.scene import SURE, Scene

SCORE = 0.3
"""What an instance must have, as in `predict`."""


def milliseconds(network: Mask2Former, case: Case) -> float:
    """Return processor time a frame, from decoded frames to a map of instances of their size.

    The network has the same weights, and its predictions are replaced by the same scene's as ours.
    """
    from transformers import Mask2FormerImageProcessor

    model: nn.Module = convert.twin(network)
    theirs = Theirs(network.config["backbone"], model, model, network)
    processor = Mask2FormerImageProcessor()
    scene, spent = Scene(case.tracks), 0.0
    for index in range(case.steps + 1):
        picture = torch.from_numpy(scene.picture(index, case.size))
        start = time.process_time()
        frame = with_short_edge(picture.permute(2, 0, 1)[None, None], case.short_edge)
        with torch.inference_mode():
            output: Any = model(pixel_values=theirs.images({"frames": frame}))
            between = time.process_time()
            found = replaced(output, scene, index)
            start += time.process_time() - between
            (result,) = processor.post_process_instance_segmentation(
                found, threshold=SCORE, target_sizes=[case.size]
            )
        spent += (time.process_time() - start) * (index > 0)
        # One that another covers is left out.
        assert len(result["segments_info"]) > 0.7 * case.tracks
    return 1e3 * spent / case.steps


def replaced(output: Any, scene: Scene, frame: int) -> SimpleNamespace:
    """Return an output whose first queries are a scene's tracks, and the others nothing."""
    logits: Tensor = torch.zeros_like(output.class_queries_logits)
    masks: Tensor = output.masks_queries_logits.new_full(output.masks_queries_logits.shape, -SURE)
    num = scene.num_tracks
    size = (masks.shape[-2], masks.shape[-1])
    masks[0, :num] = (SURE * scene.distances(frame, size)).clamp(-SURE, SURE)
    logits[..., -1] = SURE
    logits[0, :num, -1], logits[0, :num, 0] = -SURE, SURE
    return SimpleNamespace(class_queries_logits=logits, masks_queries_logits=masks)
