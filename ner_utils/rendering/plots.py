"""Style and parts of all figures, and how figures and tables reach the thesis.

Figures have their size on paper, can be read in grey and without colour vision, and are identical in every
byte when made again; the style is figures.mplstyle.
"""

from __future__ import annotations

import functools
import io
import itertools
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ner_utils import paths
from ner_utils.files import write_whole
from ner_utils.rendering.colours import SYSTEMS

WIDTH = 5.78  # inches: the thesis' text width
STYLE = ["default", Path(__file__).with_name("figures.mplstyle")]  # whatever the user's settings
MARKERS = "osD^vPX"
PLAIN = FuncFormatter(lambda value, _: f"{value:,.15g}")
Row = Mapping[str, Any]
Marks = dict[str, dict[str, Any]]  # by label, how a series is drawn


def styled(make: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the thesis' style, whatever the user's."""

    @functools.wraps(make)
    def drawn(*arguments: Any) -> Figure:
        plt.draw_if_interactive()  # loads a notebook's backend now: leaving the context would undo it
        with plt.style.context(STYLE):
            figure = make(*arguments)
            figure.draw_without_rendering()  # ticks take their style when first drawn
        return figure

    return drawn


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PDF or PNG whole or not at all, without date and version."""
    content = io.BytesIO()
    kind = path.suffix.removeprefix(".")
    metadata = {"pdf": {"CreationDate": None}, "png": {"Software": None}}[kind]
    with plt.style.context(STYLE):
        figure.savefig(content, format=kind, metadata=metadata, dpi=200)
    write_whole(path, content.getvalue())


def save_for_thesis(study: str, shown: Mapping[str, str | Figure]) -> list[str]:
    """Write tables (LaTeX) and figures, given by their names without suffix, where a study's thesis finds
    them, and close the figures; returns the names."""
    for name, made in shown.items():
        if isinstance(made, str):
            write_whole(paths.THESIS / "generated" / study / f"{name}.tex", made.encode())
        else:
            save_figure(made, paths.FIGURES / study / f"{name}.pdf")
            plt.close(made)
    return list(shown)


def main_and_all(makers: Iterable[Callable[[Any], Figure]], main: Any, whole: Any) -> dict[str, Figure]:
    """Figures of the ``main`` systems by their names; where these are not all, those of the ``whole`` too, as
    ``all_*``."""
    made = {make.__name__: make(main) for make in makers}
    if main is not whole:
        made |= {f"all_{make.__name__}": make(whole) for make in makers}
    return made


# ------------------------------------------------------------------------------ parts
def marks_of(labels: Iterable[str]) -> Marks:
    """Colour and marker of each label, in the labels' order; 49 labels have 49 different pairs."""
    numbered = enumerate(dict.fromkeys(labels))
    return {label: _mark(SYSTEMS[k % 7], MARKERS[(k + k // 7) % 7]) for k, label in numbered}


def marks_of_systems(families: Mapping[str, str], labels: Iterable[str]) -> Marks:
    """Colour and marker of each label: systems of one family, of the `families` of a study's results, have
    one colour and different markers. If all are of one family, or none is known, colours differ."""
    if len(set(families.values())) < 2:
        return marks_of(labels)
    colours = dict(zip(dict.fromkeys(families.values()), itertools.cycle(SYSTEMS), strict=False))
    markers = {name: itertools.cycle(MARKERS[k % 7 :] + MARKERS[: k % 7]) for k, name in enumerate(colours)}
    every = {label: _mark(colours[name], next(markers[name])) for label, name in families.items()}
    return {label: every[label] for label in dict.fromkeys(labels)}


def _mark(colour: str, marker: str) -> dict[str, Any]:
    return {"color": colour, "marker": marker, "linestyle": ""}


def panels(
    frame: pd.DataFrame, height: float, across: int = 2, rest: float = 0.3, **keywords: Any
) -> tuple[Figure, list]:
    """A panel for each corpus, so many ``across``, with the corpus' rows; a single panel needs no title."""
    blocks = list(frame.groupby("corpus", sort=False))
    figure, axes = grid(len(blocks), across, height + 0.2, rest, **keywords)
    for axis, (corpus, _) in zip(axes.flat, blocks, strict=False):
        axis.set_title(corpus if len(blocks) > 1 else "")
    return figure, [(axis, rows) for axis, (_, rows) in zip(axes.flat, blocks, strict=False)]


def grid(number: int, across: int, height: float, rest: float, **keywords: Any) -> tuple[Figure, np.ndarray]:
    """A figure of ``number`` panels, at most so many ``across``, and its axes by row and column; places
    without a panel stay empty. ``height`` is that of a row, ``rest`` is added once, both in inches."""
    columns = min(across, number)
    lines = math.ceil(number / columns)
    size = (WIDTH, height * lines + rest)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, **keywords)
    for axis in axes.flat[number:]:
        axis.set_axis_off()
    return figure, axes


def legend(figure: Figure, marks: Marks) -> None:
    """A legend of all marks below the panels, which keep their height however many marks there are."""
    handles = [Line2D([], [], label=label, **mark) for label, mark in marks.items()]
    # Three fit the width unless their names are long; a fourth would stand alone in its line.
    columns = 2 if len(handles) in (2, 4) or max(map(len, marks)) > 22 else 3
    figure.set_figheight(figure.get_figheight() + 0.19 * (math.ceil(len(handles) / columns) - 1))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def statement(text: str) -> Figure:
    """A figure of one line, for a study in which there is nothing to draw."""
    figure, axis = plt.subplots(figsize=(WIDTH, 0.6))
    axis.set_axis_off()
    axis.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def wrap(text: str, width: int = 24) -> str:
    """A label in lines."""
    return "\n".join(textwrap.fill(line, width, break_on_hyphens=False) for line in text.split("\n"))


def name_rows(axis: Axes, names: Sequence[str], width: int = 24) -> None:
    """Named rows from top to bottom, every other one shaded."""
    for index in range(0, len(names), 2):
        axis.axhspan(index - 0.5, index + 0.5, color="0.96", zorder=0, linewidth=0)
    axis.set_yticks(range(len(names)), [wrap(name, width) for name in names])
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0, pad=7)  # clear of a mark at zero


def changes(
    axis: Axes, rows: Iterable[Row], names: Sequence[str], by: tuple[str, str, str], marks: Marks
) -> None:
    """Differences from zero with their intervals (low, high) in named rows from top to bottom, the series of
    a row one below the other. ``by`` has the keys of a row's name, its series and its difference."""
    name_rows(axis, names)
    axis.axvline(0, color="0.4", linewidth=0.8)
    name, series, value = by
    for row in rows:
        mark, place = marks[row[series]], list(marks).index(row[series])
        y = names.index(row[name]) + 0.5 * ((place + 0.5) / len(marks) - 0.5)
        axis.plot([row["low"], row["high"]], [y, y], color=mark["color"], linewidth=1.1)
        axis.plot(row[value], y, **mark, markersize=4)


def log_scale(axis: Axes, zero: bool = False) -> None:
    """A logarithmic x axis with plain numbers, with a place for zero where that is needed. An axis without
    any value says so: parameters of a model behind a server, for example, are not known."""
    if not zero and not (np.isfinite(axis.dataLim.intervalx).all() and axis.dataLim.x1 > 0):
        axis.set(xticks=[])
        axis.text(0.5, 0.5, "not known", transform=axis.transAxes, ha="center", va="center")
        return
    if zero:
        axis.set_xscale("symlog", linthresh=1, linscale=0.3)
        axis.set_xlim(left=0)
    else:
        axis.set_xscale("log")
        low, high = axis.get_xlim()
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(PLAIN)
