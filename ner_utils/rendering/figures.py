"""Figures of a study. Every ``fig_*`` returns a figure as wide as the thesis' text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ner_utils import paths
from ner_utils.config.dataset import Dataset
from ner_utils.forms.base import DROPPED
from ner_utils.rendering import plots
from ner_utils.rendering.colours import type_colours
from ner_utils.rendering.plots import WIDTH, Marks, marks_of, marks_of_systems, statement, styled
from ner_utils.results.measures import STATUSES, evaluation_rows
from ner_utils.results.study import Results

# Colours and hatches of statuses of answers, and of reasons for dropped items.
FILLS = (("0.92", ""), ("#56B4E9", "////"), ("#E69F00", "xxxx"))
REASON_FILLS = (("#009E73", "\\\\\\\\"), ("#F0E442", "++++"), ("#CC79A7", "..."), ("0.6", "---"))
CHOSEN = {"color": "#D55E00", "marker": "*", "markersize": 8, "linestyle": ""}
LOWEST = {"color": "#0072B2", "marker": "D", "markersize": 9, "markerfacecolor": "none", "linestyle": ""}


def save_figures(results: Results) -> list[str]:
    """Write every figure of a study by the name that the thesis uses, and ``figures/<study>.png`` for README;
    returns the names. ``all_*`` shows all systems, where the other shows the main ones."""
    main, whole = results.main, results.undisturbed
    datasets = {run.dataset_name: run.dataset for run in whole.systems}
    audits = [(dataset, whole.audits[name]["audit"]) for name, dataset in datasets.items()]
    made = plots.main_and_all((fig_f1, fig_types, fig_latency, fig_memory, fig_learning), main, whole)
    made |= {"fig_parse": fig_parse(whole), "fig_corpus": fig_corpus(audits)}
    plots.save_figure(made["fig_f1"], paths.FIGURES / f"{whole.name}.png")
    return plots.save_for_thesis(whole.name, made)


def _dots(axis: Axes, frame: pd.DataFrame, x: str, hue: str, marks: Marks, dataset: Dataset) -> None:
    """A dot for each value in rows by ``name``, dodged so that equal values do not hide each other; a row's
    name has the colour of its ``type``."""
    kinds = frame.drop_duplicates("type")
    plots.name_rows(axis, list(kinds["name"]))
    style = {"palette": [mark["color"] for mark in marks.values()], "markersize": 4, "linestyle": "none"}
    style |= {"markers": [mark["marker"] for mark in marks.values()], "errorbar": None, "legend": False}
    style |= {"dodge": 0.5 if len(marks) > 1 else False, "clip_on": False}
    sns.pointplot(frame, x=x, y="name", hue=hue, hue_order=list(marks), ax=axis, **style)
    axis.set_ylabel("")
    colours = type_colours(dataset)
    for label, kind in zip(axis.get_yticklabels(), kinds["type"], strict=True):
        label.set_bbox({"facecolor": colours[kind], "edgecolor": "none", "pad": 1})


def primary_score(results: Results) -> tuple[str, str]:
    """The primary score: its column, and its name for an axis."""
    metric = results.study.protocol.primary_metric
    return metric, f"Strict {metric.removesuffix('_f1')} F1 (%)"


# ---------------------------------------------------------------------------- results
@styled
def fig_f1(results: Results) -> Figure:
    """The primary score of each system: mean, 95 % interval, and the seeds as small dots."""
    metric, name = primary_score(results)
    marks = marks_of_systems(results.families, results.summary["label"])
    seeds = results.runs.groupby(["corpus", "label"])[metric]
    figure, each = plots.panels(results.summary, 0.33 * len(marks) + 0.35, sharex=True, sharey=True)
    for axis, rows in each:
        plots.name_rows(axis, list(rows["label"]))
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
    axis.set_xlim(max(0, low), high + 0.1 * (high - low))  # for the numbers
    return figure


@styled
def fig_types(results: Results) -> Figure:
    """F1 by type, systems side by side, frequent types first, with their gold mentions in test."""
    marks = marks_of_systems(results.families, results.types["label"])
    names = [f"{row.type} ({row.mentions:,.0f})" for row in results.types.itertuples()]
    frame = results.types.assign(name=names)
    datasets = {run.dataset.label: run.dataset for run in results.systems}
    most = frame.groupby("corpus")["type"].nunique().max()
    figure, each = plots.panels(frame, (0.12 + 0.05 * len(marks)) * most + 0.35)
    for axis, rows in each:
        ordered = rows.sort_values("mentions", ascending=False, kind="stable")
        _dots(axis, ordered, "f1", "label", marks, datasets[rows["corpus"].iloc[0]])
        axis.set_xlim(0, min(100, 1.08 * max(1, rows["f1"].max())))
        axis.set_xlabel("Strict F1 (%)")
    plots.legend(figure, marks)
    return figure


@styled
def fig_latency(results: Results) -> Figure:
    """The primary score against the latency of a sentence: median, and a line to the 95th percentile."""
    line = {"to the 95th percentile": {"color": "0.4", "linestyle": ":"}}
    return _scatter(results, "latency_p50_ms", "latency_p95_ms", "Latency of a sentence (ms)", line)


@styled
def fig_memory(results: Results) -> Figure:
    """The primary score against peak memory in prediction, and, with hollow marks, in training."""
    hollow = {"training": {"color": "0.4", "marker": "o", "markerfacecolor": "white", "linestyle": ":"}}
    return _scatter(results, "memory_mib", "training_memory_mib", "Peak memory (MiB)", hollow)


def _scatter(results: Results, x: str, other: str, title: str, second: Marks) -> Figure:
    metric, name = primary_score(results)
    summary = results.summary.dropna(subset=x)  # an ensemble's median may not have been measured
    if summary.empty:
        return statement(f"{title}: not known.")
    marks = marks_of_systems(results.families, summary["label"])
    values = summary[[x, other]]
    wide = values.max(axis=None) > 10 * values.min(axis=None)
    figure, each = plots.panels(summary, 2.1, sharey=True)
    for axis, rows in each:
        for row in rows.to_dict("records"):
            mark = marks[row["label"]]
            bounds = [row[f"{metric}_low"], row[f"{metric}_high"]]
            axis.plot([row[x]] * 2, bounds, color=mark["color"], linewidth=1.4)
            axis.plot([row[x], row[other]], [row[metric]] * 2, ":", color=mark["color"], linewidth=0.9)
            axis.plot(row[x], row[metric], **mark, clip_on=False)
            if "training" in second:
                axis.plot(row[other], row[metric], **mark, markerfacecolor="white", clip_on=False)
        if wide:
            plots.log_scale(axis)
        else:
            axis.set_xlim(left=0)
        axis.xaxis.set_major_formatter(plots.PLAIN)
        axis.set_ylim(bottom=0)
        axis.set(xlabel=f"{title}, log scale" if wide else title, ylabel=name)
        axis.label_outer()
    plots.legend(figure, marks | second if summary[other].notna().any() else marks)
    return figure


# --------------------------------------------------------------------------- training
@styled
def fig_learning(results: Results) -> Figure:
    """Dev F1 and dev loss at the evaluations on dev of every trained system, a line for each seed."""
    frame = results.evaluations
    if frame.empty:
        return statement("No system of this study is trained.")
    many = frame["corpus"].nunique() > 1
    return _learning(frame.assign(title=frame["label"] + ("\n" + frame["corpus"] if many else "")))


@styled
def learning_curve(record: dict[str, Any], label: str) -> Figure:
    """Dev F1 and dev loss at the evaluations on dev of one run, from its training record."""
    return _learning(pd.DataFrame(evaluation_rows(record)).assign(title=label, seed=0))


def _learning(frame: pd.DataFrame) -> Figure:
    blocks = list(frame.groupby("title", sort=False))
    columns = min(3, len(blocks))
    places = 2 * columns * math.ceil(len(blocks) / columns)  # for F1, and for the loss below it
    figure, axes = plots.grid(places, columns, 1.3, 0.3, sharex=True, sharey="row")
    for upper, lower, (title, rows) in zip(axes[::2].flat, axes[1::2].flat, blocks, strict=False):
        for axis, value in ((upper, "dev_f1"), (lower, "dev_loss")):
            for _, run in rows.groupby("seed"):
                axis.plot(run["progress"], run[value], "-o", color="0.45", markersize=3)
                for mark, flag in ((CHOSEN, "chosen"), (LOWEST, "lowest_loss")):
                    picked = run[run[flag]]
                    axis.plot(picked["progress"], picked[value], **mark, zorder=4)
            axis.margins(y=0.18)
            axis.yaxis.set_major_locator(MaxNLocator(4))
            axis.set(xlim=(0, 106), xticks=[0, 25, 50, 75, 100])
        upper.set_title(plots.wrap(title, 60 // columns))
        upper.tick_params(labelbottom=False)
        lower.set_xlabel("Training progress (%)")
        lower.tick_params(labelbottom=True)
    for upper, lower in zip(axes[::2, 0], axes[1::2, 0], strict=True):
        upper.set_ylabel("Dev F1 (%)")
        lower.set_ylabel("Dev loss")
    for axis in (axis for axis in axes.flat if not axis.has_data()):
        axis.set_axis_off()
    plots.legend(figure, {"highest dev F1 (chosen)": CHOSEN, "lowest dev loss": LOWEST})
    return figure


# ------------------------------------------------------------------- answers and corpora
@styled
def fig_parse(results: Results) -> Figure:
    """How the answers of generative systems could be read, and the share of items that were dropped."""
    frame = results.summary[results.summary["kind"] == "generator"]
    if frame.empty:
        return statement("No system of this study writes answers.")
    names = list(frame["label"] + ("\n" + frame["corpus"] if frame["corpus"].nunique() > 1 else ""))
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 0.42 * len(names) + 1.15), sharey=True)
    dropped = tuple(f"dropped.{reason}" for reason in DROPPED)
    shown = ((STATUSES, FILLS, "answers"), (dropped, REASON_FILLS, "items"))
    for axis, (parts, fills, whole) in zip(axes, shown, strict=True):
        plots.name_rows(axis, names)
        left = np.zeros(len(names))
        for part, (colour, hatch) in zip(parts, fills, strict=True):
            fill = {"facecolor": colour, "hatch": hatch, "edgecolor": "black", "linewidth": 0.5}
            label = part.removeprefix("dropped.").replace("_", " ")
            axis.barh(range(len(names)), frame[part], 0.6, left, label=label, **fill)
            left += frame[part].to_numpy()
        axis.set_xlim(0, 100 if whole == "answers" else max(1.0, 1.05 * left.max()))
        axis.set_xlabel(f"Share of {whole} (%)")
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2 if len(parts) == 4 else 3)
    return figure


@styled
def fig_corpus(audits: Sequence[tuple[Dataset, dict[str, Any]]]) -> Figure:
    """Mentions by type and split of corpora, each given with its audit."""
    rows = [
        {"corpus": dataset.label, "split": split, "type": kind, "name": kind, "mentions": mentions}
        for dataset, report in audits
        for split, part in report["splits"].items()
        for kind, mentions in sorted(part["types"].items(), key=lambda item: -item[1])
    ]
    frame, datasets = pd.DataFrame(rows), {dataset.label: dataset for dataset, _ in audits}
    marks = marks_of(frame["split"])
    figure, each = plots.panels(frame, 0.26 * frame.groupby("corpus")["type"].nunique().max() + 0.35)
    for axis, rows in each:
        _dots(axis, rows, "mentions", "split", marks, datasets[rows["corpus"].iloc[0]])
        plots.log_scale(axis, zero=rows["mentions"].min() == 0)
        axis.set_xlabel("Mentions, log scale")
    plots.legend(figure, marks)
    return figure
