"""Figures in print size, readable in grey and without colour vision.

Every ``fig_*`` returns a figure as wide as the thesis' text; `save` writes it, byte for byte the same
when made again. Systems differ in colour and marker at once.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ner_utils.prompts import DROPPED
from ner_utils.study import STATUSES, Results, look_rows

WIDTH = 5.78  # inches: the thesis' text width
STYLE = Path(__file__).with_name("figures.mplstyle")
# Okabe and Ito's colours (jfly.uni-koeln.de/color), in an order in which neighbours differ in grey too.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#CC79A7", "#009E73", "#D55E00", "#56B4E9")
MARKERS = "osD^vPX"
FILLS = (("0.92", ""), ("#56B4E9", "////"), ("#E69F00", "xxxx"), ("#0072B2", "...."))  # colour, hatch
PLAIN = FuncFormatter(lambda value, _: f"{value:,.15g}")
Marks = dict[str, dict[str, Any]]  # by label, how a series is drawn


def _styled(make: Callable[..., Figure]) -> Callable[..., Figure]:
    @functools.wraps(make)
    def styled(*arguments: Any, **keywords: Any) -> Figure:
        with plt.style.context(("default", STYLE)):
            figure = make(*arguments, **keywords)
            figure.draw_without_rendering()  # ticks take their style when first drawn
        return figure

    return styled


def save(figure: Figure, path: Path) -> None:
    """Write a PDF whole or not at all, without its date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with plt.style.context(("default", STYLE)):
        figure.savefig(partial, format="pdf", metadata={"CreationDate": None})
    partial.replace(path)
    plt.close(figure)


def save_all(results: Results, folder: Path) -> list[Path]:
    """Write every figure of a study under the name that the thesis knows."""
    makers = (fig_f1, fig_types, fig_latency, fig_memory, fig_learning, fig_parse)
    figures = {make.__name__: make(results) for make in makers} | {"fig_corpus": fig_corpus(results.corpora)}
    for name, figure in figures.items():
        save(figure, folder / f"{name}.pdf")
    return [folder / f"{name}.pdf" for name in figures]


# ------------------------------------------------------------------------------ parts
def _marks(labels: Iterable[str]) -> Marks:
    """Colour and marker of each label, in the labels' order."""
    styles = zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False)
    return {
        label: {"color": colour, "marker": marker, "linestyle": ""}
        for label, (colour, marker) in zip(dict.fromkeys(labels), styles, strict=False)
    }


def _panels(corpora: Iterable[str], height: float, **keywords: Any) -> tuple[Figure, dict[str, Axes]]:
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


def _legend(figure: Figure, marks: Marks) -> None:
    handles = [Line2D([], [], label=label, **mark) for label, mark in marks.items()]
    columns = 2 if len(handles) in (2, 4) else 3  # three fit the width; a lone fourth would dangle
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def _statement(text: str) -> Figure:
    figure, axis = plt.subplots(figsize=(WIDTH, 0.6))
    axis.set_axis_off()
    axis.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def _rows(axis: Axes, names: Sequence[str]) -> None:
    """Named rows from top to bottom, every other one shaded."""
    for index in range(0, len(names), 2):
        axis.axhspan(index - 0.5, index + 0.5, color="0.96", zorder=0, linewidth=0)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)


def _dots(axis: Axes, frame: pd.DataFrame, x: str, y: str, hue: str, marks: Marks) -> None:
    """A dot for each value in named rows, dodged so that equal values do not hide each other."""
    _rows(axis, list(dict.fromkeys(frame[y])))
    style = {"palette": [mark["color"] for mark in marks.values()], "markersize": 4, "linestyle": "none"}
    style |= {"markers": [mark["marker"] for mark in marks.values()], "errorbar": None, "legend": False}
    sns.pointplot(frame, x=x, y=y, hue=hue, hue_order=list(marks), dodge=0.5, ax=axis, clip_on=False, **style)
    axis.set_ylabel("")


def _log(axis: Axes, zero: bool = False) -> None:
    """A logarithmic x axis with plain numbers, and with room for zero where it is needed."""
    if zero:
        axis.set_xscale("symlog", linthresh=1, linscale=0.3)
        axis.set_xlim(left=0)
    else:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(PLAIN)


def _score(results: Results) -> tuple[str, str]:
    """The primary score: its column, and its name for an axis."""
    metric = results.study.protocol.primary_metric
    return metric, f"Strict {metric.removesuffix('_f1')} F1 (%)"


# ---------------------------------------------------------------------------- results
@_styled
def fig_f1(results: Results) -> Figure:
    """The primary score of each system: mean, 95 % interval, and the seeds as small dots."""
    metric, name = _score(results)
    marks = _marks(results.summary["label"])
    figure, panels = _panels(results.summary["corpus"], 0.33 * len(marks) + 0.35, sharex=True, sharey=True)
    for corpus, axis in panels.items():
        rows = results.summary[results.summary["corpus"] == corpus]
        _rows(axis, list(rows["label"]))
        for at, row in enumerate(rows.to_dict("records")):
            low, high = row[f"{metric}_low"], row[f"{metric}_high"]
            axis.plot([low, high], [at, at], color=marks[row["label"]]["color"], linewidth=1.4)
            axis.plot(row[metric], at, **marks[row["label"]], clip_on=False)
            axis.annotate(f"{row[metric]:.1f}", (high, at), (4, 0), textcoords="offset points", va="center")
            runs = results.runs[
                (results.runs["corpus"] == corpus) & (results.runs["system"] == row["system"])
            ]
            if len(runs) > 1:
                axis.plot(runs[metric], [at + 0.27] * len(runs), "o", color="0.35", markersize=2)
        axis.set_xlabel(name)
        axis.label_outer()
    low, high = axis.get_xlim()
    axis.set_xlim(max(0, low), high + 0.1 * (high - low))  # room for the numbers
    return figure


@_styled
def fig_types(results: Results) -> Figure:
    """F1 by type, systems side by side, frequent types first, with their gold mentions in test."""
    marks = _marks(results.types["label"])
    frame = results.types[results.types["mentions"] > 0].sort_values(
        "mentions", ascending=False, kind="stable"
    )
    frame = frame.assign(row=[f"{row.type} ({row.mentions:,.0f})" for row in frame.itertuples()])
    most = frame.groupby("corpus")["row"].nunique().max()
    figure, panels = _panels(results.types["corpus"], (0.12 + 0.05 * len(marks)) * most + 0.35)
    for corpus, axis in panels.items():
        part = frame[frame["corpus"] == corpus]
        _dots(axis, part, "f1", "row", "label", marks)
        axis.set_xlim(0, min(100, 1.08 * max(1, part["f1"].max())))
        axis.set_xlabel("Strict F1 (%)")
    _legend(figure, marks)
    return figure


@_styled
def fig_latency(results: Results) -> Figure:
    """The primary score against the latency of a sentence: median, and a line to the 95th percentile."""
    title, line = "Latency of a sentence (ms)", {"color": "0.4", "linestyle": ":"}
    return _scatter(results, "latency_p50_ms", "latency_p95_ms", title, {"to the 95th percentile": line})


@_styled
def fig_memory(results: Results) -> Figure:
    """The primary score against peak memory: in prediction, and hollow in training."""
    hollow = {"color": "0.4", "marker": "o", "markerfacecolor": "white", "linestyle": ":"}
    return _scatter(results, "memory_mib", "training_memory_mib", "Peak memory (MiB)", {"training": hollow})


def _scatter(results: Results, x: str, other: str, title: str, second: Marks) -> Figure:
    metric, name = _score(results)
    marks = _marks(results.summary["label"])
    values = results.summary[[x, other]]
    wide = values.max(axis=None) > 10 * values.min(axis=None)
    hollow = next(iter(second.values())).get("markerfacecolor")
    figure, panels = _panels(results.summary["corpus"], 2.1)
    for corpus, axis in panels.items():
        for row in results.summary[results.summary["corpus"] == corpus].to_dict("records"):
            mark, bounds = marks[row["label"]], [row[f"{metric}_low"], row[f"{metric}_high"]]
            axis.plot([row[x]] * 2, bounds, color=mark["color"], linewidth=1.4)
            axis.plot([row[x], row[other]], [row[metric]] * 2, ":", color=mark["color"], linewidth=0.9)
            axis.plot(row[x], row[metric], **mark, clip_on=False)
            if hollow:
                axis.plot(row[other], row[metric], **mark, markerfacecolor=hollow, clip_on=False)
        if wide:
            _log(axis)
        else:
            axis.set_xlim(left=0)
            axis.xaxis.set_major_formatter(PLAIN)
        axis.set_xlabel(f"{title}, log scale" if wide else title)
        axis.set_ylim(bottom=0)
        axis.set_ylabel(name)
    _legend(figure, marks | second)
    return figure


# --------------------------------------------------------------------------- training
@_styled
def fig_learning(results: Results) -> Figure:
    """Dev F1 and dev loss at the looks of every trained system, a line for each seed."""
    if results.looks.empty:
        return _statement("No system of this study is trained.")
    many = results.looks["corpus"].nunique() > 1
    frame = results.looks
    return _learning(frame.assign(title=frame["label"] + (", " + frame["corpus"] if many else "")))


@_styled
def learning_curve(record: dict[str, Any], label: str) -> Figure:
    """Dev F1 and dev loss at the looks of one run, from its training record."""
    return _learning(pd.DataFrame(look_rows(record)).assign(title=label, seed=0))


def _learning(frame: pd.DataFrame) -> Figure:
    titles = list(dict.fromkeys(frame["title"]))
    columns = min(3, len(titles))
    lines = math.ceil(len(titles) / columns)
    size = (WIDTH, 2.6 * lines + 0.3)
    figure, axes = plt.subplots(2 * lines, columns, figsize=size, squeeze=False, sharex=True)
    for axis in axes.flat:
        axis.set_axis_off()
    chosen = {"color": COLOURS[5], "marker": "*", "markersize": 8, "linestyle": ""}
    lowest = {"color": COLOURS[0], "marker": "D", "markersize": 9, "markerfacecolor": "none", "linestyle": ""}
    for index, title in enumerate(titles):
        line, column = divmod(index, columns)
        for axis, value in zip(axes[2 * line : 2 * line + 2, column], ("dev_f1", "dev_loss"), strict=True):
            axis.set_axis_on()
            for _, looks in frame[frame["title"] == title].groupby("seed"):
                axis.plot(looks["progress"], looks[value], "-o", color="0.45", markersize=3)
                for mark, flag in ((chosen, "chosen"), (lowest, "lowest_loss")):
                    picked = looks[looks[flag]]
                    axis.plot(picked["progress"], picked[value], **mark, zorder=4)
            axis.margins(y=0.18)
            axis.yaxis.set_major_locator(MaxNLocator(4))
            axis.set_xlim(0, 106)
            axis.set_xticks([0, 25, 50, 75, 100])
            axis.tick_params(labelbottom=value == "dev_loss")
        upper, lower = axes[2 * line : 2 * line + 2, column]
        upper.set_title(title)
        lower.set_xlabel("Training progress (%)")
        if column == 0:
            upper.set_ylabel("Dev F1 (%)")
            lower.set_ylabel("Dev loss")
    _legend(figure, {"highest dev F1 (chosen)": chosen, "lowest dev loss": lowest})
    return figure


# ---------------------------------------------------------------------------- answers
@_styled
def fig_parse(results: Results) -> Figure:
    """States of the answers of generative systems, and what was dropped from them."""
    frame = results.summary[results.summary["approach"] == "generation"]
    if frame.empty:
        return _statement("No system of this study writes answers.")
    many = frame["corpus"].nunique() > 1
    names = list(frame["label"] + ("\n" + frame["corpus"] if many else ""))
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 0.42 * len(names) + 1.15), sharey=True)
    dropped = {f"dropped.{reason}": reason.replace("_", " ") for reason in DROPPED}
    states = {status: status for status in STATUSES}
    for axis, parts, whole in zip(axes, (states, dropped), ("answers", "items"), strict=True):
        _rows(axis, names)
        left = np.zeros(len(names))
        for (column, label), (colour, hatch) in zip(parts.items(), FILLS, strict=False):
            fill = {"facecolor": colour, "hatch": hatch, "edgecolor": "black", "linewidth": 0.5}
            axis.barh(range(len(names)), frame[column], 0.6, left, label=label, **fill)
            left += frame[column].to_numpy()
        axis.set_xlim(0, 100 if parts is states else max(1.0, 1.05 * left.max()))
        axis.set_xlabel(f"Share of {whole} (%)")
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2 if len(parts) == 4 else 3)
    return figure


# ----------------------------------------------------------------------------- corpora
@_styled
def fig_corpus(audits: Mapping[str, dict[str, Any]]) -> Figure:
    """Mentions by type and split, from the audits of corpora by their labels."""
    rows = [
        (corpus, split, kind, mentions)
        for corpus, report in audits.items()
        for split, part in report["splits"].items()
        for kind, mentions in sorted(part["types"].items(), key=lambda item: -item[1])
    ]
    frame = pd.DataFrame(rows, columns=["corpus", "split", "type", "mentions"])
    marks = _marks(frame["split"])
    figure, panels = _panels(audits, 0.26 * frame.groupby("corpus")["type"].nunique().max() + 0.35)
    for corpus, axis in panels.items():
        part = frame[frame["corpus"] == corpus]
        _dots(axis, part, "mentions", "type", "split", marks)
        _log(axis, zero=part["mentions"].min() == 0)
        axis.set_xlabel("Mentions, log scale")
    _legend(figure, marks)
    return figure
