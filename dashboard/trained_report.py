"""The report of a network trained to the end: one HTML file that opens from disk and loads nothing from anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import plotly.graph_objects as go

from bft_nas.core.files import write_text
from bft_nas.core.units import format_percent
from bft_nas.dashboard._html import facts_list, figure_place, page_of
from bft_nas.dashboard._style import (
    ACCENT,
    CONFIG,
    DASHES,
    INK,
    SECOND,
    SHARE_SCALE,
    describe,
    layout,
    nothing,
)
from bft_nas.dashboard._tables import texts_table
from bft_nas.dashboard.network import strip_figure
from bft_nas.record.card import facts_of_trained
from bft_nas.record.trained import Trained
from bft_nas.training.measures import Measures, wilson

REPORT = "report.html"
MOST_CLASSES = 60
"""Of a confusion matrix in which something can be seen."""
MOST_NUMBERED = 20
"""Classes of a confusion matrix whose cells have room for numbers."""
DRAW = """
const figures = JSON.parse(document.getElementById("figures").textContent);
for (const [id, figure] of Object.entries(figures)) {
  Plotly.newPlot(id, figure.data, figure.layout, figure.config);
}
document.documentElement.dataset.ready = "";
"""


def write_trained_report(trained: Trained) -> Path:
    """Write what is known of a trained network into its folder, and return the file.

    Raises:
        UserError: a file of the folder cannot be read.
        RunError: the report cannot be written; an older one is then as it was.
    """
    path = trained.folder / REPORT
    write_text(path, trained_report(trained))
    return path


def curve_figure(curve: Sequence[Mapping[str, float]]) -> go.Figure:
    """Validation accuracy of the weights and of their average after each epoch."""
    figure = go.Figure(layout=layout("trained-curve", height=380))
    if not curve:
        return nothing(figure, "No epoch has been recorded yet.")
    figure.update_xaxes(title_text="Epoch", dtick=max(1, math.ceil(len(curve) / 10)))
    figure.update_yaxes(title_text="Validation accuracy", ticksuffix="%")
    kinds = {"accuracy": "the weights", "averaged": "their average"}
    said = []
    for rank, (name, label) in enumerate(kinds.items()):
        values = [100 * row[name] for row in curve]
        if all(map(math.isnan, values)):
            continue
        line = {"color": (ACCENT, SECOND)[rank], "dash": DASHES[rank]}
        hover = f"epoch %{{x}}<br>{label}: %{{y:.2f}}%<extra></extra>"
        epochs = [row["epoch"] for row in curve]
        figure.add_scatter(
            x=epochs, y=values, name=label, mode="lines+markers", line=line, hovertemplate=hover
        )
        said.append(f"{label} reach {format_percent(values[-1] / 100)}")
    return describe(figure, f"Validation accuracy after each of {len(curve)} epochs: {'; '.join(said)}")


def loss_figure(curve: Sequence[Mapping[str, float]]) -> go.Figure:
    """Training and validation loss after each epoch."""
    figure = go.Figure(layout=layout("trained-loss", height=380))
    if not curve:
        return nothing(figure, "No epoch has been recorded yet.")
    figure.update_xaxes(title_text="Epoch", dtick=max(1, math.ceil(len(curve) / 10)))
    figure.update_yaxes(title_text="Loss")
    epochs = [row["epoch"] for row in curve]
    for rank, (name, label) in enumerate({"train_loss": "training", "loss": "validation"}.items()):
        line = {"color": (ACCENT, SECOND)[rank], "dash": DASHES[rank]}
        hover = f"epoch %{{x}}<br>{label}: %{{y:.3f}}<extra></extra>"
        losses = [row[name] for row in curve]
        figure.add_scatter(
            x=epochs, y=losses, name=label, mode="lines+markers", line=line, hovertemplate=hover
        )
    last = curve[-1]
    text = (
        f"Loss after each of {len(curve)} epochs, {last['train_loss']:.3f} and {last['loss']:.3f} at the end"
    )
    return describe(figure, text)


def confusion_figure(measures: Measures, classes: Sequence[str]) -> go.Figure:
    """How many images of each class were taken for which."""
    figure = go.Figure(
        layout=layout("confusion", height=max(320, 140 + 22 * min(len(classes), MOST_CLASSES)))
    )
    if len(classes) > MOST_CLASSES:
        return nothing(figure, f"Of {len(classes)} classes a matrix shows nothing; see the table.")
    rows = [row[: len(classes)] for row in measures.confusion[: len(classes)]]
    parts = [[100 * count / max(1, sum(row)) for count in row] for row in rows]
    hover = "%{y}<br>taken for %{x}<br>%{customdata} images, %{z:.1f}%<extra></extra>"
    names = [escape(name) for name in classes]
    figure.add_heatmap(
        x=names,
        y=names,
        z=parts,
        customdata=rows,
        # Of a size that fits: the figure's width is not known here.
        text=[[count or "" for count in row] for row in rows],
        texttemplate="%{text}" if len(classes) <= MOST_NUMBERED else None,
        colorscale=[(0.0, "rgba(128, 134, 144, 0.08)"), *((0.02 + 0.98 * at, c) for at, c in SHARE_SCALE)],
        zmin=0,
        zmax=100,
        hovertemplate=hover,
        # Above the matrix, which has no width to spare on a phone.
        colorbar={
            "title": {"text": "% of its class", "side": "top"},
            "orientation": "h",
            "thickness": 12,
            "y": 1,
            "yanchor": "bottom",
            "ypad": 4,
        },
    )
    figure.update_layout(margin_t=84)
    # Names that are numbers would be taken for places.
    # A line of its own above it: beside a horizontal colour bar Plotly has the title among the labels.
    figure.update_xaxes(title_text="<br>Taken for", type="category", showgrid=False)
    figure.update_yaxes(title_text="Is", type="category", autorange="reversed", showgrid=False)
    worst = measures.confused[:1]
    text = "".join(f"; most often {classes[a]} is taken for {classes[b]}, {n} times" for n, a, b in worst)
    return describe(figure, f"Confusion matrix of {len(classes)} classes{text}")


def calibration_figure(measures: Measures) -> go.Figure:
    """Accuracy against confidence: on the diagonal a network is as often right as it is sure."""
    figure = go.Figure(layout=layout("calibration", height=380))
    figure.update_xaxes(title_text="Confidence", ticksuffix="%", range=[0, 101])
    figure.update_yaxes(title_text="Accuracy", ticksuffix="%", range=[0, 101])
    figure.add_scatter(
        x=[0, 100], y=[0, 100], mode="lines", line={"color": INK, "dash": "dot"}, name="as sure as right",
        hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=[100 * each.confidence for each in measures.bins],
        y=[100 * each.accuracy for each in measures.bins],
        customdata=[each.images for each in measures.bins],
        mode="lines+markers",
        name="the network",
        line={"color": ACCENT},
        hovertemplate="sure by %{x:.1f}%, right in %{y:.1f}%<br>%{customdata} images<extra></extra>",
    )
    error = format_percent(measures.calibration_error)
    return describe(figure, f"Accuracy against confidence; they are {error} apart on average")


def trained_report(trained: Trained) -> str:
    """The page as HTML; UserError when a file of the folder cannot be read."""
    curve, evaluation = trained.curve(), trained.evaluation()
    figures = {"curve": curve_figure(curve), "loss": loss_figure(curve)}
    sections = [
        (
            "How it was trained",
            figure_place("curve", figures["curve"]) + figure_place("loss", figures["loss"]),
        ),
    ]
    if evaluation is not None:
        classes = trained.data.classes
        figures["confusion"] = confusion_figure(evaluation.measures, classes)
        figures["calibration"] = calibration_figure(evaluation.measures)
        sections += [
            ("Which class it takes for which", figure_place("confusion", figures["confusion"])),
            ("Each class", _by_class(evaluation.measures, classes)),
            ("How sure it is", figure_place("calibration", figures["calibration"])),
            ("Where it is most wrong", _mistakes(evaluation.measures, classes, evaluation.split)),
        ]
    figures["strip"] = strip_figure(trained.architecture)
    sections.append(("The network", f'<div class="wide">{figure_place("strip", figures["strip"])}</div>'))
    drawn = {
        name: {**json.loads(str(figure.to_json())), "config": {**CONFIG, "responsive": True}}
        for name, figure in figures.items()
    }
    # Within a script nothing is escaped, and what would end it must not be there.
    embedded = json.dumps(drawn).replace("<", "\\u003c")
    body = "".join(f"<section><h2>{escape(heading)}</h2>{text}</section>" for heading, text in sections)
    scripts = f"""<script type="application/json" id="figures">{embedded}</script>
<script>{DRAW}</script>
"""
    content = f"{facts_list(facts_of_trained(trained))}\n{body}"
    return page_of(trained.name, content, scripts=scripts, kind="report")


def _by_class(measures: Measures, classes: Sequence[str]) -> str:
    rows = []
    for label, right, images in measures.by_class:
        low, high = (format_percent(end, 1) for end in wilson(right, images))
        rows.append((classes[label], f"{images:,}", format_percent(right / images, 1), f"{low} to {high}"))
    return texts_table("Each class", ("class", "images", "right", "95 % interval"), rows)


def _mistakes(measures: Measures, classes: Sequence[str], split: str) -> str:
    if not measures.worst:
        return '<p class="about">It makes no mistake.</p>'
    rows = [
        (
            mistake.name or f"{split} image {mistake.index}",
            classes[mistake.label],
            classes[mistake.predicted],
            format_percent(mistake.confidence, 1),
        )
        for mistake in measures.worst
    ]
    return texts_table("Mistakes", ("image", "is", "taken for", "sure by"), rows)
