"""`vidgap demo`: the whole job on generated data, in minutes, on two cores.

Stills and clips of look-alikes are generated; a small segmenter is pre-trained with its temporal
module on pseudo-clips of the stills, fine-tuned with CTVIS on both, and tracks held-out clips.
Beside it stand a model without the module, if wanted one that gets it in fine-tuning, and the first
one's detections under other trackers: by overlap, by index, and by the truth.
"""

from vidgap_vis.demo.stages import run

__all__ = ["run"]
