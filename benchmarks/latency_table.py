"""How well the table of layers predicts the milliseconds of whole networks, in ONNX Runtime with one thread.

Measures what the table lacks of the default space, then random candidates that had no part in it, and compares. Times
are the shortest of interleaved runs, by the processor's time. ``--exported`` also exports some of the candidates as
``bft-nas export --for onnxruntime`` does, to see whether what is timed is what people get; that takes a minute each.

    python benchmarks/latency_table.py
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bft_nas.latency.calibration import AT_ONCE, predictor_for
from bft_nas.latency.graphs import network_graph
from bft_nas.latency.layer_table import LayerTable
from bft_nas.latency.measuring import shortest
from bft_nas.network import Architecture, cost
from bft_nas.space.space import SearchSpace


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--macs", type=float, default=50e6)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--exported", type=int, default=0, metavar="N", help="candidates that are exported")
    parser.add_argument(
        "--folder", type=Path, help="of what was measured before (default: measure all of it)"
    )
    options = parser.parse_args()
    budget = int(options.macs)
    space = SearchSpace.load(options.space).within(budget)
    with tempfile.TemporaryDirectory() as fresh:
        started, before = time.perf_counter(), time.process_time()
        predictor = predictor_for(space, (budget,), "onnxruntime", print, options.folder or Path(fresh))
        seconds = time.perf_counter() - started
    busy = time.process_time() - before
    print(
        f"{len(predictor.table.points)} points of the table, {seconds:.0f} s, {busy:.0f} s of the processor"
    )

    rng = random.Random(28)
    networks = [space.sample(rng, budget).architecture for _ in range(options.candidates)]
    started = time.perf_counter()
    predicted = [predictor.milliseconds(net) for net in networks]
    again = time.perf_counter()
    for net in networks:
        predictor.milliseconds(net)
    print(
        f"predictions a second: {len(networks) / (again - started):.0f}, of layers seen before "
        f"{len(networks) / (time.perf_counter() - again):.0f}"
    )
    measured: list[float] = []
    for start in range(0, len(networks), AT_ONCE):
        some = networks[start : start + AT_ONCE]
        measured += shortest([network_graph(net, predictor.table.form_of) for net in some])
    _print_errors(networks, predicted, measured)
    if options.exported:
        _print_exported(networks[: options.exported], predicted, predictor.table)


def _print_errors(
    networks: Sequence[Architecture], predicted: Sequence[float], measured: Sequence[float]
) -> None:
    print("\n| candidates | measured ms | median error | 90 % within | rank correlation |")
    print("|---|---|---|---|---|")
    families = sorted({net.family for net in networks})
    for name in ("all", *families):
        places = [place for place, net in enumerate(networks) if name in ("all", net.family)]
        errors = sorted(abs(predicted[place] / measured[place] - 1) for place in places)
        times = [measured[place] for place in places]
        tau = _rank_correlation([predicted[place] for place in places], times)
        print(
            f"| {name} ({len(places)}) | {min(times):.2f} to {max(times):.2f} | {statistics.median(errors):.1%} | "
            f"{errors[int(0.9 * (len(errors) - 1))]:.0%} | {tau:.2f} |"
        )


def _rank_correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Spearman's; of a single pair it is not known."""
    if len(xs) < 2:
        return float("nan")

    def ranks(values: Sequence[float]) -> list[int]:
        order = sorted(range(len(values)), key=values.__getitem__)
        return sorted(range(len(values)), key=order.__getitem__)

    return statistics.correlation(ranks(xs), ranks(ys))


def _print_exported(networks: Sequence[Architecture], predicted: Sequence[float], table: LayerTable) -> None:
    """Timed as drawn here, and as exported, in turns."""
    import torch

    from bft_nas.export.inference import inference_network
    from bft_nas.export.runtimes import RUNTIMES, Deployment
    from bft_nas.network import build

    print("\n| network | MACs | predicted ms | timed graph ms | exported file ms |")
    print("|---|---|---|---|---|")
    for net, guess in zip(networks, predicted, strict=False):
        network = build(net).eval()
        image = torch.randn(1, net.in_channels, net.resolution, net.resolution)
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            deployment = Deployment(
                inference_network(network, net), net, Path(folder), [image], [network(image)]
            )
            (written,) = RUNTIMES["onnxruntime"].write(deployment)
            exported = (Path(folder) / written.name).read_bytes()
        drawn, deployed = shortest([network_graph(net, table.form_of), exported])
        print(
            f"| {net.family} {net.fusion_pattern}, {net.resolution} px | {cost(net).macs / 1e6:.1f}M | {guess:.2f} | "
            f"{drawn:.2f} | {deployed:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
