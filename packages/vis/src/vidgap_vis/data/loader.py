"""From data sets to batches: the order of the clips, their padding, and the worker processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import parent_process
from threading import Thread

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from vidgap_augment import Sample
from vidgap_segmenter.targets import ClipTargets, check_num_frames
from vidgap_vis.data.datasets import ClipDataset, ClipKey
from vidgap_vis.errors import InputError
from vidgap_vis.formats.rle import Size


class EpochSampler(Sampler[ClipKey]):
    """Yields (epoch, index) pairs, epoch after epoch, from any position on.

    Position p of the whole run is index `order[p % length]` of epoch p // length, where the order
    of an epoch depends on (seed, epoch) alone. Rank r of R processes takes the positions start + r,
    start + r + R, ...; after k steps of B clips on each, a new sampler with
    start = old start + k * B * R goes on as if nothing had happened, with any R.

    Args:
        length: clips of an epoch.
        seed: 0 or more.
        start: position of the first pair, counted over all processes.
        stop: position to end at; None goes on for ever. Ranks may then differ by one pair.
        rank: of this process.
        num_ranks: number of processes (R).
    """

    def __init__(
        self,
        length: int,
        seed: int = 0,
        *,
        start: int = 0,
        stop: int | None = None,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        if length < 1 or start < 0 or not 0 <= rank < num_ranks:
            raise ValueError(
                "length must be at least 1, start at least 0, rank in 0..num_ranks-1, got "
                f"{length}, {start}, {rank} of {num_ranks}"
            )
        self.length = length
        self.seed = seed
        self.start = start
        self.stop = stop
        self.rank = rank
        self.num_ranks = num_ranks

    def __iter__(self) -> Iterator[ClipKey]:
        """Yield the pairs of this process."""
        position = self.start + self.rank
        epoch, order = -1, np.arange(self.length)
        while self.stop is None or position < self.stop:
            if position // self.length != epoch:
                epoch = position // self.length
                order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
            yield epoch, int(order[position % self.length])
            position += self.num_ranks


@dataclass(frozen=True)
class ClipBatch:
    """Clips of one length, padded at the right and the bottom to the largest of them.

    Attributes:
        frames: (B, T, 3, H, W), uint8, RGB; padded with the model's `padding_colour`.
        targets: B of them, masks (N, T, H, W), padded with False; N may be 0.
        sizes: (H, W) of each clip before padding.
    """

    frames: Tensor
    targets: tuple[ClipTargets, ...]
    sizes: tuple[Size, ...]

    def __post_init__(self) -> None:
        if self.frames.ndim != 5 or self.frames.shape[2] != 3 or self.frames.dtype != torch.uint8:
            raise ValueError(
                f"frames must be (B, T, 3, H, W) uint8, "
                f"got {tuple(self.frames.shape)} {self.frames.dtype}"
            )
        if not len(self.frames) == len(self.targets) == len(self.sizes):
            raise ValueError(
                f"frames, targets and sizes must be of one length, "
                f"got {len(self.frames)}, {len(self.targets)}, {len(self.sizes)}"
            )
        check_num_frames(self.targets, self.frames.shape[1])

    def __len__(self) -> int:
        return len(self.frames)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> ClipBatch:
        """Return the batch on `device`; `non_blocking` as in `Tensor.to`, for pinned memory."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def frames_apart(self) -> ClipBatch:
        """Return each frame as a clip of its own: B x T clips, T = 1, those of a clip together."""
        num_frames = self.frames.shape[1]
        targets = tuple(
            replace(clip, masks=clip.masks[:, t : t + 1])
            for clip in self.targets
            for t in range(num_frames)
        )
        sizes = tuple(size for size in self.sizes for _ in range(num_frames))
        return ClipBatch(self.frames.flatten(0, 1)[:, None], targets, sizes)

    def pin_memory(self) -> ClipBatch:
        """Return the batch in pinned memory; DataLoader calls this."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, move: Callable[[Tensor], Tensor]) -> ClipBatch:
        targets = tuple(
            ClipTargets(move(clip.labels), move(clip.masks), move(clip.ids))
            for clip in self.targets
        )
        return replace(self, frames=move(self.frames), targets=targets)


def collate(samples: Sequence[Sample], padding_colour: Tensor) -> ClipBatch:
    """Pad clip samples to one size and stack them; ValueError where their T differ.

    Args:
        samples: B of them.
        padding_colour: (3,) uint8, as `ClipSegmenter.padding_colour` gives it.
    """
    videos = [sample["video"].as_subclass(Tensor) for sample in samples]
    lengths = {len(video) for video in videos}
    if len(lengths) != 1:
        raise ValueError(f"the clips of a batch must have one T, got {sorted(lengths)}")
    sizes = tuple((video.shape[-2], video.shape[-1]) for video in videos)
    height, width = (max(side) for side in zip(*sizes, strict=True))
    colour = padding_colour[:, None, None]
    frames = colour.repeat(len(videos), len(videos[0]), 1, height, width)
    for padded, video in zip(frames, videos, strict=True):
        padded[..., : video.shape[-2], : video.shape[-1]] = video
    targets = tuple(_targets(sample, (height, width)) for sample in samples)
    return ClipBatch(frames, targets, sizes)


def _targets(sample: Sample, size: Size) -> ClipTargets:
    masks = sample["masks"].as_subclass(Tensor)
    padded = masks.new_zeros((*masks.shape[:2], *size))
    padded[..., : masks.shape[-2], : masks.shape[-1]] = masks
    return ClipTargets(sample["labels"], padded, sample["ids"])


class ClipLoader:
    """Iterates over batches made in worker processes, raising their InputErrors here.

    DataLoader turns an error of a worker into a page of traceback; an InputError comes through it
    as a value instead and is raised as it was. Ctrl-C reaches this process alone, so that it can
    still save a checkpoint.
    """

    def __init__(self, batches: DataLoader[Sample | InputError]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[ClipBatch]:
        """Yield batches as long as the sampler yields keys."""
        for batch in self.batches:
            if isinstance(batch, InputError):
                raise batch
            yield batch


def make_loader(
    dataset: ClipDataset,
    batch_size: int,
    num_workers: int = 0,
    *,
    sampler: EpochSampler,
    padding_colour: Tensor,
    pin_memory: bool = False,
) -> ClipLoader:
    """Load batches of `dataset` in the order of `sampler`.

    Args:
        dataset: of clips of one T.
        batch_size: clips of a batch in this process (B); the last one of a finite sampler may
            hold fewer.
        num_workers: processes that make batches; 0: this one makes them when asked. The batches
            do not depend on it.
        sampler: which clips, in which order.
        padding_colour: (3,) uint8, of the rest of a clip that is smaller than others of its batch.
        pin_memory: put batches in pinned memory, from which a GPU copies without waiting.
    """
    return ClipLoader(
        DataLoader(
            _Guarded(dataset),
            batch_size=batch_size,
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=partial(_collate_guarded, padding_colour=padding_colour),
            pin_memory=pin_memory,
            worker_init_fn=_start_worker,
            # Its own, for it draws a number that would otherwise move torch's default generator.
            generator=torch.Generator(),
        )
    )


class _Guarded(Dataset["Sample | InputError"]):
    """A data set that returns its InputErrors."""

    def __init__(self, dataset: ClipDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: ClipKey) -> Sample | InputError:
        try:
            return self.dataset[key]
        except InputError as error:
            return error


def _collate_guarded(
    samples: Sequence[Sample | InputError], padding_colour: Tensor
) -> ClipBatch | InputError:
    clips: list[Sample] = []
    for sample in samples:
        if isinstance(sample, InputError):
            return sample
        clips.append(sample)
    return collate(clips, padding_colour)


def _start_worker(worker: int) -> None:  # noqa: ARG001
    # Ctrl-C, and SIGTERM of schedulers, go to all processes; the main one decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS and Windows, where SIGTERM ends the worker
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_end_when_parent_says, daemon=True).start()
    # The workers are the parallelism; OpenCV's threads do not survive a fork.
    cv2.setNumThreads(0)


def _end_when_parent_says() -> None:
    """End this process when its parent sends SIGTERM, as `DataLoader` does to one that hangs."""
    parent = parent_process()
    assert parent is not None
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent.pid:
        pass
    os._exit(1)
