"""`vidgap demo`: the whole job on generated data, in minutes, on two cores.

Stills and clips of look-alikes are generated; a small segmenter is pre-trained with its temporal
module on pseudo-clips of the stills, fine-tuned on the clips, and tracks held-out clips. Beside it
stand the same model without a temporal module, without association, and untrained.
"""

from vidgap_vis.demo.stages import run

__all__ = ["run"]
