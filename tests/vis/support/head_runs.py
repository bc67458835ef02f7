"""Small runs of what follows instances, and how well a trained one follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from vis.support.tiny_runs import MODEL, finetune_config

from vidgap_segmenter import Criterion
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.structures import by_frame
from vidgap_vis import VideoSegmenter, build
from vidgap_vis.config import ContrastConfig, FinetuneConfig, HeadConfig
from vidgap_vis.data import ClipBatch
from vidgap_vis.trackers.ctvis import association_share
from vidgap_vis.training.make_unit import make_unit
from vidgap_vis.training.units import DVISRefinerUnit, DVISTrackerUnit, IDOLUnit, MaskTrackUnit
from vidgap_vis.training.units.heads import with_masks
from vidgap_vis.weights import initialise_head, load

LAYERS = {"num_layers": 2, "num_heads": 2, "ffn_channels": 32}
CLIPS = {"num_queries": 8, "num_encoder_layers": 1, **LAYERS}
HEADS = {
    "dvis": HeadConfig("dvis", **LAYERS),
    "dvis_offline": HeadConfig("dvis_offline", **LAYERS),
    "vita": HeadConfig("vita", **CLIPS),
    "genvis": HeadConfig("genvis", **CLIPS),
    "masktrack": HeadConfig("masktrack", embedding_dim=16),
}
PARENTS = {**dict.fromkeys(HEADS, "idol"), "dvis_offline": "dvis", "genvis": "vita"}
FROZEN = ("dvis", "dvis_offline", "genvis")
HEAD_MODEL = replace(MODEL, embedding_dim=16, num_queries=8)


def config_of(name: str, root: Path, **train: object) -> FinetuneConfig:
    """Return 40 steps of a head, or 60 of IDOL's contrast, on squares that change places."""
    base = finetune_config(root, **{"lr": 3e-3, "log_every": 1, "steps": 40, **train})
    config = replace(
        base,
        clip=replace(base.clip, num_frames=3, frame_range=4),
        model=HEAD_MODEL,
        temporal=None,
        head=HEADS.get(name),
    )
    if name == "idol":
        settings = replace(config.train, steps=60, batch_size=4)
        return replace(config, contrast=ContrastConfig("idol"), train=settings)
    return config


def association(
    config: FinetuneConfig, folder: Path, batch: ClipBatch, *, fresh: bool = False
) -> float:
    """Return the share of instances that a trained head, or a fresh one, follows by a frame."""
    model, classes = load(folder)
    torch.manual_seed(0)
    unit = make_unit(model, config, len(classes)).eval()
    if unit.saved_head is not None and not fresh:
        initialise_head(unit.saved_head, classes, folder)
    criterion = build.criterion(config.loss, config.model, len(classes))
    assert isinstance(criterion, Criterion)
    with torch.no_grad():
        output = model(batch.frames, with_head_inputs=True)
        queries = criterion(output, batch.targets).matchings[0].tables()  # (B, N, T)
        if isinstance(unit, IDOLUnit):
            return float(association_share(output.embeddings, queries))
        if isinstance(unit, MaskTrackUnit):
            return float(association_share(unit.head(output.embeddings), queries))
        assert isinstance(unit, DVISTrackerUnit | DVISRefinerUnit)
        frames = output.head_inputs.queries[0]
        found, _, _ = unit.tracker.step(frames)
        if isinstance(unit, DVISRefinerUnit):
            found = unit.refiner(found.queries, unit.tracker.frame_forward(frames))
        level = with_masks(found, output.head_inputs.mask_features)[0]
        targets = FrameTargets.from_clips(batch.targets, output.padded_size)
        tables = criterion.match_frames(
            by_frame(level.class_logits), by_frame(level.mask_logits), targets
        ).tables()
    counted = (tables >= 0)[..., 1:] & (tables >= 0)[..., :-1]
    return float((tables[..., 1:] == tables[..., :-1])[counted].float().mean())


def followed(weights: Path, batch: ClipBatch) -> float:
    """Return the share of instances whose mask has one track in a frame and in the next one."""
    segmenter = VideoSegmenter.from_pretrained(weights, device="cpu", score_threshold=0.0)
    same = []
    for frames, targets in zip(batch.frames, batch.targets, strict=True):
        tracks = []  # of each frame, the best one of every instance; -1 where none overlaps by half
        for time, (_, result) in enumerate(segmenter.track([*frames])):
            truth = targets.masks[:, time].numpy().reshape(len(targets.ids), 1, -1)
            found = result.masks.reshape(1, len(result), -1)
            iou = (truth & found).sum(-1) / np.maximum((truth | found).sum(-1), 1)
            tracks.append(np.where(iou.max(1) >= 0.5, result.track_ids[iou.argmax(1)], -1))
        shown = targets.masks.flatten(2).any(-1).numpy().T  # (T, N)
        for time in range(len(tracks) - 1):
            both = shown[time] & shown[time + 1]
            same += [*((tracks[time] == tracks[time + 1]) & (tracks[time] >= 0))[both]]
    return float(np.mean(same))
