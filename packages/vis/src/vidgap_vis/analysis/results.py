"""Results that were analysed, with their masks at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vidgap_vis.analysis.summary import analyse, compared
from vidgap_vis.analysis.videos import MIN_SCORE
from vidgap_vis.evaluation import Evaluation
from vidgap_vis.formats.results import ResultFile, Track
from vidgap_vis.formats.youtube_vis import VideoSet


@dataclass(frozen=True)
class Analysed:
    """Results, analysed.

    Attributes:
        name: to show.
        data: what `analyse` returned.
        tracks: returns the predictions for a video, by its id, in the file's order.
    """

    name: str
    data: Mapping[str, Any]
    tracks: Callable[[int], Sequence[Track]]


@contextmanager
def analysed(
    paths: Sequence[Path], truth: VideoSet, min_score: float = MIN_SCORE
) -> Iterator[tuple[list[Analysed], dict[str, Any] | None]]:
    """Analyse one or two results files, which stay open in the block.

    Args:
        paths: of the files; a second one is what the first is compared with.
        truth: the videos.
        min_score: as `analyse`.

    Yields:
        The results, and what the first ones have more of each metric than the second.

    Raises:
        InputError: a file or something in it is wrong.
    """
    evaluations = [Evaluation.of_files(path, truth) for path in paths]
    stems = [path.stem for path in paths]
    names = stems if len(set(stems)) == len(stems) else [str(path) for path in paths]
    with ExitStack() as stack:
        results = []
        for name, path, evaluation in zip(names, paths, evaluations, strict=True):
            file = stack.enter_context(ResultFile(path, truth))
            # Strips of a video are cut one after another: its entries are read once.
            tracks = lru_cache(maxsize=1)(file.tracks)
            results.append(Analysed(name, analyse(evaluation, min_score=min_score), tracks))
        gains = compared(evaluations[1], evaluations[0]) if len(evaluations) > 1 else None
        yield results, gains
