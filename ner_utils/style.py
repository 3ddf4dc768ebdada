"""How figures look: print size, readable in grey and without colour vision, the same in every byte."""

from __future__ import annotations

import functools
import itertools
import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

WIDTH = 5.78  # inches, the thesis' text width: figures are never scaled, so sizes are those on paper
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine has it
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 7.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
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
    "text.parse_math": False,  # a label may hold dollars
    "figure.dpi": 130,  # on a screen
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,  # real fonts: text can be searched and copied
}
# Okabe and Ito's colours (jfly.uni-koeln.de/color), in an order in which neighbours differ in grey too.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#CC79A7", "#009E73", "#D55E00", "#56B4E9")
MARKERS = "osD^vPX"
FILLS = (("0.92", ""), ("#56B4E9", "////"), ("#E69F00", "xxxx"), ("#0072B2", "...."))  # colour, hatch
PLAIN = FuncFormatter(lambda value, _: f"{value:,.15g}")
Marks = dict[str, dict[str, Any]]  # by label, how a series is drawn


def styled(make: Callable[..., Figure]) -> Callable[..., Figure]:
    """Give the figures of a function the style, whatever the user's settings."""

    @functools.wraps(make)
    def wrapped(*arguments: Any, **keywords: Any) -> Figure:
        with plt.style.context(["default", STYLE]):
            figure = make(*arguments, **keywords)
            figure.draw_without_rendering()  # ticks take their style when first drawn
        return figure

    return wrapped


def save(figure: Figure, path: Path) -> None:
    """Write a PDF whole or not at all, without its date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with plt.style.context(["default", STYLE]):
        figure.savefig(partial, format="pdf", metadata={"CreationDate": None})
    partial.replace(path)
    plt.close(figure)


def marks(labels: Iterable[str]) -> Marks:
    """Colour and marker of each label, in the labels' order."""
    styles = zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False)
    return {
        label: {"color": colour, "marker": marker, "linestyle": ""}
        for label, (colour, marker) in zip(dict.fromkeys(labels), styles, strict=False)
    }


def panels(corpora: Iterable[str], height: float, **keywords: Any) -> tuple[Figure, dict[str, Axes]]:
    """A panel for each corpus, two in a row; a single one needs no title."""
    names = list(dict.fromkeys(corpora))
    columns = min(2, len(names))
    rows = math.ceil(len(names) / columns)
    size = (WIDTH, (height + 0.2) * rows + 0.3)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **keywords)
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    panels = dict(zip(names, axes.flat, strict=False))
    if len(names) > 1:
        for name, axis in panels.items():
            axis.set_title(name)
    return figure, panels


def legend(figure: Figure, marks: Marks) -> None:
    """One legend below all panels."""
    handles = [Line2D([], [], label=label, **mark) for label, mark in marks.items()]
    columns = 2 if len(handles) in (2, 4) else 3  # three fit the width; a lone fourth would dangle
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def statement(text: str) -> Figure:
    """A figure that says why there is none."""
    figure, axis = plt.subplots(figsize=(WIDTH, 0.6))
    axis.set_axis_off()
    axis.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def rows(axis: Axes, names: Sequence[str]) -> None:
    """Named rows from top to bottom, every other one shaded."""
    for index in range(0, len(names), 2):
        axis.axhspan(index - 0.5, index + 0.5, color="0.96", zorder=0, linewidth=0)
    axis.set_yticks(range(len(names)), [wrap(name) for name in names])
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)


def dots(axis: Axes, frame: pd.DataFrame, x: str, y: str, hue: str, marks: Marks) -> None:
    """A dot for each value in named rows, dodged so that equal values do not hide each other."""
    rows(axis, list(dict.fromkeys(frame[y])))
    style = {"palette": [mark["color"] for mark in marks.values()], "markersize": 4, "linestyle": "none"}
    style |= {"markers": [mark["marker"] for mark in marks.values()], "errorbar": None, "legend": False}
    style |= {"dodge": 0.5 if len(marks) > 1 else False, "clip_on": False}
    sns.pointplot(frame, x=x, y=y, hue=hue, hue_order=list(marks), ax=axis, **style)
    axis.set_ylabel("")


def log(axis: Axes, zero: bool = False) -> None:
    """A logarithmic x axis with plain numbers, and with room for zero where it is needed."""
    if zero:
        axis.set_xscale("symlog", linthresh=1, linscale=0.3)
        axis.set_xlim(left=0)
    else:
        axis.set_xscale("log")
        low, high = axis.get_xlim()
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(PLAIN)


def wrap(text: str, width: int = 24) -> str:
    """A label in lines."""
    return "\n".join(textwrap.fill(line, width, break_on_hyphens=False) for line in text.split("\n"))
