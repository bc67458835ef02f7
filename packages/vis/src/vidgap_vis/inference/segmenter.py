"""A model with all that tracking needs: `VideoSegmenter` opens a stream for each video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidgap_vis.classes import ClassList
from vidgap_vis.errors import ConfigError, InputError, check
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.groups import AnyFrameT
from vidgap_vis.inference.step import MAX_SIZE, ModelStep, Precision, StepModel
from vidgap_vis.inference.stream import Stream
from vidgap_vis.inference.two_passes import TwoPasses
from vidgap_vis.trackers import OnlineTracker, QueryAssociator, Tracker, by_name
from vidgap_vis.trackers.by_name import TOP_K
from vidgap_vis.trackers.offline import OfflineTracker
from vidgap_vis.trackers.online import MAX_ENDED
from vidgap_vis.weights import open_weights


def query_tracker() -> Tracker:
    """Return a new tracker by query embeddings, the default."""
    return OnlineTracker(QueryAssociator())


class VideoSegmenter:
    """A model with all that tracking needs: device, precision, frame size, thresholds, tracker.

    Args:
        model: the segmenter; it is moved to the device and set to eval mode.
        classes: what its labels mean.
        device: "auto" is CUDA where there is one, else the CPU.
        dtype: "bf16" runs the model under autocast.
        score_threshold: results leave out tracks whose score is below it; they are tracked anyway.
        short_edge: frames are resized to this short edge before the model sees them, and masks back
            to the frame's size; None: as they come.
        max_size: the long edge does not exceed this where frames are resized.
        keep: names of the classes to look for; None: all.
        tracker: makes the tracker of a new stream.
        top_k: how many pairs of a track and a class a video lists in results.
        compiled: whether `torch.compile` makes the model's step, as `ModelStep`.

    Raises:
        ValueError: `keep` holds a name that no class has, or `top_k` is not 1 to 1000.
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
        max_size: int = MAX_SIZE,
        keep: Sequence[str] | None = None,
        tracker: Callable[[], Tracker] = query_tracker,
        top_k: int = TOP_K,
        compiled: bool = False,
    ) -> None:
        self.device = device_of(device)
        self.classes = classes
        self.score_threshold = score_threshold
        self.make_tracker = tracker
        check("top_k", 1 <= top_k <= MAX_ENDED, f"1 to {MAX_ENDED}", top_k)
        self.top_k = top_k
        self.step = ModelStep(
            model,
            self.device,
            class_weights=kept_labels(classes, keep),
            dtype=dtype,
            short_edge=short_edge,
            max_size=max_size,
            compiled=compiled,
        )

    @property
    def model(self) -> StepModel:
        """The segmenter, in eval mode, on the device."""
        return self.step.model

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        device: str | torch.device = "auto",
        dtype: Precision = "fp32",
        score_threshold: float = 0.3,
        short_edge: int | None = None,
        max_size: int | None = None,
        keep: Sequence[str] | None = None,
        tracker: Mapping[str, Any] | Callable[[], Tracker] | None = None,
        top_k: int | None = None,
        compiled: bool = False,
    ) -> VideoSegmenter:
        """Load weights by name: a folder, another project's, or one of the Hugging Face Hub.

        `source` is as `vidgap_vis.weights.open_weights` takes it, "user/name" for the Hub. The
        other arguments are the class's; `short_edge`, `max_size`, `tracker` and `top_k` are by
        default what the weights say, or else the frames as they come, 1333, the tracker that fits
        the weights (CTVIS's where they have an embedding head), and 20. A tracker may be given as
        `name` and options of it, as in {"name": "ctvis", "match_threshold": 0.3}.

        Raises:
            InputError: there are no such weights, or they are at fault.
            ConfigError: the tracker does not fit the weights.
        """
        weights = open_weights(source)
        model, classes, head, usage = weights.model, weights.classes, weights.head, weights.usage
        device = device_of(device)
        top_k = (usage.test.top_k or TOP_K) if top_k is None else top_k
        if not callable(tracker):
            if head is not None:
                head.to(device)
            make = partial(
                by_name.tracker,
                model=model,
                head=head,
                top_k=top_k,
                class_weights=kept_labels(classes, keep).numpy(),
            )
            try:
                tracker = make(usage.tracker or {} if tracker is None else tracker)
            except ConfigError as error:
                if tracker is not None:
                    raise
                # the folder's fault, not the caller's
                raise InputError(weights.usage_file, error.item, error.message) from error
        return cls(
            model,
            classes,
            device=device,
            dtype=dtype,
            score_threshold=score_threshold,
            short_edge=usage.test.short_edge if short_edge is None else short_edge,
            max_size=(usage.test.max_size or MAX_SIZE) if max_size is None else max_size,
            keep=keep,
            tracker=tracker,
            top_k=top_k,
            compiled=compiled,
        )

    def stream(self, latency: int | None = None, *, score_threshold: float | None = None) -> Stream:
        """Return a stream for one video: new state, new ids.

        Args:
            latency: frames that the model sees at once. Its short-term part mixes frames within
                such a group; results come the later. None: 1, or a clip of the tracker's, which
                a joint network takes alone.
            score_threshold: None: the segmenter's.

        Raises:
            ValueError: the latency is none of the tracker's, or it wants whole videos.
        """
        tracker = self.make_tracker()
        latency = tracker.clip_frames if latency is None else latency
        return Stream(self.step, tracker, self.classes, latency, self._or_own(score_threshold))

    def open(
        self, latency: int | None = None, *, score_threshold: float | None = None
    ) -> Stream | TwoPasses:
        """Return what tracks a video that ends: two passes where the tracker wants whole videos.

        Arguments and errors as `stream`'s.
        """
        tracker = self.make_tracker()
        latency = tracker.clip_frames if latency is None else latency
        threshold = self._or_own(score_threshold)
        if isinstance(tracker, OfflineTracker):
            return TwoPasses(self.step, tracker, self.classes, latency, threshold)
        return Stream(self.step, tracker, self.classes, latency, threshold)

    def track(
        self,
        frames: Iterable[AnyFrameT],
        latency: int | None = None,
        *,
        score_threshold: float | None = None,
    ) -> Iterator[tuple[AnyFrameT, FrameResult]]:
        """Yield every frame of a video with its result; holds `latency` frames at most.

        Args:
            frames: as a `Stream` takes them; for a tracker that wants whole videos something that
                can be gone through twice, such as a list or `open_video`'s.
            latency: as `stream`'s.
            score_threshold: None: the segmenter's.

        Raises:
            ValueError: frames can be gone through only once, but the tracker wants them twice.
        """
        video = self.open(latency, score_threshold=score_threshold)
        if isinstance(video, TwoPasses):
            if iter(frames) is frames:
                raise ValueError(
                    "frames must be something that can be gone through twice, as the tracker sees "
                    f"all of them before it shows one, got {type(frames).__name__}"
                )
            video.look(frames)
        yield from video.track(frames)

    def _or_own(self, score_threshold: float | None) -> float:
        return self.score_threshold if score_threshold is None else score_threshold


def device_of(name: str | torch.device) -> torch.device:
    """Return a device; "auto" is CUDA where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


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
