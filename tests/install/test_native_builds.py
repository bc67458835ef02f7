"""Every way to install a package with native code, and the backends it has then.

Wheels are built with the tools of this environment, without CUDA unless a test says so (that takes
minutes), and tested in environments with this one's libraries and none of our packages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from install.environments import ROOT, layered_environment, run

pytestmark = [pytest.mark.install, pytest.mark.slow]

# Where CMake would look: PATH, what the environment names, and its own list of system folders.
SEARCHED = (
    *os.environ["PATH"].split(os.pathsep),
    f"{os.environ.get('CUDA_HOME', '/usr/local/cuda')}/bin",
    *("/usr/local/cuda/bin", "/usr/local/bin", "/usr/bin", "/bin", "/opt/cuda/bin"),
)
FOLDERS_OF_NVCC = sorted({folder for folder in SEARCHED if (Path(folder) / "nvcc").exists()})
NO_NVCC = {"CMAKE_ARGS": f"-DCMAKE_IGNORE_PATH={';'.join(FOLDERS_OF_NVCC)}", "CUDA_HOME": ""}
BROKEN_NVCC = {"CMAKE_ARGS": "-DVIDGAP_NVCC=/bin/false"}
NO_CUDA = {"VIDGAP_CUDA": "0"}
NO_COMPILER = {"CXX": "/no/such/compiler", "VIDGAP_CUDA": "0"}
REQUIRED = {"VIDGAP_REQUIRE_NATIVE": "1"}

UNOPTIMISED = "-DCMAKE_CXX_FLAGS_RELEASE=-O0"
"""These tests are about packaging; others run optimised kernels."""


def build(source: str | Path, folder: Path, environment: dict[str, str]) -> Path:
    """Return the wheel that pip builds of `source`."""
    done = try_to_build(source, folder, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def try_to_build(
    source: str | Path, folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIDGAP_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    arguments = f"{UNOPTIMISED} {environment.get('CMAKE_ARGS', '')}"
    return subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation",
         "--wheel-dir", str(folder), str(source)],
        env={**kept, "PATH": path, "PIP_NO_INDEX": "1", **environment, "CMAKE_ARGS": arguments},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def is_native(wheel: Path) -> bool:
    """Return whether a wheel holds an extension; its name must agree."""
    holds = any("/_native." in name for name in zipfile.ZipFile(wheel).namelist())
    assert holds != wheel.name.endswith("-py3-none-any.whl"), wheel.name
    return holds


def backends(package: str, wheel: Path, folder: Path) -> str:
    """Install a wheel alone and return what `backends()` prints there."""
    python = layered_environment(folder / "env", [wheel])
    command = f"import vidgap_{package} as m; print(m.backends())"
    return run(python, "-W", "error", "-c", command, cwd=folder)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the native packages' sources, links kept."""
    folder = tmp_path / "checkout"
    for name in ("csrc", "packages/segmenter", "packages/temporal", "packages/vis"):
        shutil.copytree(
            ROOT / name,
            folder / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__", "build", "dist"),
        )
    return folder


def test_without_nvcc_the_segmenter_has_its_cpu_kernels(checkout: Path, tmp_path: Path) -> None:
    wheel = build(checkout / "packages/segmenter", tmp_path, {**NO_NVCC, **REQUIRED})
    assert is_native(wheel)
    said = backends("segmenter", wheel, tmp_path)
    assert "'cpu': 'native', 'cuda': 'reference'" in said
    assert "built without CUDA; reinstall vidgap-segmenter where nvcc is" in said


def test_without_nvcc_the_temporal_package_is_python_alone(checkout: Path, tmp_path: Path) -> None:
    wheel = build(checkout / "packages/temporal", tmp_path, NO_NVCC)
    assert not is_native(wheel)
    assert "conv_gru" in backends("temporal", wheel, tmp_path)


def test_an_nvcc_that_does_not_work_costs_no_cpu_kernel(checkout: Path, tmp_path: Path) -> None:
    wheel = build(checkout / "packages/segmenter", tmp_path, {**BROKEN_NVCC, **REQUIRED})
    assert is_native(wheel)
    insisting = {**BROKEN_NVCC, **REQUIRED, "VIDGAP_CUDA": "1"}
    assert try_to_build(checkout / "packages/segmenter", tmp_path, insisting).returncode != 0


@pytest.mark.parametrize("package", ["segmenter", "temporal"])
def test_without_a_compiler_a_package_is_python_alone_and_says_so(
    package: str, checkout: Path, tmp_path: Path
) -> None:
    wheel = build(checkout / "packages" / package, tmp_path, NO_COMPILER)
    assert not is_native(wheel)
    said = backends(package, wheel, tmp_path)
    assert "'cpu': 'reference'" in said
    assert "not built in this installation" in said


def test_what_falls_back_warns_in_one_line_and_works(checkout: Path, tmp_path: Path) -> None:
    wheel = build(checkout / "packages/segmenter", tmp_path, NO_COMPILER)
    python = layered_environment(tmp_path / "env", [wheel])
    call = (
        "import torch; from vidgap_segmenter import ms_deform_attn as f\n"
        "for _ in range(2): f(torch.ones(1, 4, 1, 2), [(2, 2)], torch.ones(1, 1, 1, 1, 1, 2) / 2, "
        "torch.ones(1, 1, 1, 1, 1))"
    )
    done = subprocess.run([python, "-c", call], capture_output=True, text=True, check=True)
    assert done.stderr.count("RuntimeWarning") == 1
    assert "ms_deform_attn runs on its reference in PyTorch" in done.stderr
    assert "reinstall vidgap-segmenter where a C++17 compiler is" in done.stderr


def test_a_broken_compile_falls_back_and_with_require_native_is_shown(
    checkout: Path, tmp_path: Path
) -> None:
    source = checkout / "csrc/ms_deform_attn/cpu.cpp"
    source.write_text("#error broken on purpose\n" + source.read_text())
    assert not is_native(build(checkout / "packages/segmenter", tmp_path, NO_CUDA))
    failed = try_to_build(checkout / "packages/segmenter", tmp_path, {**NO_CUDA, **REQUIRED})
    assert failed.returncode != 0
    assert "broken on purpose" in failed.stdout + failed.stderr


def test_an_extension_that_cannot_be_loaded_counts_as_broken(
    checkout: Path, tmp_path: Path
) -> None:
    source = checkout / "csrc/ms_deform_attn/cpu.cpp"
    source.write_text(source.read_text().replace("int backward_cpu(", "int backward_gpu("))
    failed = try_to_build(checkout / "packages/segmenter", tmp_path, {**NO_CUDA, **REQUIRED})
    assert failed.returncode != 0
    assert "undefined symbol" in failed.stdout + failed.stderr


@pytest.mark.parametrize(
    ("package", "environment", "reason"),
    [
        ("temporal", NO_NVCC, "nvcc is needed for vidgap_temporal._native"),
        ("segmenter", {**NO_NVCC, "VIDGAP_CUDA": "1"}, "VIDGAP_CUDA=1, but nvcc is neither"),
        ("segmenter", NO_COMPILER, "/no/such/compiler"),
        ("vis", NO_COMPILER, "/no/such/compiler"),
    ],
)
def test_require_native_makes_a_missing_tool_an_error(
    package: str, environment: dict[str, str], reason: str, checkout: Path, tmp_path: Path
) -> None:
    failed = try_to_build(checkout / "packages" / package, tmp_path, {**environment, **REQUIRED})
    assert failed.returncode != 0
    assert reason in failed.stdout + failed.stderr


@pytest.mark.parametrize("package", ["segmenter", "vis"])
def test_an_sdist_holds_its_sources_and_builds_natively(
    package: str, checkout: Path, tmp_path: Path
) -> None:
    source = checkout / "packages" / package
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, source)
    (archive,) = tmp_path.glob("*.tar.gz")
    shutil.rmtree(checkout)
    assert is_native(build(archive, tmp_path, {**NO_CUDA, **REQUIRED}))


def test_a_git_address_with_a_subdirectory_builds_natively(checkout: Path, tmp_path: Path) -> None:
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    run("git", "init", "--quiet", cwd=checkout)
    run("git", "add", ".", cwd=checkout)
    run("git", *author, "commit", "--quiet", "--message", "all", cwd=checkout)
    address = f"vidgap-segmenter @ git+file://{checkout}#subdirectory=packages/segmenter"
    assert is_native(build(address, tmp_path, {**NO_CUDA, **REQUIRED}))


def test_a_zip_archive_whose_links_became_text_builds_natively(
    checkout: Path, tmp_path: Path
) -> None:
    link = checkout / "packages/segmenter/csrc"
    link.unlink()
    link.write_text("../../csrc")
    assert is_native(build(checkout / "packages/segmenter", tmp_path, {**NO_CUDA, **REQUIRED}))


def test_a_package_folder_alone_is_python_alone(checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(checkout / "csrc")
    assert not is_native(build(checkout / "packages/segmenter", tmp_path, NO_CUDA))


EVALUATION = """
from vidgap_vis import native
from vidgap_vis.evaluation import Track, overlaps
from vidgap_vis.formats import Rle

track = Track(1, 0, (Rle((2, 3), "06"),))
for _ in range(2):
    print(overlaps(1, [track], [track]).shared.item())
print(native.obstacle())
"""


@pytest.mark.parametrize("tools", ["a compiler", "none", "a broken source"])
def test_evaluation_works_with_and_without_its_extension(
    tools: str, checkout: Path, tmp_path: Path
) -> None:
    if tools == "a broken source":
        source = checkout / "csrc/masks/run_lengths.cpp"
        source.write_text("#error broken on purpose\n" + source.read_text())
        failed = try_to_build(checkout / "packages/vis", tmp_path, REQUIRED)
        assert "broken on purpose" in failed.stdout + failed.stderr
    environment = {"a compiler": REQUIRED, "none": NO_COMPILER, "a broken source": {}}[tools]
    wheel = build(checkout / "packages/vis", tmp_path, environment)
    assert is_native(wheel) == (tools == "a compiler")
    python = layered_environment(tmp_path / "env", [wheel])
    done = subprocess.run([python, "-c", EVALUATION], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if tools == "a compiler":
        assert done.stdout == "6\n6\nNone\n"
        assert done.stderr == ""
    else:
        assert done.stdout.startswith("6\n6\nvidgap_vis._native is not built in this installation")
        assert done.stderr.count("RuntimeWarning") == 1
        assert "evaluation runs on its reference in Python" in done.stderr
        assert "reinstall vidgap-vis where a C++17 compiler is" in done.stderr
