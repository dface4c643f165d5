"""An export: five files that do what the trained network does, at the MACs that were counted, or nothing at all."""

from __future__ import annotations

import ast
import importlib.util
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import bft_nas.export.write
from bft_nas.cli.export import show_export
from bft_nas.core.errors import UserError
from bft_nas.export.checks import Answer, OtherPython, run_weights
from bft_nas.export.graphs import RULES
from bft_nas.export.source import model_source, read_safetensors
from bft_nas.export.write import CONTENTS, TOLERANCE, ExportError, ExportReport, export
from bft_nas.network import Architecture, Block, Head, Stem, build, cost, reference

CLASSES = ("cat", "dog", 'a "quoted" name', '""" + 1 / 0\\', "line\nbreak", "naïve ☃")
NORMALISATION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

SEPARABLE = Architecture(
    "mobilenet_v1",
    32,
    Stem(8),
    (Block("separable", 24, fusion="butterfly-4"), Block("separable", 36, kernel=5, stride=2)),
    Head(),
    classes=10,
)
SHUFFLE = Architecture(
    "shufflenet_v2",
    64,
    Stem(12, pool=True),
    (Block("shuffle", 36, stride=2, fusion="butterfly-4"), Block("shuffle", 36)),
    Head(64, "butterfly-8"),
    classes=10,
)
INVERTED = Architecture(
    "mobilenet_v3",
    64,
    Stem(16, activation="hard_swish"),
    (
        Block("inverted", 16, expanded=16, squeeze=8, fusion="butterfly-8", stride=2),
        Block("inverted", 24, 5, 2, "hard_swish", "butterfly-4", expanded=60, squeeze=12),
        Block("inverted", 24, activation="hard_swish", expanded=72, expand_fusion="butterfly-8"),
    ),
    Head(96, "butterfly-16", hidden=40, activation="hard_swish"),
    classes=10,
)
DENSE = Architecture("mobilenet_v2", 32, Stem(8), (Block("inverted", 8, expanded=24),), Head(), in_channels=1)

GROUPED = reference("fbnet_a", width=0.25, resolution=32, classes=10)

Written = Callable[[str], None]

COMMON = {"Stem", "Head", "Network"}
BUTTERFLY = {"ButterflyPlan", "ButterflyTransform"}


@dataclass(frozen=True)
class Case:
    """A network that is exported, and the classes that its model.py has to define."""

    architecture: Architecture
    defines: frozenset[str]
    labelled: bool = False


CASES = {
    "separable": Case(SEPARABLE, frozenset(COMMON | BUTTERFLY | {"Separable"})),
    "shuffle": Case(SHUFFLE, frozenset(COMMON | BUTTERFLY | {"Shuffle"})),
    "inverted": Case(INVERTED, frozenset(COMMON | BUTTERFLY | {"Inverted", "SqueezeExcite"}), labelled=True),
    "dense": Case(DENSE, frozenset(COMMON | {"Inverted"})),
    "grouped": Case(GROUPED, frozenset(COMMON | {"Inverted"})),
}


@dataclass(frozen=True)
class Exported:
    """A trained network and its export."""

    case: Case
    network: nn.Module
    report: ExportReport

    @property
    def folder(self) -> Path:
        return self.report.folder

    def images(self, batch: int) -> Tensor:
        net = self.case.architecture
        generator = torch.Generator().manual_seed(batch)
        return torch.randn(batch, net.in_channels, net.resolution, net.resolution, generator=generator)

    def agrees(self, images: Tensor, logits: Tensor) -> bool:
        with torch.no_grad():
            expected = self.network(images)
        return bool((logits - expected).abs().max() <= TOLERANCE * expected.abs().max())

    @property
    def residual_macs(self) -> int:
        layers = cost(self.case.architecture).layers
        return sum(layer.plan.residual_macs * layer.size**2 for layer in layers if layer.plan)


def trained(architecture: Architecture) -> nn.Module:
    """A network whose batch norm has seen images, so that forgetting its statistics would show."""
    torch.manual_seed(0)
    network = build(architecture).train()
    shape = (architecture.in_channels, architecture.resolution, architecture.resolution)
    with torch.no_grad():
        for _ in range(3):
            network(2 * torch.randn(8, *shape) + 1)
    return network.eval()


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """The real export of a case, made once."""

    @cache
    def make(name: str) -> Exported:
        case = CASES[name]
        network = trained(case.architecture)
        labels: dict[str, Any] = {"classes": CLASSES, "normalisation": NORMALISATION} if case.labelled else {}
        folder = tmp_path_factory.mktemp(name) / "export"
        return Exported(case, network, export(case.architecture, network.state_dict(), folder, **labels))

    return make


@pytest.fixture(params=list(CASES))
def exported(request: pytest.FixtureRequest, exports: Callable[[str], Exported]) -> Exported:
    return exports(request.param)


@pytest.fixture
def module(exported: Exported) -> Iterator[ModuleType]:
    """The exported model.py, imported."""
    spec = importlib.util.spec_from_file_location("exported_model", exported.folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["exported_model"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["exported_model"]


def counted(network: Callable[[Tensor], Tensor], images: Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images)
    return int(counter.get_total_flops()) // 2


def definitions(source: str) -> dict[str, ast.stmt]:
    tree = ast.parse(source)
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_the_report_has_every_file_with_its_check(exported: Exported) -> None:
    files = {file.name: file for file in exported.report.files}
    macs = cost(exported.case.architecture).macs
    assert tuple(files) == CONTENTS
    assert {path.name for path in exported.folder.iterdir()} >= set(CONTENTS)
    assert all(file.size == (exported.folder / name).stat().st_size > 0 for name, file in files.items())
    assert files["weights.safetensors"].difference == 0
    for name in ("model.pt2", "model.onnx", "model.py"):
        difference = files[name].difference
        assert difference is not None
        assert difference <= TOLERANCE
        assert files[name].macs == macs


def test_architecture_and_weights_are_exactly_the_trained_ones(exported: Exported) -> None:
    architecture = exported.case.architecture
    assert Architecture.from_json((exported.folder / "architecture.json").read_text()) == architecture
    weights = load_file(exported.folder / "weights.safetensors")
    state = exported.network.state_dict()
    assert weights.keys() == state.keys()
    assert all(torch.equal(weights[name], value) for name, value in state.items())
    assert state["stem.norm.running_mean"].abs().max() > 0.01
    with safe_open(exported.folder / "weights.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["architecture"] == architecture.hash
    if exported.case.labelled:
        assert json.loads(metadata["classes"]) == list(CLASSES)
        assert json.loads(metadata["normalisation"]) == {
            "mean": list(NORMALISATION[0]),
            "std": list(NORMALISATION[1]),
        }
    else:
        assert metadata.keys() == {"format", "architecture"}


def test_the_pt2_agrees_at_any_batch_and_costs_what_was_counted(exported: Exported) -> None:
    network = torch.export.load(exported.folder / "model.pt2").module()
    for batch in (1, 5):
        images = exported.images(batch)
        assert exported.agrees(images, network(images))
    products = counted(network, exported.images(1))
    assert products + exported.residual_macs == cost(exported.case.architecture).macs


def test_the_onnx_agrees_at_any_batch_and_costs_what_was_counted(exported: Exported) -> None:
    import onnx
    import onnxruntime

    model = onnx.load(exported.folder / "model.onnx", load_external_data=False)
    weights = {weight.name: tuple(weight.dims) for weight in model.graph.initializer}
    assert not any(weight.external_data for weight in model.graph.initializer)
    assert [value.name for value in model.graph.input] == ["images"]
    assert [value.name for value in model.graph.output] == ["logits"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    onnx.checker.check_model(model)

    # The shapes that the runtime sees, rather than those that anybody infers.
    names = [name for node in model.graph.node for name in node.output if name != "logits"]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch in (5, 1):
        images = exported.images(batch)
        values = dict(zip(["logits", *names], session.run(None, {"images": images.numpy()}), strict=True))
        assert exported.agrees(images, torch.from_numpy(values["logits"]))
    shapes = weights | {name: value.shape for name, value in values.items()}
    products = 0
    for node in model.graph.node:
        outputs = math.prod(shapes[node.output[0]]) if node.op_type in {"Conv", "Gemm", "MatMul"} else 0
        if node.op_type == "Conv":
            products += outputs * math.prod(shapes[node.input[1]]) // shapes[node.output[0]][1]
        elif outputs:
            products += outputs * shapes[node.input[0]][-1]
    assert products + exported.residual_macs == cost(exported.case.architecture).macs


def test_the_model_file_agrees_and_costs_what_was_counted(exported: Exported, module: ModuleType) -> None:
    network = module.load()
    assert not network.training
    assert network.state_dict().keys() == exported.network.state_dict().keys()
    images = exported.images(5)
    with torch.no_grad():
        assert exported.agrees(images, network(images))
    products = counted(network, exported.images(1))
    assert products + exported.residual_macs == cost(exported.case.architecture).macs


@pytest.mark.parametrize("name", ["inverted", "dense"])
def test_the_model_file_runs_where_nothing_else_is(
    name: str, exports: Callable[[str], Exported], tmp_path: Path
) -> None:
    exported = exports(name)
    for file in ("model.py", "weights.safetensors"):
        shutil.copy(exported.folder / file, tmp_path)
    block = "import sys; sys.modules['bft_nas'] = sys.modules['safetensors'] = None; import runpy; "
    command = [sys.executable, "-I", "-c", f"{block}runpy.run_path('model.py', run_name='__main__')"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    net = exported.case.architecture
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"images (1, {net.in_channels}, {net.resolution}, {net.resolution}) -> logits (1, {net.classes}),"
        f" {cost(net).params:,} parameters\n"
    )


def test_the_model_file_imports_torch_and_the_standard_library_alone(exported: Exported) -> None:
    imported = set()
    for node in ast.walk(ast.parse((exported.folder / "model.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported <= {"torch", *sys.stdlib_module_names}


def test_the_model_file_defines_what_it_uses_and_nothing_else(exported: Exported) -> None:
    source = (exported.folder / "model.py").read_text(encoding="utf-8")
    defined = definitions(source)
    assert {name for name, node in defined.items() if isinstance(node, ast.ClassDef)} == exported.case.defines
    for name in defined:
        users = (node for node in ast.parse(source).body if getattr(node, "name", None) != name)
        names = {child.id for node in users for child in ast.walk(node) if isinstance(child, ast.Name)}
        assert name in names, f"{name} is defined and never used"
    assert ">>>" not in source
    assert "type: ignore" not in source
    if "ButterflyTransform" not in exported.case.defines:
        assert "utterfl" not in source
    if "SqueezeExcite" not in exported.case.defines:
        assert "squeeze=0" in source or "queeze" not in source


def test_the_model_file_has_one_row_a_block_and_a_tidy_style(exported: Exported) -> None:
    path = exported.folder / "model.py"
    source = path.read_text(encoding="utf-8")
    if exported.case.architecture is SEPARABLE:
        assert (
            '        Separable(in_channels=8, channels=24, kernel=3, stride=1, activation="relu",'
            ' fusion="butterfly-4"),\n'
        ) in source
    assert max(map(len, source.splitlines())) <= 120
    style = ["--isolated", "--line-length", "110"]
    for command in (["check", "--extend-select", "I"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, *style, "--no-cache", str(path)]
        done = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_model_file_says_what_goes_in_and_comes_out(exported: Exported, module: ModuleType) -> None:
    net = exported.case.architecture
    text = " ".join((module.__doc__ or "").split())
    assert "Generated by bft-nas" in text
    assert f"(batch, {net.in_channels}, {net.resolution}, {net.resolution})" in text
    assert f"{cost(net).macs:,} MACs" in text
    if exported.case.labelled:
        assert (module.MEAN, module.STD) == NORMALISATION
        assert module.CLASSES == CLASSES
        assert "(0.485, 0.456, 0.406)" in text
        assert 'in order: "cat", "dog"' in text
        assert "Only the first 6 outputs were trained" in text
    else:
        assert "The classes are unnamed" in text
        assert not {"MEAN", "STD", "CLASSES"} & vars(module).keys()


def test_no_file_tells_where_it_was_made(exported: Exported) -> None:
    for name in ("model.pt2", "model.onnx", "model.py"):
        content = (exported.folder / name).read_bytes()
        for folder in (Path(bft_nas.export.write.__file__).parent, Path(torch.__file__).parent):
            assert str(folder).encode() not in content, name


def test_many_class_names_are_in_the_table_and_not_all_in_the_docstring() -> None:
    names = [f"class {i}" for i in range(1000)]
    source = model_source(DENSE, CASES["dense"].defines, classes=names)
    docstring = ast.get_docstring(ast.parse(source)) or ""
    assert "and 980 more in CLASSES" in docstring
    assert "Only the first" not in docstring
    assert '    "class 999",\n' in source


def test_whatever_a_family_is_called_it_stays_inside_the_docstring() -> None:
    for family in ('a """ + 1 / 0 # \\', "line\nbreak", "ends in \\", "\0"):
        tree = ast.parse(model_source(replace(DENSE, family=family), CASES["dense"].defines))
        first = (ast.get_docstring(tree) or "").splitlines()[0]
        assert first.startswith((family, repr(family)))
        assert first.endswith("Generated by bft-nas.")


@pytest.mark.parametrize("damage", ["empty", "header", "short", "long", "shape"])
def test_a_damaged_weights_file_is_refused_by_the_model_file(damage: str, tmp_path: Path) -> None:
    from safetensors.torch import save

    content = save({"weight": torch.ones(4, 3)})
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    assert torch.equal(read_safetensors(path)["weight"], torch.ones(4, 3))
    path.write_bytes(
        {
            "empty": b"",
            "header": content[:20],
            "short": content[:-1],
            "long": content + b"\0",
            "shape": content.replace(b"[4,3]", b"[4,2]"),
        }[damage]
    )
    with pytest.raises(ValueError, match=r"weights\.safetensors: "):
        read_safetensors(path)


class Agreeing:
    """In place of the other Python: answers what the weights do, which is known to agree, and takes no time."""

    def __init__(self, images: list[Tensor]) -> None:
        self.images = images

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def ask(self, path: Path) -> None:
        self.folder = path.parent

    def answer(self, name: str) -> Answer:
        return run_weights(self.folder, self.images)


@pytest.fixture
def no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports without the slow files, where the question is another one."""

    def write(network: nn.Module, architecture: Architecture, folder: Path, written: Written) -> None:
        assert (folder / "model.py").exists()
        for name in ("model.pt2", "model.onnx"):
            (folder / name).write_text("")
            written(name)

    monkeypatch.setattr("bft_nas.export.write.write_graphs", write)
    monkeypatch.setattr("bft_nas.export.write.run_onnx", run_weights)
    monkeypatch.setattr("bft_nas.export.write.OtherPython", Agreeing)


@pytest.fixture
def other(exports: Callable[[str], Exported]) -> Path:
    """The export of the dense architecture with weights that `slightly_off` are not."""
    return exports("dense").folder


def slightly_off() -> dict[str, Tensor]:
    state = trained(DENSE).state_dict()
    state["classifier.weight"][3] *= 1.01
    return state


@pytest.mark.parametrize("name", ["weights.safetensors", "model.pt2", "model.onnx", "model.py"])
def test_a_file_that_differs_is_noticed_and_nothing_is_left(
    name: str, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Swapping(OtherPython):
        def ask(self, path: Path) -> None:
            super().ask(other / path.name if path.name == name else path)

    monkeypatch.setattr("bft_nas.export.write.write_graphs", copy_graphs(other))
    if name == "weights.safetensors":
        monkeypatch.setattr(
            "bft_nas.export.write._write_weights",
            lambda network, folder, metadata: shutil.copy(other / name, folder),
        )
    monkeypatch.setattr("bft_nas.export.write.OtherPython", Agreeing if name == "model.onnx" else Swapping)
    with pytest.raises(
        ExportError, match=rf"^{name}: logits differ .* by \d\.\de-\d\d of the largest[^\n]*$"
    ):
        export(DENSE, slightly_off(), tmp_path / "new" / "export")
    assert not list(tmp_path.iterdir())


def copy_graphs(source: Path) -> Callable[[nn.Module, Architecture, Path, Written], None]:
    def write(network: nn.Module, architecture: Architecture, folder: Path, written: Written) -> None:
        for name in ("model.pt2", "model.onnx"):
            shutil.copy(source / name, folder)
            written(name)

    return write


def test_a_file_that_costs_something_else_is_noticed(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cheap(Agreeing):
        def answer(self, name: str) -> Answer:
            return replace(super().answer(name), products=7 if name == "model.pt2" else None)

    monkeypatch.setattr("bft_nas.export.write.write_graphs", copy_graphs(other))
    monkeypatch.setattr("bft_nas.export.write.OtherPython", Cheap)
    with pytest.raises(ExportError, match=r"^model\.pt2: 7 MACs where the architecture counts \d+$"):
        export(DENSE, trained(DENSE).state_dict(), tmp_path / "export")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "reason"),
    [("import nowhere", "No module named 'nowhere'"), ("import os; os._exit(3)", "exit 3")],
)
def test_a_model_file_that_does_not_run_by_itself_is_noticed(
    source: str, reason: str, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bft_nas.export.write.model_source", lambda *rest, **labels: source)
    monkeypatch.setattr("bft_nas.export.write.write_graphs", copy_graphs(other))
    with pytest.raises(ExportError, match=rf"^model\.py: does not run by itself \([^\n]*{reason}\)$"):
        export(DENSE, trained(DENSE).state_dict(), tmp_path / "export")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_graphs")
def test_each_file_is_told_of_when_it_is_written_and_when_it_is_checked(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    export(DENSE, trained(DENSE).state_dict(), tmp_path / "export", watcher=lambda *what: told.append(what))
    assert sorted(told) == sorted((name, done) for name in CONTENTS for done in ("written", "checked"))
    for name in CONTENTS:
        assert told.index((name, "written")) < told.index((name, "checked"))
    # What takes longest comes last, and what can be said before it is.
    assert told.index(("model.py", "checked")) < told.index(("model.onnx", "written"))


@pytest.mark.parametrize("terminal", [True, False])
def test_the_command_line_shows_the_file_or_has_a_line_for_each(terminal: bool) -> None:
    text = StringIO()
    console = Console(file=text, force_terminal=terminal, width=80, color_system=None)
    with show_export(console) as watcher:
        for name in CONTENTS:
            watcher(name, "written")
            watcher(name, "checked")
            shown = text.getvalue()
    lines = [f"{name}: written and checked" for name in CONTENTS]
    assert (shown.splitlines() == lines) is not terminal
    # A terminal is left as it was found.
    assert text.getvalue().endswith("\x1b[2K") is terminal


def test_the_switches_of_the_exporters_are_as_they_were(exported: Exported) -> None:
    from onnxscript import rewriter

    assert not getattr(getattr(torch.fx, "config", None), "do_not_emit_stack_traces", False)
    assert any(rule.name == "SlicesSplit" for rule in getattr(rewriter, RULES, ()))


def test_weights_of_another_architecture_and_of_a_diverged_one_are_refused(tmp_path: Path) -> None:
    state = trained(DENSE).state_dict()
    with pytest.raises(
        ExportError, match=r"^weights\.safetensors: stem\.conv\.weight: expected \(8, 3, 3, 3\)"
    ):
        export(SEPARABLE, state, tmp_path / "export")
    state["classifier.bias"][0] = math.nan
    with pytest.raises(ExportError, match="not finite"):
        export(DENSE, state, tmp_path / "export")
    assert not list(tmp_path.iterdir())


def test_exporting_again_replaces_the_export_and_keeps_other_files_and_is_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, network = tmp_path / "export", trained(DENSE)
    folder.mkdir()
    for name in ("architecture.json", "model.py", "notes.txt"):
        (folder / name).write_text("old")
    capfd.readouterr()
    random_state = torch.get_rng_state()
    report = export(DENSE, network.state_dict(), folder)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert report.folder == folder
    assert {path.name for path in folder.iterdir()} == {*CONTENTS, "notes.txt"}
    assert Architecture.from_json((folder / "architecture.json").read_text()) == DENSE
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_a_folder_of_something_else_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    state = trained(DENSE).state_dict()
    (tmp_path / "model.py").write_text("mine")
    with pytest.raises(UserError, match=r"exists and holds something else than a previous export$"):
        export(DENSE, state, tmp_path)
    with pytest.raises(UserError, match=r"model\.py: exists and is no folder$"):
        export(DENSE, state, tmp_path / "model.py")
    assert [path.name for path in tmp_path.iterdir()] == ["model.py"]
    assert (tmp_path / "model.py").read_text() == "mine"


@pytest.mark.usefixtures("no_graphs")
def test_an_empty_folder_and_a_missing_one_are_both_fine(tmp_path: Path) -> None:
    state = trained(DENSE).state_dict()
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "missing" / "deeper"):
        export(DENSE, state, folder)
        assert (folder / "model.py").exists()
        assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_cannot_be_made_is_a_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/export: cannot be written \([^\n]+\)$"):
        export(DENSE, trained(DENSE).state_dict(), tmp_path / "file" / "export")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"classes": ["name"] * 11}, "classes: 11 names for a network of 10 outputs"),
        ({"normalisation": ((0.5,), (0.5, 0.5, 0.5))}, "expected a mean for each of 3 channels"),
        ({"normalisation": ((0.5, 0.5, 0.5), (0.5, 0.5, 0))}, "expected standard deviations above 0"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        export(SEPARABLE, {}, tmp_path / "export", **labels)
