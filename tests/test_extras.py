"""Without the extras: what the main job needs is there, and a command that needs one says how to install it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bft_nas.core.extras import EXTRAS
from bft_nas.export.write import CONTENTS
from tests.conftest import SPACE

ROOT = Path(__file__).parents[1]
# What is None there cannot be imported, and nothing that looks for it finds it.
WITHOUT = (
    "import sys\n"
    f"for name in {[name for names in EXTRAS.values() for name in names]!r}: sys.modules[name] = None\n"
    "from bft_nas.cli.main import main\n"
    "sys.exit(main(sys.argv[1:]))\n"
)


def without_extras(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command where no extra is installed."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_without_any_extra_a_search_a_report_and_an_export_work(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    small = (
        "--trials",
        "1",
        "--images",
        "64",
        "--epochs",
        "1",
        "--workers",
        "1",
        "--no-references",
        "--no-confirm",
        "--no-timing",
    )
    searched = without_extras(
        tmp_path, "search", "--flops", "3M", "--space", "tiny.yaml", "--name", "a", *small
    )
    assert (searched.returncode, searched.stderr) == (0, "")
    assert (tmp_path / "runs/a/report.html").is_file()
    assert without_extras(tmp_path, "report", "a", "-o", "a.html").returncode == 0
    exported = without_extras(tmp_path, "export", "a", "-o", "winner")
    assert exported.returncode == 0
    assert exported.stderr == (
        "model.onnx: left out, as onnx and onnxscript and onnxruntime are not installed; "
        "expected pip install 'bft-nas[export]'\n"
    )
    names = set(CONTENTS) - {"model.onnx"}
    assert {path.name for path in (tmp_path / "winner").iterdir()} == names
    assert "largest difference" in exported.stdout
    assert "onnx" not in exported.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dashboard",), "dashboard: dash and dash_ag_grid are not installed; expected pip install"),
        (("search", "--flops", "5M", "--engine", "ray"), "--engine ray: ray is not installed; expected pip"),
        (("data", "hf:beans"), "hf:beans: datasets is not installed; expected pip install 'bft-nas[hf]'"),
    ],
)
def test_a_command_whose_extra_is_missing_says_in_one_line_what_to_install(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = without_extras(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"bft-nas: error: {message}")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_extra_brings_what_is_looked_for_and_nothing_else_does() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    base = {Requirement(line).name.replace("-", "_") for line in project["dependencies"]}
    for extra, names in EXTRAS.items():
        assert {Requirement(line).name.replace("-", "_") for line in extras[extra]} == set(names)
        assert not base & set(names)
    (every,) = extras["all"]
    # torchvision, which timm brings, imports beside its own release of torch alone; those for phones bring a GB each.
    assert Requirement(every).extras == set(extras) - {"all", "dev", "timm", "executorch", "litert"}
    assert "bft-nas[all]" in extras["dev"]
