"""The ``model.py`` of an export: one network as one file of plain PyTorch, put together from our own source."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import math
import re
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from bft_nas.butterfly import forms, plan, transform
from bft_nas.network import fusion, low_rank
from bft_nas.network.architecture import Architecture
from bft_nas.network.build import Call, Normalisation, block_calls, default_cfg, head_call, stem_call
from bft_nas.network.cost import cost
from bft_nas.network.fusion import Fusion
from bft_nas.network.modules import SOURCES as NETWORK_SOURCES

# Where definitions are taken from, in the order of the file. Branches that need another module of this package
# are cut out, so that an optional fast path of ours does not have to travel along.
SOURCES = (plan, forms, transform, fusion, low_rank, *NETWORK_SOURCES, sys.modules[__name__])
PACKAGE = __name__.partition(".")[0]

WIDTH = 110
NAMES_SHOWN = 20

# What a definition of ours says that is not true, or not of use, in a file that stands by itself.
EDITS = (
    (re.compile(r'\n *>>> .*?(?=\n *\n|\n *""")', re.DOTALL), ""),
    (re.compile(r'\n\s*\n( *""")\n'), r"\n\1\n"),
    (re.compile(r'("""[^"\n]+)\n *"""\n'), r'\1"""\n'),
    (re.compile(r" +# (?:type: ignore|noqa)[^\n]*"), ""),
    (re.compile(r'form: Form = "auto"'), 'form: Form = "structured"'),
)

BUILD = '''\
def build() -> Network:
    """The network as it is before its weights are loaded."""
    # fmt: off
{stem}
    blocks: list[nn.Module] = [
{blocks}
    ]
{head}
    default_cfg = {{
{default_cfg}
    }}
    # fmt: on
    return Network(stem, blocks, head, classes={classes}, default_cfg=default_cfg)'''

LOAD = '''\
def load(path: str | Path = "weights.safetensors") -> Network:
    """The trained network in eval mode; a relative path starts at the folder of this file."""
    network = build()
    network.load_state_dict(read_safetensors(Path(__file__).parent / path))
    return network.eval()'''

MAIN = """\
if __name__ == "__main__":
    images = torch.rand(1, {shape})
    network = load()
    with torch.no_grad():
        logits = network(images)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"images {{tuple(images.shape)}} -> logits {{tuple(logits.shape)}}, {{parameters:,}} parameters")"""


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file: the header's length in 8 bytes, a JSON header, then the raw values.

    Raises ValueError when the file is cut short, or its lengths do not agree with its header.
    """
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    if not 8 < start <= len(content):
        raise ValueError(f"{path}: not a whole safetensors file")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    dtypes = {"F32": torch.float32, "I64": torch.int64}
    tensors = {}
    described = start
    for name, entry in header.items():
        dtype, shape = dtypes[entry["dtype"]], entry["shape"]
        begin, end = (start + offset for offset in entry["data_offsets"])
        if not start <= begin <= end <= len(content) or end - begin != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{path}: the length of {name} does not agree with its shape {shape}")
        tensors[name] = torch.frombuffer(bytearray(content[begin:end]), dtype=dtype).reshape(shape)
        described += end - begin
    if described != len(content):
        raise ValueError(f"{path}: {len(content)} bytes where the header describes {described}")
    return tensors


def model_source(
    architecture: Architecture,
    modules: Collection[str],
    *,
    classes: Sequence[str] = (),
    normalisation: Normalisation | None = None,
    arrays: bool = False,
) -> str:
    """The text of ``model.py``.

    Args:
        architecture: the network.
        modules: the class names of the built network's modules; a branch that needs another one is cut out.
        classes: names of the trained outputs, which are the first ones.
        normalisation: what the images were normalised by in training.
        arrays: whether those were arrays of pixels, and not image files.
    """
    rows = [f"{_call_text(call)}," for call in block_calls(architecture)]
    build = BUILD.format(
        stem=_wrap(f"stem = {_call_text(stem_call(architecture))}", 4),
        blocks="\n".join(_wrap(row, 8) for row in rows),
        head=_wrap(f"head = {_call_text(head_call(architecture))}", 4),
        classes=architecture.classes,
        default_cfg="\n".join(
            f"        {_literal(name)}: {_value_text(value)},"
            for name, value in default_cfg(architecture, normalisation, arrays=arrays).items()
        ),
    )
    written = [_Definition("build", build), _Definition("load", LOAD)]
    main = _Definition("", MAIN.format(shape=_image_shape(architecture)))
    definitions = [*_needed(_library(modules), [*written, main]), *written, main]
    names = frozenset[str]().union(*(definition.names for definition in definitions))
    return _joined(
        [
            _docstring(architecture, classes, normalisation, butterflies="ButterflyTransform" in modules),
            _import_block(names),
            *_constants(classes, normalisation),
            *(definition.text for definition in definitions),
        ]
    )


@dataclass(frozen=True)
class _Definition:
    """A function, class or constant at the top of a module, and its source."""

    name: str
    text: str

    @cached_property
    def names(self) -> frozenset[str]:
        """What it mentions, local variables included."""
        return frozenset(node.id for node in ast.walk(ast.parse(self.text)) if isinstance(node, ast.Name))


def _library(modules: Collection[str]) -> Iterator[_Definition]:
    """Everything that the sources define, fit to stand in a file by itself."""
    absent = {
        name
        for source in SOURCES
        for name, value in vars(source).items()
        if inspect.isclass(value)
        and issubclass(value, nn.Module)
        and value.__module__.startswith(PACKAGE)
        and name not in modules
    }
    portable = {source.__name__ for source in SOURCES}
    for source in SOURCES:
        text = inspect.getsource(source)
        tree = ast.parse(text)
        foreign = {
            alias.asname or alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and _is_ours(node) and node.module not in portable
            for alias in node.names
        }
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield _Definition(node.name, _cut(text, node, absent | foreign))
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                yield _Definition(node.targets[0].id, _cut(text, node, absent | foreign))


def _cut(source: str, definition: ast.stmt, absent: Collection[str]) -> str:
    """The source of a definition without the branches that mention what is absent, and without our asides."""
    lines = source.encode().splitlines(keepends=True)
    starts = list(itertools.accumulate(map(len, lines), initial=0))
    edits: list[tuple[int, int, bytes]] = []
    for node in ast.walk(definition):
        if isinstance(node, ast.If) and not node.orelse and _mentions(node.body, absent):
            edits.append((starts[node.lineno - 1], starts[node.end_lineno or 0], b""))
        elif isinstance(node, ast.IfExp):
            for arm, other in ((node.body, node.orelse), (node.orelse, node.body)):
                if _mentions([arm], absent):
                    begin = starts[node.lineno - 1] + node.col_offset
                    end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
                    kept = ast.get_source_segment(source, other) or ""
                    edits.append((begin, end, kept.encode()))
    begin = starts[_first_line(definition, lines) - 1]
    text = b"".join(lines)[begin : starts[definition.end_lineno or 0]]
    for edit_begin, edit_end, replacement in sorted(edits, reverse=True):
        text = text[: edit_begin - begin] + replacement + text[edit_end - begin :]
    result = text.decode()
    for pattern, repl in EDITS:
        result = pattern.sub(repl, result)
    return result.rstrip()


def _first_line(definition: ast.stmt, lines: Sequence[bytes]) -> int:
    """Where a definition begins, its decorators and the comment above it included."""
    decorators: list[ast.expr] = getattr(definition, "decorator_list", [])
    first = min([definition.lineno, *(decorator.lineno for decorator in decorators)])
    while first > 1 and lines[first - 2].startswith(b"#"):
        first -= 1
    return first


def _mentions(nodes: Iterable[ast.AST], absent: Collection[str]) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id in absent)
        or (isinstance(node, ast.ImportFrom) and _is_ours(node))
        for parent in nodes
        for node in ast.walk(parent)
    )


def _is_ours(node: ast.ImportFrom) -> bool:
    return (node.module or "").partition(".")[0] == PACKAGE


def _needed(library: Iterable[_Definition], users: Iterable[_Definition]) -> list[_Definition]:
    """What the users mention, and what that mentions in turn, in the order of the library."""
    defined = {definition.name: definition for definition in library}
    found: set[str] = set()
    waiting = list(users)
    while waiting:
        news = (waiting.pop().names & defined.keys()) - found
        found |= news
        waiting += [defined[name] for name in sorted(news)]
    return [definition for name, definition in defined.items() if name in found]


def _import_block(names: Collection[str]) -> str:
    """The imports of the sources that bind one of the names."""
    plain: set[str] = set()
    members: dict[str, set[str]] = {}
    for source in SOURCES:
        for node in ast.parse(inspect.getsource(source)).body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            for alias in node.names:
                if (alias.asname or alias.name.partition(".")[0]) not in names:
                    continue
                text = alias.name if alias.asname is None else f"{alias.name} as {alias.asname}"
                if isinstance(node, ast.Import):
                    plain.add(text)
                elif not _is_ours(node):
                    members.setdefault(node.module or "", set()).add(text)
    lines = [(name, f"import {name}") for name in sorted(plain)]
    lines += [(name, f"from {name} import {', '.join(sorted(members[name]))}") for name in sorted(members)]
    groups: tuple[list[str], list[str]] = ([], [])
    for name, line in lines:
        groups[name.startswith("torch")].append(line)
    return "\n\n".join(["from __future__ import annotations", *("\n".join(group) for group in groups)])


def _docstring(
    net: Architecture, classes: Sequence[str], normalisation: Normalisation | None, *, butterflies: bool
) -> str:
    counted = cost(net)
    if normalisation is None:
        prepared = "normalised as they were in training, which this export was not told of."
    else:
        mean, std = (tuple(map(float, values)) for values in normalisation)
        prepared = f"in [0, 1], then normalised by channel: (images - MEAN) / STD, MEAN {mean}, STD {std}."
    macs = (
        "The multiply-accumulates of convolutions and linear layers are counted"
        + (
            ", and those of butterflies with one accumulate for each value of a residual"
            if butterflies
            else ""
        )
        + "; bias, batch norm, activation, pooling and skip connections are not."
    )
    paragraphs = [
        f"Input: float32 images (batch, {_image_shape(net)}), {prepared}",
        f"Output: logits (batch, {net.classes}). {_classes_text(net, classes)}",
        f"Cost of one image: {counted.macs:,} MACs; {counted.params:,} parameters. {macs}",
    ]
    if butterflies:
        paragraphs.append(
            "Butterflies are multiplied stage by stage, which is what is counted. A small one runs faster on "
            'most machines with its attribute `form` set to "auto"; the logits stay the same.'
        )
    paragraphs.append(
        "Needs torch, and weights.safetensors in the same folder: `from model import load; network = load()`."
    )
    title = f"{_shown(net.family)}, architecture {net.hash}, in plain PyTorch. Generated by bft-nas."
    text = "\n\n".join(
        textwrap.fill(_escaped(text), WIDTH, break_long_words=False, break_on_hyphens=False)
        for text in paragraphs
    )
    return f'"""{_escaped(title)}\n\n{text}\n"""'


def _classes_text(net: Architecture, classes: Sequence[str]) -> str:
    if not classes:
        return "The classes are unnamed."
    names = ", ".join(_literal(name) for name in classes[:NAMES_SHOWN])
    rest = f" and {len(classes) - NAMES_SHOWN} more in CLASSES" if len(classes) > NAMES_SHOWN else ""
    which = "The classes"
    if len(classes) < net.classes:
        which = f"Only the first {len(classes)} outputs were trained, ignore the others. Their classes"
    return f"{which}, in order: {names}{rest}."


def _constants(classes: Sequence[str], normalisation: Normalisation | None) -> Iterator[str]:
    if normalisation is not None:
        mean, std = (tuple(map(float, values)) for values in normalisation)
        yield f"MEAN = {mean}\nSTD = {std}"
    if classes:
        names = "\n".join(f"    {_literal(name)}," for name in classes)
        yield f"CLASSES = (\n{names}\n)"


def _image_shape(net: Architecture) -> str:
    return f"{net.in_channels}, {net.resolution}, {net.resolution}"


def _call_text(call: Call) -> str:
    arguments = (f"{name}={_value_text(value)}" for name, value in call.arguments.items())
    return f"{call.constructor.__name__}({', '.join(arguments)})"


def _value_text(value: object) -> str:
    """A value as code."""
    if isinstance(value, Fusion):
        given = f", {value.radix}" if value.radix else ""
        given += f", groups={value.groups}" if value.groups > 1 else ""
        given += f", narrowing={value.narrowing}" if value.narrowing else ""
        return f"Fusion({_literal(value.kind)}{given})"
    return _literal(value) if isinstance(value, str) else repr(value)


def _wrap(code: str, indent: int) -> str:
    return textwrap.fill(
        code,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 4),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _shown(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _literal(text: str) -> str:
    """A string literal: whatever the name of a class holds, it stays inside the quotes."""
    quoted = repr(text)
    return quoted if '"' in quoted else f'"{quoted[1:-1]}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', r"\"\"\"")


def _joined(sections: Sequence[str]) -> str:
    """Two empty lines around functions and classes, one elsewhere."""
    text = sections[0]
    for before, after in itertools.pairwise(sections):
        blocks_meet = any(
            re.search(r"^(def|class|if) ", section, re.MULTILINE) for section in (before, after)
        )
        text += ("\n\n\n" if blocks_meet else "\n\n") + after
    return text + "\n"
