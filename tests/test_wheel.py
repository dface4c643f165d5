"""What people install: a wheel in an empty environment, used from another directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from bft_nas.kernels.depthwise import kernel_available

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tree, so that nothing is left behind in it."""
    source = tmp_path_factory.mktemp("source") / "tree"
    left_out = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "__pycache__")

    def ignore(folder: str, names: list[str]) -> set[str]:
        others = {name for name in names if name != "example"} if Path(folder) == ROOT / "runs" else set()
        # What was downloaded stands at the top; the package of that name is a part of the project.
        downloads = {"data"} if Path(folder) == ROOT else set()
        return {*left_out(folder, names), *others, *downloads}

    shutil.copytree(ROOT, source, symlinks=True, ignore=ignore)
    target = tmp_path_factory.mktemp("wheel")
    # The kernels are compiled as ever, but a minute of optimising them says nothing about the wheel.
    quick = source / "quick-cc"
    quick.write_text(f'#!/bin/sh\nexec {os.environ.get("CC", "cc")} "$@" -O0\n')
    quick.chmod(0o755)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(source)],
        check=True,
        capture_output=True,
        env={**os.environ, "CC": str(quick)},
    )
    (built,) = target.glob("*.whl")
    return built


def test_the_wheel_holds_spaces_dashboard_data_and_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for expected in (
        "bft_nas/space/bundled/mobile.yaml",
        "bft_nas/space/bundled/mobilenet_v3.yaml",
        "bft_nas/training/recipes/thousands.yaml",
        "bft_nas/dashboard/report.py",
        "bft_nas/dashboard/report.js",
        "bft_nas/dashboard/assets/dashboard.css",
        "bft_nas/dashboard/assets/dashboard.css",
        "bft_nas/data/bundled/fashion-mnist.npz",
        "bft_nas/data/bundled/LICENSE-fashion-mnist",
        "bft_nas/py.typed",
    ):
        assert expected in names
    example = {
        f"bft_nas/dashboard/{path.relative_to(ROOT / 'runs')}" for path in ROOT.glob("runs/example/**/*.*")
    }
    assert example <= names
    assert kernel_available() == any(name.startswith("bft_nas/kernels/_native") for name in names)
    assert {name.partition("/")[0] for name in names} == {
        "bft_nas",
        wheel.name.rsplit("-", 3)[0] + ".dist-info",
    }
    assert not [name for name in names if "test" in name]


def test_a_search_from_another_directory_with_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    """The environment is empty but for the wheel; what it depends on is borrowed from the one of the tests."""
    environment = tmp_path / "environment"
    venv.create(environment)
    python = environment / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install"]
        + ["--quiet", "--no-deps", "--no-index", str(wheel)],
        check=True,
        capture_output=True,
    )
    borrowed = next((environment / "lib").glob("python*")) / "site-packages" / "borrowed.pth"
    borrowed.write_text(sysconfig.get_path("purelib") + "\n")
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    work = tmp_path / "elsewhere"
    work.mkdir()
    done = subprocess.run(
        [
            str(environment / "bin" / "bft-nas"),
            "search",
            "--flops",
            "50M",
            "--trials",
            "1",
            "--no-references",
            "--no-confirm",
            "--no-timing",
            "--workers",
            "1",
        ]
        + ["--images", "64", "--epochs", "1", "--resolution", "32"],
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=alone,
    )
    assert done.returncode == 0, done.stderr
    assert "winner within 50M" in done.stdout
    assert (work / "runs" / "tiny-50M" / "report.html").is_file()
    where = subprocess.run(
        [str(python), "-c", "import bft_nas; print(bft_nas.__file__)"],
        cwd=work,
        capture_output=True,
        text=True,
        check=True,
        env=alone,
    )
    assert where.stdout.startswith(str(environment))
