"""How the losses of trainings went, beside one another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidgap_vis.experiments.losses import course, even_from, losses_table
from vidgap_vis.training.metrics import METRICS_FILE


def write(folder: Path, losses: list[float], **terms: float) -> Path:
    folder.mkdir()
    lines = [
        json.dumps({"step": 20 * index, "loss": loss, "lr": 0.1, "time": 7.0, **terms})
        for index, loss in enumerate(losses, 1)
    ]
    (folder / METRICS_FILE).write_text("\n".join(lines) + "\n")
    return folder


def test_a_course_is_the_means_of_ten_parts(tmp_path: Path) -> None:
    found = course(write(tmp_path / "run", [float(index) for index in range(20)], mask=0.25))
    assert found == {
        "loss": pytest.approx([0.5 + 2 * index for index in range(10)]),
        "mask": pytest.approx([0.25] * 10),
    }
    assert course(write(tmp_path / "short", [3.0, 5.0]))["loss"] == [3.0, 5.0]


def test_terms_that_are_not_in_every_line_are_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", [1.0], rare=2.0)
    with (folder / METRICS_FILE).open("a") as file:
        file.write(json.dumps({"step": 40, "loss": 3.0}) + "\n")
    assert course(folder) == {"loss": [1.0, 3.0]}


def test_a_training_is_even_where_the_mean_over_seeds_first_is() -> None:
    rival = [{"loss": [5.0, 4.0, 3.0, 2.0]}, {"loss": [5.0, 4.0, 3.0, 2.0]}]
    late = [{"loss": [9.0, 5.0, 3.5, 1.0]}, {"loss": [9.0, 5.0, 2.5, 1.0]}]
    assert even_from(late, rival) == pytest.approx(3 / 4)
    assert even_from(rival, rival) == pytest.approx(1 / 4)
    assert even_from([{"loss": [9.0, 9.0, 9.0, 9.0]}], rival[:1]) is None


def test_losses_of_other_terms_are_not_compared() -> None:
    courses = {
        "image": {"1": {"loss": [4.0, 2.0], "mask": [1.0, 0.5]}},
        "video": {"1": {"loss": [5.0, 1.0], "mask": [1.0, 0.25]}},
        "boxes": {"1": {"loss": [9.0, 8.0], "mask": [1.0, 0.125], "box": [1.0, 1.0]}},
    }
    table = losses_table(courses, "image", "finetune")
    rows = {line.split()[0]: line.split() for line in table.splitlines() if line.strip()}
    assert "0.250" in rows["video"]
    assert rows["video"][-3:] == ["+1.00", "-1.00", "100%"]
    assert rows["boxes"][-3:] == ["n/a", "n/a", "n/a"]
