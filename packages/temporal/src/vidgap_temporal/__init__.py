"""The multi-scale temporal module of video pre-training for video instance segmentation.

`MultiScaleTemporalModule` mixes the frames of a clip on every scale of a feature pyramid; `attach`
puts it into somebody else's model; `ops` holds its two operations; `backends()` says how they are
computed here.
"""

from vidgap_temporal.attach import Handle, attach
from vidgap_temporal.module import MultiScaleTemporalModule
from vidgap_temporal.ops import backends

__all__ = ["Handle", "MultiScaleTemporalModule", "attach", "backends"]
