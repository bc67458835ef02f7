"""The pipelines that are measured, and the calls that each contender is timed by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from torch import Tensor, nn

from bench.augment.agreement import Agreement, Comparison, rows_of_all, seen_inside
from bench.augment.albumentations import AlbumentationsClip, common_pipeline
from bench.augment.draws import Draw, generator, recorded, replaying, same_on_all_frames
from bench.augment.inputs import clip_sample, still_sample
from bench.augment.opencv import OpenCVFloor, frame_matrix, opencv
from bench.augment.torchvision import planar, torchvision_clip
from vidgap_augment import (
    ClipCompose,
    ClipFixedCrop,
    ClipResize,
    ClipScaleJitter,
    ClipTransform,
    finetune_pseudo_clips,
    finetune_real_clips,
    pretrain_clips,
)

Calls: TypeAlias = "dict[str, list[Callable[[], Any]]]"
"""For each contender, by name, one call a sample."""

WITHOUT_BOTH = {"copy_paste": None, "auto_augment": None}

ABLATIONS: dict[str, tuple[dict[str, None], bool]] = {
    "everything": ({}, True),
    "without paste": ({"copy_paste": None}, True),
    "without auto augment": ({"auto_augment": None}, True),
    "without both": (WITHOUT_BOTH, True),
    "without both, no masks": (WITHOUT_BOTH, False),
}
"""Arguments that leave parts out of a pipeline of stills, and whether samples have masks."""

COMMON = "ours, common part"
"""Our name in the comparison with albumentations."""

NUM_COMPARED = 4
INSTANCES_COMPARED = 10


@dataclass(frozen=True)
class Config:
    """One pipeline.

    Attributes:
        letter, title: its names.
        num_frames: T.
        source: (H, W) of the samples.
        size: (H, W) of the clips.
        is_still: whether the samples are images.
        pipeline: makes ours; takes `auto_augment`, `copy_paste` and `paste_probability`.
        resize: makes the resize of the common part.
    """

    letter: str
    title: str
    num_frames: int
    source: tuple[int, int]
    size: tuple[int, int]
    is_still: bool
    pipeline: Callable[..., nn.Module]
    resize: Callable[[], ClipTransform]

    def sample(self, num_instances: int, seed: int) -> Any:
        """Return the sample of a seed."""
        if self.is_still:
            return still_sample(num_instances, seed, self.source)
        return self.clip(num_instances, seed)

    def clip(self, num_instances: int, seed: int) -> Any:
        """Return a clip sample of the same size and length."""
        return clip_sample(self.num_frames, num_instances, seed, self.source)


VIDEO_SIZE = (480, 864)


def pseudo_clips(**options: Any) -> nn.Module:
    """Return `finetune_pseudo_clips`, cut and padded to one size."""
    pipeline = finetune_pseudo_clips(10, max_size=VIDEO_SIZE[1], **options)
    return ClipCompose([pipeline, ClipFixedCrop(VIDEO_SIZE)])


def real_clips(**_: Any) -> nn.Module:
    """Return `finetune_real_clips`, cut and padded to one size."""
    return ClipCompose([finetune_real_clips(max_size=VIDEO_SIZE[1]), ClipFixedCrop(VIDEO_SIZE)])


CONFIGS = (
    Config(
        "A", "stills of 480x640 to T=3 at 1024x1024", 3, (480, 640), (1024, 1024), True,
        partial(pretrain_clips, 3, (1024, 1024)), ClipScaleJitter,
    ),
    Config(
        "B", "stills of 480x640 to T=10 at 480x864", 10, (480, 640), VIDEO_SIZE, True,
        pseudo_clips, partial(ClipResize, max_size=VIDEO_SIZE[1]),
    ),
    Config(
        "C", "clips of 720x1280 to T=10 at 480x864", 10, (720, 1280), VIDEO_SIZE, False,
        real_clips, partial(ClipResize, max_size=VIDEO_SIZE[1]),
    ),
)  # fmt: skip


def contenders(config: Config, num_instances: int, num_cases: int) -> Calls:
    """Return the calls of ours, torchvision and the floor for seeds 0, 1, ..."""
    names = ["ours", "torchvision", "torchvision, once", "floor"]
    calls: Calls = {name: [] for name in names if config.is_still or name != "torchvision, once"}
    pipeline = config.pipeline()
    for seed in range(num_cases):
        sample = config.sample(num_instances, seed)
        draws = recorded(pipeline, sample, seed)
        theirs = partial(torchvision_clip, planar(sample), draws, config.num_frames)
        calls["ours"].append(partial(ours, pipeline, sample, seed))
        calls["torchvision"].append(theirs)
        if config.is_still:
            calls["torchvision, once"].append(partial(theirs, colours_once=True))
        calls["floor"].append(OpenCVFloor(sample, draws, config.num_frames))
    return calls


def ours(pipeline: nn.Module, sample: Any, seed: int) -> Any:
    """Run our pipeline with a new generator."""
    return pipeline(sample, generator(seed))


def common_contenders(config: Config, library: Any, num_instances: int, num_cases: int) -> Calls:
    """Return the calls of ours and of albumentations for the common part."""
    calls: Calls = {COMMON: [], "albumentations": []}
    for seed in range(num_cases):
        sample, draws, pipeline = common_case(config, num_instances, seed)
        calls[COMMON].append(partial(ours, pipeline, sample, seed))
        calls["albumentations"].append(AlbumentationsClip(library, sample, draws))
    return calls


def common_case(config: Config, num_instances: int, seed: int) -> tuple[Any, list[Draw], nn.Module]:
    """Return a clip, draws for it, and our pipeline that replays them."""
    sample = config.clip(num_instances, seed)
    pipeline = common_pipeline(config.resize(), config.size)
    draws = same_on_all_frames(recorded(pipeline, sample, seed))
    return sample, draws, replaying(pipeline, draws)


def ablation_contenders(config: Config, num_instances: int, num_cases: int) -> Calls:
    """Return the calls of ours without parts, with the draws of one that always pastes."""
    everything = config.pipeline(paste_probability=1.0)
    calls: Calls = {name: [] for name in ABLATIONS}
    for seed in range(num_cases):
        whole = config.sample(num_instances, seed)
        draws = recorded(everything, whole, seed)
        for name, (options, has_masks) in ABLATIONS.items():
            pipeline = replaying(config.pipeline(**options), draws)
            sample = whole if has_masks else {"image": whole["image"]}
            calls[name].append(partial(ours, pipeline, sample, seed))
    return calls


def agreement(config: Config) -> Agreement:
    """Compare ours with torchvision, with pastes and without colours."""
    comparison = Comparison()
    pipeline = config.pipeline(auto_augment=None, paste_probability=1.0)
    for seed in range(NUM_COMPARED):
        sample = config.sample(INSTANCES_COMPARED, seed)
        draws = recorded(pipeline, sample, seed)
        theirs = torchvision_clip(planar(sample), draws, config.num_frames)
        compare(comparison, config, draws, ours(pipeline, sample, seed), theirs)
    return comparison.result()


def common_agreement(config: Config, library: Any) -> Agreement:
    """Compare ours with albumentations."""
    comparison = Comparison()
    for seed in range(NUM_COMPARED):
        sample, draws, pipeline = common_case(config, INSTANCES_COMPARED, seed)
        theirs = AlbumentationsClip(library, sample, draws)()
        compare(comparison, config, draws, ours(pipeline, sample, seed), theirs)
    return comparison.result()


def compare(
    comparison: Comparison, config: Config, draws: list[Draw], clip: Any,
    theirs: tuple[Tensor, Tensor],
) -> None:  # fmt: skip
    """Add one clip of ours and its twin to a comparison."""
    matrices = [opencv(frame_matrix(draws, t, config.source)) for t in range(config.num_frames)]
    inside = seen_inside(matrices, config.source, config.size)
    frames = clip["video"].as_subclass(Tensor)
    comparison.add((frames, rows_of_all(clip, len(theirs[1]))), theirs, inside)
