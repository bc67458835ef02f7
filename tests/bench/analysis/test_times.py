"""The benchmark of `vidgap analyze` measures what it says, on small sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.analysis.times import measure


def test_sets_are_measured_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "analysis.json"
    assert measure((60, 1), path)
    report = json.loads(path.read_text())
    assert [one["set"].split(",")[0] for one in report["sets"]] == [
        "YouTube-VIS 2019 val",
        "OVIS val",
    ]
    for one in report["sets"]:
        assert one["seconds"][0] > 0
        assert 30 < one["peak_mib"] < 2000
        assert 0 < one["page_mb"] <= 10
    assert "processor s [least, most]" in capsys.readouterr().out
