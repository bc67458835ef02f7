"""How far a number moves with the seed of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from vidgap_vis.evaluation.table import NOT_AVAILABLE


@dataclass(frozen=True)
class Spread:
    """A number from several seeds; `str()` reads "45.3 ± 1.2 (n = 3)": mean and sd, in percent.

    Attributes:
        n: the values that are known.
        num_undefined: the values that are None, left out of everything else.
        mean: their mean; None where none is known.
        sd: their sample standard deviation (n - 1); None for fewer than two.
        min: the lowest; None where none is known.
        max: the highest; None where none is known.
        low: lower bound of Student's t-interval of the mean; None for fewer than two.
        high: upper bound, likewise.
        confidence: of that interval, where the values are about normal.
    """

    n: int
    num_undefined: int
    mean: float | None
    sd: float | None
    min: float | None
    max: float | None
    low: float | None
    high: float | None
    confidence: float

    def __str__(self) -> str:
        if self.mean is None:
            return NOT_AVAILABLE
        sd = "" if self.sd is None else f" ± {100 * self.sd:.1f}"
        return f"{100 * self.mean:.1f}{sd} (n = {self.n})"


def spread(values: Sequence[float | None], *, confidence: float = 0.95) -> Spread:
    """Summarise one number of runs that differ only in their seed.

    The bounds speak of other seeds, not of other videos (`intervals`), and are not clipped.

    Args:
        values: the number from each seed, metrics in 0..1; None where it is undefined.
        confidence: of the interval of the mean.

    Raises:
        ValueError: a value is not finite, or the confidence is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not np.isfinite(known).all():
        raise ValueError(f"values must be finite or None, got {list(values)}")
    n = len(known)
    mean = float(known.mean()) if n else None
    lowest, highest = (float(known.min()), float(known.max())) if n else (None, None)
    sd = low = high = None
    if mean is not None and n > 1:
        sd = float(known.std(ddof=1))
        reach = float(stdtrit(n - 1, (1 + confidence) / 2)) * sd / n**0.5
        low, high = mean - reach, mean + reach
    return Spread(n, len(values) - n, mean, sd, lowest, highest, low, high, confidence)
