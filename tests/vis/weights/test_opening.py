"""Weights by name: others' are converted in memory, and a hub's are fetched once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
import torch
from vis.support.networks import same_weights

from vidgap_segmenter import Mask2Former, convert
from vidgap_vis import VideoSegmenter
from vidgap_vis.errors import InputError
from vidgap_vis.weights import Usage, open_weights, usage_of

REPOSITORY = "somebody/mask2former-tiny"
COMMIT = "0" * 40


@pytest.fixture
def hugging_face(network: Mask2Former, tmp_path: Path) -> Path:
    """A folder as Hugging Face has them, with the size at which its images are seen."""
    folder = tmp_path / "hugging_face"
    convert.write_hugging_face(network, folder, ["cat", "dog", "bird"])
    (folder / "preprocessor_config.json").write_text(
        '{"size": {"shortest_edge": 40, "longest_edge": 99}}'
    )
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    frames = tmp_path / "clip"
    frames.mkdir()
    for index in range(2):
        picture = np.random.default_rng(index).integers(0, 256, (32, 48, 3), dtype=np.uint8)
        cv2.imwrite(str(frames / f"{index}.png"), picture)
    return frames


@pytest.fixture
def hub(hugging_face: Path) -> Iterator[str]:
    """A stand-in for the Hugging Face Hub, which has one repository."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            file = hugging_face / path.rpartition("/")[2]
            status, headers, body = 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
            names = [one.name for one in hugging_face.iterdir()]
            if path.startswith(f"/api/models/{REPOSITORY}/tree/"):
                found: object = [
                    {"type": "file", "path": name, "oid": "0", "size": 1} for name in names
                ]
                status, headers, body = 200, {}, json.dumps(found).encode()
            elif path.startswith(f"/api/models/{REPOSITORY}"):
                files = [{"rfilename": name} for name in names]
                found = {"id": REPOSITORY, "sha": COMMIT, "siblings": files}
                status, headers, body = 200, {}, json.dumps(found).encode()
            elif path.startswith(f"/{REPOSITORY}/resolve/") and file.is_file():
                status, body = 200, file.read_bytes()
                headers = {"ETag": f'"{sha1(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def vidgap(cache: Path, endpoint: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a command that may fetch from a hub, as a process of its own."""
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache)}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-m", "vidgap_vis", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_folder_of_hugging_faces_is_converted_in_memory(
    hugging_face: Path, network: Mask2Former, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "vidgap_vis")
    weights = open_weights(hugging_face)
    assert same_weights(weights.model, network)
    assert [info.name for info in weights.classes] == ["cat", "dog", "bird"]
    assert (weights.usage.test.short_edge, weights.usage.test.max_size) == (40, 99)
    (said,) = caplog.messages
    assert "\n" not in said
    assert said.startswith(f"{hugging_face}: converted in memory")
    assert "Hugging Face's Mask2Former: resnet18, 3 classes" in said
    assert said.endswith("resized to a short edge of 40, a long one of 99 at most")
    assert {path.name for path in hugging_face.iterdir()} == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }


def test_an_official_file_tracks(source: Path, network: Mask2Former) -> None:
    segmenter = VideoSegmenter.from_pretrained(source, device="cpu", keep=["class 1"])
    assert isinstance(segmenter.model, Mask2Former)
    assert same_weights(segmenter.model, network)
    frame = torch.zeros(3, 32, 48, dtype=torch.uint8)
    assert [result.size for _, result in segmenter.track([frame, frame])] == [(32, 48)] * 2
    assert usage_of(source) == Usage()


def test_a_hub_is_asked_once(
    hub: str, clip: Path, tmp_path: Path, run: Callable[..., list[str]]
) -> None:
    pytest.importorskip("huggingface_hub")
    words = ("predict", clip, "--model", REPOSITORY, "--device", "cpu", "--json")
    cache = tmp_path / "cache"
    first = vidgap(cache, hub, *words, tmp_path / "one.json")
    assert first.returncode == 0, first.stderr
    assert f"{REPOSITORY}: converted in memory" in first.stderr
    offline = vidgap(cache, "http://127.0.0.1:9", *words, tmp_path / "two.json")
    assert offline.returncode == 0, offline.stderr
    run("predict", clip, "--model", tmp_path / "hugging_face", *words[4:], tmp_path / "three.json")
    texts = {(tmp_path / f"{name}.json").read_text() for name in ("one", "two", "three")}
    assert len(texts) == 1


def test_a_repository_is_converted_and_kept(hub: str, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    out = tmp_path / "weights"
    done = vidgap(
        tmp_path / "cache", hub, "weights", "convert", REPOSITORY, "--out", out, "--no_check"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(out)
    assert json.loads((out / "provenance.json").read_text())["source"] == REPOSITORY
    assert usage_of(out) == Usage()


@pytest.mark.parametrize("command", ["predict", "convert"])
def test_what_a_hub_does_not_have_is_one_line(
    hub: str, clip: Path, tmp_path: Path, command: str
) -> None:
    pytest.importorskip("huggingface_hub")
    for endpoint in (hub, "http://127.0.0.1:9"):  # the second: no network
        if command == "predict":
            words: list[object] = ["predict", clip, "--model", "nobody/nothing"]
            words += ["--json", tmp_path / "results.json"]
        else:
            words = ["weights", "convert", "nobody/nothing", "--out", tmp_path / "weights"]
        failed = vidgap(tmp_path / "cache", endpoint, *words)
        assert failed.returncode == 1
        (line,) = failed.stderr.splitlines()
        assert line.startswith("vidgap: nobody/nothing: no folder nobody/nothing, and the Hugging")
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize("name", ["nowhere", "/nowhere/else", "runs/model.pkl"])
def test_what_is_nowhere_is_named(name: str) -> None:
    for read in (open_weights, usage_of):
        with pytest.raises(InputError) as caught:
            read(name)
        said = str(caught.value)
        assert said.startswith(f"{name}: no such file or folder; the package itself has ")


def test_a_folder_of_another_network_is_named(hugging_face: Path) -> None:
    config = hugging_face / "config.json"
    config.write_text(json.dumps({"model_type": "detr"}))
    with pytest.raises(InputError, match=r"model_type must be 'mask2former', got 'detr'"):
        open_weights(hugging_face)


def test_a_file_that_is_no_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"model\.pkl"):
        open_weights(tmp_path / "model.pkl")
