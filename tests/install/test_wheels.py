"""Each distribution is built into a wheel and works alone, as its README says."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from install.environments import ROOT, layered_environment, run

NEEDS = {
    "augment": (),
    "temporal": (),
    "segmenter": (),
    "vis": ("augment", "temporal", "segmenter"),
}

pytestmark = [pytest.mark.install, pytest.mark.slow]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build all four wheels with the build tools of this environment, without CUDA (minutes)."""
    folder = tmp_path_factory.mktemp("wheels")
    tools = {**os.environ, "VIDGAP_CUDA": "0", "VIDGAP_REQUIRE_NATIVE": "0"}
    for name in NEEDS:
        run(
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
            "--wheel-dir", folder, ROOT / "packages" / name, environment=tools,
        )  # fmt: skip
    return {name: next(folder.glob(f"vidgap_{name}-*.whl")) for name in NEEDS}


@pytest.mark.parametrize("name", NEEDS)
def test_wheel_installs_alone_and_its_readme_example_runs(
    name: str, wheels: dict[str, Path], tmp_path: Path
) -> None:
    python = layered_environment(tmp_path / "env", [wheels[n] for n in (*NEEDS[name], name)])
    where = run(python, "-c", f"import vidgap_{name} as m; print(m.__file__)", cwd=tmp_path)
    assert str(tmp_path / "env") in where
    for other in set(NEEDS) - {name, *NEEDS[name]}:
        found = run(
            python, "-c",
            f"import importlib.util as u; s = u.find_spec('vidgap_{other}'); print(s and s.origin)",
            cwd=tmp_path,
        )  # fmt: skip
        # An editable install leaves a folder with nothing but the extension in it.
        assert found.strip() == "None", f"vidgap_{other} is visible beside vidgap_{name}: {found}"
    readme = (ROOT / "packages" / name / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert examples, f"packages/{name}/README.md has no Python example"
    script = tmp_path / "example.py"
    script.write_text("\n".join(examples), encoding="utf-8")
    run(python, script, cwd=tmp_path)


def test_wheel_holds_its_type_marker_and_nothing_else_of_ours(wheels: dict[str, Path]) -> None:
    import zipfile

    for name, wheel in wheels.items():
        names = zipfile.ZipFile(wheel).namelist()
        assert f"vidgap_{name}/py.typed" in names
        assert all(entry.startswith((f"vidgap_{name}/", f"vidgap_{name}-")) for entry in names), (
            names
        )


def test_command_line_of_the_installed_wheels_answers(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    python = layered_environment(tmp_path / "env", list(wheels.values()))
    assert "predict" in run(python.parent / "vidgap", "--help", cwd=tmp_path)
