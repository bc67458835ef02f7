"""IDOL (Wu et al., ECCV 2022): contrastive training of embeddings, and its tracker."""

from vidgap_vis.trackers.idol.associator import IDOLAssociator
from vidgap_vis.trackers.idol.loss import ReidLoss, ReidTargets
from vidgap_vis.trackers.idol.options import IDOLOptions
from vidgap_vis.trackers.idol.targets import FrameCosts, FrameInstances, OneToMany, one_to_many

__all__ = [
    "FrameCosts",
    "FrameInstances",
    "IDOLAssociator",
    "IDOLOptions",
    "OneToMany",
    "ReidLoss",
    "ReidTargets",
    "one_to_many",
]
