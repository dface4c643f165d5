"""What `bft_nas.training.fast` is worth: a training step of the networks that a search trains, and a validation.

Networks of equal MACs on proxies of 32x32 pixels, a classifier of 1000 classes of which ten are read, channels_last.
Plain is as torch has it, butterflies as the dense matrix that their stages make; then with butterflies, depthwise
layers, logits and SGD made faster; then batch norm too, which is all that a search does. Medians of interleaved rounds
of one run.

    python benchmarks/training.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bft_nas.butterfly import ButterflyTransform
from bft_nas.core.memory import keep_freed_memory
from bft_nas.core.timing import medians
from bft_nas.core.units import parse_macs
from bft_nas.kernels import norm
from bft_nas.network import Architecture, build
from bft_nas.network.references import widest
from bft_nas.training.fast import trained_fast

NAMES = (
    "mobilenet_v1_bft",
    "mobilenet_v1",
    "mobilenet_v3_large",
    "fbnet_c",
    "mnasnet_a1",
    "shufflenet_v2",
)
VARIANTS = ("plain", "all but norms", "all")
RESOLUTION, PROXY, CLASSES = 128, 32, 10


def network(architecture: Architecture, variant: str, kept: ExitStack) -> nn.Module:
    """Fast until ``kept`` is left."""
    torch.manual_seed(0)
    model: nn.Module = build(architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in model.modules():
        if isinstance(module, ButterflyTransform) and variant == "plain":
            module.form = "composed"
    if variant == "all":
        kept.enter_context(trained_fast(model, CLASSES))
    elif variant != "plain":
        with patch.object(norm, "kernel_available", lambda: False):
            kept.enter_context(trained_fast(model, CLASSES))
    return model


def training_step(model: nn.Module, x: Tensor, variant: str) -> Callable[[], object]:
    """Forward, backward, SGD with momentum."""
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, fused=variant != "plain")
    labels = torch.randint(0, CLASSES, (len(x),))

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(x)[:, :CLASSES], labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


@torch.inference_mode()
def validation(model: nn.Module, x: Tensor) -> Tensor:
    """What a batch of images is taken for."""
    return model.eval()(x)[:, :CLASSES].argmax(1)  # type: ignore[no-any-return]


def images(count: int) -> Tensor:
    return torch.randn(count, 3, PROXY, PROXY).contiguous(memory_format=torch.channels_last)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=list(NAMES))
    parser.add_argument("--flops", default="20M", help="of a network at 128x128 pixels")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    keep_freed_memory()
    print(
        "| network | threads | plain step ms | all but norms | all | images a second, plain | all "
        "| plain validation ms | all |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.networks:
        found = widest(name, parse_macs(options.flops), resolution=RESOLUTION)
        assert found is not None
        with ExitStack() as kept:
            models = {variant: network(found[1], variant, kept) for variant in VARIANTS}
            x, judged = images(options.batch), images(250)
            for threads in options.threads:
                torch.set_num_threads(threads)
                steps = medians(
                    {k: training_step(model.train(), x, k) for k, model in models.items()}, options.rounds
                )
                judging: dict[str, Callable[[], object]] = {
                    k: partial(validation, model, judged) for k, model in models.items()
                }
                validations = medians(judging, options.rounds)
                cells = [name, str(threads), f"{steps['plain'] * 1e3:.1f}"]
                cells += [f"{steps[k] / steps['plain']:.2f}" for k in VARIANTS[1:]]
                cells += [f"{options.batch / steps[k]:.0f}" for k in ("plain", "all")]
                cells += [f"{validations['plain'] * 1e3:.1f}"]
                cells += [f"{validations['all'] / validations['plain']:.2f}"]
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
