"""What is measured of an arm: how well it does on held-out clips or stills, and what that costs."""

from __future__ import annotations

import json
import time
from collections import deque
from functools import partial
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

from safetensors import safe_open

from vidgap_segmenter.weights import read_config
from vidgap_vis.evaluation import Evaluation, Fixes, oracle_metrics
from vidgap_vis.experiments import brightness
from vidgap_vis.experiments.files import ClipFiles
from vidgap_vis.experiments.forgetful import Forgetful
from vidgap_vis.experiments.plan import Arm
from vidgap_vis.experiments.stills import STILLS, write_results, write_truth
from vidgap_vis.files import replacing
from vidgap_vis.formats import VideoSet, read_coco, read_youtube_vis
from vidgap_vis.inference.association import association_accuracy
from vidgap_vis.inference.images import segment_images
from vidgap_vis.inference.mechanism import mask_quality, staying
from vidgap_vis.inference.places import Places, same_in_mirror, some_frames
from vidgap_vis.inference.predict import PredictOptions, predict
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.inference.sights import see
from vidgap_vis.inference.state_probe import recall, watching
from vidgap_vis.inference.step import StepModel
from vidgap_vis.inference.two_passes import TwoPasses
from vidgap_vis.weights import open_weights

Record: TypeAlias = dict[str, Any]
"""`metrics` (0..1), `intervals` (low, high), `parameters`, `ms` (processor time a frame or still).

Of an arm on clips whose truth is not known only the last two; of one on stills also `mirrored`, how
often a learned query finds the same in the mirror (None without such queries), which tells places
from appearances (`inference.places`). Of others on clips also `switches`,
`tracking` (HOTA and its kin, None without its package), `occlusion` (AP by group), `causes` (of the
lost AP50, by cause), `perfect association` (AP50 with it) and `growth` (bytes of tracker state that
a further frame adds). And where the network has an embedding head:
`association`, `masks` by how much of their instance is hidden, `staying`, how often its query
stays the same (`inference.association`, `inference.mechanism`), and `places`, what the decoder adds
to the masks of learned queries, with `mirrored` (None where there are none); with a ConvGRU, too,
`state`, what that remembers of earlier frames (`inference.state_probe`)."""

OF_NETWORK = ("association", "masks", "staying", "places", "state")
"""What `mechanism` measures, which no tracker changes."""

MIRRORED = 300
"""How many frames are mirrored, to see whether a query is a place."""


def measure(
    name: str,
    arm: Arm,
    weights: Path | None,
    data: Path,
    clips: ClipFiles | None,
    out: Path,
    device: str = "cpu",
    *,
    like: str | None = None,
) -> Record:
    """Measure an arm on held-out clips or stills; what was done before is read again.

    Args:
        name: the arm's, which names the files `NAME.json` (the results) and `NAME.metrics.json`.
        arm: what is measured.
        weights: the folder of its weights; None: nothing is learned.
        data: the folder of the data.
        clips: of the data, what it tracks; None for an arm on stills.
        out: the folder of the arms.
        device: where the network computes; "auto": a GPU if there is one.
        like: an arm that has been measured and differs in its tracker alone: what the network does
            before any tracker is that one's.
    """
    done = out / f"{name}.metrics.json"
    if done.is_file():
        found: Record = json.loads(done.read_text(encoding="utf-8"))
        return found
    results = out / f"{name}.json"
    out.mkdir(parents=True, exist_ok=True)
    if clips is not None:
        beside = None if like is None else out / f"{like}.metrics.json"
        known = None if beside is None else json.loads(beside.read_text(encoding="utf-8"))
        record = on_clips(arm, weights, data, clips, results, device, known)
    else:
        assert arm.copies is not None
        assert weights is not None
        record = on_stills(arm.copies, weights, data, results, device)
    with replacing(done) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def on_clips(
    arm: Arm,
    weights: Path | None,
    data: Path,
    clips: ClipFiles,
    results: Path,
    device: str,
    known: Record | None,
) -> Record:
    """Track the held-out clips and compare with the truth, if there is one; results are kept."""
    annotations, frames = data / clips.annotations, data / clips.frames
    if weights is None:
        segmenter = brightness.segmenter(read_youtube_vis(annotations, frames).classes)
    else:
        tracker = arm.tracker or None
        segmenter = VideoSegmenter.from_pretrained(weights, device=device, tracker=tracker)
    network = segmenter.step.model
    if not arm.memory:
        segmenter.step.model = Forgetful(network)
    start = time.process_time()
    summary = predict(
        [annotations],
        segmenter,
        json=results,
        images_root=frames,
        options=PredictOptions(progress=False),
    )
    ms = 1e3 * (time.process_time() - start) / max(1, summary.num_frames)
    if not clips.truth:
        return {"parameters": parameters(weights), "ms": ms}
    evaluation = Evaluation.of_files(results, annotations)
    videos = read_youtube_vis(annotations, frames)
    occlusion_known = all(v.occlusion is not None for one in videos.videos for v in one.instances)
    by_occlusion = evaluation.by("occlusion") if occlusion_known else {}
    record = accuracy(evaluation, weights) | {
        "switches": sum(evaluation.switches().values()),
        "tracking": evaluation.hota().overall if find_spec("trackeval") else None,
        "causes": Fixes(evaluation.causes()).shapley,
        "perfect association": oracle_metrics(evaluation.videos, "association")["AP50"],
        "occlusion": {group: table.summary()["AP"] for group, table in by_occlusion.items()},
        "ms": ms,
        "growth": growth(segmenter, videos),
    }
    if weights is None or not has_embeddings(weights):
        return record
    of_network = known or {}
    if not of_network.keys() >= {*OF_NETWORK}:  # also where an earlier version measured less
        of_network = mechanism(segmenter, network, videos)
    return record | {key: of_network[key] for key in OF_NETWORK}


def mechanism(segmenter: VideoSegmenter, network: StepModel, videos: VideoSet) -> Record:
    """Return what the network does before any tracker.

    Args:
        segmenter: it steps.
        network: in it, whose temporal module is watched.
        videos: with truth.
    """
    seen, held = [], []
    places = Places.of(network)
    beside = None if places is None else places.add
    with watching(network) as watched:
        for video in videos.videos:
            seen.append(see(segmenter, videos, video, with_queries=True, beside=beside))
            if watched is not None:
                masks = videos.read_masks(video, video.instances, range(len(video)))
                held.append(watched.take(masks))
    found = None
    if places is not None:
        found = places.found() | {"mirrored": mirrored(places, segmenter, videos)}
    return {
        "association": association_accuracy(seen, with_queries=True),
        "masks": mask_quality(zip(videos.videos, seen, strict=True)),
        "staying": staying(seen),
        "places": found,
        "state": recall(held) if held else None,
    }


def mirrored(places: Places, segmenter: VideoSegmenter, videos: VideoSet) -> float | None:
    """Return how often a learned query finds the same instance in the mirrored frame."""
    return same_in_mirror(partial(places.look, segmenter), some_frames(videos, MIRRORED))


def on_stills(copies: int, weights: Path, data: Path, results: Path, device: str) -> Record:
    """Segment the held-out stills, each as a clip of copies; the results are kept."""
    opened = open_weights(weights)
    segmenter = VideoSegmenter(opened.model, opened.classes, device=device)
    images = read_coco(data / STILLS, data / "images")
    start = time.process_time()
    found = segment_images(opened.model, images, num_copies=copies)
    write_results(results, found, opened.classes)
    seconds = time.process_time() - start
    truth = write_truth(data)
    places = Places.of(opened.model)
    return accuracy(Evaluation.of_files(results, truth), weights) | {
        "ms": 1e3 * seconds / max(1, len(images.images)),
        "mirrored": None
        if places is None
        else mirrored(places, segmenter, read_youtube_vis(truth, images.root)),
    }


def accuracy(evaluation: Evaluation, weights: Path | None) -> Record:
    """Return what is known of every arm."""
    return {
        "metrics": evaluation.ap(),
        "intervals": {key: [one.low, one.high] for key, one in evaluation.intervals().items()},
        "parameters": parameters(weights),
    }


def has_embeddings(weights: Path) -> bool:
    """Return whether a network has a head that makes embeddings of its queries."""
    return bool(read_config(weights)["segmenter"].get("embedding_dim"))


def parameters(weights: Path | None) -> int:
    """Count the numbers of all weights of a folder."""
    total = 0
    for path in weights.glob("*.safetensors") if weights else ():
        with safe_open(path, framework="pt") as file:
            total += sum(prod(file.get_slice(name).get_shape()) for name in file.offset_keys())
    return total


def growth(segmenter: VideoSegmenter, videos: VideoSet) -> float:
    """Return the bytes that a tracker's state grows by with a frame, in the first clip's end.

    0 for a clip of one frame.
    """
    video = videos.videos[0]
    half = len(video) // 2
    if half == 0:
        return 0.0
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
