"""Metrics by class, size, occlusion and length: a table of matches for each group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from os import PathLike
from typing import Literal, get_args

from vidgap_vis.errors import InputError
from vidgap_vis.evaluation.average_precision import MatchTable
from vidgap_vis.evaluation.strata import AREA_RANGES, OCCLUSION_RANGES, STRATA, Stratum
from vidgap_vis.formats.records import brief, read_json
from vidgap_vis.formats.youtube_vis import VideoSet

Grouping = Literal["class", "size", "occlusion", "length"]
"""What metrics can be split by."""

OCCLUSION_SCORES = {"no_occlusion": 0.0, "slight_occlusion": 0.25, "severe_occlusion": 0.75}
"""OVIS's words for how much of an object is hidden in a frame."""

LENGTHS = {"up to 30 frames": 30, "31 to 60 frames": 60, "more frames": None}
"""Groups of videos by length, where no list says which are long."""


def group_tables(
    truth: VideoSet,
    table: MatchTable,
    by: Grouping,
    long_videos: Collection[int] | None = None,
) -> dict[str, MatchTable]:
    """Return a table for each group that holds a truth: name -> table.

    Args:
        truth: the videos.
        table: of results for them.
        by: "class"; "size", YouTube-VIS's three area ranges; "occlusion", OVIS's three; "length".
        long_videos: ids of the long videos, as YouTube-VIS 2022 lists them; groups are then "long"
            and "short". None groups by the number of frames.

    Raises:
        InputError: the truth does not say how much of each instance is hidden, or has no video of
            an id in `long_videos`.
        ValueError: there is no such grouping.
    """
    if by not in get_args(Grouping):
        raise ValueError(f"by must be one of {', '.join(get_args(Grouping))}, got {by!r}")
    split: Mapping[Grouping, Callable[[], dict[str, MatchTable]]] = {
        "class": lambda: _by_class(truth, table),
        "size": lambda: _by_stratum(table, AREA_RANGES[1:]),
        "occlusion": lambda: _by_occlusion(truth, table),
        "length": lambda: _by_length(truth, table, long_videos),
    }
    return {
        name: group
        for name, group in split[by]().items()
        if any(label.num_truths[0].any() for label in group.labels.values())
    }


def class_names(truth: VideoSet) -> list[str]:
    """Return a name for each label, with the category's id where several have the same."""
    names = [entry.name for entry in truth.classes]
    return [
        f"{entry.name} ({entry.category_id})" if names.count(entry.name) > 1 else entry.name
        for entry in truth.classes
    ]


def read_long_videos(path: str | PathLike[str]) -> list[int]:
    """Read a list of video ids: a JSON list, or a YouTube-VIS JSON that holds just those videos.

    Raises:
        InputError: it is neither.
    """
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("videos"), list):
        content = [
            video.get("id") if isinstance(video, dict) else video for video in content["videos"]
        ]
    if not isinstance(content, list):
        raise InputError(path, "", f"must be a list of video ids, got {brief(content)}")
    for index, number in enumerate(content):
        if not isinstance(number, int) or isinstance(number, bool):
            raise InputError(path, f"[{index}]", f"must be a video's id, got {brief(number)}")
    return content


def _by_class(truth: VideoSet, table: MatchTable) -> dict[str, MatchTable]:
    names = class_names(truth)
    return {names[label]: table.only_label(label) for label in sorted(table.labels)}


def _by_stratum(table: MatchTable, strata: Collection[Stratum]) -> dict[str, MatchTable]:
    return {stratum.name: table.only_stratum(STRATA.index(stratum)) for stratum in strata}


def _by_occlusion(truth: VideoSet, table: MatchTable) -> dict[str, MatchTable]:
    for video in truth.videos:
        for instance in video.instances:
            for level in instance.occlusion or ("nothing",):
                if level is not None and level not in OCCLUSION_SCORES:
                    wanted = f"occlusion must be of {', '.join(OCCLUSION_SCORES)} or null"
                    item = f"annotation {instance.id}"
                    raise InputError(truth.path, item, f"{wanted} in each frame, got {level}")
    return _by_stratum(table, OCCLUSION_RANGES)


def _by_length(
    truth: VideoSet, table: MatchTable, long_videos: Collection[int] | None
) -> dict[str, MatchTable]:
    members: dict[str, list[int]]
    if long_videos is None:
        lengths = {video.id: len(video) for video in truth.videos}
        members = {name: [] for name in LENGTHS}
        for index, video_id in enumerate(table.group_ids):
            members[_length_group(lengths[video_id])].append(index)
    else:
        _check_known(truth, long_videos)
        is_long = [video_id in set(long_videos) for video_id in table.group_ids]
        members = {
            "long": [i for i, one in enumerate(is_long) if one],
            "short": [i for i, one in enumerate(is_long) if not one],
        }
    return {name: table.only_groups(indices) for name, indices in members.items() if indices}


def _length_group(length: int) -> str:
    return next(name for name, most in LENGTHS.items() if most is None or length <= most)


def _check_known(truth: VideoSet, long_videos: Collection[int]) -> None:
    unknown = sorted(set(long_videos) - {video.id for video in truth.videos})
    if unknown:
        raise InputError(truth.path, "videos", f"none has the id {unknown[0]} of a long video")
