"""Figures: one style, print size, readable in grey and without colour vision.

Every ``fig_*`` returns a figure as wide as the thesis' text; `save` writes it, byte for byte the same
when made again. Systems differ in colour, marker and line style at once.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ner_utils.prompts import DROPPED

WIDTH = 5.78  # inches, the thesis' text width: a figure is never scaled, so its fonts are what they say
STYLE = {
    **sns.axes_style("ticks"),
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.5,
    "figure.dpi": 130,
    "pdf.fonttype": 42,
}
# Okabe and Ito's colours (jfly.uni-koeln.de/color), in an order in which neighbours differ in grey too.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#CC79A7", "#009E73", "#D55E00", "#56B4E9")
MARKERS = "osD^vPX"
LINES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))


def _styled(make: Callable[..., Figure]) -> Callable[..., Figure]:
    @functools.wraps(make)
    def styled(*arguments: Any, **keywords: Any) -> Figure:
        with mpl.rc_context(STYLE):
            figure = make(*arguments, **keywords)
            figure.draw_without_rendering()  # ticks take their style when first drawn
        return figure

    return styled


def save(figure: Figure, path: Path) -> None:
    """Write a PDF whole or not at all, without its date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with mpl.rc_context(STYLE):
        figure.savefig(partial, format="pdf", metadata={"CreationDate": None})
    partial.replace(path)
    plt.close(figure)


def save_all(results, folder: Path) -> list[Path]:
    """Every figure of a study, under the names that the thesis knows."""
    makers = (fig_f1, fig_types, fig_latency, fig_memory, fig_learning, fig_parse)
    figures = {make.__name__: make(results) for make in makers} | {"fig_corpus": fig_corpus(results.corpora)}
    for name, figure in figures.items():
        save(figure, folder / f"{name}.pdf")
    return [folder / f"{name}.pdf" for name in figures]


# ----------------------------------------------------------------------------- frames
def _looks(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Colour, marker and line style of each system, by its label, in the study's order."""
    return {
        label: {
            "color": COLOURS[index % len(COLOURS)],
            "marker": MARKERS[index % len(MARKERS)],
            "linestyle": LINES[index % len(LINES)],
        }
        for index, label in enumerate(dict.fromkeys(frame["label"]))
    }


def _panels(frame: pd.DataFrame, height: float, most: int = 2, **keywords: Any):
    """A panel for each corpus, at most ``most`` in a row; yields nothing but axes and rows."""
    corpora = list(dict.fromkeys(frame["corpus"]))
    columns = min(most, len(corpora))
    rows = math.ceil(len(corpora) / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, height * rows + 0.3), layout="constrained", squeeze=False, **keywords
    )
    for axis in axes.flat[len(corpora) :]:
        axis.set_axis_off()
    parts = [(axis, frame[frame["corpus"] == name]) for axis, name in zip(axes.flat, corpora, strict=False)]
    if len(corpora) > 1:
        for axis, name in zip(axes.flat, corpora, strict=False):
            axis.set_title(name)
    return figure, parts


def _legend(figure: Figure, handles: list, columns: int = 3) -> None:
    figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))


def _statement(text: str) -> Figure:
    figure, axis = plt.subplots(figsize=(WIDTH, 0.8), layout="constrained")
    axis.set_axis_off()
    axis.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def _metric(results) -> tuple[str, str]:
    metric = results.study.protocol.primary_metric
    return metric, f"Strict {metric.removesuffix('_f1')} F1 (%)"
