"""DVIS (Zhang et al., ICCV 2023): a tracker and a refiner that learn on a frozen segmenter."""

from vidgap_vis.trackers.dvis.alignment import align
from vidgap_vis.trackers.dvis.head import DVIS
from vidgap_vis.trackers.dvis.loss import ReferringLoss, RefinerLoss
from vidgap_vis.trackers.dvis.offline import DVISOfflineTracker
from vidgap_vis.trackers.dvis.online import DVISHead, DVISTracker
from vidgap_vis.trackers.dvis.prediction import PredictionHead, QueryPrediction, mask_logits
from vidgap_vis.trackers.dvis.refiner import TemporalRefiner
from vidgap_vis.trackers.dvis.results import (
    BestPairs,
    best_pairs,
    offline_scores,
    online_scores,
    result_masks,
)
from vidgap_vis.trackers.dvis.targets import consistent_matching
from vidgap_vis.trackers.dvis.tracker import ReferringState, ReferringTracker

__all__ = [
    "DVIS",
    "BestPairs",
    "DVISHead",
    "DVISOfflineTracker",
    "DVISTracker",
    "PredictionHead",
    "QueryPrediction",
    "ReferringLoss",
    "ReferringState",
    "ReferringTracker",
    "RefinerLoss",
    "TemporalRefiner",
    "align",
    "best_pairs",
    "consistent_matching",
    "mask_logits",
    "offline_scores",
    "online_scores",
    "result_masks",
]
