"""Reading pickles that hold arrays by name, without running anything that they name.

The official Mask2Former and Detectron2 files are pickles of numpy arrays. What such a pickle names
is looked up in one short list; each entry is a stand-in of ours that checks what it is given, so
that not even numpy's own constructors see the file's content. Anything else is refused. No entry
has attributes that a pickle could set (its opcode BUILD does) and that would outlast the file.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

ZIP = b"PK\x03\x04"
OLD_TORCH = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""How files of `torch.save` begin: a ZIP archive, before torch 1.6 a magic number."""

NUMPY_1_AND_2 = ("core", "_core")

WEIGHTS_KEYS = ("model", "state_dict")
"""Keys under which files hold their weights, beside an optimiser's state and the like."""

DTYPES = ("b1", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1")

REFUSAL = "it names {}, and a file of weights may name nothing but arrays"


class Refused(pickle.UnpicklingError):
    """A pickle names or holds something that weights do not need."""


@dataclass(frozen=True, slots=True)
class PickledFunction:
    """A function that a pickle may call."""

    function: Callable[..., Any]

    def __call__(self, *arguments: object) -> Any:
        return self.function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise Refused("it sets attributes of a function")


class PickledDict(dict[Any, Any]):
    """Stands in for `collections.OrderedDict`; its attributes (`_metadata`) are dropped."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Drop them."""


class PickledType:
    """Stands in for `numpy.dtype`: a number of a known size, in either byte order.

    Args:
        name: as "f4".
        *_: whether numpy aligns and copies; without meaning here.
    """

    __slots__ = ("dtype",)

    def __init__(self, name: str, *_: object) -> None:
        if name not in DTYPES:
            raise Refused(f"arrays must hold numbers, got dtype {name!r}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|"):
            raise Refused(f"a dtype's byte order must be <, > or |, got {order!r}")
        if order != "|":
            self.dtype = self.dtype.newbyteorder(order)


class PickledArray:
    """Stands in for `numpy.ndarray`: filled by `__setstate__`, then in `value`."""

    __slots__ = ("value",)

    value: npt.NDArray[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise Refused("an array's state must be (version, shape, dtype, order, bytes)")
        _, shape, kind, fortran, content = state
        self.value = _array(content, kind, shape, "F" if fortran else "C")


def _reconstruct(array: object, shape: object, kind: object) -> PickledArray:
    """Stand in for numpy's: an empty array, to be filled."""
    del shape, kind
    if array is not PickledArray:
        raise Refused("only arrays can be reconstructed")
    return PickledArray()


def _from_buffer(content: object, kind: object, shape: object, order: object) -> PickledArray:
    """Stand in for `numpy._core.numeric._frombuffer` (pickle protocol 5)."""
    array = PickledArray()
    array.value = _array(content, kind, shape, order)
    return array


def _scalar(kind: object, content: object) -> int | float | bool:
    """Stand in for `numpy._core.multiarray.scalar`."""
    return _array(content, kind, (), "C").item()


def _encode(text: object, encoding: object) -> bytes:
    """Stand in for `_codecs.encode`, by which protocols 0 to 2 write bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused(f"bytes must be written as latin1, got {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Stand in for `bytes`, which protocols 0 to 2 call for an empty array's content."""
    return b""


def _array(content: object, kind: object, shape: object, order: object) -> npt.NDArray[Any]:
    if not isinstance(kind, PickledType):
        raise Refused("an array's type must be a numpy dtype")
    if isinstance(content, str):  # Python 2 wrote bytes as text
        content = content.encode("latin1")
    if not isinstance(content, (bytes, bytearray)):
        raise Refused("an array's content must be bytes")
    sides = shape if isinstance(shape, tuple) else (shape,)
    if not all(isinstance(side, int) and side >= 0 for side in sides):
        raise Refused(f"an array's shape must be whole numbers, got {shape!r}")
    if order not in ("C", "F"):
        raise Refused(f"an array's order must be C or F, got {order!r}")
    flat = np.frombuffer(content, kind.dtype)
    return flat.astype(kind.dtype.newbyteorder("=")).reshape(sides, order=order)


FUNCTIONS: list[tuple[Callable[..., Any], list[str]]] = [
    (_encode, ["_codecs.encode"]),
    (_no_bytes, ["__builtin__.bytes", "builtins.bytes"]),
    (_reconstruct, [f"numpy.{core}.multiarray._reconstruct" for core in NUMPY_1_AND_2]),
    (_scalar, [f"numpy.{core}.multiarray.scalar" for core in NUMPY_1_AND_2]),
    (_from_buffer, [f"numpy.{core}.numeric._frombuffer" for core in NUMPY_1_AND_2]),
]
"""Stand-ins that are called, and the names they have."""

STAND_INS: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": PickledArray,
    "numpy.dtype": PickledType,
    "collections.OrderedDict": PickledDict,
    **{name: PickledFunction(function) for function, names in FUNCTIONS for name in names},
}
"""All that a pickle may name, and what it gets."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        full = f"{module}.{name}"
        if full not in STAND_INS:
            raise Refused(REFUSAL.format(full))
        return STAND_INS[full]


def load(path: Path) -> object:
    """Read the weights of a pickle, by `load_torch` where torch wrote it, else by `load_arrays`."""
    with path.open("rb") as file:
        start = file.read(len(OLD_TORCH))
    return load_torch(path) if start.startswith((ZIP, OLD_TORCH)) else load_arrays(path)


def load_arrays(path: Path) -> object:
    """Read a pickle of arrays, numbers, texts, lists and dictionaries.

    Returns:
        What it holds, or what that holds under one of `WEIGHTS_KEYS`; arrays in it are tensors.

    Raises:
        UnpicklingError: it names anything else (`Refused`), or is no pickle.
        EOFError: it is cut short; broken content can raise most other errors, too.
    """
    with path.open("rb") as file:
        return _weights(_Unpickler(file, encoding="latin1").load())


def load_torch(path: Path) -> object:
    """Read a file of `torch.save` that holds tensors, and arrays, as `load_arrays` does.

    Raises:
        UnpicklingError: it names anything else; broken content can raise most other errors.
    """
    known: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (stand_in, name)
        for name, stand_in in STAND_INS.items()
        if name.startswith(("numpy.", "builtins."))  # torch knows the others
    ]
    try:
        with torch.serialization.safe_globals(known):
            return _weights(torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        # torch's own message tells, in ten lines, how to load the file without protection
        named = re.search(r"GLOBAL (\S+)", str(error))
        reason = re.search(r"WeightsUnpickler error:\s*(.+)", str(error))
        message = REFUSAL.format(named[1]) if named else reason and reason[1].strip()
        raise Refused(message or "it holds more than tensors") from error


def _weights(content: object) -> object:
    """Find the weights (see `load_arrays`), and look at nothing beside and nothing deeper."""
    # A file of torch can give its OrderedDicts methods of its own: `dict`'s are asked.
    for key in WEIGHTS_KEYS:
        if isinstance(content, dict) and isinstance(dict.get(content, key), dict):
            content = dict.get(content, key)
    if not isinstance(content, dict):
        return content
    return {
        name: torch.from_numpy(value.value) if isinstance(value, PickledArray) else value
        for name, value in dict.items(content)
    }
