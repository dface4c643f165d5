"""The forms of the butterfly transform against the dense pointwise convolution, forward and backward.

Prints times as ratios to `nn.Conv2d` in channels_last, the faster dense layout in training; medians of interleaved
rounds. This is what chose `CHANNELS_PER_STAGE` in `bft_nas/butterfly/transform.py`. Set these, or large outputs
measure page faults:

    MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=67108864 python benchmarks/butterfly.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bft_nas.butterfly import ButterflyTransform
from bft_nas.butterfly.transform import Form


def training_step(module: nn.Module, x: Tensor) -> Callable[[], object]:
    """Forward and backward, for the input and the weights."""
    inputs = [x, *module.parameters()]
    gradient = torch.randn_like(module(x))
    return lambda: torch.autograd.grad(module(x), inputs, gradient)


def forward(module: nn.Module, x: Tensor) -> Callable[[], object]:
    """Inference."""

    def run() -> object:
        with torch.inference_mode():
            return module(x)

    return run


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--radices", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 7, 14])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    forms: tuple[Form, ...] = ("fused", "structured", "composed")
    print(
        f"threads {torch.get_num_threads()}, batch {options.batch}; time over that of nn.Conv2d in channels_last"
    )
    print(f"{'':20} {'MACs':>6}  {'training step':^44}  {'forward':^44}")
    kinds = ["dense NCHW", *(f"{form}{layout}" for form in forms for layout in ("", " CL"))]
    print(
        f"{'n   size radix':20} {'ratio':>6}  " + ("  ".join(f"{kind[:10]:>10}" for kind in kinds) + "  ") * 2
    )
    for n in options.channels:
        for size in options.sizes:
            for radix in options.radices:
                runs: dict[str, Callable[[], object]] = {}
                for layout, memory in (("", torch.contiguous_format), (" CL", torch.channels_last)):
                    x = torch.randn(options.batch, n, size, size).contiguous(memory_format=memory)
                    x.requires_grad_()
                    modules: dict[str, nn.Module] = {"dense": nn.Conv2d(n, n, 1, bias=False)}
                    modules |= {form: ButterflyTransform(n, n, radix, form=form) for form in forms}
                    for name, module in modules.items():
                        module.to(memory_format=memory)  # type: ignore[call-overload]
                        runs[f"step {name}{layout}"] = training_step(module, x)
                        runs[f"forward {name}{layout}"] = forward(module, x.detach())
                times: dict[str, list[float]] = {name: [] for name in runs}
                for round_number in range(options.rounds + 1):
                    for name, run in runs.items():
                        started = time.perf_counter()
                        run()
                        if round_number:
                            times[name].append(time.perf_counter() - started)
                median = {name: statistics.median(each) for name, each in times.items()}
                transform = ButterflyTransform(n, n, radix)
                ratio = (sum(transform.factors) + 1) / n
                cells = [
                    f"{median[f'{kind} {name}'] / median[f'{kind} dense CL']:>10.2f}"
                    for kind in ("step", "forward")
                    for name in ("dense", *(f"{form}{layout}" for form in forms for layout in ("", " CL")))
                ]
                print(f"{n:<5} {size:<4} {radix:<9} {ratio:>7.2f}  " + "  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
