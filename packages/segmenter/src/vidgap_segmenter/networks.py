"""The networks by their names in `config.json` and in configurations."""

from __future__ import annotations

from vidgap_segmenter.mask2former import Mask2Former
from vidgap_segmenter.mask_dino import MaskDINO

NETWORKS: dict[str, type[Mask2Former | MaskDINO]] = {
    network.architecture: network for network in (Mask2Former, MaskDINO)
}
