"""Outputs never replace inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidgap_vis.errors import ConfigError
from vidgap_vis.outputs import check_output


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
