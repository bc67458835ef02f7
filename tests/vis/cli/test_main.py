"""Finding the command; an unknown one is one line on stderr and an exit code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from vidgap_vis.cli.commands import COMMANDS
from vidgap_vis.cli.main import main

Fails = Callable[..., str]


def test_help_lists_every_command_without_loading_torch() -> None:
    code = (
        "import sys; from vidgap_vis.cli.main import main; main(['--help']); "
        "assert 'torch' not in sys.modules"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name, command in COMMANDS.items():
        assert f"  {name}" in said.stdout
        assert command.summary in said.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert COMMANDS[name].summary in " ".join(said.split())


def test_a_group_of_commands_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "--help"]) == 0
    said = capsys.readouterr().out
    listed = re.findall(r"^  (\w+ \w+)  ", said, re.MULTILINE)
    assert listed == ["weights convert", "weights export", "weights slim"]
    assert main(["evaluate", "--help"]) == 0  # a command, and a group
    assert "--gt" in capsys.readouterr().out


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_no_command_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: vidgap COMMAND" in capsys.readouterr().err


def test_unknown_commands_are_named(fails: Fails) -> None:
    assert fails(2, "pretrian") == "pretrian: unknown command (did you mean pretrain?)"
    assert fails(2, "data") == "data: wanted one of: data synthetic, data pseudo"
    assert fails(2, "data", "sample", "--out", "x") == "data sample: is now called data synthetic"


def test_an_unknown_backend_is_named(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDGAP_BACKEND", "cuda")
    assert fails(2, "doctor") == "VIDGAP_BACKEND: wanted reference, or unset, got 'cuda'"


@pytest.mark.parametrize("chosen", [None, "ACTIVE"])
def test_threads_wait_passively_unless_the_user_says_otherwise(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", chosen or "")
    if chosen is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    assert main(["--version"]) == 0
    assert os.environ["OMP_WAIT_POLICY"] == (chosen or "PASSIVE")
