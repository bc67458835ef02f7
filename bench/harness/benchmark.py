"""The interface of `bench.run` to a benchmark: its name, options, defaults and measurement."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import torch

from bench.harness.contender import STRIDES, Op
from bench.harness.cpu import Effort
from bench.harness.session import Scope, Session

Measurement: TypeAlias = Callable[[Path | None], bool]
"""Checks, measures, prints, and writes to a file if given one; returns whether all agreed."""

DEVICES = ("cpu", "cuda")

EFFORT = Effort(seconds=8, at_least=5, at_most=31)
QUICK = Effort(seconds=0.5, at_least=2, at_most=7)

CHOICES = ("threads", "dtype", "frames", "sizes", "compile")
"""Options that only some benchmarks take; all take --device, --quick and --out."""


@dataclass(frozen=True)
class Options:
    """Options of the command line; None or False if not given. All values of a tuple are measured.

    Attributes:
        device: "cpu" or "cuda".
        quick: one small case, in less than a minute.
        threads: numbers of CPU threads.
        dtype: of values and weights.
        frames: T of the clips.
        sizes: (H, W) of the frames.
        compile: whether networks are also measured compiled.
    """

    device: str = "cpu"
    quick: bool = False
    threads: tuple[int, ...] | None = None
    dtype: tuple[torch.dtype, ...] | None = None
    frames: tuple[int, ...] | None = None
    sizes: tuple[tuple[int, int], ...] | None = None
    compile: bool = False

    def asked(self) -> list[str]:
        """Return which of `CHOICES` are given."""
        return [name for name in CHOICES if getattr(self, name)]


class Benchmark(Protocol):
    """What `bench.run` runs by name."""

    @property
    def name(self) -> str:
        """Its name, on the command line and in the names of result files."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Which of `DEVICES` it runs on."""

    @property
    def takes(self) -> tuple[str, ...]:
        """Which of `CHOICES` it takes."""

    def prepared(self, options: Options) -> Measurement:
        """Return a measurement with these options, and its own defaults for the rest.

        Raises:
            ValueError: it cannot measure with such options.
        """


@dataclass(frozen=True)
class Defaults:
    """What is measured by default, in all combinations.

    Attributes:
        frames: T of the clips.
        dtypes: of values and weights.
        sizes: (H, W) of the frames; None: each op's own.
    """

    frames: tuple[int, ...]
    dtypes: tuple[torch.dtype, ...]
    sizes: tuple[tuple[int, int], ...] | None = None


def quick_defaults(cpu_frames: int) -> dict[str, Defaults]:
    """Return what is measured with --quick: one small case a device."""
    return {
        "cpu": Defaults((cpu_frames,), (torch.float32,), ((192, 320),)),
        "cuda": Defaults((3,), (torch.bfloat16,), ((384, 640),)),
    }


@dataclass(frozen=True)
class OpBenchmark:
    """Ops, or networks, of one kind, each timed against other implementations.

    Attributes:
        name: as `bench.run` knows it.
        ops: in the order of the table.
        full, quick: the defaults on each device, without and with --quick.
        multiple: what the sides of frames must be multiples of.
        compiles: whether contenders can also be compiled.
    """

    name: str
    ops: tuple[Op, ...]
    full: Mapping[str, Defaults]
    quick: Mapping[str, Defaults]
    multiple: int = STRIDES[0]
    compiles: bool = False

    @property
    def devices(self) -> tuple[str, ...]:
        return tuple(self.full)

    @property
    def takes(self) -> tuple[str, ...]:
        return tuple(name for name in CHOICES if self.compiles or name != "compile")

    def prepared(self, options: Options) -> Measurement:
        """Return a measurement with these options.

        Raises:
            ValueError: a side of a frame is not a multiple of `multiple`.
        """
        scope = self.scope(options)

        def measure(path: Path | None) -> bool:
            session = Session(self.ops, scope, path)
            session.run()
            session.finish()
            return session.all_agree

        return measure

    def scope(self, options: Options) -> Scope:
        """Return what is measured with these options; raises as `prepared` does."""
        defaults = (self.quick if options.quick else self.full)[options.device]
        for height, width in options.sizes or ():
            if height % self.multiple or width % self.multiple:
                wanted = f"HEIGHTxWIDTH, multiples of {self.multiple}"
                raise ValueError(f"--sizes must be {wanted}, got '{height}x{width}'")
        return Scope(
            options.device,
            options.sizes or defaults.sizes,
            options.frames or defaults.frames,
            options.dtype or defaults.dtypes,
            options.threads or (1,),
            QUICK if options.quick else EFFORT,
            options.quick,
            options.compile,
        )


@dataclass(frozen=True)
class OwnTableBenchmark:
    """A benchmark on one thread of the CPU, with a table of its own.

    Attributes:
        name: as `bench.run` knows it.
        module: has `measure(amount, path)`. It is imported when it is run: the ops' benchmarks do
            without the packages that it measures.
        full, quick: the amounts, without and with --quick.
    """

    name: str
    module: str
    full: object
    quick: object
    devices: tuple[str, ...] = ("cpu",)
    takes: tuple[str, ...] = ()

    def prepared(self, options: Options) -> Measurement:
        """Return a measurement of the amount asked for."""
        measure = importlib.import_module(self.module).measure
        return functools.partial(measure, self.quick if options.quick else self.full)
