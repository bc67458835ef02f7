"""Official numbers of trackers and heads: how they are kept, and how outputs are compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FOLDER = Path(__file__).parents[1] / "trackers" / "official"


def cases(method: str) -> dict[str, dict[str, Any]]:
    """Return constants, shapes of weights and outputs of each case of a method."""
    found: dict[str, dict[str, Any]] = json.loads((FOLDER / f"{method}.json").read_text())
    return found


def state(*key: object) -> np.random.RandomState:
    """Return a generator that depends on the key alone."""
    digest = hashlib.sha256(":".join(map(str, key)).encode()).hexdigest()
    return np.random.RandomState(int(digest[:8], 16))


def single(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return arrays whose numbers float32 has, as float64."""
    return {
        name: array if array.dtype.kind == "i" else array.astype(np.float32).astype(np.float64)
        for name, array in arrays.items()
    }


def errors(outputs: Mapping[str, Array], wanted: Mapping[str, Any]) -> dict[str, float]:
    """Return how far outputs are off.

    Tables of integers: the number of wrong entries. Others: the largest error of the mean, the
    standard deviation and some entries, in units of the standard deviation.
    """
    return {name: _error(np.asarray(outputs[name]), kept) for name, kept in wanted.items()}


def _error(got: Array, kept: Mapping[str, Any]) -> float:
    if "ints" in kept:
        table = np.array(kept["ints"])
        assert got.shape == table.shape
        return float((got != table).sum())
    assert list(got.shape) == kept["shape"]
    samples = np.random.RandomState(got.size % 2**31).randint(0, got.size, len(kept["at"]))
    off = [*(got.ravel()[samples] - kept["at"]), got.mean() - kept["mean"], got.std() - kept["std"]]
    return float(np.abs(off).max() / (kept["std"] or 1.0))
