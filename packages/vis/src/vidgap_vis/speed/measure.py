"""How fast a video is followed on this machine, stage by stage and end to end."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from vidgap_segmenter import ClipSegmenter
from vidgap_vis.classes import ClassList
from vidgap_vis.inference.clip_results import clip_results
from vidgap_vis.inference.draw import draw_result
from vidgap_vis.inference.predict import PredictOptions, predict
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.inference.step import ModelStep, Precision, Step, compiled_step
from vidgap_vis.inference.stream import OF_DETECTIONS
from vidgap_vis.speed.clock import Clock
from vidgap_vis.speed.scene import FPS, Scene, SceneModel
from vidgap_vis.trackers import Tracker, detections_of
from vidgap_vis.video.read import open_video
from vidgap_vis.video.write import OverlayWriter

COMPILED = "compiled network"
NETWORK = ("backbone", "encoder", "temporal", "decoder", COMPILED)
"""The parts of a network, or all of it where it is compiled."""
AFTER = ("tracker", "masks to run lengths", "draw", "encode")
STAGES = ("decode", "to device", *NETWORK, *AFTER)
END_TO_END = "end to end"
"""Of `predict`, which overlaps stages, from a video file to an overlay and results."""


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        short_edge: to which frames are resized for the network.
        size: (H, W) of the video.
        frames: of a step.
        tracks: in every frame.
        dtype: of the network.
        steps: how many steps are timed, after those that are not.
    """

    short_edge: int
    size: tuple[int, int]
    frames: int
    tracks: int
    dtype: Precision = "fp32"
    steps: int = 5


@dataclass(frozen=True)
class Speed:
    """What was found.

    Attributes:
        case: what was measured.
        ms: milliseconds a frame of each of `STAGES` (0 where a network has no such part), and
            `END_TO_END`.
    """

    case: Case
    ms: dict[str, float]

    @property
    def network(self) -> float:
        """Milliseconds a frame of the network."""
        return sum(self.ms[name] for name in NETWORK)

    @property
    def rest(self) -> float:
        """Milliseconds a frame of all other stages, one after another."""
        return sum(self.ms[name] for name in STAGES) - self.network

    def to_json(self) -> dict[str, Any]:
        """Return the numbers to keep."""
        return {**asdict(self.case), "ms": {name: round(ms, 3) for name, ms in self.ms.items()}}


@dataclass(frozen=True)
class Subject:
    """What is measured, where, and by which clock.

    Attributes:
        network: a segmenter that works frame by frame.
        classes: its own.
        make_tracker: of a video.
        device: where all of it computes.
        now: the time in seconds: of a clock on the wall, or `time.process_time`.
        compiled: whether `torch.compile` makes the network's step.
    """

    network: ClipSegmenter
    classes: ClassList
    make_tracker: Callable[[], Tracker]
    device: torch.device
    now: Callable[[], float] = time.perf_counter
    compiled: bool = False

    @property
    def untimed(self) -> int:
        """Steps before those that are timed.

        The second is the first with a state. A compiler makes it anew then, and records graphs in
        the next one.
        """
        return 4 if self.compiled else 2

    @cached_property
    def step(self) -> Step:
        """The network's step, compiled once for all cases."""
        network = self.network.to(self.device).eval()
        return compiled_step(network, self.device) if self.compiled else network.step

    def check(self, case: Case) -> None:
        """Say whether a case can be measured.

        Raises:
            ValueError: there are more tracks than queries, or the tracker reads more of a network
                than detections.
        """
        queries = int(self.network.config["num_queries"])
        if not 1 <= case.tracks <= queries:
            raise ValueError(f"tracks must be 1 to the network's {queries}, got {case.tracks}")
        needs = self.make_tracker().needs - OF_DETECTIONS
        if needs:
            raise ValueError(
                "the tracker must go by detections, which are made up here; it reads "
                f"{', '.join(sorted(needs))} of the network"
            )

    def measure(self, case: Case) -> Speed:
        """Follow a made-up video, in stages and by `predict`; raises as `check` does."""
        self.check(case)
        scene = Scene(case.tracks)
        with TemporaryDirectory() as folder:
            video = Path(folder) / "scene.mp4"
            scene.write(video, case.size, case.frames * (self.untimed + case.steps))
            found = self.stages(case, scene, video)
            return Speed(case, found | {END_TO_END: self.end_to_end(case, scene, video)})

    def stages(self, case: Case, scene: Scene, video: Path) -> dict[str, float]:
        """Return milliseconds a frame of each stage, one after another, in the timed steps."""
        clock = Clock(self.device, self.now)
        model = SceneModel(self.network, scene, self.step)
        step = ModelStep(
            model,
            self.device,
            class_weights=torch.ones(len(self.classes)),
            dtype=case.dtype,
            short_edge=case.short_edge,
        )
        tracker, state = self.make_tracker(), None
        pictures = iter(open_video(video))
        with ExitStack() as stack:
            encoding = stack.enter_context(ExitStack())
            overlay = encoding.enter_context(
                OverlayWriter(video.with_suffix(".stages.mp4"), FPS, case.size)
            )
            watched = [(model, "computed", COMPILED)] if self.compiled else parts(self.network)
            for owner, method, name in (*watched, (model, "replaced", "the scene")):
                stack.enter_context(clock.watching(owner, method, name))
            for index in range(self.untimed + case.steps):
                if index == self.untimed:
                    clock.seconds = defaultdict(float, encode=clock.seconds["encode"])
                with clock.stage("decode"):
                    clip = list(islice(pictures, case.frames))
                with torch.inference_mode():
                    with clock.stage("to device"):
                        output, state = step([torch.from_numpy(frame) for frame in clip], state)
                    with clock.stage("tracker"):
                        found = detections_of(output, step.class_weights, tracker.needs)
                        tracks = tracker.step(found)
                    with clock.stage("masks to run lengths"):
                        results = [
                            *clip_results(output, tracks, tracker, case.size, self.classes, 0.0)
                        ]
                for frame, result in zip(clip, results, strict=True):
                    # Otherwise less is timed than is said.
                    assert len(result) == case.tracks, f"{len(result)} tracks, not {case.tracks}"
                    with clock.stage("draw"):
                        drawn = draw_result(frame, result)
                    with clock.stage("encode"):
                        overlay.write(drawn)
            with clock.stage("encode"):  # it looks ahead: most of its work may be left
                encoding.close()
        clock.seconds["encode"] *= case.steps / (self.untimed + case.steps)  # it has all frames
        timed = case.frames * case.steps
        return {name: 1e3 * clock.seconds.get(name, 0.0) / timed for name in STAGES}

    def end_to_end(self, case: Case, scene: Scene, video: Path) -> float:
        """Return milliseconds a frame of `predict`, with overlay and results, from start to end."""
        segmenter = VideoSegmenter(
            SceneModel(self.network, scene, self.step),
            self.classes,
            device=self.device,
            dtype=case.dtype,
            short_edge=case.short_edge,
            tracker=self.make_tracker,
        )
        start = self.now()
        summary = predict(
            [video],
            segmenter,
            out=video.with_suffix(".overlay.mp4"),
            json=video.with_suffix(".json"),
            options=PredictOptions(latency=case.frames, score=0.0, progress=False),
        )
        return 1e3 * (self.now() - start) / summary.num_frames


def parts(network: ClipSegmenter) -> Iterator[tuple[object, str, str]]:
    """Yield the parts of a network: an object, its method and the stage that this is."""
    yield network.backbone, "forward", "backbone"
    yield network.pixel_decoder, "encode", "encoder"
    if network.temporal is not None:
        yield network.temporal, "step", "temporal"
    yield network, "_decode", "decoder"
