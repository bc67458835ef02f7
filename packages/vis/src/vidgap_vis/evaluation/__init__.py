"""Metrics: track AP of YouTube-VIS, image AP of COCO, how sure they are, tables.

>>> evaluate_files("results.json", "gt.json")["AP50"]  # doctest: +SKIP
0.532

In steps, to get at classes, videos and intervals::

    evaluation = Evaluation.of_files("results.json", "gt.json")
    metrics = track_metrics(evaluation.table)        # .overall, .per_class, .per_video
    print(interval(evaluation.table, "AP50"))        # 45.3 [40.1, 50.2]
    print(compare(evaluation.table, other.table)["AP"])   # +1.2 [-0.3, +2.7], other minus this
    print(format_table({"ours": metrics.overall}))
"""

from vidgap_vis.evaluation.average_precision import METRICS, MatchTable
from vidgap_vis.evaluation.causes import CAUSES, Cause, Causes, FoundCause, TrueCause
from vidgap_vis.evaluation.coco import IMAGE_METRICS, evaluate_images
from vidgap_vis.evaluation.evaluation import Evaluation, evaluate_files
from vidgap_vis.evaluation.fixes import Fixes
from vidgap_vis.evaluation.intervals import (
    Difference,
    Interval,
    compare,
    compare_per_class,
    interval,
    intervals,
)
from vidgap_vis.evaluation.oracles import ORACLES, Oracle, oracle_metrics
from vidgap_vis.evaluation.overlaps import TrackArrays, VideoOverlaps, overlaps
from vidgap_vis.evaluation.spread import Spread, spread
from vidgap_vis.evaluation.strata import AREA_RANGES, OCCLUSION_RANGES, Stratum
from vidgap_vis.evaluation.switches import SwitchWatch, identity_switches
from vidgap_vis.evaluation.table import format_percent, format_table
from vidgap_vis.evaluation.youtube_vis import (
    MetricBreakdown,
    match_tracks,
    match_videos,
    track_metrics,
)
from vidgap_vis.formats.coco import ImageMask
from vidgap_vis.formats.results import Track

__all__ = [
    "AREA_RANGES",
    "CAUSES",
    "IMAGE_METRICS",
    "METRICS",
    "OCCLUSION_RANGES",
    "ORACLES",
    "Cause",
    "Causes",
    "Difference",
    "Evaluation",
    "Fixes",
    "FoundCause",
    "ImageMask",
    "Interval",
    "MatchTable",
    "MetricBreakdown",
    "Oracle",
    "Spread",
    "Stratum",
    "SwitchWatch",
    "Track",
    "TrackArrays",
    "TrueCause",
    "VideoOverlaps",
    "compare",
    "compare_per_class",
    "evaluate_files",
    "evaluate_images",
    "format_percent",
    "format_table",
    "identity_switches",
    "interval",
    "intervals",
    "match_tracks",
    "match_videos",
    "oracle_metrics",
    "overlaps",
    "spread",
    "track_metrics",
]
