"""The forms that a butterfly may run in, as operations of the table of layers. Needs no torch.

Those of files for ONNX Runtime: ``dense`` is a 1x1 convolution by the whole matrix, ``matmul`` a batched matrix product
a stage, ``grouped`` a grouped 1x1 convolution a stage. Neighbouring stages may be multiplied into one: fewer passes
over the image, at more products.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from bft_nas.butterfly.plan import ButterflyPlan, cuts, merged_factors
from bft_nas.latency.operations import Operation

KINDS = ("matmul", "grouped")
LARGEST = 64
"""Of a merged stage."""
LEAST_GAIN, MOST_GAIN = 3, 40
"""MACs of the whole matrix over those of the stages: below the first it is never slower, above the second always."""


class Form(NamedTuple):
    """One of them."""

    kind: str
    factors: tuple[int, ...] = ()
    """Sizes of the stages, some of them merged."""


DENSE_FORM = Form("dense")


def forms_of(operation: Operation) -> tuple[Form, ...]:
    """The forms in which a butterfly may be fastest."""
    return _forms(operation.in_channels, operation.out_channels, operation.radix)


@cache
def _forms(in_channels: int, out_channels: int, radix: int) -> tuple[Form, ...]:
    plan = ButterflyPlan(in_channels, out_channels, radix)
    dense = in_channels * out_channels
    if dense < LEAST_GAIN * plan.macs:
        return (DENSE_FORM,)
    found = [] if dense > MOST_GAIN * plan.macs else [DENSE_FORM]
    for factors in dict.fromkeys(merged_factors(plan.factors, cut) for cut in cuts(len(plan.factors))):
        products = plan.copies * plan.size * (sum(factors) + 1)
        if factors == plan.factors or (max(factors) <= LARGEST and LEAST_GAIN * products < dense):
            found += [Form(kind, factors) for kind in KINDS]
    return tuple(found)


def operations_of(operation: Operation, form: Form) -> tuple[Operation, ...]:
    """What a butterfly in a form is made of: a layer, or what enters and leaves its stages, and these."""
    if form.kind == "dense":
        return (operation._replace(kind="conv", radix=0),)
    plan = ButterflyPlan(operation.in_channels, operation.out_channels, operation.radix)
    channels, side = plan.copies * plan.size, operation.side
    return (
        Operation(f"{form.kind}_ends", channels, channels, side),
        *(Operation(f"{form.kind}_stage", channels, channels, side, radix=each) for each in form.factors),
    )
