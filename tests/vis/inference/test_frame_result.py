"""Results of a frame: their fields, and what `supervision` gets of them."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from vis.support.stream_model import draw_frame, moving_squares
from vis.support.streams import make

from vidgap_vis.inference.frame_result import FrameResult


def test_to_supervision_without_supervision_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    result = make().stream()(moving_squares(1)[0])
    with pytest.raises(ImportError, match=r"pip install 'vidgap-vis\[viz\]'"):
        result.to_supervision()


@pytest.mark.parametrize("num_frames", [1, 2])
def test_to_supervision_hands_over_boxes_and_names(
    monkeypatch: pytest.MonkeyPatch, num_frames: int
) -> None:
    stub = SimpleNamespace(Detections=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "supervision", stub)
    frame = draw_frame((64, 96), [(8, 12), (40, 60)][:num_frames])
    found = make().stream()(frame).to_supervision()
    wanted = [[12, 8, 28, 24], [60, 40, 76, 56]][:num_frames]
    assert np.abs(found.xyxy - wanted).max() <= 2
    assert found.mask.shape == (num_frames, 64, 96)
    assert found.data["class_name"].tolist() == ["disc", "square"][:num_frames]
    assert found.tracker_id.tolist() == [1, 2][:num_frames]
    assert found.class_id.tolist() == [0, 1][:num_frames]
    assert len(found.confidence) == num_frames


def test_fields_of_different_lengths_are_named() -> None:
    result = make().stream()(moving_squares(1)[0])
    with pytest.raises(ValueError, match=r"every field must hold 2 tracks, got \[2, 2, 2, 2, 0\]"):
        FrameResult(
            0,
            result.size,
            result.track_ids,
            result.labels,
            result.scores,
            (),
            result.class_scores,
            result.mask_scores,
            result.classes,
        )
