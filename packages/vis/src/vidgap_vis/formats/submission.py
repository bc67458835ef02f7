"""A results file as evaluation servers take it: checked, in a zip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from vidgap_vis.files import replacing
from vidgap_vis.formats.results import ResultFile, checked
from vidgap_vis.formats.youtube_vis import VideoSet

RESULTS = "results.json"
"""Its name, at the top of the zip."""


@dataclass(frozen=True)
class Submission:
    """What was packed.

    Attributes:
        num_tracks: entries of the file.
        num_videos: that have some.
        without: ids of the videos that have none.
        most: entries of the video that has most.
    """

    num_tracks: int
    num_videos: int
    without: tuple[int, ...]
    most: int


def pack(results: Path, videos: VideoSet, out: Path) -> Submission:
    """Check a results file against the videos that it is about, and write the zip.

    Args:
        results: in YouTube-VIS's format.
        videos: of the data set, in the order of its file; annotations are not needed.
        out: the zip, written whole or not at all.

    Raises:
        InputError: an entry names another video or category, has masks for another number of
            frames or of another size, or a score outside 0..1; or the zip cannot be written.
    """
    counts = {}
    with ResultFile(results, videos) as file:
        for video in videos.videos:
            tracks = file.tracks(video.id)
            counts[video.id] = len(tracks)
            for track in tracks:
                checked(track, results)
    with (
        replacing(out) as temporary,
        ZipFile(temporary, "w", ZIP_DEFLATED, strict_timestamps=False) as archive,
    ):
        archive.write(results, RESULTS)
    return Submission(
        num_tracks=sum(counts.values()),
        num_videos=sum(count > 0 for count in counts.values()),
        without=tuple(video for video, count in counts.items() if not count),
        most=max(counts.values(), default=0),
    )
