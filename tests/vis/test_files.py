"""Outputs are whole or absent and never replace inputs; errors fit on one line."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vidgap_segmenter import LoadReport
from vidgap_vis.classes import ClassInfo, from_categories
from vidgap_vis.errors import ConfigError, InputError, TrainingInterrupted, WeightsError
from vidgap_vis.files import check_folder_is_free, check_output, replacing, replacing_folder
from vidgap_vis.inference.predict import PredictSummary, Stopped


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "clip.mp4"
    with replacing(target) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == target.parent
        assert temporary.suffix == ".mp4"
        assert not target.exists()
    assert target.read_text() == "whole"
    assert names(target.parent) == ["clip.mp4"]


def test_a_file_may_have_the_longest_name(tmp_path: Path) -> None:
    target = tmp_path / f"{'a' * 250}.json"
    with replacing(target) as temporary:
        temporary.write_text("whole")
    assert target.read_text() == "whole"


def test_a_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "scratch")
    with replacing_folder(tmp_path / "out") as temporary:
        (temporary / "a").touch()
    assert names(tmp_path) == ["out", "scratch"]
    assert (tmp_path / "out").is_symlink()
    assert names(tmp_path / "scratch") == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failed_block_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")

    def fail() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.json"):
        pass


def test_a_file_cannot_take_the_place_of_a_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="a file is wanted here, got a folder"),
        replacing(tmp_path),
    ):
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="its folder cannot be made"),
        replacing(tmp_path / "file" / "a.json"),
    ):
        pass


@pytest.mark.parametrize("there", [False, True], ids=["absent", "empty"])
def test_a_folder_appears_when_the_block_ends(tmp_path: Path, there: bool) -> None:
    target = tmp_path / "new" / "run"
    if there:
        target.mkdir(parents=True)
    with replacing_folder(target) as temporary:
        (temporary / "a").write_text("whole")
        assert names(target) == [] if there else not target.exists()
    assert names(target) == ["a"]
    assert names(target.parent) == ["run"]


def test_a_folder_that_holds_something_is_kept_unless_asked(tmp_path: Path) -> None:
    target = tmp_path / "run"
    target.mkdir()
    (target / "old").touch()
    with (
        pytest.raises(InputError, match=r"run: the output folder is not empty"),
        replacing_folder(target),
    ):
        pass
    assert names(target) == ["old"]
    with replacing_folder(target, overwrite=True) as temporary:
        (temporary / "new").touch()
    assert names(target) == ["new"]
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_block_leaves_the_old_folder(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "run"
    target.mkdir()
    (target / "old").touch()

    def fail() -> None:
        with replacing_folder(target, overwrite=True) as temporary:
            (temporary / "half").touch()
            raise error

    with pytest.raises(error):
        fail()
    assert names(target) == ["old"]
    assert names(tmp_path) == ["run"]


def test_the_working_folder_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    check_folder_is_free(".")  # what is written into it may go there
    for folder in (".", "..", tmp_path / "in"):
        with (
            pytest.raises(InputError, match="the working folder cannot be replaced; name one in"),
            replacing_folder(folder, overwrite=True),
        ):
            pass
    with replacing_folder("new") as temporary:
        (temporary / "file").touch()
    assert names(tmp_path / "in") == ["new"]


def test_a_folder_cannot_take_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with (
        pytest.raises(InputError, match="a folder is wanted here, got a file"),
        replacing_folder(tmp_path / "run", overwrite=True),
    ):
        pass


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import time\n"
        "from vidgap_vis.files import replacing\n"
        f"with replacing({str(tmp_path / 'a.json')!r}) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not names(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(names(tmp_path)) == 1
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) != 0
    assert names(tmp_path) == []


def test_an_input_error_is_one_line_that_names_file_and_item() -> None:
    error = InputError(Path("a/b.json"), "annotations[3] (id 7)", "counts must\n sum to 4, got 3")
    assert str(error) == "a/b.json: annotations[3] (id 7): counts must sum to 4, got 3"
    assert str(InputError("a.jpg", "", "no such file")) == "a.jpg: no such file"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(("kind", "exit_code"), [(InputError, 1), (ConfigError, 2)])
def test_errors_survive_pickling_and_know_their_exit_code(
    kind: type[InputError], exit_code: int
) -> None:
    error = pickle.loads(pickle.dumps(kind("run.yaml", "data.root", "is missing")))
    assert type(error) is kind
    assert str(error) == "run.yaml: data.root: is missing"
    assert error.exit_code == exit_code


def test_weights_that_do_not_fit_survive_pickling_with_their_report() -> None:
    report = LoadReport(missing=("a", "b"), mismatched=(("c", (1,), (2,)),))
    error = pickle.loads(pickle.dumps(WeightsError("model.safetensors", report)))
    assert error.report == report
    said = "model.safetensors: weights do not fit the model: 2 missing, 1 mismatched"
    assert str(error) == said


def test_classes_are_numbered_by_their_category_id() -> None:
    assert from_categories([(7, "cat"), (2, "dog")]) == (
        ClassInfo(0, 2, "dog"),
        ClassInfo(1, 7, "cat"),
    )
    with pytest.raises(ValueError, match="must differ, got 2 for 'cat' and 'dog'"):
        from_categories([(2, "cat"), (2, "dog")])


def test_a_file_that_is_read_or_lies_in_a_folder_that_is_read_is_refused(tmp_path: Path) -> None:
    frame = tmp_path / "frames" / "0.jpg"
    frame.parent.mkdir()
    frame.touch()
    for inputs in ([frame], [frame.parent], [tmp_path]):
        with pytest.raises(ConfigError, match=r"--json: .*0\.jpg is an input"):
            check_output("--json", frame, inputs)
    check_output("--json", frame.parent / "new.json", [frame.parent])


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no regular file"):
        check_output("--json", tmp_path, [])


def test_what_stops_a_run_survives_pickling(tmp_path: Path) -> None:
    stop = TrainingInterrupted(tmp_path, "finetune", 3, 9)
    again = pickle.loads(pickle.dumps(stop))
    assert str(again) == str(stop)
    assert (again.folder, again.stage, again.step, again.steps) == (tmp_path, "finetune", 3, 9)
    summary = PredictSummary((), (tmp_path,), 1, 2, 0.5)
    assert pickle.loads(pickle.dumps(Stopped(summary))).summary == summary
