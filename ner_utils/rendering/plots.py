"""Figures: print size, readable in grey and without colour vision, the same in every byte when made
again. Every ``fig_*`` returns a figure as wide as the thesis' text; the style is figures.mplstyle."""

from __future__ import annotations

import functools
import itertools
import math
import textwrap
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

from ner_utils.forms.base import DROPPED
from ner_utils.results.study import STATUSES, Results, look_rows

WIDTH = 5.78  # inches: the thesis' text width
STYLE = ["default", Path(__file__).with_name("figures.mplstyle")]  # whatever the user's settings
# Okabe and Ito's colours (jfly.uni-koeln.de/color), in an order in which neighbours differ in grey too.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#CC79A7", "#009E73", "#D55E00", "#56B4E9")
MARKERS = "osD^vPX"
FILLS = (("0.92", ""), ("#56B4E9", "////"), ("#E69F00", "xxxx"), ("#0072B2", "...."))  # colour, hatch
CHOSEN = {"color": "#D55E00", "marker": "*", "markersize": 8, "linestyle": ""}
LOWEST = {"color": "#0072B2", "marker": "D", "markersize": 9, "markerfacecolor": "none", "linestyle": ""}
PLAIN = FuncFormatter(lambda value, _: f"{value:,.15g}")
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


def save(figure: Figure, path: Path) -> None:
    """Write a PDF or PNG whole or not at all, without date and version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    kind = path.suffix.removeprefix(".")
    metadata = {"pdf": {"CreationDate": None}, "png": {"Software": None}}[kind]
    with plt.style.context(STYLE):
        figure.savefig(partial, format=kind, metadata=metadata, dpi=200)
    partial.replace(path)


def save_all(results: Results, folder: Path) -> list[Path]:
    """Write every figure of a study under the name that the thesis knows, and ``<folder>.png`` for README."""
    makers = (fig_f1, fig_types, fig_latency, fig_memory, fig_learning, fig_parse)
    results = results.undisturbed
    figures = {make.__name__: make(results) for make in makers} | {"fig_corpus": fig_corpus(results.corpora)}
    for name, figure in figures.items():
        save(figure, folder / f"{name}.pdf")
    save(figures["fig_f1"], folder.with_suffix(".png"))
    for figure in figures.values():
        plt.close(figure)
    return [folder / f"{name}.pdf" for name in figures]


# ------------------------------------------------------------------------------ parts
def marks_of(labels: Iterable[str]) -> Marks:
    """Colour and marker of each label, in the labels' order; no pair comes twice among 49."""
    places = itertools.count()
    styles = ((COLOURS[k % 7], MARKERS[(k + k // 7) % 7]) for k in places)
    pairs = zip(dict.fromkeys(labels), styles, strict=False)
    return {label: {"color": colour, "marker": marker, "linestyle": ""} for label, (colour, marker) in pairs}


def _panels(frame: pd.DataFrame, height: float, **keywords: Any) -> tuple[Figure, list]:
    """A panel for each corpus, two in a row, with the corpus' rows; a single one needs no title."""
    blocks = list(frame.groupby("corpus", sort=False))
    columns = min(2, len(blocks))
    lines = math.ceil(len(blocks) / columns)
    size = (WIDTH, (height + 0.2) * lines + 0.3)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, **keywords)
    for axis in axes.flat[len(blocks) :]:
        axis.set_axis_off()
    for axis, (corpus, _) in zip(axes.flat, blocks, strict=False):
        axis.set_title(corpus if len(blocks) > 1 else "")
    return figure, [(axis, rows) for axis, (_, rows) in zip(axes.flat, blocks, strict=False)]


def legend(figure: Figure, marks: Marks) -> None:
    """A legend of all marks below the panels, which keep their height however many there are."""
    handles = [Line2D([], [], label=label, **mark) for label, mark in marks.items()]
    # Three fit the width unless their names are long; a lone fourth would dangle.
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


def _dots(axis: Axes, frame: pd.DataFrame, x: str, hue: str, marks: Marks) -> None:
    """A dot for each value in rows named by type, dodged so that equal values do not hide each other."""
    name_rows(axis, list(dict.fromkeys(frame["type"])))
    style = {"palette": [mark["color"] for mark in marks.values()], "markersize": 4, "linestyle": "none"}
    style |= {"markers": [mark["marker"] for mark in marks.values()], "errorbar": None, "legend": False}
    style |= {"dodge": 0.5 if len(marks) > 1 else False, "clip_on": False}
    sns.pointplot(frame, x=x, y="type", hue=hue, hue_order=list(marks), ax=axis, **style)
    axis.set_ylabel("")


def log_scale(axis: Axes, zero: bool = False) -> None:
    """A logarithmic x axis with plain numbers, and with room for zero where it is needed."""
    if zero:
        axis.set_xscale("symlog", linthresh=1, linscale=0.3)
        axis.set_xlim(left=0)
    else:
        axis.set_xscale("log")
        low, high = axis.get_xlim()
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axis.xaxis.set_minor_locator(NullLocator())


def _score(results: Results) -> tuple[str, str]:
    """The primary score: its column, and its name for an axis."""
    metric = results.study.protocol.primary_metric
    return metric, f"Strict {metric.removesuffix('_f1')} F1 (%)"


# ---------------------------------------------------------------------------- results
@styled
def fig_f1(results: Results) -> Figure:
    """The primary score of each system: mean, 95 % interval, and the seeds as small dots."""
    metric, name = _score(results)
    marks = marks_of(results.summary["label"])
    seeds = results.runs.groupby(["corpus", "label"])[metric]
    figure, panels = _panels(results.summary, 0.33 * len(marks) + 0.35, sharex=True, sharey=True)
    for axis, rows in panels:
        name_rows(axis, list(rows["label"]))
        for at, row in enumerate(rows.to_dict("records")):
            low, high = row[f"{metric}_low"], row[f"{metric}_high"]
            axis.plot([low, high], [at, at], color=marks[row["label"]]["color"], linewidth=1.4)
            axis.plot(row[metric], at, **marks[row["label"]], clip_on=False)
            axis.annotate(f"{row[metric]:.1f}", (high, at), (6, 0), textcoords="offset points", va="center")
            if row["seeds"] > 1:
                dots = seeds.get_group((row["corpus"], row["label"]))
                axis.plot(dots, [at + 0.27] * len(dots), "o", color="0.35", markersize=2)
        axis.set_xlabel(name)
        axis.label_outer()
    low, high = axis.get_xlim()
    axis.set_xlim(max(0, low), high + 0.1 * (high - low))  # room for the numbers
    return figure


@styled
def fig_types(results: Results) -> Figure:
    """F1 by type, systems side by side, frequent types first, with their gold mentions in test."""
    marks = marks_of(results.types["label"])
    names = [f"{row.type} ({row.mentions:,.0f})" for row in results.types.itertuples()]
    frame = results.types.assign(type=names)
    most = frame.groupby("corpus")["type"].nunique().max()
    figure, panels = _panels(frame, (0.12 + 0.05 * len(marks)) * most + 0.35)
    for axis, rows in panels:
        ordered = rows.sort_values("mentions", ascending=False, kind="stable")
        _dots(axis, ordered, "f1", "label", marks)
        axis.set_xlim(0, min(100, 1.08 * max(1, rows["f1"].max())))
        axis.set_xlabel("Strict F1 (%)")
    legend(figure, marks)
    return figure


@styled
def fig_latency(results: Results) -> Figure:
    """The primary score against the latency of a sentence: median, and a line to the 95th percentile."""
    line = {"to the 95th percentile": {"color": "0.4", "linestyle": ":"}}
    return _scatter(results, "latency_p50_ms", "latency_p95_ms", "Latency of a sentence (ms)", line)


@styled
def fig_memory(results: Results) -> Figure:
    """The primary score against peak memory: in prediction, and hollow in training."""
    hollow = {"training": {"color": "0.4", "marker": "o", "markerfacecolor": "white", "linestyle": ":"}}
    return _scatter(results, "memory_mib", "training_memory_mib", "Peak memory (MiB)", hollow)


def _scatter(results: Results, x: str, other: str, title: str, second: Marks) -> Figure:
    metric, name = _score(results)
    marks = marks_of(results.summary["label"])
    values = results.summary[[x, other]]
    wide = values.max(axis=None) > 10 * values.min(axis=None)
    figure, panels = _panels(results.summary, 2.1, sharey=True)
    for axis, rows in panels:
        for row in rows.to_dict("records"):
            mark = marks[row["label"]]
            bounds = [row[f"{metric}_low"], row[f"{metric}_high"]]
            axis.plot([row[x]] * 2, bounds, color=mark["color"], linewidth=1.4)
            axis.plot([row[x], row[other]], [row[metric]] * 2, ":", color=mark["color"], linewidth=0.9)
            axis.plot(row[x], row[metric], **mark, clip_on=False)
            if "training" in second:
                axis.plot(row[other], row[metric], **mark, markerfacecolor="white", clip_on=False)
        if wide:
            log_scale(axis)
        else:
            axis.set_xlim(left=0)
        axis.xaxis.set_major_formatter(PLAIN)
        axis.set_ylim(bottom=0)
        axis.set(xlabel=f"{title}, log scale" if wide else title, ylabel=name)
        axis.label_outer()
    legend(figure, marks | second if results.summary[other].notna().any() else marks)
    return figure


# --------------------------------------------------------------------------- training
@styled
def fig_learning(results: Results) -> Figure:
    """Dev F1 and dev loss at the looks of every trained system, a line for each seed."""
    frame = results.looks
    if frame.empty:
        return statement("No system of this study is trained.")
    many = frame["corpus"].nunique() > 1
    return _learning(frame.assign(title=frame["label"] + ("\n" + frame["corpus"] if many else "")))


@styled
def learning_curve(record: dict[str, Any], label: str) -> Figure:
    """Dev F1 and dev loss at the looks of one run, from its training record."""
    return _learning(pd.DataFrame(look_rows(record)).assign(title=label, seed=0))


def _learning(frame: pd.DataFrame) -> Figure:
    blocks = list(frame.groupby("title", sort=False))
    columns = min(3, len(blocks))
    lines = math.ceil(len(blocks) / columns)
    size = (WIDTH, 2.6 * lines + 0.3)
    figure, axes = plt.subplots(2 * lines, columns, figsize=size, squeeze=False, sharex=True)
    for axis in axes.flat[:]:
        axis.set_axis_off()
    for index, (title, rows) in enumerate(blocks):
        line, column = divmod(index, columns)
        upper, lower = axes[2 * line : 2 * line + 2, column]
        for axis, value in ((upper, "dev_f1"), (lower, "dev_loss")):
            axis.set_axis_on()
            for _, looks in rows.groupby("seed"):
                axis.plot(looks["progress"], looks[value], "-o", color="0.45", markersize=3)
                for mark, flag in ((CHOSEN, "chosen"), (LOWEST, "lowest_loss")):
                    picked = looks[looks[flag]]
                    axis.plot(picked["progress"], picked[value], **mark, zorder=4)
            axis.margins(y=0.18)
            axis.yaxis.set_major_locator(MaxNLocator(4))
            axis.set(xlim=(0, 106), xticks=[0, 25, 50, 75, 100])
        upper.set(title=wrap(title, 60 // columns), ylabel="" if column else "Dev F1 (%)")
        upper.tick_params(labelbottom=False)
        lower.set(xlabel="Training progress (%)", ylabel="" if column else "Dev loss")
        lower.tick_params(labelbottom=True)
    legend(figure, {"highest dev F1 (chosen)": CHOSEN, "lowest dev loss": LOWEST})
    return figure


# ------------------------------------------------------------------- answers and corpora
@styled
def fig_parse(results: Results) -> Figure:
    """States of the answers of generative systems, and what was dropped from them."""
    frame = results.summary[results.summary["approach"] == "generation"]
    if frame.empty:
        return statement("No system of this study writes answers.")
    names = list(frame["label"] + ("\n" + frame["corpus"] if frame["corpus"].nunique() > 1 else ""))
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 0.42 * len(names) + 1.15), sharey=True)
    dropped = tuple(f"dropped.{reason}" for reason in DROPPED)
    for axis, parts, whole in zip(axes, (STATUSES, dropped), ("answers", "items"), strict=True):
        name_rows(axis, names)
        left = np.zeros(len(names))
        for part, (colour, hatch) in zip(parts, FILLS, strict=False):
            fill = {"facecolor": colour, "hatch": hatch, "edgecolor": "black", "linewidth": 0.5}
            label = part.removeprefix("dropped.").replace("_", " ")
            axis.barh(range(len(names)), frame[part], 0.6, left, label=label, **fill)
            left += frame[part].to_numpy()
        axis.set_xlim(0, 100 if whole == "answers" else max(1.0, 1.05 * left.max()))
        axis.set_xlabel(f"Share of {whole} (%)")
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2 if len(parts) == 4 else 3)
    return figure


@styled
def fig_corpus(audits: Mapping[str, dict[str, Any]]) -> Figure:
    """Mentions by type and split, from the audits of corpora by their labels."""
    rows = [
        {"corpus": corpus, "split": split, "type": kind, "mentions": mentions}
        for corpus, report in audits.items()
        for split, part in report["splits"].items()
        for kind, mentions in sorted(part["types"].items(), key=lambda item: -item[1])
    ]
    frame = pd.DataFrame(rows)
    marks = marks_of(frame["split"])
    figure, panels = _panels(frame, 0.26 * frame.groupby("corpus")["type"].nunique().max() + 0.35)
    for axis, part in panels:
        _dots(axis, part, "mentions", "split", marks)
        log_scale(axis, zero=part["mentions"].min() == 0)
        axis.xaxis.set_major_formatter(PLAIN)
        axis.set_xlabel("Mentions, log scale")
    legend(figure, marks)
    return figure
