"""What are more labelled sentences worth? Systems that differ in the size of their training set alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ner_utils.rendering import latex, plots
from ner_utils.rendering.latex import Column
from ner_utils.results.study import Results, computed_once

LEAST = 3  # sizes of a series
CLOSE = 1.5  # ratio of neighbouring sizes; below it only the larger one is named on the axis
APART = 1.03  # factor between the points of one series and the next, on a logarithmic axis
NOTHING = "This study trains no model on several numbers of sentences."


@computed_once
def series(results: Results) -> pd.DataFrame:
    """One row a system: dataset, system, corpus, series (the model's label), train_sentences, micro_f1 with
    _low and _high; sizes, the number of training set sizes of the model, at least `LEAST`; and steps, the
    ratio of the most to the fewest optimisation steps in the series.

    Smaller training sets may be trained for more epochs: the number of epochs tells models apart only where
    a size would occur twice.
    """
    models = []
    for run in results.systems:
        if run.model.approach != "ensemble" and not (run.untrained or run.base or run.labels):
            settings = run.model.model_dump() | {"held_out": run.held_out}
            length = {key: settings["training"].pop(key) for key in ("epochs", "patience")}
            model = json.dumps(settings, sort_keys=True)
            models.append([run.dataset_name, run.system, model, f"{model}{length}", run.model.label])
    scores = ["micro_f1", "micro_f1_low", "micro_f1_high"]
    frame = results.summary[["dataset", "system", "corpus", "train_sentences", "steps", *scores]]
    frame = frame.merge(pd.DataFrame(models, columns=["dataset", "system", "model", "exact", "series"]))
    twice = frame.duplicated(["corpus", "model", "train_sentences"], keep=False)
    twice = twice.groupby([frame["corpus"], frame["model"]]).transform("any")
    frame["model"] = frame["model"].mask(twice, frame.pop("exact"))
    groups = frame.groupby(["corpus", "model"])
    sizes = groups["train_sentences"].transform("nunique")
    steps = groups["steps"].transform("max") / groups["steps"].transform("min")
    return frame.assign(sizes=sizes, steps=steps)[sizes >= LEAST].sort_values(
        ["series", "train_sentences"], kind="stable"
    )


def count_systems(results: Results) -> int:
    """How many systems of a study belong to a series."""
    return len(series(results))


def numbers(results: Results) -> Iterator[tuple[tuple[str, ...], float]]:
    """Of each system in a series, how many training set sizes it has, and the ratio of its numbers of steps
    (1: all equal), by the parts of the keys."""
    for row in series(results).to_dict("records"):
        yield (row["dataset"], row["system"], "training_sizes"), float(row["sizes"])
        yield (row["dataset"], row["system"], "training_steps_ratio"), row["steps"]


def tab_label_efficiency(frame: pd.DataFrame) -> str:
    """Sizes down, models across."""
    if frame.empty:
        return latex.statement(NOTHING)
    columns = [Column("Training sentences", 0)]
    for name in dict.fromkeys(frame["series"]):
        columns += [Column(r"\Fone", 1, over=name), Column(r"95\,\%", layout="r", over=name)]

    def cells(row: dict[str, Any]) -> list[Any]:
        return [row["micro_f1"], latex.interval(row["micro_f1_low"], row["micro_f1_high"])]

    return latex.tabular(columns, latex.crossed(frame, "train_sentences", "series", cells, sort=True))


@plots.styled
def fig_label_efficiency(frame: pd.DataFrame) -> Figure:
    """F1 with its interval by the number of training sentences, a panel for each corpus."""
    if frame.empty:
        return plots.statement(NOTHING)
    marks = plots.marks_of(frame["series"])
    figure, each = plots.panels(frame, 2.4, frame["corpus"].nunique(), sharey=True)
    for axis, block in each:
        for at, (name, rows) in enumerate(block.groupby("series", sort=False)):
            # Apart by some percent, so that equal values do not hide each other.
            x, y = rows["train_sentences"] * APART**at, rows["micro_f1"]
            spread = [y - rows["micro_f1_low"], rows["micro_f1_high"] - y]
            style = marks[name] | {"linestyle": "-", "linewidth": 1}
            axis.errorbar(x, y, yerr=spread, **style, markersize=4, elinewidth=0.8, capsize=2)
        sizes = sorted(set(block["train_sentences"]))
        axis.set_xscale("log")
        near = [after < CLOSE * size for size, after in zip(sizes, sizes[1:], strict=False)]
        names = ["" if hidden else f"{size:,.0f}" for size, hidden in zip(sizes, [*near, False], strict=True)]
        axis.set_xticks(sizes, names)
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set(ylim=(0, None), xlabel="Training sentences, log scale")
    each[0][0].set_ylabel("Strict micro F1, with 95 % interval")
    plots.legend(figure, marks)
    return figure
