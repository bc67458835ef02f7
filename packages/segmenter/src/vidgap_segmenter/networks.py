"""The networks by their names in `config.json` and in configurations."""

from __future__ import annotations

from vidgap_segmenter.joint import Mask2FormerVIS, SeqFormer
from vidgap_segmenter.mask2former import Mask2Former
from vidgap_segmenter.mask_dino import MaskDINO

NETWORKS: dict[str, type[Mask2Former | Mask2FormerVIS | MaskDINO | SeqFormer]] = {
    network.architecture: network for network in (Mask2Former, Mask2FormerVIS, MaskDINO, SeqFormer)
}
