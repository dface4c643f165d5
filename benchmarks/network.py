"""A whole network: MobileNetV1 with butterfly transforms against dense MobileNetV1 at equal MACs.

One training step and one inference of a single image, in both layouts; the peak of memory during the step, beyond the
network, its gradients and its input; and where the time of the step goes. Medians of interleaved rounds of one run,
with memory kept between steps and depthwise convolutions trained as in a search (`bft_nas.core.memory`,
`bft_nas.training.fast`); ``--return-memory`` and ``--plain`` show what these are worth.

    python benchmarks/network.py
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bft_nas.core.memory import keep_freed_memory
from bft_nas.core.timing import medians
from bft_nas.network import Architecture, build, cost, reference
from bft_nas.training.fast import trained_fast

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def dense_like(butterfly: Architecture) -> Architecture:
    """Dense MobileNetV1 of the width, in 64ths, whose MACs are nearest at the same resolution."""
    wanted, resolution = cost(butterfly).macs, butterfly.resolution
    candidates = [reference("mobilenet_v1", width=k / 64, resolution=resolution) for k in range(4, 129)]
    return min(candidates, key=lambda each: abs(cost(each).macs - wanted))


def network(architecture: Architecture, layout: torch.memory_format) -> nn.Module:
    torch.manual_seed(0)
    return build(architecture).to(memory_format=layout)  # type: ignore[call-overload,no-any-return]


def training_step(model: nn.Module, x: Tensor) -> Callable[[], object]:
    """Forward, backward, SGD with momentum."""
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, fused=True)
    labels = torch.randint(0, 1000, (x.shape[0],))
    model.train()

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(x), labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


def peak_memory(step: Callable[[], object]) -> int:
    """Bytes allocated for tensors at the worst moment of a step, beyond those that live before and after."""
    step()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        step()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    totals = itertools.accumulate(event.nbytes() for event in sorted(events, key=lambda e: e.start_ns()))
    return int(max(totals))


def profiled(step: Callable[[], object]) -> list[tuple[str, float]]:
    """Operators and their share of a step's time, the largest first."""
    for _ in range(3):
        step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(5):
            step()
    shares: dict[str, float] = defaultdict(float)
    for event in profile.key_averages():
        shares[event.key] += event.self_cpu_time_total
    total = sum(shares.values())
    return sorted(((name, time / total) for name, time in shares.items()), key=lambda each: -each[1])


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=float, default=1.0, help="of the butterfly network")
    parser.add_argument("--resolutions", type=int, nargs="+", default=[40, 128])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", type=int, default=12, help="operators to print")
    parser.add_argument("--plain", action="store_true", help="all layers as torch trains them")
    parser.add_argument("--return-memory", action="store_true", help="give freed memory back, as by default")
    options = parser.parse_args()
    if not options.return_memory:
        keep_freed_memory()
    torch.set_num_threads(options.threads)
    trained = ExitStack()  # until the end
    for resolution in options.resolutions:
        butterfly = reference("mobilenet_v1_bft", width=options.width, resolution=resolution)
        dense = dense_like(butterfly)
        networks = {"dense": dense, "butterfly": butterfly}
        print(f"\n### {resolution}x{resolution}, batch {options.batch}, {options.threads} threads\n")
        for name, architecture in networks.items():
            width = architecture.blocks[-1].channels / 1024
            print(f"- {name}: width {width:.3g}, {cost(architecture).macs / 1e6:.1f}M MACs")
        print("\n| network | layout | training step ms | peak MB | inference of one image ms |")
        print("|---|---|---|---|---|")
        steps, inferences, peaks = {}, {}, {}
        for (name, architecture), (layout, memory) in itertools.product(networks.items(), LAYOUTS.items()):
            x = torch.randn(options.batch, 3, resolution, resolution).contiguous(memory_format=memory)
            model = network(architecture, memory)
            steps[f"{name} | {layout}"] = step = training_step(model, x)
            if not options.plain:
                trained.enter_context(trained_fast(model, architecture.classes))
            peaks[f"{name} | {layout}"] = peak_memory(step)
            inferences[f"{name} | {layout}"] = partial(network(architecture, memory).eval(), x[:1].clone())
        of_step = medians(steps, options.rounds)
        with torch.inference_mode():
            of_inference = medians(inferences, options.rounds, 0.05)
        for name, seconds in of_step.items():
            row = f"{seconds * 1e3:.1f} | {peaks[name] / 1e6:.0f} | {of_inference[name] * 1e3:.2f}"
            print(f"| {name} | {row} |")
        for form, times in (("training step", of_step), ("inference", of_inference)):
            best = {
                kind: min(value for key, value in times.items() if key.startswith(kind)) for kind in networks
            }
            print(f"\n{form}: butterfly takes {best['butterfly'] / best['dense']:.2f} of dense")
        for name in steps:
            shares = ", ".join(f"{op} {share:.0%}" for op, share in profiled(steps[name])[: options.profile])
            print(f"\n{name.replace(' | ', ', ')}: {shares}", flush=True)


if __name__ == "__main__":
    main()
