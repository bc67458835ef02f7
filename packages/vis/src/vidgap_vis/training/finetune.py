"""Stage two: fine-tune on clips of videos, on pseudo-clips of images, or on both."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from vidgap_vis import build
from vidgap_vis.classes import ClassList
from vidgap_vis.config import FinetuneConfig
from vidgap_vis.data import ClipDataset, MixedDataset, PseudoClipDataset, VideoClipDataset
from vidgap_vis.data.category_maps import coco_to
from vidgap_vis.errors import InputError
from vidgap_vis.formats import ImageSet, read_coco, read_youtube_vis
from vidgap_vis.trackers import by_name
from vidgap_vis.training.first_weights import load_first_weights
from vidgap_vis.training.loop import Task, make_accelerator, train
from vidgap_vis.training.make_unit import make_unit
from vidgap_vis.training.run_folder import Provenance
from vidgap_vis.weights import Test, Usage

logger = logging.getLogger(__name__)

MAX_NAMES = 8
"""How many classes that are left out are named."""


def finetune(
    config: FinetuneConfig,
    init: str | Path | None,
    out: str | Path,
    *,
    resume: bool = False,
    profile: bool = False,
) -> Path:
    """Fine-tune on clips of T frames.

    Args:
        config: the run's configuration.
        init: the weights folder to start from; None: random weights, or those of the checkpoint
            where there is one.
        out: the run's folder: new or empty, or the run to resume.
        resume: go on from the last checkpoint in `out`.
        profile: log where a step's time went.

    Returns:
        The weights folder, `out/weights`.

    Raises:
        InputError: a file, the folder or the configuration is at fault; `WeightsError` where the
            weights do not fit.
        TrainingError: a loss is not finite.
        TrainingInterrupted: a signal stopped it; a checkpoint was left.
    """
    out, seed = Path(out), config.train.seed
    accelerator = make_accelerator(config.train, out)
    dataset, files = make_dataset(config)
    torch.manual_seed(seed)
    model = build.segmenter(config.model, config.temporal, len(dataset.classes))
    usage = make_usage(config)
    unit = make_unit(model, config, len(dataset.classes))
    # Raises where it does not fit what is trained.
    by_name.tracker(usage.tracker or {}, model, unit.saved_head)
    resumed = out if resume else None
    parent = load_first_weights(
        model, dataset.classes, config, "finetune", init, resumed, unit.saved_head
    )
    task = Task(
        unit,
        dataset,
        dataset.classes,
        Provenance.of("finetune", config, files, parent),
        usage,
    )
    return train(accelerator, task, config.train, out, resume=resume, profile=profile)


def make_usage(config: FinetuneConfig) -> Usage:
    """Return how the weights of a run are to be used."""
    tracker = {} if config.tracker is None else build.given(vars(config.tracker))
    if config.contrast is not None and config.contrast.method == "idol":
        tracker = {"name": "idol"} | tracker  # an embedding head alone would mean CTVIS
    if config.head is not None and config.head.clip_frames is not None:
        tracker = {"name": config.head.name, "clip_frames": config.head.clip_frames} | tracker
    return Usage(tracker or None, Test(**vars(config.test)))


def make_dataset(config: FinetuneConfig) -> tuple[ClipDataset, dict[str, Path]]:
    """Return the clips to train on, and their annotation files by key of the configuration."""
    data, clip, seed = config.data, config.clip, config.train.seed
    files: dict[str, Path] = {}
    clips: VideoClipDataset | None = None
    if data.annotations is not None and data.root is not None:
        files["data.annotations"] = data.root / data.annotations
        videos = read_youtube_vis(files["data.annotations"], data.root / data.frames)
        clips = VideoClipDataset(
            videos,
            clip.num_frames,
            clip.frame_range,
            build.video_clips(clip),
            seed,
            with_replacement=clip.with_replacement,
            reverse_probability=clip.reverse_probability,
        )
    if data.pseudo is not None:
        pseudo = data.pseudo
        files["data.pseudo.annotations"] = pseudo.root / pseudo.annotations
        images = read_coco(files["data.pseudo.annotations"], pseudo.root / pseudo.images)
        if clips is not None:
            table = pseudo.category_map if pseudo.coco_to is None else coco_to(pseudo.coco_to)
            images = with_classes(images, clips.classes, table)
        pseudo_clips = PseudoClipDataset(images, build.joint_image_clips(clip), seed)
        if clips is None:
            return pseudo_clips, files
        return MixedDataset(pseudo_clips, clips, pseudo.ratio, seed), files
    assert clips is not None  # `VideoDataConfig` has one of both
    return clips, files


def with_classes(
    images: ImageSet, classes: ClassList, category_map: Mapping[int, int] | None
) -> ImageSet:
    """Give an image set the classes of a video set; instances of other classes are dropped.

    Args:
        images: what is mapped.
        classes: of the videos.
        category_map: category id of the images -> category id of the videos; None: same names.

    Raises:
        InputError: the map names an unknown category, or no class is shared.
    """
    by_id = {info.category_id: info.index for info in classes}
    by_name = {info.name: info.index for info in classes}
    if category_map is None:
        labels = {i.index: by_name[i.name] for i in images.classes if i.name in by_name}
    else:
        for target in category_map.values():
            if target not in by_id:
                message = f"{target} is no category of the videos"
                raise InputError(images.path, "data.pseudo.category_map", message)
        labels = {
            info.index: by_id[category_map[info.category_id]]
            for info in images.classes
            if info.category_id in category_map
        }
    if not labels:
        raise InputError(images.path, "categories", "none is a class of the videos")
    unknown = [info.name for info in images.classes if info.index not in labels]
    if unknown:
        names = ", ".join(unknown[:MAX_NAMES]) + (", ..." if len(unknown) > MAX_NAMES else "")
        logger.info(
            f"{images.path}: {len(unknown)} of {len(images.classes)} classes are none of the "
            f"videos and left out: {names}"
        )
    mapped = tuple(
        replace(
            image,
            instances=tuple(
                replace(instance, label=labels[instance.label])
                for instance in image.instances
                if instance.label in labels
            ),
        )
        for image in images.images
    )
    return replace(images, classes=classes, images=mapped)
