"""What can be measured: networks, made ready for each of some runtimes, and files that were exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.core.errors import UserError, one_line, setting
from bft_nas.core.extras import version_of
from bft_nas.core.files import is_file, size_of
from bft_nas.core.machine import processor_name, usable_cores
from bft_nas.core.units import format_macs
from bft_nas.export.onnx_session import session_of
from bft_nas.export.runtimes import RUNTIMES
from bft_nas.latency.single_stream import Query
from bft_nas.network import Architecture, cost
from bft_nas.network.references import widest
from bft_nas.record.latency import Setup
from bft_nas.record.pareto import complete, front, winners
from bft_nas.training.curve import BEST

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

    from bft_nas.export.runtimes import Session
    from bft_nas.record.run import Run
    from bft_nas.record.trained import Trained

PYTORCH, ONNX_RUNTIME = "pytorch", "onnxruntime"
MODULES = {PYTORCH: "torch", "litert": "ai_edge_litert", "c": "bft_nas"}
"""Of which the version is that of a runtime, where it is not called as the runtime is; C is written by this package."""
_OPENED = {
    name: runtime
    for runtime, each in RUNTIMES.items()
    for name in each.files
    if each.runs_here and name not in each.beside
}
EXPORTED = ("model.onnx", "model.pt2", *_OPENED)
"""Files of an export that can be opened."""
RUNTIME_OF = {".pt2": PYTORCH} | {Path(name).suffix: runtime for name, runtime in _OPENED.items()}
"""By how the name of a file that can be opened ends."""
INT8 = "-int8"
"""How the names of quantised files end."""


@dataclass(frozen=True)
class Ready:
    """A network that can be asked, in one setup."""

    setup: Setup
    open: Callable[[], Query]
    """To be called when it is about to be asked."""
    size: int | None
    """Bytes of the file that is run; None where there is none."""

    @property
    def turn(self) -> int:
        """Those of one turn can be asked side by side, one after the other."""
        runtime = RUNTIMES.get(self.setup.runtime)
        return self.setup.threads if runtime is not None and runtime.one_pool else 0


@dataclass(frozen=True)
class Network:
    """A network of a run, or a trained one."""

    label: str
    architecture: Architecture
    weights: Callable[[], Mapping[str, Tensor]] | None = None
    """None where none were kept: it then has random ones, which take as long."""

    def ready(self, runtimes: Sequence[str], threads: Sequence[int], folder: Path) -> list[Ready]:
        """Build it, and write the files of runtimes into a folder that lasts as long as it is measured.

        Raises:
            ExportError: a file cannot be written.
        """
        network, image = self._built(), _image(_shape(self.architecture))
        found: list[Ready] = []
        for runtime in runtimes:
            if runtime == PYTORCH:
                found += _in_pytorch(network, image, threads, None)
                continue
            for path in self._files(network, image, runtime, folder):
                found += _of_file(path, runtime, image, threads)
        return found

    def _built(self) -> nn.Module:
        import torch

        from bft_nas.export.checks import trained
        from bft_nas.network import build

        if self.weights is not None:
            return trained(self.architecture, self.weights())
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            network = build(self.architecture).train()
            for module in network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = 1.0
            # Behind norms that have seen no images numbers fade, down to such as processors are slow with.
            network(torch.randn(2, *_shape(self.architecture)))
            return network.eval()

    def _files(self, network: nn.Module, image: Tensor, runtime: str, folder: Path) -> list[Path]:
        import torch

        from bft_nas.export.inference import inference_network
        from bft_nas.export.runtimes import Deployment

        folder /= f"{runtime}-{self.architecture.hash}"
        folder.mkdir(exist_ok=True)
        with torch.no_grad():
            expected = [network(image)]
        inference = inference_network(network, self.architecture)
        deployment = Deployment(inference, self.architecture, folder, [image], expected, for_timing=True)
        # Layers that take the place of others begin at random.
        with torch.random.fork_rng(devices=[]):
            files = list(RUNTIMES[runtime].write(deployment))
        return [folder / file.name for file in files if file.name not in RUNTIMES[runtime].beside]


@dataclass(frozen=True)
class File:
    """A file of an export."""

    path: Path
    architecture: Architecture | None
    """As it stands beside it."""

    @property
    def label(self) -> str:
        """What people call it."""
        return str(self.path)

    @property
    def runtime(self) -> str:
        """What runs it."""
        return RUNTIME_OF[self.path.suffix]

    @property
    def size(self) -> int:
        """In bytes, with what it reads beside it."""
        return _size(self.path, self.runtime)

    def session(self) -> Session:
        """It made ready to run, with one thread where its runtime is told so; UserError where it cannot be run."""
        with self._running():
            session = _session(self.path, self.runtime)

        def run(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            with self._running():
                return session(images)

        run(self._image().numpy())
        return run

    def ready(self, runtimes: Sequence[str], threads: Sequence[int], folder: Path) -> list[Ready]:
        """What asks it; UserError where opening it, or a first query, fails."""
        with self._running():
            found = list(_of_file(self.path, self.runtime, self._image(), threads))
            found[0].open()()
        return found

    def _image(self) -> Tensor:
        return _image(_shape(self.architecture) if self.architecture else _shape_in(self.path))

    @contextmanager
    def _running(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"{self.path}: cannot be run in {self.runtime} ({one_line(error)[:200]}); expected a file of an export"
            ) from None


Subject = Network | File


def networks_of_run(run: Run) -> list[Network]:
    """The winners of a run, the others of its front, its references and what was confirmed, each network once."""
    results, references = run.results(), run.references()
    best = winners(results, run.settings.budgets)
    confirmed = results[results["confirmed"].notna()] if "confirmed" in results else results.head(0)

    def candidates(numbers: Sequence[int]) -> Iterator[Network]:
        for number in numbers:
            kept = run.weights_file(number) is not None
            weights = partial(run.weights, number) if kept else None
            yield Network(f"candidate {number}", run.architecture(number), weights)

    found = [*candidates(best["number"].tolist()[::-1]), *candidates(front(results)["number"].tolist()[::-1])]
    for row in complete(references).to_dict("records"):
        made = widest(row["name"], row["budget"], resolution=row["resolution"], classes=run.settings.classes)
        # Another version may have made it otherwise.
        if made is not None and made[1].hash == row["hash"]:
            found.append(Network(f"{row['name']} within {format_macs(row['budget'])}", made[1]))
    found += candidates(confirmed["number"].tolist())
    # At its first place: where time is short, the last ones are left out.
    once: dict[str, Network] = {}
    for network in found:
        once.setdefault(network.architecture.hash, network)
    return list(once.values())


def network_of_trained(trained: Trained) -> Network:
    """A network trained to the end, or on the way there."""
    weights = trained.weights if is_file(trained.folder / BEST) else None
    return Network(trained.name, trained.architecture, weights)


def files_at(path: Path, asked: Sequence[str] = ()) -> list[File] | None:
    """The files of an export, or the one of them that is named; None where a path is neither.

    Args:
        path: of a folder that was exported to, or of a file in it.
        asked: runtimes, of which a file must have one; any will do where none is named.

    Raises:
        UserError: what runs them is not installed or not asked for.
    """
    if is_file(path / "architecture.json") and is_file(path / "model.py"):
        return _files_of_export(path, asked)
    if not is_file(path) or path.suffix not in RUNTIME_OF:
        return None
    file = _file_at(path)
    check_installed(file.runtime, str(path))
    if asked and file.runtime not in asked:
        raise UserError(f"{path}: runs in {file.runtime}; expected it among {setting('runtime')}")
    return [file]


def _files_of_export(folder: Path, asked: Sequence[str]) -> list[File]:
    """Those whose runtime is installed and, where some are asked for, is one of these; UserError where none is."""
    files = [_file_at(path) for path in sorted(folder.iterdir()) if path.name in EXPORTED]
    found = []
    for file in files:
        with suppress(UserError):
            check_installed(file.runtime, str(file.path))
            found += [file] if not asked or file.runtime in asked else []
    if not found and asked and files:
        wanted, own = (" or ".join(dict.fromkeys(each)) for each in (asked, (file.runtime for file in files)))
        raise UserError(
            f"{folder}: no file for {wanted}; expected {setting('runtime')} {own}, or an export for {wanted}"
        )
    if not found:
        raise UserError(
            f"{folder}: no file of a runtime that is installed; expected {' or '.join(RUNTIME_OF)}"
        )
    return found


def _file_at(path: Path) -> File:
    """A file of an export, with the architecture that stands beside it."""
    architecture = None
    with suppress(OSError, ValueError):
        beside = path.with_name("architecture.json").read_text(encoding="utf-8")
        architecture = Architecture.from_json(beside)
    return File(path, architecture)


def counts_of(subject: Subject) -> tuple[int, int] | None:
    """MACs and parameters; None of a file beside which no architecture stands."""
    if subject.architecture is None:
        return None
    counted = cost(subject.architecture)
    return counted.macs, counted.params


def default_runtime() -> str:
    """ONNX Runtime where it is installed, which is what people deploy with."""
    return ONNX_RUNTIME if RUNTIMES[ONNX_RUNTIME].is_installed else PYTORCH


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of runtimes, each once; UserError for one that there is not, or that is not installed."""
    known = (PYTORCH, *(name for name, runtime in RUNTIMES.items() if runtime.runs_here))
    for name in names:
        if name not in known:
            raise UserError(
                f"{setting('runtime')}: expected {' or '.join(known)}, got '{one_line(name)[:40]}'"
            )
        check_installed(name, f"{setting('runtime')} {name}")
    return tuple(dict.fromkeys(names))


def check_installed(runtime: str, what: str) -> None:
    """UserError, with what to install, unless a runtime is there."""
    if runtime != PYTORCH:
        RUNTIMES[runtime].check_installed(what)


def setup_of(runtime: str, threads: int, precision: str = "float32") -> Setup:
    """What is measured on, here."""
    version = version_of(MODULES.get(runtime, runtime))
    return Setup(runtime, version, threads, precision, processor_name(), usable_cores())


def _of_file(path: Path, runtime: str, image: Tensor, threads: Sequence[int]) -> Iterator[Ready]:
    """A file, to be opened once for each number of threads."""
    size = _size(path, runtime)
    if runtime == PYTORCH:
        import torch

        yield from _in_pytorch(torch.export.load(path).module(), image, threads, size)
        return
    pixels = image.numpy()
    for count in (1,) if RUNTIMES[runtime].one_thread else threads:
        precision = "int8" if path.stem.endswith(INT8) else "float32"
        opened = partial(_opened, path, runtime, count, pixels)
        yield Ready(setup_of(runtime, count, precision), opened, size)


def _opened(path: Path, runtime: str, threads: int, pixels: npt.NDArray[np.float32]) -> Query:
    return partial(RUNTIMES[runtime].open_file(path, threads), pixels)


def _size(path: Path, runtime: str) -> int:
    beside = RUNTIMES[runtime].beside if runtime in RUNTIMES else ()
    return size_of(path) + sum(size_of(path.with_suffix(Path(name).suffix)) for name in beside)


def _session(path: Path, runtime: str) -> Session:
    if runtime != PYTORCH:
        return RUNTIMES[runtime].open_file(path)
    import torch

    network = torch.export.load(path).module()

    @torch.inference_mode()
    def run(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32] = network(torch.from_numpy(images)).numpy()
        return logits

    return run


def _in_pytorch(
    network: nn.Module, image: Tensor, threads: Sequence[int], size: int | None
) -> Iterator[Ready]:
    import torch

    def ask(count: int) -> None:
        # Of the whole process: whoever measures sets them back.
        if torch.get_num_threads() != count:
            torch.set_num_threads(count)
        with torch.no_grad():
            network(image)

    def asking(count: int) -> Query:
        return partial(ask, count)

    for count in threads:
        yield Ready(setup_of(PYTORCH, count), partial(asking, count), size)


def _shape(architecture: Architecture) -> tuple[int, ...]:
    return architecture.in_channels, architecture.resolution, architecture.resolution


def _shape_in(path: Path) -> tuple[int, ...]:
    """Channels, rows and columns of the images that a file takes."""
    shape: Sequence[Any]
    if path.suffix == ".pt2":
        import torch

        program = torch.export.load(path)
        name = program.graph_signature.user_inputs[0]
        shape = next(node.meta["val"].shape for node in program.graph.nodes if node.name == name)
    elif path.suffix == ".onnx":
        shape = session_of(path).get_inputs()[0].shape
    else:
        raise UserError(
            f"{path}: expected architecture.json of its export beside it, which says what it takes"
        )
    return tuple(int(each) for each in shape[1:])


def _image(shape: tuple[int, ...]) -> Tensor:
    import torch

    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
