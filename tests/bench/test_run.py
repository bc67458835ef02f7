"""The command `bench.run`: it checks before it times, keeps all numbers and reports errors."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from bench import run
from bench.harness import summary
from bench.harness.benchmark import Measurement, Options
from bench.harness.contender import PASSES, Contender, Contenders, Work
from bench.ops import conv_gru

TINY = ["--quick", "--sizes", "32x64", "--frames", "2"]


@pytest.mark.parametrize("op", ["ms_deform_attn", "conv_gru", "window_attention"])
def test_quick_run_agrees_and_writes_numbers_and_chart(
    op: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "numbers.json"
    assert run.main([op, *TINY, "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["agreement"]
    assert all(entry["agrees"] for entry in report["agreement"])
    assert {row["pass"] for row in report["rows"]} == set(PASSES)
    assert {row["implementation"] for row in report["rows"]} == {
        entry["implementation"] for entry in report["agreement"]
    }
    for row in report["rows"]:
        assert row["process_ms"]["q1"] <= row["process_ms"]["median"] <= row["process_ms"]["q3"]
        if row["implementation"] == "reference":
            assert row["times_reference"] == 1
    assert report["versions"]["torch"] == version("torch")
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "x reference" in capsys.readouterr().out


def test_what_computes_something_else_is_reported_and_not_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (op,) = conv_gru.BENCHMARK.ops
    right = conv_gru.each_scale(conv_gru.plain)
    wrong = [
        Contender("output off", lambda tensors: right(tensors) * 1.001),
        Contender(
            "gradient off", lambda t: right(t | {"h8": t["h8"] * 1.01 - t["h8"].detach() * 0.01})
        ),
        Contender("raises", lambda _: torch.ones(2) + torch.ones(3)),
    ]

    def contenders(work: Work) -> Contenders:
        return Contenders([*op.contenders(work).available, *wrong])

    ops = (dataclasses.replace(op, contenders=contenders),)
    monkeypatch.setattr(run, "BENCHMARKS", (dataclasses.replace(conv_gru.BENCHMARK, ops=ops),))
    out = tmp_path / "numbers.json"
    assert run.main(["conv_gru", *TINY, "--out", str(out)]) == 1
    report = json.loads(out.read_text())
    agrees = {entry["implementation"]: entry["agrees"] for entry in report["agreement"]}
    timed = {row["implementation"] for row in report["rows"]}
    assert timed == {"reference", "plain"} == {name for name, fine in agrees.items() if fine}
    assert set(agrees) - timed == {contender.name for contender in wrong}
    assert "DISAGREES" in capsys.readouterr().out
    assert summary.main([str(out)]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convgru"], "NAME must be one of ms_deform_attn,.*, evaluation,.* all, got 'convgru'"),
        (
            ["segmenter", "conv_gru", "--sizes", "384x650"],
            "--sizes must be HEIGHTxWIDTH, multiples of 32, got '384x650'",
        ),
        (["all", "--sizes", "384"], "got '384'"),
        (["all", "--frames", "3,0"], "--frames must be whole numbers from 1 up, got '0'"),
        (["all", "--dtype", "float8"], "--dtype must be of float32, bfloat16, got 'float8'"),
        (["all", "--device", "tpu"], "--device must be cpu or cuda, got 'tpu'"),
        (["all", "--dtype", "float32"], "augment does not take --dtype"),
        (["augment", "--threads", "1"], "augment does not take --threads"),
        (["conv_gru", "--compile"], "conv_gru does not take --compile"),
        (["augment", "--device", "cuda"], "augment runs on cpu alone, got --device cuda"),
        (["all", "--speed"], "unrecognized arguments: --speed"),
        ([], "the following arguments are required: NAME"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_argument_is_one_line_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        run.main(arguments)
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("bench.run: ")
    assert said.count("\n") == 1
    assert re.search(message, said)


@dataclass(frozen=True)
class Noted:
    """A benchmark that notes what it is asked for."""

    name: str
    devices: tuple[str, ...] = ("cpu", "cuda")
    takes: tuple[str, ...] = ("frames",)
    asked: list[tuple[Options, Path | None]] = field(default_factory=list)
    agrees: bool = True

    def prepared(self, options: Options) -> Measurement:
        def measure(path: Path | None) -> bool:
            self.asked.append((options, path))
            return self.agrees

        return measure


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (["first"], {"first": "results/first-cpu.json"}),
        (["all"], {"first": "results/first-cpu.json", "second": "results/second-cpu.json"}),
        (["all", "--device", "cuda"], {"first": "results/first-cuda.json"}),
        (["all", "--quick"], {"first": None, "second": None}),
        (["second", "--quick", "--out", "a/new.json"], {"second": "a/new.json"}),
        (["all", "--out", "a/n.json"], {"first": "a/n-first.json", "second": "a/n-second.json"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_each_benchmark_that_runs_there_has_its_file(
    arguments: list[str], files: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = (Noted("first"), Noted("second", devices=("cpu",)))
    monkeypatch.setattr(run, "BENCHMARKS", both)
    monkeypatch.setattr(run, "RESULTS", Path("results"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert run.main(arguments) == 0
    found = {one.name: path for one in both for _, path in one.asked}
    assert found == {name: None if file is None else Path(file) for name, file in files.items()}


def test_one_that_disagrees_does_not_keep_the_others_from_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = (Noted("first", agrees=False), Noted("second"))
    monkeypatch.setattr(run, "BENCHMARKS", both)
    assert run.main(["all", "--quick", "--frames", "2,5"]) == 1
    assert [one.asked for one in both] == [[(Options(quick=True, frames=(2, 5)), None)]] * 2


def test_every_benchmark_has_defaults_for_its_devices() -> None:
    for benchmark in run.BENCHMARKS:
        for device in benchmark.devices:
            for quick in (False, True):
                benchmark.prepared(Options(device, quick))
