"""An export: five files that do what the trained network does, at the MACs that were counted."""

from __future__ import annotations

import ast
import importlib.util
import json
import math
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import bft_nas.export.write
from bft_nas.export.graphs import RULES
from bft_nas.export.labels import metadata
from bft_nas.export.source import model_source, read_safetensors
from bft_nas.export.write import CONTENTS, TOLERANCE
from bft_nas.network import Architecture, Head, Stem, cost
from tests.export.examples import (
    CASES,
    CLASSES,
    DENSE,
    NORMALISATION,
    SEPARABLE,
    Case,
    Exported,
    trained,
)
from tests.network.rows import EXAMPLES, Rows


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


def metadata_of(case: Case) -> dict[str, str]:
    """What a file of a network has to hold beside its weights."""
    net = case.architecture
    size = [net.in_channels, net.resolution, net.resolution]
    found = {"architecture": net.hash, "input_size": json.dumps(size), "outputs": str(net.classes)}
    if case.labelled:
        found["normalisation"] = json.dumps({"mean": list(NORMALISATION[0]), "std": list(NORMALISATION[1])})
        found["classes"] = json.dumps(list(CLASSES))
    return found


def definitions(source: str) -> dict[str, ast.stmt]:
    tree = ast.parse(source)
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_the_report_has_every_file_with_its_check(exported: Exported) -> None:
    files = {file.name: file for file in exported.report.files}
    macs = cost(exported.case.architecture).macs
    # How images are prepared is not known of every network.
    of_images = {"prepare.py", "predict.py"}
    written = [name for name in CONTENTS if name not in of_images or exported.case.labelled]
    assert list(files) == written
    assert {path.name for path in exported.folder.iterdir()} - {"__pycache__"} == set(written)
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
    first = next(name for name in state if name.endswith("running_mean"))
    assert state[first].abs().max() > 0.01
    with safe_open(exported.folder / "weights.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata.pop("format") == "pt"
    assert metadata == metadata_of(exported.case)


def test_what_goes_along_stands_beside_the_files_and_in_those_that_have_a_place_for_it(
    exported: Exported,
) -> None:
    import onnx

    config = json.loads((exported.folder / "config.json").read_text(encoding="utf-8"))
    assert metadata(config) == metadata_of(exported.case)
    noted = onnx.load(exported.folder / "model.onnx").metadata_props
    assert {entry.key: entry.value for entry in noted} == metadata_of(exported.case)


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


@pytest.mark.parametrize("rows", EXAMPLES.values(), ids=EXAMPLES)
def test_a_block_of_any_kind_is_written_into_the_model_file(rows: Rows, tmp_path: Path) -> None:
    net = Architecture("any", 32, Stem(rows.in_channels), rows.blocks, Head(), classes=3)
    network = trained(net)
    path = tmp_path / "model.py"
    path.write_text(model_source(net, {type(module).__name__ for module in network.modules()}))
    written = runpy.run_path(str(path))["build"]().eval()
    written.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(written(images), network(images))


def test_the_model_file_has_one_row_a_block_and_a_tidy_style(exported: Exported) -> None:
    path = exported.folder / "model.py"
    source = path.read_text(encoding="utf-8")
    if exported.case.architecture is SEPARABLE:
        assert (
            '        Separable(in_channels=8, channels=24, kernel=3, stride=1, activation="relu",'
            '\n            fusion=Fusion("butterfly", 4), squeeze=0),\n'
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


def test_the_switches_of_the_exporters_are_as_they_were(exported: Exported) -> None:
    from onnxscript import rewriter

    assert not getattr(getattr(torch.fx, "config", None), "do_not_emit_stack_traces", False)
    assert any(rule.name == "SlicesSplit" for rule in getattr(rewriter, RULES, ()))
