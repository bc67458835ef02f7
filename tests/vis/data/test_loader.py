"""Loading: one order of clips whatever the workers, ranks and resumes; padding; errors."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from itertools import islice
from typing import Any

import pytest
import torch

from vidgap_augment import ClipCompose, ClipFlip, PseudoClip, Sample, boxes_from_masks
from vidgap_segmenter import ClipTargets, Mask2Former
from vidgap_vis.classes import ClassInfo
from vidgap_vis.data import (
    ClipBatch,
    ClipDataset,
    EpochSampler,
    PseudoClipDataset,
    VideoClipDataset,
    collate,
    make_loader,
)
from vidgap_vis.errors import InputError
from vidgap_vis.formats import read_coco, read_youtube_vis


def test_every_epoch_holds_every_index_once_in_an_order_of_its_own() -> None:
    pairs = list(EpochSampler(10, seed=3, stop=30))
    assert [epoch for epoch, _ in pairs] == [0] * 10 + [1] * 10 + [2] * 10
    orders = [[i for e, i in pairs if e == epoch] for epoch in range(3)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert list(EpochSampler(10, seed=4, stop=30)) != pairs


@pytest.mark.parametrize("start", [0, 1, 9, 10, 25])
def test_a_run_goes_on_from_any_position(start: int) -> None:
    whole = list(islice(EpochSampler(10, seed=3), 50))
    assert list(islice(EpochSampler(10, seed=3, start=start), 50 - start)) == whole[start:]


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
@pytest.mark.parametrize("start", [0, 7])
def test_ranks_share_the_sequence_step_by_step(num_ranks: int, start: int) -> None:
    whole = list(islice(EpochSampler(5, seed=3, start=start), 12 * num_ranks))
    ranks = [
        list(islice(EpochSampler(5, 3, start=start, rank=r, num_ranks=num_ranks), 12))
        for r in range(num_ranks)
    ]
    assert [pair for step in zip(*ranks, strict=True) for pair in step] == whole


@pytest.mark.parametrize(
    ("length", "start", "rank", "num_ranks"), [(0, 0, 0, 1), (1, -1, 0, 1), (1, 0, 2, 2)], ids=str
)
def test_impossible_samplers_are_refused(
    length: int, start: int, rank: int, num_ranks: int
) -> None:
    with pytest.raises(ValueError, match="length must be at least 1, start at least 0, rank in"):
        EpochSampler(length, start=start, rank=rank, num_ranks=num_ranks)


PADDING = torch.tensor([124, 116, 104], dtype=torch.uint8)


def clip(num: int, height: int, width: int, num_frames: int = 2) -> Sample:
    masks = torch.ones(num, num_frames, height, width, dtype=torch.bool)
    return {
        "video": torch.full((num_frames, 3, height, width), 7, dtype=torch.uint8),
        "masks": masks,
        "labels": torch.arange(num),
        "ids": torch.arange(num) + 5,
        "boxes": boxes_from_masks(masks),
    }


def test_clips_are_padded_right_and_bottom_to_the_largest_sides() -> None:
    batch = collate([clip(2, 4, 9), clip(0, 6, 3), clip(1, 6, 9)], PADDING)
    assert batch.frames.shape == (3, 2, 3, 6, 9)
    assert type(batch.frames) is torch.Tensor
    assert batch.sizes == ((4, 9), (6, 3), (6, 9))
    for frames, targets, (height, width) in zip(
        batch.frames, batch.targets, batch.sizes, strict=True
    ):
        assert (frames[..., :height, :width] == 7).all()
        for channel, value in enumerate(PADDING.tolist()):
            assert (frames[:, channel, height:] == value).all()
            assert (frames[:, channel, :, width:] == value).all()
        assert targets.masks.shape[1:] == (2, 6, 9)
        assert targets.masks[..., :height, :width].all()
        assert targets.masks.sum() == len(targets) * 2 * height * width
    assert batch.targets[0].ids.tolist() == [5, 6]
    assert len(batch.targets[1]) == 0
    assert len(batch) == 3


@pytest.mark.parametrize("backbone", ["test_resnet", "tf_efficientnet_lite0"])
def test_the_padding_of_a_model_is_nearly_zero_for_it(backbone: str) -> None:
    model = Mask2Former(
        backbone, num_classes=2, channels=32, num_encoder_layers=1, num_decoder_layers=1
    )
    batch = collate([clip(1, 4, 9), clip(1, 6, 9)], model.padding_colour)
    padded = batch.frames[0, 0, :, 5, 0].view(3, 1, 1)  # (3, 1, 1)
    assert (((padded - model.pixel_mean) / model.pixel_std).abs() < 0.01).all()


def test_clips_of_different_lengths_do_not_make_a_batch() -> None:
    with pytest.raises(ValueError, match=r"clips of a batch must have one T, got \[2, 3\]"):
        collate([clip(1, 4, 4), clip(1, 4, 4, num_frames=3)], PADDING)


def test_a_batch_checks_itself() -> None:
    frames = torch.zeros(1, 2, 3, 4, 4, dtype=torch.uint8)
    targets = ClipTargets(
        torch.zeros(1, dtype=torch.int64),
        torch.zeros(1, 2, 4, 4, dtype=torch.bool),
        torch.zeros(1, dtype=torch.int64),
    )
    with pytest.raises(ValueError, match=r"frames must be \(B, T, 3, H, W\) uint8, got"):
        ClipBatch(frames.float(), (targets,), ((4, 4),))
    with pytest.raises(ValueError, match="must be of one length, got 1, 2, 1"):
        ClipBatch(frames, (targets, targets), ((4, 4),))
    with pytest.raises(ValueError, match="must have 1 frames"):
        ClipBatch(frames[:, :1], (targets,), ((4, 4),))


def test_a_batch_moves_as_a_whole() -> None:
    batch = collate([clip(2, 4, 4)], PADDING).to("meta")
    moved = [batch.frames, *(getattr(batch.targets[0], k) for k in ("labels", "masks", "ids"))]
    assert all(tensor.is_meta for tensor in moved)
    assert batch.sizes == ((4, 4),)


def load(dataset: ClipDataset, num_workers: int, start: int = 0, count: int = 4) -> list[ClipBatch]:
    sampler = EpochSampler(len(dataset), seed=2, start=start)
    return list(
        islice(make_loader(dataset, 3, num_workers, sampler=sampler, padding_colour=PADDING), count)
    )


def assert_same_batches(one: list[ClipBatch], other: list[ClipBatch]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.frames.equal(b.frames)
        for x, y in zip(a.targets, b.targets, strict=True):
            assert x.labels.equal(y.labels)
            assert x.ids.equal(y.ids)
            assert x.masks.equal(y.masks)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # fewer cores
def test_batches_do_not_depend_on_the_workers_or_on_a_resume(image_folder: Any) -> None:
    transform = ClipCompose([PseudoClip(num_frames=2), ClipFlip()])
    image_set = read_coco(image_folder.save(), image_folder.root)
    dataset = PseudoClipDataset(image_set, transform, seed=1)
    state = torch.get_rng_state()
    wanted = load(dataset, 0)
    assert torch.get_rng_state().equal(state)
    assert len({batch.frames.numpy().tobytes() for batch in wanted}) > 1
    for num_workers in (1, 4):
        assert_same_batches(load(dataset, num_workers), wanted)
    assert_same_batches(load(dataset, 0, start=6, count=2), wanted[2:])


def test_a_finite_sampler_ends_with_a_smaller_batch(video_folder: Any) -> None:
    video_set = read_youtube_vis(video_folder.save(), video_folder.root)
    dataset = VideoClipDataset(video_set, 2, 1, lambda sample, _: sample, seed=1)
    loader = make_loader(dataset, 3, sampler=EpochSampler(2, stop=4), padding_colour=PADDING)
    assert [len(batch) for batch in loader] == [3, 1]


class Faulty(ClipDataset):
    """Fails at index 2."""

    classes = (ClassInfo(0, 1, "cat"),)

    def __len__(self) -> int:
        return 3

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        if key[1] == 2:
            raise InputError("data/c.jpg", "", "the image does not decode (cut off)")
        return clip(1, 4, 4)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_about_a_file_comes_out_of_a_worker_as_it_was(num_workers: int) -> None:
    sampler = EpochSampler(3, seed=1)  # its first epoch is 0, 1, 2
    batches = iter(make_loader(Faulty(), 1, num_workers, sampler=sampler, padding_colour=PADDING))
    assert len(next(batches)) == 1
    assert len(next(batches)) == 1
    with pytest.raises(InputError) as caught:
        next(batches)
    assert str(caught.value) == "data/c.jpg: the image does not decode (cut off)"


def test_ctrl_c_does_not_reach_the_workers(image_folder: Any) -> None:
    image_set = read_coco(image_folder.save(), image_folder.root)
    dataset = PseudoClipDataset(image_set, PseudoClip(num_frames=2), seed=1)
    batches = iter(make_loader(dataset, 1, 1, sampler=EpochSampler(2), padding_colour=PADDING))
    next(batches)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGINT)
    assert len([next(batches) for _ in range(8)]) == 8


HANGS = """
import time

from torch.utils.data import DataLoader, Dataset

from vidgap_vis.data.loader import _start_worker


class Hangs(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        time.sleep(3600)


batches = iter(DataLoader(Hangs(), num_workers=1, worker_init_fn=_start_worker))
time.sleep(1)
del batches
"""


def test_a_worker_that_hangs_ends_with_its_loader() -> None:
    subprocess.run([sys.executable, "-c", HANGS], check=True, timeout=100)
