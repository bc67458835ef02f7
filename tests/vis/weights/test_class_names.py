"""Classes of converted weights have names: given, from the source, COCO's or numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidgap_vis.classes import ClassList
from vidgap_vis.errors import InputError
from vidgap_vis.weights.class_names import name_classes, read_names


def names(classes: ClassList) -> list[str]:
    return [info.name for info in classes]


def test_names_are_read_from_texts_and_files(tmp_path: Path) -> None:
    assert names(read_names("cat, dog")) == ["cat", "dog"]
    many = [f"animal {number}" for number in range(40)]  # longer than the name of any file
    assert names(read_names(",".join(many))) == many
    (tmp_path / "names.txt").write_text("traffic light\nfire hydrant\n\n")
    assert names(read_names(str(tmp_path / "names.txt"))) == ["traffic light", "fire hydrant"]
    (tmp_path / "marked.txt").write_text("cat\ndog\n", encoding="utf-8-sig")  # as Windows writes
    assert names(read_names(str(tmp_path / "marked.txt"))) == ["cat", "dog"]
    categories = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]
    (tmp_path / "names.json").write_text(json.dumps({"categories": categories}))
    classes = read_names(str(tmp_path / "names.json"))
    assert [(info.index, info.category_id, info.name) for info in classes] == [
        (0, 3, "cat"),
        (1, 7, "dog"),
    ]


@pytest.mark.parametrize("given", ["nams.txt", "NAMES.TXT", "lists/names", "list.yaml", "c.names"])
def test_a_file_that_is_not_there_is_no_class(given: str) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_names(given)


@pytest.mark.parametrize("given", ["cat", "St. Bernard", "cup/mug,cat", "a.txt,b"])
def test_names_are_not_taken_for_files(given: str) -> None:
    assert names(read_names(given)) == given.split(",")


def test_eighty_classes_are_those_of_coco() -> None:
    for source_classes in (None, 80):
        named = name_classes(80, None, None, source_classes)
        assert named.origin == "COCO's, as there are 80 and nothing names them"
    assert name_classes(80, None, ["a"] * 10, 10).origin == (
        "COCO's, as there are 80 and nothing names them; the source has 10"
    )
    found = [(info.category_id, info.name) for info in named.classes]
    assert found[0] == (1, "person")
    assert found[11] == (13, "stop sign")
    assert found[79] == (90, "toothbrush")
    told = [name.replace("couch", "sofa") for _, name in found]
    named = name_classes(80, None, told)
    assert [(info.category_id, info.name) for info in named.classes][57] == (63, "sofa")
    others = [f"thing {index}" for index in range(80)]
    assert name_classes(80, None, others).classes[79].category_id == 80
    assert name_classes(2, None, told).origin.startswith("numbers")
