"""Depthwise convolutions in training: the kernel of this package against oneDNN, which torch trains with on the CPU.

The gradient of the weights alone, and a whole layer forward and backward, in channels_last: medians of interleaved
rounds of one run. Sizes are those of mobile networks at 32x32 to 56x56 pixels, which proxies are trained at.

    python benchmarks/depthwise.py
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from bft_nas.core.memory import keep_freed_memory
from bft_nas.core.timing import medians
from bft_nas.kernels.depthwise import KERNELS, convolve, kernel_available
from bft_nas.network.modules.layers import depthwise

# Channels and pixels on a side of the images that enter.
SIZES = ((32, 16), (96, 16), (144, 8), (240, 8), (240, 4), (480, 4), (480, 3), (576, 2), (960, 2), (960, 1))


def weights_alone(layer: Callable[[Tensor], Tensor], weight: Tensor, x: Tensor) -> Callable[[], object]:
    """The backward pass of the weights, over and over."""
    y = layer(x)
    gradient = torch.randn_like(y)
    return partial(torch.autograd.grad, y, weight, gradient, retain_graph=True)


def whole(layer: Callable[[Tensor], Tensor], weight: Tensor, x: Tensor) -> Callable[[], object]:
    """Forward and backward."""
    x = x.detach().requires_grad_()
    gradient = torch.randn_like(layer(x))
    return lambda: torch.autograd.grad(layer(x), (x, weight), gradient)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if not kernel_available():
        parser.exit(1, "bft-nas was installed without a C compiler\n")
    keep_freed_memory()
    print("| threads | kernel | stride | channels, pixels | weights ms | of oneDNN | layer ms | of oneDNN |")
    print("|---|---|---|---|---|---|---|---|")
    for threads, kernel, stride, (channels, size) in itertools.product(
        options.threads, KERNELS[:2], (1, 2), SIZES
    ):
        if size < stride:
            continue
        torch.set_num_threads(threads)
        layer: nn.Conv2d = depthwise(channels, kernel, stride).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = torch.randn(options.batch, channels, size, size).contiguous(memory_format=torch.channels_last)
        forms: dict[str, Callable[[Tensor], Tensor]] = {"ours": partial(convolve, layer), "oneDNN": layer}
        cells = []
        for timed in (weights_alone, whole):
            times = medians(
                {name: timed(form, layer.weight, x) for name, form in forms.items()}, options.rounds
            )
            cells += [f"{times['ours'] * 1e3:.3f}", f"{times['ours'] / times['oneDNN']:.2f}"]
        row = [str(threads), f"{kernel}x{kernel}", str(stride), f"{channels}, {size}x{size}", *cells]
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
