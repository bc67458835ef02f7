"""Segment and track video of any length: frames in, tracks out, bounded state between."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from vidgap_segmenter.structures import ClipOutput
from vidgap_segmenter.temporal import TemporalState
from vidgap_vis import build
from vidgap_vis.classes import ClassList
from vidgap_vis.frame_result import FrameResult, finish_masks
from vidgap_vis.tracking import Detections, QueryTracker, Tracker

AnyFrame = npt.NDArray[np.uint8] | Image.Image | Tensor
AnyFrameT = TypeVar("AnyFrameT", npt.NDArray[np.uint8], Image.Image, Tensor)
Precision = Literal["fp32", "bf16"]


class StepModel(Protocol):
    """A segmenter that takes a stream step by step, as `Mask2Former` and `MaskDINO` do."""

    def to(self, device: torch.device) -> StepModel:
        """Move to a device."""
        ...

    def eval(self) -> StepModel:
        """Set the mode for inference."""
        ...

    def step(
        self, frames: Tensor, state: TemporalState | None
    ) -> tuple[ClipOutput, TemporalState | None]:
        """Segment the next frames of a stream, (1, T, 3, H, W) RGB 0..255."""
        ...


class VideoSegmenter:
    """A model with what it takes to track: device, precision, frame size, thresholds, tracker.

    Args:
        model: the segmenter; it is moved to the device and set to eval mode.
        classes: what its labels mean.
        device: "auto" is CUDA where there is one, else the CPU.
        dtype: "bf16" runs the model under autocast.
        score_threshold: results leave out tracks whose score is below it; they are tracked anyway.
        short_edge: frames are resized to this short edge before the model sees them, and masks back
            to the frame's size; None: as they come.
        keep: names of the classes to look for; None: all.
        tracker: makes the tracker of a new stream.

    Raises:
        ValueError: `keep` holds a name that no class has.
    """

    def __init__(
        self,
        model: StepModel,
        classes: ClassList,
        *,
        device: str | torch.device = "auto",
        dtype: Precision = "fp32",
        score_threshold: float = 0.3,
        short_edge: int | None = None,
        keep: Sequence[str] | None = None,
        tracker: Callable[[], Tracker] = QueryTracker,
    ) -> None:
        if dtype not in ("fp32", "bf16"):
            raise ValueError(f"dtype must be 'fp32' or 'bf16', got {dtype!r}")
        if short_edge is not None and short_edge < 1:
            raise ValueError(f"short_edge must be positive, got {short_edge}")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.classes = classes
        self.dtype = dtype
        self.score_threshold = score_threshold
        self.short_edge = short_edge
        self.kept_labels = kept_labels(classes, keep)
        self.make_tracker = tracker

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        device: str | torch.device = "auto",
        dtype: Precision = "fp32",
        score_threshold: float = 0.3,
        short_edge: int | None = None,
        keep: Sequence[str] | None = None,
        tracker: Callable[[], Tracker] = QueryTracker,
    ) -> VideoSegmenter:
        """Load a weights folder (`config.json` and `model.safetensors`); arguments as the class."""
        model, classes = build.load(folder)
        return cls(
            model,
            classes,
            device=device,
            dtype=dtype,
            score_threshold=score_threshold,
            short_edge=short_edge,
            keep=keep,
            tracker=tracker,
        )

    def stream(self, latency: int = 1, *, score_threshold: float | None = None) -> Stream:
        """Return a stream for one video: new state, new ids.

        Args:
            latency: frames that the model sees at once. Its short-term part mixes frames within
                such a group, so more is better and later.
            score_threshold: None: the segmenter's.
        """
        threshold = self.score_threshold if score_threshold is None else score_threshold
        return Stream(self, latency, threshold)

    def track(
        self,
        frames: Iterable[AnyFrameT],
        latency: int = 1,
        *,
        score_threshold: float | None = None,
    ) -> Iterator[tuple[AnyFrameT, FrameResult]]:
        """Yield every frame of a video with its result; holds `latency` frames at most."""
        pending: deque[AnyFrameT] = deque()
        with self.stream(latency, score_threshold=score_threshold) as stream:
            for frame in frames:
                pending.append(frame)
                result = stream(frame)
                if result is not None:
                    yield pending.popleft(), result
            for result in stream.flush():
                yield pending.popleft(), result


class Stream:
    """Tracks one video frame by frame; `VideoSegmenter.stream` makes it.

    A context manager; leaving it frees the state.

    Calling it with a frame returns the result of the frame `latency - 1` calls ago: None during
    the first `latency - 1` calls, the frame's own result with a latency of 1. `flush` returns
    the results that are still out.
    """

    def __init__(self, segmenter: VideoSegmenter, latency: int, score_threshold: float) -> None:
        if latency < 1:
            raise ValueError(f"latency must be at least 1 frame, got {latency}")
        self.segmenter = segmenter
        self.latency = latency
        self.score_threshold = score_threshold
        self._tracker = segmenter.make_tracker()
        self._state: TemporalState | None = None
        self._size: tuple[int, int] | None = None
        self._waiting: list[Tensor] = []  # frames not yet given to the model, (3, H, W)
        self._ready: deque[FrameResult] = deque()
        self._num_frames = 0
        self._closed = False

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the state and whatever was not flushed."""
        self._closed = True
        self._state = None
        self._waiting.clear()
        self._ready.clear()

    def __call__(self, frame: AnyFrame) -> FrameResult | None:
        """Take the next frame; return the result of the frame `latency - 1` calls ago.

        Args:
            frame: RGB: an ndarray (H, W, 3) uint8, a PIL image, or a tensor (3, H, W) uint8.

        Raises:
            ValueError: the frame is none of these, its size differs from the first one's, or the
                stream is closed.
        """
        if self._closed:
            raise ValueError("the stream is closed; open another with VideoSegmenter.stream()")
        tensor = as_tensor(frame)
        size = (tensor.shape[1], tensor.shape[2])
        if self._size not in (None, size):
            raise ValueError(f"every frame of a stream must be {self._size}, got {size}")
        self._size = size
        self._waiting.append(tensor)
        if len(self._waiting) == self.latency:
            self._step(size)
        return self._ready.popleft() if self._ready else None

    def flush(self) -> list[FrameResult]:
        """Give the model what is waiting; return every result still out, in order of frames."""
        if self._waiting and self._size is not None:
            self._step(self._size)
        results = list(self._ready)
        self._ready.clear()
        return results

    @torch.inference_mode()
    def _step(self, size: tuple[int, int]) -> None:
        """Run the model and the tracker over the waiting frames."""
        frames = torch.stack(self._waiting).to(self.segmenter.device)  # (T, 3, H, W)
        self._waiting.clear()
        if self.segmenter.short_edge is not None:
            scale = self.segmenter.short_edge / min(size)
            shape = [max(1, round(side * scale)) for side in size]
            frames = resize(frames, shape, antialias=True)
        half = self.segmenter.dtype == "bf16"
        with torch.autocast(self.segmenter.device.type, dtype=torch.bfloat16, enabled=half):
            output, self._state = self.segmenter.model.step(frames[None], self._state)
        for time in range(len(frames)):
            self._ready.append(self._track(output, time, size))

    def _track(self, output: ClipOutput, time: int, size: tuple[int, int]) -> FrameResult:
        probabilities = output.class_probabilities[0, :, time].float()  # (Q, K)
        probabilities = probabilities * self.segmenter.kept_labels.to(probabilities)
        mask_logits = output.mask_logits[0, :, time]  # (Q, h, w) over the padded frame
        extent = [
            -(-side * cells // padded)  # the cells that the frame itself covers, rounded up
            for side, cells, padded in zip(
                output.frame_size, mask_logits.shape[1:], output.padded_size, strict=True
            )
        ]
        detections = Detections(
            class_probabilities=probabilities.cpu().numpy(),
            embeddings=output.embeddings[0, :, time].float().cpu().numpy(),
            masks=(mask_logits[:, : extent[0], : extent[1]] > 0).cpu().numpy(),
        )
        tracks = [
            track
            for track in self._tracker.update(detections)
            if track.class_scores.max() >= self.score_threshold  # a score is at most that
        ]
        logits = mask_logits[[track.query for track in tracks]]
        rles, mask_scores = finish_masks(output, logits, size)
        self._num_frames += 1
        result = FrameResult.from_tracks(
            self._num_frames - 1, size, tracks, rles, mask_scores, self.segmenter.classes
        )
        return result.above(self.score_threshold)


def as_tensor(frame: AnyFrame) -> Tensor:
    """Return a frame as (3, H, W) uint8, on the device where it is.

    Raises:
        ValueError: it is not an ndarray (H, W, 3) uint8, a PIL image or a tensor (3, H, W) uint8.
    """
    if isinstance(frame, Image.Image):
        frame = np.array(frame.convert("RGB"))
    if isinstance(frame, np.ndarray):
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"frame must be (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        return torch.from_numpy(np.array(frame)).permute(2, 0, 1)  # a copy: the caller's may change
    if isinstance(frame, Tensor):
        if frame.ndim != 3 or frame.shape[0] != 3 or frame.dtype != torch.uint8:
            raise ValueError(
                f"frame must be (3, H, W) uint8, got {tuple(frame.shape)} {frame.dtype}"
            )
        return frame.clone()
    raise ValueError(
        f"frame must be an ndarray, a PIL image or a tensor, got {type(frame).__name__}"
    )


def kept_labels(classes: ClassList, keep: Sequence[str] | None) -> Tensor:
    """Return 1 for the classes named in `keep` (None: all) and 0 for the others, (K,) float32.

    Raises:
        ValueError: no class has one of the names.
    """
    names = [info.name for info in classes]
    unknown = [name for name in keep or () if name not in names]
    if unknown:
        raise ValueError(f"unknown class {unknown[0]!r}, wanted one of {', '.join(names)}")
    return torch.tensor([float(keep is None or name in keep) for name in names])
