"""The rooms of vidgap_vis: each imports lower floors and itself; some must not know each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from architecture.imports import graph, imported, module_of, package_folder, sources, top_level

FOLDER = package_folder("vis")

FLOORS = (
    ("errors", "classes", "native"),
    ("files", "trackers"),
    ("config", "formats"),
    ("synthetic", "data", "video", "evaluation"),
    ("build",),
    ("weights",),
    ("inference", "prepare", "analysis"),
    ("training", "speed"),
    ("experiments",),
    ("demo", "doctor"),
    ("cli",),
    ("__main__",),
)
"""From the ground up: rooms (folders) and files."""

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

MOST_FLAT_FILES = 8

JOINTS = {"build", "doctor"}
"""Who may import vidgap_temporal."""

READERS_OF_CONFIG = {"config", "build", "training", "experiments", "demo", "cli"}
"""Configurations stop here: what they describe is built of plain arguments."""

THIRD_PARTIES_FORBIDDEN = {
    "formats": {"torch", "torchvision", "vidgap_augment", "vidgap_segmenter", "vidgap_temporal"},
    "evaluation": {"torch", "torchvision", "vidgap_augment", "vidgap_segmenter", "vidgap_temporal"},
    "analysis": {"torch", "torchvision", "vidgap_augment", "vidgap_segmenter", "vidgap_temporal"},
    "trackers": {"vidgap_augment", "vidgap_temporal"},
}


def room_of(module: str) -> str:
    """Return the room of `vidgap_vis.ROOM...`; "" for the package itself."""
    return [*module.split("."), ""][1]


MODULES = [module_of(path, FOLDER) for path in sources(FOLDER)]


@pytest.mark.parametrize("module", MODULES)
def test_every_file_is_in_a_known_room(module: str) -> None:
    assert room_of(module) in ("", *FLOOR)


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_lower_floors_and_itself(module: str) -> None:
    room = room_of(module)
    if not room:
        return  # the package hands out public names, from any floor, when they are asked for
    for other in graph(FOLDER)[module]:
        below = room_of(other) == room or FLOOR.get(room_of(other), 99) < FLOOR[room]
        assert below, f"{module} (floor {FLOOR[room]}) imports {other}"


def test_no_room_is_empty_and_few_files_lie_flat() -> None:
    assert set(FLOOR) == {room for module in MODULES if (room := room_of(module))}
    flat = [path.name for path in FOLDER.glob("*.py")]
    assert len(flat) <= MOST_FLAT_FILES, flat


@pytest.mark.parametrize("room", THIRD_PARTIES_FORBIDDEN)
def test_some_rooms_do_without_some_packages(room: str) -> None:
    for path in sources(FOLDER / room):
        found = top_level(imported(path)) & THIRD_PARTIES_FORBIDDEN[room]
        assert not found, f"{path} imports {sorted(found)}"


def importers(package: str) -> set[str]:
    """Return the rooms that import a package or a room."""
    return {
        room_of(module_of(path, FOLDER))
        for path in sources(FOLDER)
        if any(name == package or name.startswith(f"{package}.") for name in imported(path))
    }


def test_only_build_joins_the_packages() -> None:
    assert importers("vidgap_temporal") == JOINTS
    joined = {f"vidgap_{name}" for name in ("augment", "temporal", "segmenter")}
    joining = [path for path in sources(FOLDER) if joined <= top_level(imported(path))]
    assert joining == [FOLDER / "build.py"]


def test_configs_stop_at_build_and_the_stages() -> None:
    assert importers("vidgap_vis.config") <= READERS_OF_CONFIG


@pytest.mark.parametrize(
    ("room", "others"),
    [
        ("evaluation", {"inference", "trackers"}),
        ("inference", {"evaluation", "analysis"}),
        ("analysis", {"inference", "trackers"}),
    ],
)
def test_rooms_that_must_not_know_each_other(room: str, others: set[str]) -> None:
    for path in sources(FOLDER / room):
        found = {room_of(name) for name in imported(path) if name.startswith("vidgap_vis.")}
        assert not found & others, f"{path} imports {sorted(found & others)}"


TESTS = Path(__file__).parents[1] / "vis"


@pytest.mark.parametrize("path", sources(TESTS), ids=lambda path: str(path.relative_to(TESTS)))
def test_tests_stand_in_the_room_that_they_test(path: Path) -> None:
    room = path.relative_to(TESTS).parts[0]
    if room == "support" or path.name == "conftest.py":
        return
    tested = room.removeprefix("test_").removesuffix(".py")
    assert tested in FLOOR
    uses = {room_of(name) for name in imported(path) if name.startswith("vidgap_vis")}
    by_command = "vidgap_vis" in path.read_text(encoding="utf-8")  # a process of its own
    assert tested in uses or by_command, f"imports {sorted(uses)}"


def test_every_room_has_tests() -> None:
    tested = {path.relative_to(TESTS).parts[0] for path in sources(TESTS)}
    whole_runs = {"demo", "__main__", "classes", "errors"}  # in tests/integration; in test_files.py
    rooms = {room for room in FLOOR if (FOLDER / room).is_dir()} - whole_runs
    assert rooms <= tested
