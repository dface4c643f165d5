"""The files of a program: model.c, model.h and the weights."""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from torch import fx

from bft_nas.export.c_program.calls import Calls, scratch_of
from bft_nas.export.c_program.memory import plan
from bft_nas.export.c_program.steps import Step, steps_of
from bft_nas.network import Architecture, cost

KERNELS: Mapping[str, tuple[str, ...]] = {
    "multiply": ("pointwise", "convolution"),
    "pointwise": ("pointwise",),
    "convolution": ("convolution",),
    "window": ("depthwise", "max_pool"),
    "butterfly": ("butterfly",),
    **{name: (name,) for name in ("mean", "linear", "add", "activate", "acon", "scale", "subsample")},
}
"""Files of ``kernels/`` in their order, and the steps that need them; ``vectors.h`` is before all."""
ID_BYTES = 64

HEADER = """\
/* {name}: {inputs} x {side} x {side} pixels to {classes} logits, {macs:.1f}M multiply-accumulates, plain C.

       cc -O3 -march=native -o classify classify.c model.c -lm

       #include "model.h"
       model *network = model_load("model.bin");    NULL: no such file, or of another network
       model_run(network, image, logits);
       model_free(network);

   image: float [{inputs}][{side}][{side}], normalised as in prepare.py; logits: float [{classes}].
   A network is used by one thread at a time; several may be loaded. */

#ifndef MODEL_H
#define MODEL_H

#ifdef __cplusplus
extern "C" {{
#endif

enum {{ MODEL_CHANNELS = {inputs}, MODEL_HEIGHT = {side}, MODEL_WIDTH = {side}, MODEL_CLASSES = {classes} }};

typedef struct model model;

model *model_load(const char *path);
void model_run(model *network, const float *image, float *logits);
void model_free(model *network);

#ifdef __cplusplus
}}
#endif
#endif
"""

LOAD = """\
/* ---- the network ------------------------------------------------------------------------------------------------ */

enum {{ ID_BYTES = {id_bytes} }};
static const char id[] = "{id}"; /* of the weights */
static const size_t weight_bytes = {weight_bytes};
static const size_t arena_bytes = {arena_bytes}; /* images between layers, planned so that they share memory */

struct model {{
    float *weights, *arena;
}};

static void *allocate(size_t bytes) {{ return aligned_alloc(64, (bytes + 63) / 64 * 64); }}

void model_free(model *network) {{
    if (!network) return;
    free(network->weights);
    free(network->arena);
    free(network);
}}

model *model_load(const char *path) {{
    char found[ID_BYTES];
    FILE *file = fopen(path, "rb");
    model *network = calloc(1, sizeof *network);
    if (network) network->weights = allocate(weight_bytes), network->arena = allocate(arena_bytes);
    int good = file && network && network->weights && network->arena;
    good = good && fread(found, ID_BYTES, 1, file) == 1 && !strncmp(found, id, ID_BYTES);
    good = good && fread(network->weights, weight_bytes, 1, file) == 1;
    if (file) fclose(file);
    if (!good) {{
        model_free(network);
        return NULL;
    }}
    memset(network->arena, 0, arena_bytes);
    return network;
}}
"""


RUN = """\
/* a + N: images and vectors in the arena; w + N: weights; planes_N: where channels begin that follow each other. */
void model_run(model *network, const float *image, float *logits) {{
    const float *w = network->weights;
    float *a = network->arena;
{calls}
    memcpy(logits, {logits}, sizeof(float) * {classes});
}}
"""
WIDTH = 116


@dataclass(frozen=True)
class Program:
    """The contents of its files."""

    source: str
    header: str
    weights: bytes


def program(network: fx.GraphModule, architecture: Architecture) -> Program:
    """Of `bft_nas.export.inference.inference_network`; ExportError where a layer has no kernel."""
    steps, output = steps_of(network)
    arena = plan(steps, output, max(map(scratch_of, steps), default=0))
    calls = Calls(arena)
    lines = [f"    /* {_described(step)} */\n{_wrapped(calls.call(step))}" for step in steps]
    weights = calls.weights.tobytes()
    digest = hashlib.sha256(weights).hexdigest()[:40]
    # Within a comment, which it must neither end nor seem to begin.
    name = re.sub(r"\*(?=/)|/(?=\*)", r"\g<0> ", architecture.family)
    header = HEADER.format(
        name=name,
        inputs=architecture.in_channels,
        side=architecture.resolution,
        classes=len(output),
        macs=cost(architecture).macs / 1e6,
    )
    load = LOAD.format(id_bytes=ID_BYTES, id=digest, weight_bytes=len(weights), arena_bytes=4 * arena.size)
    run = RUN.format(calls="\n".join(lines), logits=calls.vector(output), classes=len(output))
    uses = "".join(f"#define USES_{name}\n" for name in sorted({step.activation for step in steps}))
    parts = [
        f"/* {name}: see model.h. */\n",
        '#include "model.h"\n\n#include <math.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n'
        "#include <string.h>\n",
        uses,
        *_kernels(steps),
        "\n".join(calls.kernels) + "\n",
        _tables(calls),
        "\n".join(calls.stages) + "\n",
        load,
        run,
    ]
    return Program("\n".join(parts), header, digest.encode().ljust(ID_BYTES, b"\0") + weights)


def _kernels(steps: Sequence[Step]) -> list[str]:
    """The text of all that the steps need."""
    used = {step.kernel for step in steps}
    names = ["vectors", *(name for name, of in KERNELS.items() if used.intersection(of))]
    folder = files(__package__) / "kernels"
    return [(folder / f"{name}.h").read_text(encoding="utf-8") for name in names]


def _described(step: Step) -> str:
    side = f", {step.x.height}x{step.x.width}" if step.x.pixels > 1 else ""
    return f"{step.name}: {step.kernel} {len(step.x)} to {len(step.y)}{side}"


def _wrapped(call: str) -> str:
    return textwrap.fill(call, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8)


def _tables(calls: Calls) -> str:
    return "\n".join(_table(name, values) for name, values in calls.tables.items()) + "\n"


def _table(name: str, values: Sequence[int]) -> str:
    lines = textwrap.fill(", ".join(map(str, values)), WIDTH, initial_indent="    ", subsequent_indent="    ")
    return f"static const int32_t {name}[] = {{\n{lines}}};"
