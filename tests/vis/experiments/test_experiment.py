"""`vidgap experiment`: arms by seeds, done once, gone on with, compared."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from vis.support.tiny_experiment import CONTENT, here, write

from vidgap_vis.errors import ConfigError
from vidgap_vis.evaluation import evaluate_images
from vidgap_vis.experiments import arms, plot, read_experiment, runner
from vidgap_vis.experiments.forgetful import Forgetful
from vidgap_vis.experiments.plot import write_plot
from vidgap_vis.experiments.processes import Job
from vidgap_vis.experiments.summary import pooled, summarise
from vidgap_vis.formats import read_coco, read_youtube_vis
from vidgap_vis.formats.images import decode_file
from vidgap_vis.inference import places
from vidgap_vis.inference.images import segment_images
from vidgap_vis.inference.mechanism import LEVELS
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.inference.sights import at_cells
from vidgap_vis.inference.state_probe import AGO
from vidgap_vis.synthetic import world
from vidgap_vis.trackers.bits import mask_iou
from vidgap_vis.weights import open_weights


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment that has run, in this process."""
    folder = write(tmp_path_factory.mktemp("experiment") / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "run_jobs", here)
        runner.run_experiment(folder, folder / "out")
    return folder


def test_every_arm_has_its_numbers(finished: Path) -> None:
    data = json.loads((finished / "out" / "results.json").read_text())
    assert data["about"] == "Does it run?"
    assert data["seeds"] == [1, 2]
    assert [*data["arms"]] == [*CONTENT["arms"]]
    for name, arm in data["arms"].items():
        assert set(arm["seeds"]) == {"1", "2"}
        for record in arm["seeds"].values():
            assert 0 <= record["metrics"]["AP"] <= 1
            assert record["parameters"] > 10_000
            assert record["ms"] > 0
        assert arm["spread"]["AP"]["n"] == 2
        assert (arm["gain"] is None) == (name == "index" or "cop" in name)
        for record in arm["seeds"].values():
            assert ("switches" in record) == ("cop" not in name)
            if "causes" in record:
                lost = sum(record["causes"].values())
                assert lost == pytest.approx(1 - record["metrics"]["AP50"])
                assert record["perfect association"] <= 1
            assert ("association" in record) == (name in {"ctvis", "overlap"})
    asked = data["arms"]["ctvis"]["seeds"]["1"]["association"]["1"]
    assert set(asked) == {"embedding", "queries", "centre", "chance", "found"}
    record = data["arms"]["ctvis"]["seeds"]["1"]
    assert set(record["masks"]) == set(LEVELS)
    assert sum(one["num"] for one in record["masks"].values()) > 0
    assert set(record["staying"]) == {"next", "return"}
    assert 0 <= record["places"]["learned"] <= 1
    assert 0 <= record["places"]["last"] <= 1
    assert record["places"]["covering"] >= 0
    assert "mirrored" in record["places"]
    assert set(record["state"]) == {*map(str, AGO)}
    assert record["state"]["1"]["share"] is not None
    assert {*data["losses"]} == {*CONTENT["runs"]}
    assert len(data["losses"]["embedded"]["2"]["contrast"]) == 1
    gain = data["arms"]["stills"]["gain"]["AP50"]
    assert set(gain["seeds"]) == {"1", "2"}
    assert gain["value"] == pytest.approx(sum(v[0] for v in gain["seeds"].values()) / 2)
    assert [*data["pairs"]] == ["ctvis - minvis", "two copies - one copy"]
    for name, gains in data["pairs"].items():
        first, second = name.split(" - ")
        for seed in ("1", "2"):
            apart = [data["arms"][one]["seeds"][seed]["metrics"]["AP"] for one in (first, second)]
            assert gains["AP"]["seeds"][seed][0] == pytest.approx(apart[0] - apart[1])


def test_what_no_tracker_changes_is_measured_once(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = read_experiment(finished)
    jobs = runner.seed_jobs(experiment, 1, tmp_path)
    assert jobs["seed 1: ctvis"].needs == "seed 1: run embedded"
    assert jobs["seed 1: overlap"].needs == "seed 1: ctvis"
    assert jobs["seed 1: remembers"].needs == "seed 1: run with module"  # others forget
    folder = finished / "out" / "seed_1"
    weights, data = folder / "runs" / "embedded" / "weights", folder / "data"
    clips = experiment.truth_of("overlap", data)
    record = json.loads((folder / "arms" / "overlap.metrics.json").read_text())
    arm = experiment.arms["overlap"]
    alone = arms.measure("alone", arm, weights, data, clips, tmp_path)
    shutil.copy(folder / "arms" / "ctvis.metrics.json", tmp_path)
    monkeypatch.setattr(arms, "mechanism", None)
    again = arms.measure("again", arm, weights, data, clips, tmp_path, like="ctvis")
    for one in (record, alone, again):
        assert {**one, "ms": None} == {**record, "ms": None}


def test_on_gpus_everything_is_done_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = read_experiment(write(tmp_path / "tiny"))
    given = {"device": "auto", "precision": "bf16"}
    config = experiment.config("clips", 1, tmp_path, train=given).train
    assert (config.device, config.precision) == ("auto", "bf16")
    config = experiment.config("clips", 1, tmp_path).train
    assert (config.device, config.precision) == ("cpu", "fp32")
    asked = []

    def note(jobs: dict[str, Job], _: object, processes: int | None, gpus: list[int]) -> None:
        call = jobs["seed 1: index"].call
        assert isinstance(call, partial)
        training = jobs["seed 1: run clips"].call
        assert isinstance(training, partial)
        asked.append((processes, gpus, call.args[-1], training.args[0].train.precision))
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_jobs", note)
    for gpus in ([0, 1], []):
        with pytest.raises(KeyboardInterrupt):
            runner.run_experiment(tmp_path / "tiny", tmp_path / "out", gpus=gpus)
    assert asked == [(None, [0, 1], "auto", "fp32"), (None, [], "cpu", "fp32")]
    with pytest.raises(KeyboardInterrupt):
        runner.run_experiment(
            tmp_path / "tiny", tmp_path / "half", gpus=[0], precision="bf16", processes=8
        )
    assert asked[-1] == (8, [0], "auto", "bf16")
    with pytest.raises(ConfigError, match="another"):
        runner.run_experiment(tmp_path / "tiny", tmp_path / "half", gpus=[0])


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_plot_has_every_arm_and_every_gain(finished: Path, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra vidgap-vis[plot]")
    data = json.loads((finished / "out" / "results.json").read_text())
    path = tmp_path / f"plot.{suffix}"
    write_plot(path, data)
    if suffix == "png":
        assert decode_file(path).shape[1] > 1000
        return
    text = path.read_text()
    names = re.findall(r"<!-- (.+?) -->", text)
    assert set(names) >= {f"{name} - index" for name in ("minvis", "ctvis", "overlap")}
    for name in (*data["arms"], "stills - index", "ctvis - minvis", "two copies - one copy"):
        assert name in names


def test_a_plot_that_cannot_be_is_refused_before_the_work(
    tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "tiny")
    said = fails(2, "experiment", folder, "--plot", tmp_path / "plot.pdf")
    assert said.startswith("--plot: wanted a name that ends in .png or .svg, got ")
    monkeypatch.setattr(plot, "find_spec", lambda _: None)
    said = fails(2, "experiment", folder, "--plot", tmp_path / "plot.png")
    assert said == "--plot: needs the package matplotlib: pip install 'vidgap-vis[plot]'"


def test_stills_are_measured_as_the_coco_evaluator_does(finished: Path) -> None:
    folder = finished / "out" / "seed_1"
    weights = open_weights(folder / "runs" / "stills" / "weights")
    images = read_coco(folder / "data" / "images_valid.json", folder / "data" / "images")
    found = segment_images(weights.model.eval(), images, num_copies=2)
    expected = evaluate_images(images, found)
    record = json.loads((folder / "arms" / "two copies.metrics.json").read_text())
    for name in ("AP", "AP50", "AP75", "AR1", "AR10", "AR100"):
        assert record["metrics"][name] == pytest.approx(expected[name], abs=1e-9)


def test_stills_are_mirrored_to_see_what_queries_go_by(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "FOUND", 0.0)  # so little trained, queries cover nothing by half
    folder = finished / "out" / "seed_1"
    weights = folder / "runs" / "stills" / "weights"
    record = arms.on_stills(1, weights, folder / "data", tmp_path / "found.json", "cpu")
    opened = open_weights(weights)
    segmenter = VideoSegmenter(opened.model, opened.classes, device="cpu")
    asked = places.Places.of(opened.model)
    assert asked is not None
    images = read_coco(folder / "data" / "images_valid.json", folder / "data" / "images")
    same = []
    for index, image in enumerate(images.images):
        frame = images.read_image(index)
        mirror = np.ascontiguousarray(np.fliplr(frame))
        shown = [asked.look(segmenter, one) for one in (frame, mirror)]
        for one in image.instances:
            truth = [one.segmentation.decode(), np.fliplr(one.segmentation.decode())]
            if not truth[0].any():
                continue
            best = [
                mask_iou(at_cells(mask[None], masks.shape[1:]), masks)[0].argmax()
                for mask, masks in zip(truth, shown, strict=True)
            ]
            same.append(best[0] == best[1])
    assert 0 < np.mean(same) < 1
    assert record["mirrored"] == pytest.approx(np.mean(same))


def test_a_network_without_memory_sees_each_frame_alone(finished: Path) -> None:
    folder = finished / "out" / "seed_1"
    model = open_weights(folder / "runs" / "with module" / "weights").model.eval()
    frames = torch.rand(1, 3, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 255
    state = None
    forgetful = Forgetful(model)
    with torch.inference_mode():
        for time in range(3):
            output, state = forgetful.step(frames[:, time : time + 1], state)
            alone, _ = model.step(frames[:, time : time + 1], None)
            assert torch.equal(output.mask_logits, alone.mask_logits)
        _, state = model.step(frames[:, :2], None)
        after, _ = model.step(frames[:, 2:], state)
    assert not torch.equal(after.mask_logits, output.mask_logits)
    results = [(folder / "arms" / f"{name}.json").read_text() for name in ("forgets", "remembers")]
    assert results[0] != results[1]


def test_stills_as_clips_have_the_truth_of_the_stills(finished: Path) -> None:
    data = finished / "out" / "seed_1" / "data"
    stills = read_coco(data / "images_valid.json")
    clips = read_youtube_vis(data / "images_valid_as_clips.json")
    assert [video.id for video in clips.videos] == [image.id for image in stills.images]
    for video, image in zip(clips.videos, stills.images, strict=True):
        assert (video.size, video.file_names) == (image.size, (image.file_name,))
        masks = [one.segmentations for one in video.instances]
        assert masks == [(one.segmentation,) for one in image.instances]


def test_a_world_stays_and_its_amounts_do_not(tmp_path: Path) -> None:
    amounts = {"num_train_images": 5, "num_valid_images": 2}
    experiment = read_experiment(write(tmp_path / "a", world="hard_1", synthetic=amounts))
    assert experiment.data(3) == world("hard_1", seed=3, **amounts)
    assert experiment.quick().data(3).num_frames == world("hard_1").num_frames
    with pytest.raises(ConfigError, match=r"world: amounts must be of .*, got max_speed"):
        read_experiment(write(tmp_path / "b", world="hard_1", synthetic={"max_speed": 0.1}))
    with pytest.raises(ConfigError, match=r"world: world must be one of .*, got harder"):
        read_experiment(write(tmp_path / "c", world="harder", synthetic=amounts))


def test_seeds_have_data_and_weights_of_their_own(finished: Path) -> None:
    texts = [
        (finished / "out" / f"seed_{seed}" / "data" / "clips_valid.json").read_text()
        for seed in (1, 2)
    ]
    assert texts[0] != texts[1]
    config = (finished / "out" / "seed_2" / "runs" / "clips" / "config.yaml").read_text()
    assert yaml.safe_load(config)["train"]["seed"] == 2
    assert yaml.safe_load(config)["train"]["lr"] == 0.001


def test_what_is_done_is_not_done_again(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "run_jobs", here)
    for name in ("write_synthetic", "pretrain", "finetune"):
        monkeypatch.setattr(runner, name, None)
    monkeypatch.setattr(arms, "predict", None)
    before = json.loads((finished / "out" / "results.json").read_text())
    summary = runner.run_experiment(finished, finished / "out")
    assert json.loads(json.dumps(summary.data)) == before
    assert "seeds 1, 2; gain over index" in str(summary)
    one = runner.run_experiment(finished, finished / "out", seeds=[2])
    assert one.data["seeds"] == [2]
    value, low, high = one.data["arms"]["stills"]["gain"]["AP50"]["seeds"]["2"]
    gain = one.data["arms"]["stills"]["gain"]["AP50"]
    assert (gain["value"], gain["low"], gain["high"]) == (value, low, high)


def test_seeds_that_were_run_elsewhere_stand_in_the_same_tables(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(runner, "run_jobs", here)
    out, one = tmp_path / "out", tmp_path / "one.json"
    shutil.copytree(finished / "out", out)
    runner.run_experiment(finished, out)
    whole = json.loads((out / "results.json").read_text())
    runner.run_experiment(finished, out, seeds=[2])
    (out / "results.json").rename(one)
    together = runner.run_experiment(finished, out, seeds=[1], elsewhere=[one])
    assert json.loads((out / "results.json").read_text()) == whole
    assert "seeds 1, 2" in str(together)
    capsys.readouterr()  # the bars
    command = ("experiment", finished, "--out", out, "--seeds")
    assert "got [2]" in fails(1, *command, "2", "--with", one)
    assert "got [2]" in fails(1, *command, "1", "--with", one, one)
    one.write_text(json.dumps(json.loads(one.read_text()) | {"arms.yaml sha256": "0"}))
    assert "wanted results of the same arms.yaml" in fails(1, *command, "1", "--with", one)
    for content in ("{}", "[]", "no JSON", '{"seeds": ["a"]}'):
        one.write_text(content)
        assert "wanted the results.json of an experiment" in fails(1, *command, "1", "--with", one)
    assert "cannot be read" in fails(1, *command, "1", "--with", tmp_path / "nothing.json")


def test_a_training_that_was_stopped_goes_on(finished: Path, tmp_path: Path) -> None:
    """Before its first checkpoint it begins again."""
    experiment = read_experiment(finished)
    root = finished / "out" / "seed_1" / "data"
    config = experiment.config("stills", 1, root)
    (tmp_path / "stills").mkdir()
    (tmp_path / "stills" / "metrics.jsonl").write_text("")
    runner.train(config, None, tmp_path / "stills")
    whole = finished / "out" / "seed_1" / "runs" / "stills" / "weights" / "model.safetensors"
    again = tmp_path / "stills" / "weights" / "model.safetensors"
    assert again.read_bytes() == whole.read_bytes()


def test_another_experiment_does_not_go_into_its_folder(finished: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", about="Something else?")
    with pytest.raises(ConfigError, match=r"--out: .* holds runs of another arms\.yaml"):
        runner.run_experiment(other, finished / "out")
    with pytest.raises(ConfigError, match=r"--out: .* holds runs of another arms\.yaml"):
        runner.run_experiment(finished, finished / "out", quick=True)


def test_the_state_of_one_frame_does_not_grow(finished: Path) -> None:
    folder = finished / "out" / "seed_1"
    segmenter = VideoSegmenter.from_pretrained(folder / "runs" / "clips" / "weights", device="cpu")
    videos = read_youtube_vis(folder / "data" / "clips_valid.json", folder / "data" / "frames")
    one = videos.videos[0]
    short = replace(videos, videos=(replace(one, file_names=one.file_names[:1]),))
    assert arms.growth(segmenter, short) == 0


def test_the_interval_of_one_seed_is_that_of_the_seed_that_is_known() -> None:
    gained = pooled({"AP": {1: (None, None, None), 2: (0.3, 0.2, 0.4)}}, ())["AP"]
    assert (gained["value"], gained["low"], gained["high"]) == (0.3, 0.2, 0.4)
    nothing = pooled({"AP": {1: (None, None, None)}}, ())["AP"]
    assert (nothing["value"], nothing["low"], nothing["high"]) == (None, None, None)


def test_parameters_are_those_of_all_files(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(())}, tmp_path / "model.safetensors")
    save_file({"c": torch.zeros(4)}, tmp_path / "head.safetensors")
    assert arms.parameters(tmp_path) == 11


def test_hota_that_is_not_known_is_not_made_up(finished: Path) -> None:
    experiment = read_experiment(finished)
    records = {
        name: {
            seed: json.loads((finished / f"out/seed_{seed}/arms/{name}.metrics.json").read_text())
            | {"tracking": None}
            for seed in experiment.seeds
        }
        for name in experiment.arms
    }
    first, *_ = summarise(experiment, records, finished / "out").tables
    assert first.count("n/a") == len(experiment.compared)
