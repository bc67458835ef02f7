"""Trackers by name: what fits which weights."""

from __future__ import annotations

import pytest
import torch
from vis.support.learned_heads import KINDS, small_head
from vis.support.tiny_runs import make_model

from vidgap_segmenter import ClipSegmenter
from vidgap_vis.errors import ConfigError
from vidgap_vis.trackers import IndexAssociator, MinVISAssociator, QueryAssociator, by_name
from vidgap_vis.trackers.ctvis import CTVISAssociator, CTVISOptions
from vidgap_vis.trackers.dvis import DVISOfflineTracker, DVISTracker
from vidgap_vis.trackers.genvis import GenVISTracker
from vidgap_vis.trackers.idol import IDOLAssociator
from vidgap_vis.trackers.masktrack import MaskTrackOptions, TrackHead
from vidgap_vis.trackers.online import OnlineTracker
from vidgap_vis.trackers.vita import VITATracker

CLASSES_OF = {
    "dvis": DVISTracker,
    "dvis_offline": DVISOfflineTracker,
    "vita": VITATracker,
    "genvis": GenVISTracker,
    "masktrack": OnlineTracker,
}


def test_the_tracker_is_the_one_that_fits_unless_it_is_named() -> None:
    plain, headed = make_model(), make_model(embedding_dim=8)

    def kind(settings: dict[str, object], model: ClipSegmenter) -> type:
        return type(by_name.tracker(settings, model)().associator)  # type: ignore[attr-defined]

    assert kind({}, plain) is QueryAssociator
    assert kind({}, headed) is CTVISAssociator
    assert kind({"name": "index"}, headed) is IndexAssociator
    tracker = by_name.tracker({"name": "ctvis", "max_gap": 3, "memory": None}, headed)()
    assert tracker.associator.options == CTVISOptions(max_gap=3)  # type: ignore[attr-defined]
    assert kind({"name": "minvis"}, plain) is MinVISAssociator
    assert kind({"name": "idol"}, headed) is IDOLAssociator


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_is_what_weights_are_for(kind: str) -> None:
    model = make_model(embedding_dim=8)
    make = by_name.tracker({}, model, small_head(kind, model))
    one, other = make(), make()
    assert type(one) is CLASSES_OF[kind]
    assert one is not other
    named = by_name.tracker({"name": kind}, model, small_head(kind, model))()
    assert type(named) is CLASSES_OF[kind]
    ctvis = by_name.tracker({"name": "ctvis"}, model, small_head(kind, model))()
    assert isinstance(ctvis.associator, CTVISAssociator)  # type: ignore[attr-defined]


def test_a_refiner_need_not_be_used() -> None:
    model = make_model()
    head = small_head("dvis_offline", model)
    assert type(by_name.tracker({"name": "dvis"}, model, head)()) is DVISTracker


def test_options_reach_the_trackers_of_heads() -> None:
    model = make_model()
    head = TrackHead(16)
    tracker = by_name.tracker({"name": "masktrack", "max_detections": 3}, model, head)()
    assert tracker.associator.options == MaskTrackOptions(max_detections=3)  # type: ignore[attr-defined]
    assert tracker.associator.embed == head.embed  # type: ignore[attr-defined]
    genvis = small_head("genvis", model)
    settings = {"name": "genvis", "clip_frames": 3, "max_memory": 7}
    online = by_name.tracker(settings, model, genvis, top_k=5)()
    assert isinstance(online, GenVISTracker)
    assert (online.clip_frames, online.top_k, online.head.max_memory) == (3, 5, 7)
    weights = torch.ones(2).numpy()
    vita = by_name.tracker({}, model, small_head("vita", model), top_k=5, class_weights=weights)()
    assert isinstance(vita, VITATracker)
    assert vita.top_k == 5
    assert vita.class_weights is weights


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "ctvis"}, r"tracker\.name: ctvis wants weights with an embedding head"),
        ({"name": "idol"}, r"tracker\.name: idol wants weights with an embedding head"),
        ({"name": "masktrack"}, r"tracker\.name: masktrack wants weights with a track head"),
        ({"name": "vita"}, r"tracker\.name: vita wants weights with VITA's head, these have none"),
        ({"name": "minvis", "max_gap": 3}, r"tracker\.max_gap: tracker minvis has no such option"),
        ({"name": "sort"}, r"wanted one of ctvis, minvis, .* vita, genvis, joint, got 'sort'"),
        ({"name": "query", "match_threshold": 0.2}, r"tracker\.match_threshold: .* no such option"),
        ({"min_score": 2.0}, r"tracker: min_score must be in \[0, 1\], got 2\.0"),
    ],
    ids=str,
)
def test_a_tracker_that_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        by_name.tracker(settings, make_model())


@pytest.mark.parametrize(
    ("settings", "head", "message"),
    [
        ({"name": "vita"}, "genvis", "vita wants weights with VITA's head, .* those of genvis"),
        ({"name": "dvis_offline"}, "dvis", "wants weights with DVIS's head with a refiner"),
        ({"name": "dvis", "max_gap": 3}, "dvis", r"tracker\.max_gap: tracker dvis has no such"),
        ({"name": "genvis", "clip_frames": 0}, "genvis", "clip_frames must be at least 1, got 0"),
    ],
    ids=str,
)
def test_a_head_that_does_not_fit_a_tracker_is_said(
    settings: dict[str, object], head: str, message: str
) -> None:
    model = make_model()
    with pytest.raises(ConfigError, match=message):
        by_name.tracker(settings, model, small_head(head, model))
