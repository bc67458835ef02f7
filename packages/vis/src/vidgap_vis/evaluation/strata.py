"""Parts of the truths, by size and by occlusion, that metrics are computed for."""

from __future__ import annotations

from dataclasses import dataclass

from vidgap_vis.evaluation.arrays import Bools, Doubles


@dataclass(frozen=True)
class Stratum:
    """A part of the truths; the others neither count as missed nor as found.

    Both ends of a range are included. A prediction that stays unmatched counts as wrong unless its
    own area is outside; how much of it is hidden nobody knows.

    Attributes:
        name: "small" and the like.
        areas: of a track, its mean over the frames that show it, in pixels.
        occlusion: how much of a truth is hidden, 0..1; None takes those of unknown occlusion too.
    """

    name: str
    areas: tuple[float, float] = (0, 1e10)
    occlusion: tuple[float, float] | None = None

    def outside(self, areas: Doubles, occlusion: Doubles | None = None) -> Bools:
        """Return which tracks lie outside: (M,) areas and, of truths, (M,) occlusion -> (M,)."""
        outside = (areas < self.areas[0]) | (areas > self.areas[1])
        if occlusion is None or self.occlusion is None:
            return outside
        # An unknown occlusion, NaN, is in no range.
        inside = (occlusion >= self.occlusion[0]) & (occlusion <= self.occlusion[1])
        return outside | ~inside


AREA_RANGES: tuple[Stratum, ...] = (
    Stratum("all"),
    Stratum("small", (0, 128**2)),
    Stratum("medium", (128**2, 256**2)),
    Stratum("large", (256**2, 1e10)),
)
"""The ranges of YouTube-VIS (`ytvoseval.py`)."""

OCCLUSION_RANGES: tuple[Stratum, ...] = (
    Stratum("light", occlusion=(0, 0.25)),
    Stratum("medium", occlusion=(0.25, 0.5)),
    Stratum("heavy", occlusion=(0.5, 1)),
)
"""The ranges of OVIS (`oviseval.py` of qjy981010/cocoapi); a truth of 0.25 is in two of them."""

STRATA = AREA_RANGES + OCCLUSION_RANGES
