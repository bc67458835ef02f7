"""The benchmark of drawing: pictures are compared before anything is timed, numbers are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import run
from bench.drawing import times
from vidgap_vis import native

TINY = (times.Work(3, (48, 64)), times.Work(2, (24, 32), 2))


def test_a_run_keeps_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(times, "WORKS", TINY)
    out = tmp_path / "new" / "numbers.json"
    assert run.main(["drawing", "--quick", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    names = [times.WHOLE, "boxes, Python", *["boxes"] * (native.obstacle() is None)]
    assert [row["contender"] for row in rows] == names * 2
    assert {row["scale"] for row in rows} == {1, 2}
    for row in rows:
        assert row["process_ms"]["q1"] <= row["process_ms"]["median"]
        assert row["contender"] != times.WHOLE or row["times_whole_masks"] == 1
        assert row["pixels_that_differ"] == 0
    assert "pixels that differ" in capsys.readouterr().out


def test_another_picture_is_reported_and_not_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = times.draw_tracks

    def darker(*given: Any, **options: Any) -> np.ndarray:
        return right(*given, **options) - np.uint8(2)

    monkeypatch.setattr(times, "WORKS", TINY[:1])
    monkeypatch.setattr(times, "draw_tracks", darker)
    out = tmp_path / "numbers.json"
    assert run.main(["drawing", "--quick", "--out", str(out)]) == 1
    assert [row["contender"] for row in json.loads(out.read_text())["rows"]] == [times.WHOLE]
    assert "boxes, Python DISAGREES" in capsys.readouterr().err
