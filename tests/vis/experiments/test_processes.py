"""Jobs side by side: each after what it needs; some yield to others."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from vidgap_vis.errors import TrainingInterrupted
from vidgap_vis.experiments.processes import NICE, Job, run_jobs, saying
from vidgap_vis.training.stopping import StopRequest


def test_each_job_comes_after_what_it_needs(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    jobs = {
        "a": Job(partial(first.touch)),
        "b": Job(partial(first.rename, second), "a"),
        "c": Job(second.exists, "b"),
        "d": Job(time.process_time),
    }
    counts: list[int] = []
    results = run_jobs(jobs, counts.append)
    assert set(results) == set(jobs)
    assert results["c"] is True
    assert counts[-1] == len(jobs)


def test_what_a_job_needs_must_come_before_it() -> None:
    jobs = {"b": Job(os.getpid, "c"), "c": Job(os.getpid)}
    with pytest.raises(ValueError, match="b: what it needs must come before it, got 'c'"):
        run_jobs(jobs, print)


def test_the_first_error_ends_all(tmp_path: Path) -> None:
    jobs = {"a": Job(partial(os.stat, tmp_path / "none")), "b": Job((tmp_path / "b").touch, "a")}
    with pytest.raises(FileNotFoundError, match="none"):
        run_jobs(jobs, print)
    assert not (tmp_path / "b").exists()


def test_what_is_said_goes_into_the_file_until_its_end(tmp_path: Path) -> None:
    logger = logging.getLogger("vidgap_vis")
    before = [*logger.handlers], logger.level
    path = tmp_path / "said.log"
    with saying(path):
        print("printed")
        logger.info("logged")
    assert path.read_text().split() == ["printed", "logged"]
    assert (logger.handlers, logger.level) == before


VISIBLE = "CUDA_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    ("given", "wanted"), [(None, ["1", "3"]), ("4,5,6,GPU-7", ["5", "GPU-7"])], ids=["all", "some"]
)
def test_gpus_are_dealt_out_to_the_processes(
    given: str | None, wanted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    if given is not None:
        monkeypatch.setenv(VISIBLE, given)
    jobs = {name: Job(partial(seen, tmp_path / name, tmp_path, 2)) for name in "ab"}
    both = run_jobs(jobs, lambda _: None, gpus=[1, 3])
    assert sorted(map(str, both.values())) == wanted


def seen(mark: Path, folder: Path, num: int) -> str | None:
    """Which GPUs this process sees, once so many processes have come that far."""
    mark.touch()
    end = time.monotonic() + 120
    while len([*folder.iterdir()]) < num and time.monotonic() < end:
        time.sleep(0.05)
    return os.environ.get(VISIBLE)


KILLED = """
import os
import sys
from functools import partial
from pathlib import Path

from vidgap_vis.experiments.processes import Job, run_jobs

sys.path.insert(0, sys.argv[2])
from test_processes import stay

if __name__ == "__main__":
    run_jobs({"a": Job(partial(stay, Path(sys.argv[1])))}, print, processes=1)
"""


def stay(path: Path) -> None:
    """Say who this process is, and stay for minutes."""
    path.with_suffix(".part").write_text(str(os.getpid()))
    path.with_suffix(".part").rename(path)
    time.sleep(300)


def test_a_process_ends_with_one_that_is_killed(tmp_path: Path) -> None:
    script, mark = tmp_path / "killed.py", tmp_path / "pid"
    script.write_text(KILLED)
    command = [sys.executable, script, mark, Path(__file__).parent]
    with subprocess.Popen(list(map(str, command))) as parent:
        try:
            wait_until(mark.is_file)
            worker = psutil.Process(int(mark.read_text()))
        finally:
            parent.kill()
    try:
        wait_until(lambda: has_ended(worker))
    finally:
        if not has_ended(worker):
            worker.kill()


STOPPED = """
import signal
import sys
from functools import partial
from pathlib import Path

from vidgap_vis.cli.signals import terminable
from vidgap_vis.experiments.processes import Job, run_jobs

sys.path.insert(0, sys.argv[2])
from test_processes import end, train

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    folder, fails = Path(sys.argv[1]), sys.argv[3] == "fails"
    jobs = {"a": Job(partial(train, folder)), "b": Job(partial(end, folder, fails))}
    with terminable():
        run_jobs(jobs, print, processes=2)
"""


def end(folder: Path, fails: bool) -> None:
    """End at once, after which a process waits for work."""
    (folder / "ended").touch()
    if fails:
        raise ValueError("failed")


def train(folder: Path) -> None:
    """Leave a checkpoint a second after being asked to stop; the file says what came before."""
    with StopRequest() as stop:
        (folder / "begun").touch()
        wait_until(lambda: stop.wanted)
        time.sleep(1)
        (folder / "checkpoint").touch()
        raise TrainingInterrupted(folder, "pretrain", 1, 2) from stop.cause


@pytest.mark.parametrize(
    ("number", "alone", "other"),
    [
        (signal.SIGINT, False, "waits"),
        (signal.SIGINT, True, "waits"),
        (signal.SIGTERM, False, "waits"),
        (signal.SIGTERM, True, "fails"),
    ],
    ids=["Ctrl-C", "SIGINT to the parent", "SIGTERM to all", "SIGTERM after a failure"],
)
def test_a_stop_leaves_checkpoints_and_ends(
    number: int, alone: bool, other: str, tmp_path: Path
) -> None:
    """One process trains, another waits for work."""
    script = tmp_path / "stopped.py"
    script.write_text(STOPPED)
    command = [sys.executable, script, tmp_path, Path(__file__).parent, other]
    with subprocess.Popen(
        list(map(str, command)), start_new_session=True, stderr=subprocess.PIPE, text=True
    ) as parent:
        try:
            wait_until((tmp_path / "begun").is_file)
            wait_until((tmp_path / "ended").is_file)
            time.sleep(1)  # the parent hears of it
            send = os.kill if alone else os.killpg
            send(parent.pid, number)
            _, said = parent.communicate(timeout=120)
        finally:
            if parent.poll() is None:
                os.killpg(parent.pid, signal.SIGKILL)
    assert (tmp_path / "checkpoint").is_file()
    assert ("Terminated" if number == signal.SIGTERM else "KeyboardInterrupt") in said
    assert "BrokenProcessPool" not in said
    assert "SpawnProcess" not in said  # one that waits says nothing


def has_ended(process: psutil.Process) -> bool:
    """Whether a process has ended, waited for or not."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(done: Callable[[], bool]) -> None:
    """Wait for two minutes at most."""
    end = time.monotonic() + 120
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_job_that_yields_is_nicer_than_others() -> None:
    jobs = {"first": Job(partial(os.nice, 0)), "yields": Job(partial(os.nice, 0), "first", True)}
    found = run_jobs(jobs, lambda _: None, processes=1)
    assert found["yields"] == min(19, found["first"] + NICE)
