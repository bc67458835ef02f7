"""The benchmark of trackers: steps and association alone, of every tracker, on the same frames."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import run
from bench.trackers import times
from vidgap_vis.trackers import detections_of

TINY = times.Work(9, 4)


def test_a_run_keeps_the_numbers_of_all_trackers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(times, "WORKS", (TINY,))
    monkeypatch.setattr(
        times, "measure_heads", lambda _: [{"head": "none", "frames": 1, "ms": [1.0, 1.0, 1.0]}]
    )
    out = tmp_path / "new" / "numbers.json"
    assert run.main(["trackers", "--quick", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["tracker"] for row in rows] == list(times.TRACKERS)
    for row in rows:
        assert row["step_ms"][1] <= row["step_ms"][0] <= row["step_ms"][2]
        assert row["ms"][1] <= row["ms"][0] <= row["ms"][2]
        assert 0 < row["kept"] <= 1
    assert "of it association" in capsys.readouterr().out


def test_made_up_frames_show_what_they_should() -> None:
    for output in times.frames(TINY, 3):
        (frame,) = detections_of(output)
        seen = np.asarray(frame.masks).any(axis=(1, 2))
        assert seen.tolist() == [True] * 4 + [False] * 5
        best = frame.class_probabilities.max(axis=1)
        assert ((best >= 0.3 - 1e-5) & (best <= 0.9 + 1e-5)).tolist() == seen.tolist()
        assert torch.isfinite(output.class_logits).all()
