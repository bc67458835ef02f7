"""The benchmark's command: it checks before it times, keeps what it found, says what is wrong."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention

from bench import conv_gru, cuda, ms_deform_attn, naive_kernel, run, summary, table, timing
from bench import segmenter as networks
from bench import window_attention as windows
from bench import window_attention_peers as peers
from bench.agreement import SMALL, doubled, ratio, results, verdict
from bench.contender import CHANNELS, PASSES, Contender, Field, Work
from vidgap_segmenter.ops.ms_deform_attn import call

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "bench" / "gpu.sh"
TINY = ["--quick", "--sizes", "32x64", "--frames", "2"]
FLOAT32 = Work(SMALL, 2, torch.float32, "cpu")


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
    op = conv_gru.OPS[0]
    right = conv_gru.each_scale(conv_gru.plain)
    wrong = [
        Contender("output off", lambda tensors: right(tensors) * 1.001),
        Contender(
            "gradient off", lambda t: right(t | {"h8": t["h8"] * 1.01 - t["h8"].detach() * 0.01})
        ),
        Contender("raises", lambda _: torch.ones(2) + torch.ones(3)),
    ]

    def field(work: Work) -> Field:
        return Field([*op.field(work).contenders, *wrong])

    monkeypatch.setitem(run.OPS, "conv_gru", [dataclasses.replace(op, field=field)])
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
        (["convgru"], "OP must be one of ms_deform_attn,.*, all, got 'convgru'"),
        (["all", "--sizes", "384x650"], "--sizes must be HEIGHTxWIDTH, multiples of 32, got '384x"),
        (["all", "--sizes", "384"], "got '384'"),
        (["all", "--frames", "3,0"], "--frames must be whole numbers from 1 up, got '0'"),
        (["all", "--dtype", "float8"], "--dtype must be of float32, bfloat16, got 'float8'"),
        (["all", "--device", "tpu"], "--device must be cpu or cuda, got 'tpu'"),
        (["all", "--speed"], "unrecognized arguments: --speed"),
        ([], "the following arguments are required: OP"),
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


def test_an_instruction_set_and_a_backend_are_taken_for_one_run_alone() -> None:
    before = dict(os.environ)
    with networks.precision(FLOAT32, "reference"):
        assert os.environ[networks.SWITCH] == "reference"
    assert dict(os.environ) == before
    with ms_deform_attn.variant(2):
        assert call.variant == 2
    assert call.variant == 0


def test_the_naive_kernel_computes_the_op() -> None:
    kernel, why = naive_kernel.compiled("g++")
    if kernel is None:
        pytest.skip(why)
    op, sample = ms_deform_attn.OPS[0], naive_kernel.sampler(kernel)
    tensors = op.inputs(FLOAT32, 0)
    expected = results(
        Contender("", functools.partial(op.oracle, FLOAT32)), doubled(tensors), torch.float32
    )
    naive = Contender("naive", lambda t: sample(FLOAT32, t["value"], t["locations"], t["weights"]))
    found = verdict(naive, tensors, expected, torch.float32, op.tolerance[torch.float32])
    assert found.agrees, str(found)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize("cross", [False, True])
def test_flex_attention_gets_the_same_windows(cross: bool) -> None:
    op = windows.OPS[cross]
    with torch.no_grad():
        tensors = op.inputs(FLOAT32, 0)
        flex = functools.partial(peers.flex, windows.settings(FLOAT32, cross), flex_attention)
        got = windows.each_scale(flex)({name: t.detach() for name, t in tensors.items()})
        expected = op.oracle(FLOAT32, doubled(tensors))
    assert ratio(got, expected) <= op.tolerance[torch.float32]


def test_samples_keep_away_from_where_their_gradient_jumps() -> None:
    work = dataclasses.replace(FLOAT32, dtype=torch.bfloat16)
    locations, _ = ms_deform_attn.glue(work, ms_deform_attn.fused_inputs(work, 0))
    pixel = locations * ms_deform_attn.sizes(work) - 0.5
    assert (pixel - pixel.round()).abs().min() > 0.01


def test_costs_are_those_of_the_shapes() -> None:
    """The figures of T = 3 at 384x640 in bfloat16, worked out by hand."""
    work = Work((384, 640), 3, torch.bfloat16, "cpu")
    places = 3 * (48 * 80 + 24 * 40 + 12 * 20)
    attention = windows.cost(work, False)
    assert attention.bytes == 4 * places * CHANNELS * 2
    assert ms_deform_attn.cost(work, False).lines == places * 8 * 3 * 4 * 4
    gru = conv_gru.cost(work, False)
    assert gru.flops == places * 2 * 9 * CHANNELS * 6 * CHANNELS


def test_durations_are_medians_and_quartiles_in_milliseconds() -> None:
    durations = timing.Durations((0.001, 0.002, 0.003, 0.004, 0.005))
    assert durations.as_json() == {"median": 3.0, "q1": 2.0, "q3": 4.0, "calls": 5}


@pytest.mark.parametrize("graph", [timing.Durations((0.0005,)), None])
def test_rows_of_a_gpu_show_the_graph_and_the_host(graph: timing.Durations | None) -> None:
    def taking(seconds: float) -> cuda.CudaTiming:
        return cuda.CudaTiming(
            timing.Durations((seconds,)), graph, "no capture", timing.Durations((0.00007,)), 1.0
        )

    op, work = conv_gru.OPS[0], dataclasses.replace(FLOAT32, device="cuda")
    timings: table.Timings = {"reference": taking(0.004), "native": taking(0.001)}
    rows = table.rows(op, work, "forward", 1, timings, floor_s=0.0005)
    assert [row.times_reference for row in rows] == [1, 4]
    assert [row.times_official for row in rows] == [None, None]
    assert "threads" not in table.title(rows[0])
    *_, last = table.lines(rows)
    assert last.split() == [
        *("native", "1.000", "[1.000,", "1.000]", "1", "4.00", "-", "50.0"),
        *("0.500" if graph else "-", "0.070"),
    ]
    kept = rows[1].as_json()
    assert kept["graph_ms"] == (graph.as_json() if graph else "no capture")
    (line,) = summary.lines([row.as_json() for row in rows])
    assert line.split()[-6:] == ["native", "1.000", "0.500" if graph else "-", "4.0", "-", "50.0"]


def test_gpu_script_is_a_shell_script_that_says_what_it_would_do() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    done = subprocess.run(
        [SCRIPT, "--dry-run"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not done.stderr
    steps = [line.split()[0] for line in done.stdout.splitlines()]
    kernels = [f"bench-{op}" for op in (*run.OPS, "ms_deform_attn_float32")]
    assert steps[:4] == ["environment", "carried", "packages", "backends"]
    assert set(steps[4:]) == {"builds", "tests", "sanitizer", "counters", *kernels}
    assert steps[-1] == "counters"
