"""Metrics: track AP of YouTube-VIS, image AP of COCO, how sure they are, tables.

>>> evaluate_files("results.json", "gt.json")["AP50"]  # doctest: +SKIP
0.532

In steps, to get at classes, videos and intervals::

    truth = read_youtube_vis("gt.json")
    matches = match_results(truth, read_results("results.json", truth))
    metrics = track_metrics(matches)        # .overall, .per_class, .per_video
    print(interval(matches, "AP50"))        # 45.3 [40.1, 50.2]
    print(compare(matches, others)["AP"])   # +1.2 [-0.3, +2.7], the second result minus the first
    print(format_table({"ours": metrics.overall}))
"""

from vidgap_vis.evaluation.average_precision import AREA_RANGES, METRICS, MatchTable
from vidgap_vis.evaluation.coco import IMAGE_METRICS, evaluate_images
from vidgap_vis.evaluation.intervals import (
    Difference,
    Interval,
    compare,
    compare_per_class,
    interval,
    intervals,
)
from vidgap_vis.evaluation.spread import Spread, spread
from vidgap_vis.evaluation.switches import SwitchWatch, identity_switches
from vidgap_vis.evaluation.table import format_percent, format_table
from vidgap_vis.evaluation.youtube_vis import (
    MetricBreakdown,
    evaluate_files,
    match_results,
    match_tracks,
    track_metrics,
)
from vidgap_vis.formats.coco import ImageMask
from vidgap_vis.formats.results import Track

__all__ = [
    "AREA_RANGES",
    "IMAGE_METRICS",
    "METRICS",
    "Difference",
    "ImageMask",
    "Interval",
    "MatchTable",
    "MetricBreakdown",
    "Spread",
    "SwitchWatch",
    "Track",
    "compare",
    "compare_per_class",
    "evaluate_files",
    "evaluate_images",
    "format_percent",
    "format_table",
    "identity_switches",
    "interval",
    "intervals",
    "match_results",
    "match_tracks",
    "spread",
    "track_metrics",
]
