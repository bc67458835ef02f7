"""Benchmarks of vidgap against other implementations of the same.

    python -m bench.run NAME... [--device cpu|cuda] [--quick] [--out FILE.json]

NAME is ms_deform_attn, conv_gru or window_attention (see `bench/ops/NAME.py`), segmenter
(`bench/networks/segmenter.py`), augment (`bench/augment/rates.py`), trackers
(`bench/trackers/times.py`), masks (`bench/masks/times.py`), drawing (`bench/drawing/times.py`),
evaluation (`bench/evaluation/times.py`), analysis (`bench/analysis/times.py`), inference
(`bench/inference/times.py`), or all: those that run on the device. Each has its own defaults; an
option that one does not take is an error.

First every implementation must agree with the reference in float64, outputs and gradients; one
that does not is reported, not timed, and the exit status is 1. Then all are timed on the maps of
strides 8, 16 and 32 of the frames, 256 channels, forward and forward+backward. On the CPU they
take turns, in processor time (wall time with several threads); on a GPU the time is between two
events, beside that of a CUDA graph's replay and the host's. `x reference` and `x official` are the
speed-ups over our definition in PyTorch and over what others use (official, plain, swin, hugging
face). `% of floor` is the share of the least time for bytes and arithmetic, at the rates of a copy
and of a matrix product or convolution measured in the same run. TF32 is off. The augmentations,
the trackers, masks, drawing, evaluation, analysis and inference have tables of their own;
augmentations are not timed if clips differ, nor masks if pixels do, nor drawing if pictures do, nor
evaluations if metrics do.

Numbers go to bench/results/NAME-DEVICE.json or to --out, with --quick only to --out; ops,
networks and inference draw a chart beside it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import torch

from bench.augment import benchmark as augment
from bench.harness.benchmark import (
    DEVICES,
    EFFORT,
    QUICK,
    Benchmark,
    Measurement,
    Options,
    OwnTableBenchmark,
)
from bench.networks import segmenter
from bench.ops import conv_gru, ms_deform_attn, window_attention

BENCHMARKS: tuple[Benchmark, ...] = (
    ms_deform_attn.BENCHMARK,
    conv_gru.BENCHMARK,
    window_attention.BENCHMARK,
    segmenter.BENCHMARK,
    augment.BENCHMARK,
    OwnTableBenchmark("trackers", "bench.trackers.times", full=150, quick=60),  # frames
    OwnTableBenchmark("masks", "bench.masks.times", full=EFFORT, quick=QUICK),
    OwnTableBenchmark("drawing", "bench.drawing.times", full=EFFORT, quick=QUICK),
    OwnTableBenchmark("evaluation", "bench.evaluation.times", full=(1, 5), quick=(10, 1)),
    OwnTableBenchmark("analysis", "bench.analysis.times", full=(1, 3), quick=(20, 1)),
    OwnTableBenchmark("inference", "bench.inference.times", full="full", quick="quick"),
)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
RESULTS = Path(__file__).parent / "results"

T = TypeVar("T")


class Parser(argparse.ArgumentParser):
    """Reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"bench.run: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Check, measure, print and write; return the exit status."""
    good = True
    with settings():
        for measure, path in parse(argv):
            good = measure(path) and good
    return 0 if good else 1


@contextmanager
def settings() -> Iterator[None]:
    """Turn TF32 off; restore it and the number of threads afterwards."""
    threads, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False  # that of matrix products is off by default
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = tf32


def parse(argv: Sequence[str] | None) -> list[tuple[Measurement, Path | None]]:
    """Read the command line; return a measurement and the file for its numbers for each name."""
    parser = Parser(prog="python -m bench.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    names = ", ".join([*(benchmark.name for benchmark in BENCHMARKS), "all"])
    parser.add_argument("names", nargs="+", metavar="NAME", help=names)
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--quick", action="store_true", help="small, each below a minute")
    parser.add_argument("--threads", help="of the CPU, else 1; several: 1,2")
    parser.add_argument("--dtype", help="float32, bfloat16, or both: float32,bfloat16")
    parser.add_argument("--frames", help="of clips: 3,10,30")
    parser.add_argument("--sizes", help="of frames, HEIGHTxWIDTH; several with commas")
    parser.add_argument("--compile", action="store_true", help="networks compiled, too (minutes)")
    parser.add_argument("--out", type=Path, help="file for the numbers; of several NAMEs: one each")
    given = parser.parse_args(argv)
    try:
        options = options_of(given)
        chosen = benchmarks(given.names, options)
        return [
            (benchmark.prepared(options), output_of(benchmark, given, len(chosen) > 1))
            for benchmark in chosen
        ]
    except ValueError as error:
        parser.error(str(error))


def options_of(given: argparse.Namespace) -> Options:
    """Return the options of the benchmarks.

    Raises:
        ValueError: an option cannot be read.
    """
    if given.device not in DEVICES:
        raise ValueError(f"--device must be {' or '.join(DEVICES)}, got {given.device!r}")
    return Options(
        given.device,
        given.quick,
        threads=several(given.threads, lambda word: count("--threads", word)),
        dtype=several(given.dtype, dtype),
        frames=several(given.frames, lambda word: count("--frames", word)),
        sizes=several(given.sizes, size),
        compile=given.compile,
    )


def benchmarks(names: Sequence[str], options: Options) -> list[Benchmark]:
    """Return the benchmarks of the names; "all": those that run on the device.

    Raises:
        ValueError: a name is not known, or an option is not for its benchmark.
    """
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    if list(names) == ["all"]:
        names = [name for name, found in known.items() if options.device in found.devices]
    for name in names:
        if name not in known:
            raise ValueError(f"NAME must be one of {', '.join([*known, 'all'])}, got {name!r}")
        if options.device not in known[name].devices:
            devices = " and ".join(known[name].devices)
            raise ValueError(f"{name} runs on {devices} alone, got --device {options.device}")
        for option in options.asked():
            if option not in known[name].takes:
                raise ValueError(f"{name} does not take --{option}")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no GPU")
    return [known[name] for name in names]


def several(text: str | None, read: Callable[[str], T]) -> tuple[T, ...] | None:
    """Read words between commas; None if there is no text."""
    return None if text is None else tuple(read(word.strip()) for word in text.split(","))


def size(word: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH."""
    height, _, width = word.partition("x")
    if height.isdecimal() and width.isdecimal() and int(height) > 0 and int(width) > 0:
        return int(height), int(width)
    raise ValueError(f"--sizes must be HEIGHTxWIDTH, got {word!r}")


def count(option: str, word: str) -> int:
    """Read a positive integer."""
    if word.isdecimal() and int(word) > 0:
        return int(word)
    raise ValueError(f"{option} must be whole numbers from 1 up, got {word!r}")


def dtype(word: str) -> torch.dtype:
    """Read the name of a dtype."""
    if word in DTYPES:
        return DTYPES[word]
    raise ValueError(f"--dtype must be of {', '.join(DTYPES)}, got {word!r}")


def output_of(benchmark: Benchmark, given: argparse.Namespace, one_of_many: bool) -> Path | None:
    """Return the file for a benchmark's numbers, or None for no file."""
    path: Path | None = given.out
    if path is not None:
        return path.with_stem(f"{path.stem}-{benchmark.name}") if one_of_many else path
    return None if given.quick else RESULTS / f"{benchmark.name}-{given.device}.json"


if __name__ == "__main__":
    sys.exit(main())
