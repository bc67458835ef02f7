"""Cut-outs: each track in each frame as a picture with alpha."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vidgap_vis.files import naming_output, replacing
from vidgap_vis.inference.outputs.events import Shown
from vidgap_vis.inference.outputs.sink import Sink, tracks_of
from vidgap_vis.video.boxed_masks import BoxedMask


class CropSink(Sink):
    """Writes `VIDEO/TRACK/FRAME.png`, RGBA of the mask's box, transparent outside the mask.

    What a tracker takes back later is removed.

    Args:
        folder: of all videos.
        score: tracks below it in a frame are left out there.
    """

    def __init__(self, folder: Path, score: float) -> None:
        super().__init__()
        self._folder = folder
        self._score = score

    def open(self) -> None:
        with naming_output(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        self.written.append(self._folder)

    def show(self, shown: Shown) -> None:
        assert shown.picture is not None
        job = shown.task.job
        for track, _, _, rle in tracks_of(shown.result, self._score):
            mask = BoxedMask.of(rle)
            left, top, right, bottom = mask.box
            colours = shown.picture[top:bottom, left:right, ::-1]  # OpenCV's order
            alpha = np.where(mask.pixels, 255, 0).astype(np.uint8)
            done, data = cv2.imencode(".png", np.dstack([colours, alpha]))
            assert done
            path = self._path(job.name, track, shown.frame)
            with naming_output(path), replacing(path) as temporary:
                temporary.write_bytes(data.tobytes())
        for track, first, last in shown.result.retracted:
            for frame in range(first, last + 1):
                self._path(job.name, track, job.source_frame(frame)).unlink(missing_ok=True)

    def _path(self, video: str, track: int, frame: int) -> Path:
        return self._folder / video / str(track) / f"{frame:06d}.png"
