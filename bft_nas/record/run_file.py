"""run.yaml: what a search was asked to do, under which protocol, and with which versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

import bft_nas
from bft_nas.core.errors import UserError, one_line
from bft_nas.core.files import write_text
from bft_nas.record.settings import Settings

if TYPE_CHECKING:
    from bft_nas.space.space import SearchSpace
    from bft_nas.training.protocol import Protocol

RUN_FILE = "run.yaml"


@dataclass(frozen=True)
class DataFacts:
    """What a network trained on the run's data needs to know of it."""

    classes: tuple[str, ...]
    mean: tuple[float, ...]
    """Of the training pixels on a scale of 0 to 1, for each of a network's three input channels."""
    std: tuple[float, ...]
    notes: tuple[str, ...] = ()
    """How they were read, where they could have been read otherwise."""
    left_out: tuple[str, ...] = ()
    """Images that could not be decoded, each with the reason."""
    whites: tuple[int, ...] = ()
    """What was taken for white in image files of more than 8 bits and in those of floats, 0 where there was none; empty
    where that is not known."""


@dataclass(frozen=True)
class RunFile:
    """The content of a run.yaml."""

    settings: Settings
    created: str
    space: str
    """The text of the space's file."""
    data: DataFacts
    protocol: dict[str, Any]
    protocol_hash: str


def write_run_file(
    folder: Path, settings: Settings, space: SearchSpace, protocol: Protocol, data: DataFacts, command: str
) -> None:
    """Put run.yaml into a folder."""
    content = {
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()},
        "protocol_hash": protocol.hash,
        "protocol": protocol.to_dict(),
        "data": {k: list(v) for k, v in asdict(data).items()},
        "versions": versions(),
        "space": space.text,
    }
    write_text(folder / RUN_FILE, yaml.dump(content, Dumper=_Dumper, sort_keys=False))


def rewrite_settings(folder: Path, changes: Mapping[str, Any]) -> None:
    """Change settings in run.yaml; all else in it stays."""
    content = yaml.safe_load((folder / RUN_FILE).read_text(encoding="utf-8"))
    content["settings"].update(changes)
    write_text(folder / RUN_FILE, yaml.dump(content, Dumper=_Dumper, sort_keys=False))


def read_run_file(folder: Path) -> RunFile:
    """What run.yaml says; UserError when it cannot be read."""
    try:
        content = yaml.safe_load((folder / RUN_FILE).read_text(encoding="utf-8"))
        settings = dict(content["settings"])
        settings["budgets"] = tuple(settings["budgets"])
        settings["resolutions"] = tuple(settings["resolutions"])
        protocol = dict(content["protocol"])
        str(protocol["data"])
        if not settings["budgets"]:
            raise ValueError("budgets: expected one at least")
        return RunFile(
            _checked(Settings(**settings)),
            str(content["created"]),
            str(content["space"]),
            _checked(DataFacts(**{k: tuple(v) for k, v in dict(content["data"]).items()})),
            protocol,
            str(content["protocol_hash"]),
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"run '{folder}': {RUN_FILE} cannot be read ({one_line(error)})") from None


_Record = TypeVar("_Record", Settings, DataFacts)


def _checked(record: _Record) -> _Record:
    """The record itself; TypeError unless each of its values is of the type that it is declared to be."""
    for name, kind in get_type_hints(type(record)).items():
        value = getattr(record, name)
        several = get_origin(kind) is tuple
        values = value if several else (value,)
        kinds: tuple[Any, ...] = get_args(kind)[:1] if several else get_args(kind) or (kind,)
        if float in kinds:
            # YAML has no other way to write a float that is whole.
            kinds += (int,)
        if not all(isinstance(each, kinds) and not isinstance(each, bool) for each in values):
            raise TypeError(f"{name}: expected {kind}, got {value!r}")
    return record


def versions() -> dict[str, str]:
    """Of what computes."""
    packages = {name: version(name) for name in ("torch", "optuna", "numpy")}
    return {
        "bft_nas": bft_nas.__version__,
        "python": platform.python_version(),
        **packages,
        "cores": str(os.cpu_count()),
    }


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, since people read run.yaml."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
