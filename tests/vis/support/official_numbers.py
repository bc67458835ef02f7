"""The official trackers' and heads' numbers: drawn weights in, kept numbers to compare with.

A file METHOD.json has for each case: `constants` (sizes and settings), `shapes` (official names of
weights), `means` of what is drawn, and `outputs` of the official code in float64: integers whole,
floats as shape, mean, standard deviation and sampled values.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def read_cases(path: Path) -> dict[str, dict[str, Any]]:
    """Return the cases of a file by their names."""
    cases: dict[str, dict[str, Any]] = json.loads(path.read_text())
    return cases


def generator(*key: object) -> np.random.RandomState:
    text = ":".join(map(str, key))
    return np.random.RandomState(int(hashlib.sha256(text.encode()).hexdigest()[:8], 16))


def as_float32(array: Array) -> Array:
    """Round to what float32 holds."""
    return array.astype(np.float32).astype(np.float64)


SCALES = [
    (r"sampling_offsets\.weight", lambda _: 0.1),
    (r"sampling_offsets\.bias", lambda _: 1.5),
    (r"cross_attn\.attention_weights\.weight", lambda _: 0.2),
    (r"cross_attn\.attention_weights\.bias", lambda _: 1.0),
    (r"bias$", lambda _: 0.1),
    (r"query_feat|query_embed\.weight|fq_pos|level_embed", lambda _: 1.0),
    (r"in_proj_weight", lambda fan: 1.5 / np.sqrt(fan)),
    (r"pre_(query|memory)_embed_k", lambda fan: 0.6 / np.sqrt(fan)),
    (r"bbox_embed\.\d+\.layers\.2", lambda fan: 0.3 / np.sqrt(fan)),
    (r"class_embed|activation_proj|time_attention", lambda fan: 2 / np.sqrt(fan)),
]
"""Standard deviations of weights by their names; the first that is found counts."""


def draw_weights(case: Mapping[str, Any]) -> dict[str, Array]:
    """Draw the weights of a case from their official names."""
    return {
        name: as_float32(_draw(case["constants"]["seed"], name, tuple(shape)))
        for name, shape in case["shapes"].items()
    }


def _draw(seed: int, name: str, shape: tuple[int, ...]) -> Array:
    rng = generator(seed, name)
    if len(shape) == 1 and name.endswith("weight"):  # norms
        return np.asarray(0.6 + 0.8 * rng.random_sample(shape))
    fan = int(np.prod(shape[1:]))
    scale = next((s(fan) for pattern, s in SCALES if re.search(pattern, name)), 1 / np.sqrt(fan))
    return np.asarray(rng.standard_normal(shape) * scale)


def mean_errors(
    case: Mapping[str, Any], weights: Mapping[str, Array], inputs: Mapping[str, Array]
) -> dict[str, float]:
    """Return how far the means of what was drawn are from those of the official run."""
    means = {"weights": np.concatenate([w.ravel() for w in weights.values()]).mean()}
    means |= {name: array.mean() for name, array in inputs.items()}
    return {name: abs(float(means[name]) - mean) for name, mean in case["means"].items()}


def errors(case: Mapping[str, Any], outputs: Mapping[str, Array]) -> dict[str, float]:
    """Compare outputs with the official ones.

    Returns:
        Of floats the largest error of samples, mean and standard deviation, in standard
        deviations; of integers how many are wrong; inf for a wrong shape or a missing output.
    """
    return {
        name: _error(wanted, outputs[name]) if name in outputs else float("inf")
        for name, wanted in case["outputs"].items()
    }


def _error(wanted: Mapping[str, Any], got: Array) -> float:
    if "ints" in wanted:
        table = np.array(wanted["ints"])
        return float((got != table).sum()) if got.shape == table.shape else float("inf")
    if list(got.shape) != wanted["shape"]:
        return float("inf")
    got = got.astype(np.float64)
    samples = np.array(wanted["at"])
    index = np.random.RandomState(got.size % 2**31).randint(0, got.size, len(samples))
    gaps = [*(got.ravel()[index] - samples), got.mean() - wanted["mean"], got.std() - wanted["std"]]
    worst = np.abs(gaps).max()
    return float(worst / (wanted["std"] or 1.0)) if np.isfinite(worst) else float("inf")
