"""The figures of a study. Every ``fig_*`` returns a figure as wide as the thesis' text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ner_utils import style
from ner_utils.prompts import DROPPED
from ner_utils.study import STATUSES, Results, look_rows
from ner_utils.style import save


def save_all(results: Results, folder: Path) -> list[Path]:
    """Write every figure of a study under the name that the thesis knows."""
    makers = (fig_f1, fig_types, fig_latency, fig_memory, fig_learning, fig_parse)
    figures = {make.__name__: make(results) for make in makers} | {"fig_corpus": fig_corpus(results.corpora)}
    for name, figure in figures.items():
        save(figure, folder / f"{name}.pdf")
    return [folder / f"{name}.pdf" for name in figures]


def _score(results: Results) -> tuple[str, str]:
    """The primary score: its column, and its name for an axis."""
    metric = results.study.protocol.primary_metric
    return metric, f"Strict {metric.removesuffix('_f1')} F1 (%)"


# ---------------------------------------------------------------------------- results
@style.styled
def fig_f1(results: Results) -> Figure:
    """The primary score of each system: mean, 95 % interval, and the seeds as small dots."""
    metric, name = _score(results)
    marks = style.marks(results.summary["label"])
    figure, panels = style.panels(
        results.summary["corpus"], 0.33 * len(marks) + 0.35, sharex=True, sharey=True
    )
    for corpus, axis in panels.items():
        rows = results.summary[results.summary["corpus"] == corpus]
        style.rows(axis, list(rows["label"]))
        for at, row in enumerate(rows.to_dict("records")):
            low, high = row[f"{metric}_low"], row[f"{metric}_high"]
            axis.plot([low, high], [at, at], color=marks[row["label"]]["color"], linewidth=1.4)
            axis.plot(row[metric], at, **marks[row["label"]], clip_on=False)
            axis.annotate(f"{row[metric]:.1f}", (high, at), (6, 0), textcoords="offset points", va="center")
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


@style.styled
def fig_types(results: Results) -> Figure:
    """F1 by type, systems side by side, frequent types first, with their gold mentions in test."""
    marks = style.marks(results.types["label"])
    frame = results.types[results.types["mentions"] > 0].sort_values(
        "mentions", ascending=False, kind="stable"
    )
    frame = frame.assign(row=[f"{row.type} ({row.mentions:,.0f})" for row in frame.itertuples()])
    most = frame.groupby("corpus")["row"].nunique().max()
    figure, panels = style.panels(results.types["corpus"], (0.12 + 0.05 * len(marks)) * most + 0.35)
    for corpus, axis in panels.items():
        part = frame[frame["corpus"] == corpus]
        style.dots(axis, part, "f1", "row", "label", marks)
        axis.set_xlim(0, min(100, 1.08 * max(1, part["f1"].max())))
        axis.set_xlabel("Strict F1 (%)")
    style.legend(figure, marks)
    return figure


@style.styled
def fig_latency(results: Results) -> Figure:
    """The primary score against the latency of a sentence: median, and a line to the 95th percentile."""
    title, line = "Latency of a sentence (ms)", {"color": "0.4", "linestyle": ":"}
    return _scatter(results, "latency_p50_ms", "latency_p95_ms", title, {"to the 95th percentile": line})


@style.styled
def fig_memory(results: Results) -> Figure:
    """The primary score against peak memory: in prediction, and hollow in training."""
    hollow = {"color": "0.4", "marker": "o", "markerfacecolor": "white", "linestyle": ":"}
    return _scatter(results, "memory_mib", "training_memory_mib", "Peak memory (MiB)", {"training": hollow})


def _scatter(results: Results, x: str, other: str, title: str, second: style.Marks) -> Figure:
    metric, name = _score(results)
    marks = style.marks(results.summary["label"])
    values = results.summary[[x, other]]
    wide = values.max(axis=None) > 10 * values.min(axis=None)
    hollow = next(iter(second.values())).get("markerfacecolor")
    figure, panels = style.panels(results.summary["corpus"], 2.1, sharey=True)
    for corpus, axis in panels.items():
        for row in results.summary[results.summary["corpus"] == corpus].to_dict("records"):
            mark, bounds = marks[row["label"]], [row[f"{metric}_low"], row[f"{metric}_high"]]
            axis.plot([row[x]] * 2, bounds, color=mark["color"], linewidth=1.4)
            axis.plot([row[x], row[other]], [row[metric]] * 2, ":", color=mark["color"], linewidth=0.9)
            axis.plot(row[x], row[metric], **mark, clip_on=False)
            if hollow:
                axis.plot(row[other], row[metric], **mark, markerfacecolor=hollow, clip_on=False)
        if wide:
            style.log(axis)
        else:
            axis.set_xlim(left=0)
            axis.xaxis.set_major_formatter(style.PLAIN)
        axis.set_xlabel(f"{title}, log scale" if wide else title)
        axis.set_ylim(bottom=0)
        axis.set_ylabel(name)
        axis.label_outer()
    style.legend(figure, marks | second if results.summary[other].notna().any() else marks)
    return figure


# --------------------------------------------------------------------------- training
@style.styled
def fig_learning(results: Results) -> Figure:
    """Dev F1 and dev loss at the looks of every trained system, a line for each seed."""
    if results.looks.empty:
        return style.statement("No system of this study is trained.")
    many = results.looks["corpus"].nunique() > 1
    frame = results.looks
    return _learning(frame.assign(title=frame["label"] + ("\n" + frame["corpus"] if many else "")))


@style.styled
def learning_curve(record: dict[str, Any], label: str) -> Figure:
    """Dev F1 and dev loss at the looks of one run, from its training record."""
    return _learning(pd.DataFrame(look_rows(record)).assign(title=label, seed=0))


def _learning(frame: pd.DataFrame) -> Figure:
    titles = list(dict.fromkeys(frame["title"]))
    columns = min(3, len(titles))
    lines = math.ceil(len(titles) / columns)
    size = (style.WIDTH, 2.6 * lines + 0.3)
    figure, axes = plt.subplots(2 * lines, columns, figsize=size, squeeze=False, sharex=True)
    for axis in axes.flat:
        axis.set_axis_off()
    chosen = {"color": style.COLOURS[5], "marker": "*", "markersize": 8, "linestyle": ""}
    lowest = {
        "color": style.COLOURS[0],
        "marker": "D",
        "markersize": 9,
        "markerfacecolor": "none",
        "linestyle": "",
    }
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
        upper.set_title(style.wrap(title, 66 // columns))
        lower.set_xlabel("Training progress (%)")
        if column == 0:
            upper.set_ylabel("Dev F1 (%)")
            lower.set_ylabel("Dev loss")
    style.legend(figure, {"highest dev F1 (chosen)": chosen, "lowest dev loss": lowest})
    return figure


# ---------------------------------------------------------------------------- answers
@style.styled
def fig_parse(results: Results) -> Figure:
    """States of the answers of generative systems, and what was dropped from them."""
    frame = results.summary[results.summary["approach"] == "generation"]
    if frame.empty:
        return style.statement("No system of this study writes answers.")
    many = frame["corpus"].nunique() > 1
    names = list(frame["label"] + ("\n" + frame["corpus"] if many else ""))
    figure, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 0.42 * len(names) + 1.15), sharey=True)
    dropped = {f"dropped.{reason}": reason.replace("_", " ") for reason in DROPPED}
    states = {status: status for status in STATUSES}
    for axis, parts, whole in zip(axes, (states, dropped), ("answers", "items"), strict=True):
        style.rows(axis, names)
        left = np.zeros(len(names))
        for (column, label), (colour, hatch) in zip(parts.items(), style.FILLS, strict=False):
            fill = {"facecolor": colour, "hatch": hatch, "edgecolor": "black", "linewidth": 0.5}
            axis.barh(range(len(names)), frame[column], 0.6, left, label=label, **fill)
            left += frame[column].to_numpy()
        axis.set_xlim(0, 100 if parts is states else max(1.0, 1.05 * left.max()))
        axis.set_xlabel(f"Share of {whole} (%)")
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2 if len(parts) == 4 else 3)
    return figure


# ----------------------------------------------------------------------------- corpora
@style.styled
def fig_corpus(audits: Mapping[str, dict[str, Any]]) -> Figure:
    """Mentions by type and split, from the audits of corpora by their labels."""
    rows = [
        (corpus, split, kind, mentions)
        for corpus, report in audits.items()
        for split, part in report["splits"].items()
        for kind, mentions in sorted(part["types"].items(), key=lambda item: -item[1])
    ]
    frame = pd.DataFrame(rows, columns=["corpus", "split", "type", "mentions"])
    marks = style.marks(frame["split"])
    figure, panels = style.panels(audits, 0.26 * frame.groupby("corpus")["type"].nunique().max() + 0.35)
    for corpus, axis in panels.items():
        part = frame[frame["corpus"] == corpus]
        style.dots(axis, part, "mentions", "type", "split", marks)
        style.log(axis, zero=part["mentions"].min() == 0)
        axis.set_xlabel("Mentions, log scale")
    style.legend(figure, marks)
    return figure
