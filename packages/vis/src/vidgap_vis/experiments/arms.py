"""What is measured of an arm: how well it follows the held-out clips, and what that costs."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

from safetensors import safe_open

from vidgap_vis.evaluation import Evaluation
from vidgap_vis.files import replacing
from vidgap_vis.formats import read_youtube_vis
from vidgap_vis.inference.predict import PredictOptions, predict
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.inference.two_passes import TwoPasses

Record: TypeAlias = dict[str, Any]
"""`metrics` (0..1), `intervals` (low, high), `switches`, `tracking` (HOTA and its kin, None without
its package), `occlusion` (AP by group), `parameters`, `ms` (processor time a frame) and `growth`
(bytes of tracker state that a further frame adds)."""

TRUTH = "clips_valid.json"


def measure(name: str, weights: Path, tracker: Mapping[str, Any], data: Path, out: Path) -> Record:
    """Track the held-out clips and evaluate; what was done before is read again.

    Args:
        name: the arm's, which names the files `NAME.json` (the results) and `NAME.metrics.json`.
        weights: the folder of its weights.
        tracker: a name and options; empty: that of the weights.
        data: the folder of the generated data.
        out: the folder of the arms.
    """
    done = out / f"{name}.metrics.json"
    if done.is_file():
        found: Record = json.loads(done.read_text(encoding="utf-8"))
        return found
    segmenter = VideoSegmenter.from_pretrained(weights, device="cpu", tracker=tracker or None)
    results = out / f"{name}.json"
    out.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    summary = predict(
        [data / TRUTH],
        segmenter,
        json=results,
        images_root=data / "frames",
        options=PredictOptions(progress=False),
    )
    seconds = time.process_time() - start
    evaluation = Evaluation.of_files(results, data / TRUTH)
    record = {
        "metrics": evaluation.ap(),
        "intervals": {key: [one.low, one.high] for key, one in evaluation.intervals().items()},
        "switches": sum(evaluation.switches().values()),
        "tracking": evaluation.hota().overall if find_spec("trackeval") else None,
        "occlusion": {
            group: table.summary()["AP"] for group, table in evaluation.by("occlusion").items()
        },
        "parameters": parameters(weights),
        "ms": 1e3 * seconds / max(1, summary.num_frames),
        "growth": growth(segmenter, data),
    }
    with replacing(done) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def parameters(weights: Path) -> int:
    """Count the numbers of all weights of a folder."""
    total = 0
    for path in weights.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            total += sum(prod(file.get_slice(name).get_shape()) for name in file.offset_keys())
    return total


def growth(segmenter: VideoSegmenter, data: Path) -> float:
    """Return the bytes that a tracker's state grows by with a frame, in the first clip's end."""
    videos = read_youtube_vis(data / TRUTH, data / "frames")
    video = videos.videos[0]
    half = len(video) // 2
    sizes = []
    for length in (half, 2 * half):
        one = segmenter.open(score_threshold=0.0)
        frames = [videos.read_frame(video, time) for time in range(length)]
        if isinstance(one, TwoPasses):
            one.look(frames)
        else:
            deque(one.track(frames), maxlen=0)
        sizes.append(one.tracker.state_size())
    return (sizes[1] - sizes[0]) / half
