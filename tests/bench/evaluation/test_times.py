"""The evaluation's benchmark: contenders agree before they are timed, and all numbers are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import run
from bench.evaluation import times
from bench.evaluation.sets import SetShape

SHAPE = SetShape("tiny", 4, 5, (72, 128), 2, 9, 30)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    case = times.Case(SHAPE, ("ours", "official", "TrackEval"))
    monkeypatch.setattr(times, "cases", lambda _: (case,))


def test_a_run_keeps_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("trackeval", reason="needs the package trackeval")
    out = tmp_path / "new" / "numbers.json"
    assert run.main(["evaluation", "--quick", "--out", str(out)]) == 0
    (one,) = json.loads(out.read_text())["sets"]
    assert one["difference"] <= times.TOLERANCE
    assert 0 < one["metrics"]["AP"] < 1
    assert [row["contender"] for row in one["rows"]] == ["ours", "official", "TrackEval"]
    assert one["rows"][0]["times_ours"] == 1
    assert set(one["steps"]) > {"truth", "index", "tracks", "overlaps", "matching", "intervals"}
    assert "metrics differ by" in capsys.readouterr().out


def test_nothing_is_said_of_times_where_metrics_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def report(name: str, _: object) -> dict[str, Any]:
        return {"metrics": {"AP": 0.5 + 1e-6 * (name == "official")}, "seconds": 1.0}

    monkeypatch.setattr(times, "run", report)
    assert run.main(["evaluation", "--quick", "--out", str(tmp_path / "numbers.json")]) == 1
    assert not list(tmp_path.iterdir())
    assert "no times" in capsys.readouterr().err


def test_the_largest_difference_is_infinite_where_one_does_not_know() -> None:
    known, other, unknown = {"AP": 0.5, "APl": 0.2}, {"AP": 0.25, "APl": 0.2}, {"AP": 0.5}
    assert times.largest_difference([known, known, other]) == 0.25
    assert times.largest_difference([known, unknown | {"APl": None}]) == float("inf")
    assert times.largest_difference([unknown, unknown]) == 0
