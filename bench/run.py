"""The kernels, and the network, against what else computes the same.

    python -m bench.run OP... [--device cpu|cuda] [--quick] [--out FILE.json]

OP is ms_deform_attn, conv_gru, window_attention, segmenter (each explained in `bench/OP.py`), or
all.

First every implementation must agree with the reference in float64, outputs and gradients; one
that does not is reported, not timed, and the exit status is 1. Then all are timed on the maps of
strides 8, 16 and 32 of the frames, 256 channels, forward and forward+backward. On the CPU they
take turns, in processor time (wall time with several threads); on a GPU the time is between two
events, with the replay of a CUDA graph and the host's share beside it. `x reference` and
`x official` say how many times as fast a contender is as our definition in PyTorch, and as what
others run (official, plain, swin, hugging face). `% of floor` compares with the
least that bytes and arithmetic take at the rates of a copy and of a matrix product or convolution,
measured in the same run. TF32 is off.

Numbers go to bench/results/OP-DEVICE.json and a chart beside it, or to --out; with --quick to
--out alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import torch

from bench import conv_gru, ms_deform_attn, segmenter, window_attention
from bench.contender import STRIDES, Op
from bench.cpu import Effort
from bench.session import Scope, Session

OPS: dict[str, list[Op]] = {
    "ms_deform_attn": ms_deform_attn.OPS,
    "conv_gru": conv_gru.OPS,
    "window_attention": window_attention.OPS,
    "segmenter": segmenter.OPS,
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

FRAMES = {
    ("ms_deform_attn", "cpu"): "1,3",
    ("conv_gru", "cpu"): "3",
    ("window_attention", "cpu"): "3,10",
    ("segmenter", "cpu"): "1",
    ("segmenter", "cuda"): "1,3",
}
"""Of clips, where nothing is asked for; else 3,10,30."""

EFFORT = Effort(seconds=8, at_least=5, at_most=31)
QUICK = Effort(seconds=0.5, at_least=2, at_most=7)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"bench.run: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Check, measure, print and write; return the exit status."""
    options = parse(argv)
    good = True
    with settings():
        for name in options.ops:
            session = Session(OPS[name], scope_of(name, options), output_of(name, options))
            session.run()
            session.finish()
            good = good and session.all_agree
    return 0 if good else 1


@contextmanager
def settings() -> Iterator[None]:
    """Turn TF32 off, and restore it and the number of threads."""
    threads, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False  # that of matrix products is off by default
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = tf32


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(prog="python -m bench.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("ops", nargs="+", metavar="OP", help=", ".join([*OPS, "all"]))
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--quick", action="store_true", help="small, all below a minute")
    parser.add_argument("--threads", default="1", help="of the CPU; several: 1,2")
    parser.add_argument("--dtype", help="float32, bfloat16, or both: float32,bfloat16")
    parser.add_argument("--frames", help="of clips: 3,10,30")
    parser.add_argument("--sizes", help="of frames, HEIGHTxWIDTH; several with commas")
    parser.add_argument("--compile", action="store_true", help="networks compiled, too (minutes)")
    parser.add_argument("--out", type=Path, help="file for the numbers; of several OPs: one each")
    options = parser.parse_args(argv)
    try:
        check(options)
        for name in options.ops:
            scope_of(name, options)
    except ValueError as error:
        parser.error(str(error))
    return options


def check(options: argparse.Namespace) -> None:
    """Expand "all"; raise ValueError where an op or the device is not known."""
    if options.ops == ["all"]:
        options.ops = list(OPS)
    for name in options.ops:
        if name not in OPS:
            raise ValueError(f"OP must be one of {', '.join([*OPS, 'all'])}, got {name!r}")
    if options.device not in ("cpu", "cuda"):
        raise ValueError(f"--device must be cpu or cuda, got {options.device!r}")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no GPU")


def scope_of(name: str, options: argparse.Namespace) -> Scope:
    """Return what is measured of an op.

    Raises:
        ValueError: an option cannot be read.
    """
    device, quick = options.device, options.quick
    on_cpu = device == "cpu"
    frames = "3" if quick else FRAMES.get((name, device), "3,10,30")
    sizes = options.sizes or ("192x320" if quick and on_cpu else "384x640" if quick else None)
    multiple = 1 if name == "segmenter" else STRIDES[0]
    dtypes = "float32" if on_cpu else "bfloat16" if quick else "float32,bfloat16"
    if quick and (name, device) in (("ms_deform_attn", "cpu"), ("segmenter", "cpu")):
        frames = "1"
    return Scope(
        device,
        None if sizes is None else [size(word, multiple) for word in words(sizes)],
        [count("--frames", word) for word in words(options.frames or frames)],
        [dtype(word) for word in words(options.dtype or dtypes)],
        [count("--threads", word) for word in words(options.threads)],
        QUICK if quick else EFFORT,
        quick,
        options.compile,
    )


def words(text: str) -> list[str]:
    """Split at commas."""
    return [word.strip() for word in text.split(",")]


def size(word: str, multiple: int) -> tuple[int, int]:
    """Read HEIGHTxWIDTH, both multiples of a number."""
    height, _, width = word.partition("x")
    if height.isdecimal() and width.isdecimal():
        sides = (int(height), int(width))
        if min(sides) > 0 and not any(side % multiple for side in sides):
            return sides
    wanted = f", multiples of {multiple}" * (multiple > 1)
    raise ValueError(f"--sizes must be HEIGHTxWIDTH{wanted}, got {word!r}")


def count(option: str, word: str) -> int:
    """Read a number from 1 up."""
    if word.isdecimal() and int(word) > 0:
        return int(word)
    raise ValueError(f"{option} must be whole numbers from 1 up, got {word!r}")


def dtype(word: str) -> torch.dtype:
    """Read the name of a dtype."""
    if word in DTYPES:
        return DTYPES[word]
    raise ValueError(f"--dtype must be of {', '.join(DTYPES)}, got {word!r}")


def output_of(name: str, options: argparse.Namespace) -> Path | None:
    """Return the file for an op's numbers, or None for no file."""
    path: Path | None = options.out
    if path is not None:
        return path if len(options.ops) == 1 else path.with_stem(f"{path.stem}-{name}")
    if options.quick:
        return None
    return Path(__file__).parent / "results" / f"{name}-{options.device}.json"


if __name__ == "__main__":
    sys.exit(main())
