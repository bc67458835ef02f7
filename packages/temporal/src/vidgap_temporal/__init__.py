"""The multi-scale temporal module of video pre-training for video instance segmentation.

`MultiScaleTemporalModule` mixes the frames of a clip on every scale of a feature pyramid; `ops`
holds its two operations; `backends()` says how they are computed here.
"""

from vidgap_temporal.module import MultiScaleTemporalModule
from vidgap_temporal.ops import backends

__all__ = ["MultiScaleTemporalModule", "backends"]
