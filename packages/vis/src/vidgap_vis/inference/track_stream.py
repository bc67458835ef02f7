"""Identities for the instances that any model finds in single frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vidgap_vis.classes import ClassInfo, ClassList
from vidgap_vis.formats.rle import Rle
from vidgap_vis.inference.foreign import Instances, Size
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.trackers import OnlineTracker, QueryAssociator, QueryOptions, VideoTracks
from vidgap_vis.trackers.base import StateDict
from vidgap_vis.trackers.detections import Detections
from vidgap_vis.weights.class_names import numbered_from_one

BY_LOOKS = QueryOptions(min_score=0.0)
"""Whoever finds instances decides which scores are too low."""

BY_OVERLAP = QueryOptions(min_score=0.0, min_affinity=0.9)
"""Without embeddings a mask continues a track if its IoU with the last frame's is above 0.3."""


def usual_tracker(with_embeddings: bool) -> OnlineTracker:
    """Return a tracker for detectors: by overlap, and by embeddings where there are some."""
    options = BY_LOOKS if with_embeddings else BY_OVERLAP
    return OnlineTracker(QueryAssociator(options), any_number=True)


def class_list(classes: Sequence[str] | ClassList) -> ClassList:
    """Return classes, of names in order with category ids 1, 2, 3 ...

    Raises:
        ValueError: it is one name.
    """
    if isinstance(classes, str):
        raise ValueError(f"classes must be a list of names, got {classes!r}")
    names = [info for info in classes if isinstance(info, str)]
    infos = tuple(info for info in classes if isinstance(info, ClassInfo))
    return infos or numbered_from_one(names)


class TrackStream:
    """Gives the instances of successive frames identities, whatever model found them.

    Calling it with what a model found in the next frame returns the tracks of that frame, whose
    masks are those given. The state does not grow with the video, and ids are never used again.

    Args:
        classes: what labels mean: their names in order, or a model's classes.
        tracker: an `OnlineTracker` with `any_number`; None: the one by query embeddings, which goes
            by the overlap of masks alone where there are no embeddings. It then does not find an
            instance again that was out of sight.
        score_threshold: instances below it are tracked, but left out of results.
    """

    def __init__(
        self,
        classes: Sequence[str] | ClassList,
        tracker: OnlineTracker | None = None,
        *,
        score_threshold: float = 0.0,
    ) -> None:
        self.classes = class_list(classes)
        if not self.classes:
            raise ValueError("classes must name one at least, got none")
        if tracker is not None and not tracker.any_number:
            raise ValueError("tracker must take any number of instances: any_number=True")
        self.tracker = usual_tracker(with_embeddings=False) if tracker is None else tracker
        self._is_given = tracker is not None
        self.score_threshold = score_threshold
        self._size: Size | None = None
        self._channels: int | None = None
        self._closed = False

    def __enter__(self) -> TrackStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True

    def __call__(self, found: Any, size: Size | None = None) -> FrameResult:
        """Take the instances of the next frame; return its tracks.

        Args:
            found: what `Instances.of` reads.
            size: (H, W) of the frame, which is wanted where nothing is found before anything else.

        Raises:
            ValueError: it is no such thing, the frame has another size than the first, a label is
                no class, embeddings come and go, or have another length, or the stream is closed.
        """
        if self._closed:
            raise ValueError("the stream is closed; a video needs a TrackStream of its own")
        instances = Instances.of(found, size or self._size)
        num = len(instances.masks)
        if size is not None and instances.masks.shape[1:] != size:
            raise ValueError(f"masks must be {size}, got {instances.masks.shape[1:]}")
        if num or size is not None or self._size is None or isinstance(found, Instances):
            self._check(instances, size)
        tracks = self.tracker.step([self._detections(instances)])
        rows = tracks.queries[:, 0]
        shown = tracks.class_scores[:, 0]  # (R, K)
        result = FrameResult(
            frame_index=tracks.first_frame,
            size=self._size or instances.masks.shape[1:],
            track_ids=tracks.ids,
            labels=shown.argmax(axis=1).astype(np.int64),
            scores=np.asarray(shown.max(axis=1, initial=0.0), np.float32),
            rles=tuple(Rle.encode(instances.masks[row]) for row in rows.tolist()),
            class_scores=shown.astype(np.float32),
            mask_scores=np.asarray(instances.masks[rows].any(axis=(1, 2)), np.float32),
            classes=self.classes,
            retracted=tracks.retracted,
            ended=tracks.ended,
        )
        return result.above(self.score_threshold)

    def finish(self) -> VideoTracks:
        """Rank the tracks of the video."""
        return self.tracker.finish()

    def state_dict(self) -> StateDict:
        """Return all that is needed to go on; it does not grow with the video."""
        return {
            "tracker": self.tracker.state_dict(),
            "size": np.array(self._size or (), np.int64),
            "channels": -1 if self._channels is None else self._channels,
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Go on from a state, with the same classes and tracker.

        Raises:
            ValueError: it is of an earlier version, which counted frames otherwise.
        """
        if "num_before" in state:
            raise ValueError("state must be of this version of vidgap-vis, got an earlier one's")
        height, width = state["size"].tolist() or (0, 0)
        self._size = (height, width) if height else None
        self._channels = None if state["channels"] < 0 else int(state["channels"])
        self._choose(state["tracker"])

    def _choose(self, state: StateDict) -> None:
        """Let the usual tracker for what is found go on from the state of another.

        Before the first instance it is not known whether there are embeddings; that state is the
        same with and without.
        """
        if not self._is_given:
            self.tracker = usual_tracker(with_embeddings=bool(self._channels))
        self.tracker.load_state_dict(state)

    def _check(self, instances: Instances, size: Size | None) -> None:
        """Compare a frame with the first one."""
        height, width = instances.masks.shape[1:]
        if size is None and self._size is None and not len(instances.masks):
            raise ValueError("size must be given, as no mask tells the frame's")
        if self._size not in (None, (height, width)):
            raise ValueError(f"every frame of a video must be {self._size}, got {(height, width)}")
        self._size = (height, width)
        wrong = [label for label in instances.labels.tolist() if not 0 <= label < len(self.classes)]
        if wrong:
            raise ValueError(f"labels must be 0 to {len(self.classes) - 1}, got {wrong[0]}")
        if not len(instances.masks):
            return
        channels = 0 if instances.embeddings is None else instances.embeddings.shape[1]
        if self._channels not in (None, channels):
            raise ValueError(
                f"embeddings must have {self._channels} channels, as before, got {channels}"
            )
        chosen, self._channels = self._channels is not None, channels
        if not chosen and not self._is_given:
            self._choose(self.tracker.state_dict())

    def _detections(self, instances: Instances) -> Detections:
        """Return instances as a tracker reads them."""
        num = len(instances.masks)
        probabilities = np.zeros((num, len(self.classes)), np.float32)
        probabilities[np.arange(num), instances.labels] = instances.scores
        looks = instances.embeddings
        if looks is None:
            looks = np.zeros((num, self._channels or 1), np.float32)  # they resemble none
        return Detections(probabilities, looks, instances.masks)
