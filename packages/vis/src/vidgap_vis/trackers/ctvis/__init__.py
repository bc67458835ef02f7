"""CTVIS (Ying et al., ICCV 2023): contrastive training of embeddings, and their tracker."""

from vidgap_vis.trackers.ctvis.associator import CTVISAssociator
from vidgap_vis.trackers.ctvis.loss import ContrastiveLoss, association_share
from vidgap_vis.trackers.ctvis.matching import release_queries
from vidgap_vis.trackers.ctvis.options import CTVISOptions

__all__ = [
    "CTVISAssociator",
    "CTVISOptions",
    "ContrastiveLoss",
    "association_share",
    "release_queries",
]
