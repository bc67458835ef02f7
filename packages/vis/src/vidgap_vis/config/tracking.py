"""Sections `contrast`, `tracker` and `test`; null leaves a value to the constructor it goes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from vidgap_vis.config.section import FROM_0, FROM_1, Count, Finite, Fraction, Section, Wanted

TrackerName: TypeAlias = Literal[
    "ctvis",
    "minvis",
    "idol",
    "masktrack",
    "dvis",
    "dvis_offline",
    "vita",
    "genvis",
    "joint",
    "query",
    "index",
]
MemoryKind: TypeAlias = Literal["similarity_guided", "momentum", "last"]
"""Of `vidgap_vis.trackers.ctvis`, which would import torch here."""


ONLY_METHOD: dict[str, str] = {
    **dict.fromkeys(("memory", "update_rate", "memory_probability", "noise_probability"), "ctvis"),
    "ctvis_compat": "ctvis",
    **dict.fromkeys(("negatives", "idol_compat"), "idol"),
}
"""Settings of a contrastive loss -> the method that has them."""


MAX_TOP_K = 1000
"""So many of the tracks that have ended are kept for the ranking (`trackers.online.MAX_ENDED`)."""

TopK = Annotated[int, Wanted(f"1 to {MAX_TOP_K}", lambda top_k: 1 <= top_k <= MAX_TOP_K)]


@dataclass(frozen=True)
class ContrastConfig(Section, key="contrast"):
    """A contrastive loss on the embeddings of queries.

    Attributes:
        method: `ctvis`, over all frames of a clip with a memory; `idol`, of the first frame and
            each other one.
        weight: of the contrastive loss; null: 2.0.
        cosine_weight: of the auxiliary loss on cosines; null: 3.0.
        memory: how an instance's memory takes a new embedding (ctvis); null: `similarity_guided`.
        update_rate: share of the new one in a memory of kind `momentum` (ctvis); null: 0.75.
        memory_probability: that the positive is the memory, not the last embedding (ctvis); null:
            0.5.
        noise_probability: of a random query in the memory of an absent instance (ctvis); null: 0.
        negatives: drawn for each positive, for the auxiliary loss (idol); null: 10.
        ctvis_compat: reproduces habits of CTVIS's release: absent instances are matched too, with
            masks that are not padded; some first sights are no anchors; the loss is a mean over
            each process's items.
        idol_compat: reproduces habits of IDOL's release: two instances may share a query, and
            negatives are chosen after the costs of taken queries were raised.
    """

    method: Literal["ctvis", "idol"] = "ctvis"
    weight: Annotated[float, FROM_0] | None = None
    cosine_weight: Annotated[float, FROM_0] | None = None
    memory: MemoryKind | None = None
    update_rate: Fraction | None = None
    memory_probability: Fraction | None = None
    noise_probability: Fraction | None = None
    negatives: Count | None = None
    ctvis_compat: bool = False
    idol_compat: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, method in ONLY_METHOD.items():
            fits = self.method == method or not getattr(self, name)
            off = "false" if name.endswith("compat") else "null"
            self.require(name, fits, f"{off} unless contrast.method is {method}")


@dataclass(frozen=True)
class TrackerConfig(Section, key="tracker"):
    """How detections become tracks: a tracker, and what differs from its defaults.

    Attributes:
        name: `ctvis`, `minvis`, `idol`, `masktrack`, `dvis`, `dvis_offline`, `vita`, `genvis`,
            `joint` (clips of Mask2Former-VIS and SeqFormer), `query` (embeddings and overlap) or
            `index` (no matching); null: that of the weights' head, `joint` where queries are those
            of clips, `ctvis` where they have an embedding head, else `query`.
        min_score: detections below it show nothing.
        new_track_score: what begins a track has a score above this (ctvis, idol),
        first_track_score: or above this while there is no track (idol).
        box_duplicate_iou: of two boxes of a class that overlap more, one is dropped (idol,
            masktrack).
        duplicate_iou: of two masks that overlap more, one is dropped.
        max_detections: the best of a frame that are kept (masktrack).
        match_threshold: a similarity above it continues a track (ctvis, idol), or, at least, a soft
            overlap of masks (joint).
        frame_weight: weighs candidates by the frames that have shown them (ctvis, idol).
        memory: how a track's memory takes a new embedding (ctvis).
        update_rate: share of the new one in a memory of kind `momentum` (ctvis).
        memory_size: embeddings that guide the memory (ctvis), or are it (idol).
        max_gap: a track unseen for more frames has ended.
        settling_frames: tracks are judged too short from the frame after so many on (ctvis, idol).
        min_visible: a track of fewer frames is too short (ctvis, idol),
        short_gap: when so many frames in a row lack it (ctvis, idol).
        momentum: how much of a track's embedding stays (query, index).
        clip_frames: frames of a clip: 1 online, 3 semi-online (genvis), 2 or more (joint).
        repeated: frames of a clip that the next one begins with again (joint).
        max_memory: clips that are remembered (genvis).
        score_weight: what the logarithm of a score counts (masktrack).
        iou_weight: what an overlap of 1 adds (query, masktrack).
        label_weight: what the same class adds (masktrack).
        iou_offset: what widths and heights are counted larger by (masktrack).
        min_affinity: what is above it continues a track that was just seen (query).
        reacquire_similarity: a cosine above it continues any track (query).
        masktrack_compat: reproduces habits of MaskTrack R-CNN's release (masktrack).
    """

    name: TrackerName | None = None
    min_score: Fraction | None = None
    new_track_score: Fraction | None = None
    first_track_score: Fraction | None = None
    box_duplicate_iou: Fraction | None = None
    duplicate_iou: Fraction | None = None
    max_detections: Count | None = None
    match_threshold: Fraction | None = None
    frame_weight: bool | None = None
    memory: MemoryKind | None = None
    update_rate: Fraction | None = None
    memory_size: Count | None = None
    max_gap: Annotated[int, FROM_0] | None = None
    settling_frames: Annotated[int, FROM_0] | None = None
    min_visible: Annotated[int, FROM_0] | None = None
    short_gap: Annotated[int, FROM_1] | None = None
    momentum: Fraction | None = None
    clip_frames: Count | None = None
    repeated: Count | None = None
    max_memory: Count | None = None
    score_weight: Annotated[float, FROM_0] | None = None
    iou_weight: Annotated[float, FROM_0] | None = None
    label_weight: Annotated[float, FROM_0] | None = None
    iou_offset: Annotated[float, FROM_0] | None = None
    min_affinity: Finite | None = None
    reacquire_similarity: Finite | None = None
    masktrack_compat: bool | None = None


@dataclass(frozen=True)
class TestConfig(Section, key="test"):
    """How `predict` uses the weights unless it is told otherwise.

    Attributes:
        short_edge: frames are resized to it; null: as they come.
        max_size: the long edge does not exceed this then; null: 1333.
        top_k: pairs of a track and a class that a video lists, 1000 at most; null: 20.
    """

    __test__ = False  # no test case, whatever pytest makes of the name

    short_edge: Count | None = None
    max_size: Count | None = None
    top_k: TopK | None = None
