"""Run one implementation of an op once, forward and backward, under a profiler.

    ncu --profile-from-start off --clock-control none python -m bench.once OP [CONTENDER]

OP is a name from the tables of `bench.run`; CONTENDER is by default "native", else "triton". It
runs on a GPU, in bfloat16, on a clip of 3 frames of 384x640; the profiler sees one call, after one
that warms up.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch

from bench.harness.benchmark import OpBenchmark
from bench.harness.contender import RUN, Contender, Op, Work
from bench.run import BENCHMARKS

WORK = Work((384, 640), 3, torch.bfloat16, "cuda")
OURS = ("native", "triton")


def main(argv: Sequence[str]) -> int:
    """Run what is asked for; return the exit status."""
    kinds = [benchmark for benchmark in BENCHMARKS if isinstance(benchmark, OpBenchmark)]
    ops = {op.name: op for kind in kinds for op in kind.ops}
    if not argv or argv[0] not in ops or not torch.cuda.is_available():
        print(f"bench.once: wants a GPU and one of {', '.join(ops)}", file=sys.stderr)
        return 2
    op = ops[argv[0]]
    contender = chosen(op, argv[1:] or OURS)
    if contender is None:
        print(f"bench.once: {op.name}: none of {argv[1:] or OURS} runs here", file=sys.stderr)
        return 1
    run, tensors = RUN[op.passes[-1]], op.inputs(WORK, 0)
    run(contender, tensors)
    torch.cuda.synchronize()
    torch.cuda.cudart().cudaProfilerStart()
    run(contender, tensors)
    torch.cuda.synchronize()
    torch.cuda.cudart().cudaProfilerStop()
    return 0


def chosen(op: Op, names: Sequence[str]) -> Contender | None:
    """Return the available contender whose name comes first in `names`, or None."""
    found = {contender.name: contender for contender in op.contenders(WORK).available}
    return next((found[name] for name in names if name in found), None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
