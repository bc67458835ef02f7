"""IDOL (Wu et al., ECCV 2022): its tracker."""

from vidgap_vis.trackers.idol.associator import IDOLAssociator
from vidgap_vis.trackers.idol.options import IDOLOptions

__all__ = ["IDOLAssociator", "IDOLOptions"]
