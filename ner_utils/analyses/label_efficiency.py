"""What more labelled sentences are worth: systems that differ in the size of their training set alone."""

from __future__ import annotations

import json
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ner_utils.rendering import latex, plots
from ner_utils.rendering.latex import Column
from ner_utils.results.study import Results, computed_once

LEAST = 3  # sizes of a series
CLOSE = 1.5  # ratio of sizes below which only the larger one is named on the axis


@computed_once
def series(results: Results) -> pd.DataFrame:
    """One row a system: corpus, series (the model's label), train_sentences, micro_f1 with _low and _high,
    sizes: on how many numbers of sentences a study trains the model, at least `LEAST`, and steps: how many
    times as many optimisation steps the longest training of the series has as the shortest.

    Fewer sentences may be trained for more epochs: how long is part of the configuration only where a size
    would stand twice.
    """
    models: dict[tuple[str, str], tuple[str, str, str]] = {}
    for run in results.systems:
        if run.model.approach != "ensemble" and not (run.untrained or run.base):
            settings = run.model.model_dump() | {"held_out": run.held_out}
            length = {key: settings["training"].pop(key) for key in ("epochs", "patience")}
            same = json.dumps(settings, sort_keys=True)
            models[run.dataset_name, run.system] = (same, f"{same}{length}", run.model.label)
    scores = ["micro_f1", "micro_f1_low", "micro_f1_high"]
    frame = results.summary[["dataset", "system", "corpus", "train_sentences", "steps", *scores]].copy()
    found = [models.get(key) for key in zip(frame["dataset"], frame["system"], strict=True)]
    frame["model"], exact, frame["series"] = zip(*(each or ("", "", "") for each in found), strict=True)
    twice = frame.duplicated(["corpus", "model", "train_sentences"], keep=False)
    twice = twice.groupby([frame["corpus"], frame["model"]]).transform("any")
    frame["model"] = frame["model"].mask(twice, pd.Series(exact, index=frame.index))
    frame = frame[frame["model"] != ""]
    groups = frame.groupby(["corpus", "model"])
    sizes = groups["train_sentences"].transform("nunique")
    steps = groups["steps"].transform("max") / groups["steps"].transform("min")
    return frame.assign(sizes=sizes, steps=steps)[sizes >= LEAST].sort_values(
        ["series", "train_sentences"], kind="stable"
    )


def asked(results: Results) -> int:
    """How many systems of a study stand in a series."""
    return len(series(results))


def numbers(results: Results) -> dict[tuple[str, ...], float]:
    """On how many numbers of sentences a system's model is trained, and how far their numbers of steps lie
    apart (1: equal steps), by the parts of the key."""
    found = {}
    for row in series(results).to_dict("records"):
        name = row["dataset"], row["system"]
        found[*name, "training_sizes"] = float(row["sizes"])
        found[*name, "training_steps_ratio"] = row["steps"]
    return found


def write(results: Results, study: str) -> list[str]:
    """Write table and figure where the thesis of ``study`` finds them; their names."""
    frame = series(results)
    tables = {"tab_label_efficiency": tab_label_efficiency(frame)}
    return plots.save_for_thesis(study, tables, {"fig_label_efficiency": fig_label_efficiency(frame)})


def tab_label_efficiency(frame: pd.DataFrame) -> str:
    """Sizes down, models across."""
    if frame.empty:
        return latex.statement("This study trains no model on several numbers of sentences.")
    names = list(dict.fromkeys(frame["series"]))
    columns = [Column("Training sentences", 0)]
    for name in names:
        columns += [Column(r"\Fone", 1, over=name), Column(r"95\,\%", layout="r", over=name)]
    rows: list[Any] = []
    for corpus, block in frame.groupby("corpus", sort=False):
        rows += [corpus] if frame["corpus"].nunique() > 1 else []
        for size, lines in block.groupby("train_sentences"):
            cells = {line["series"]: line for line in lines.to_dict("records")}
            row: list[Any] = [size]
            for name in names:
                line = cells.get(name)
                bounds = latex.interval(line["micro_f1_low"], line["micro_f1_high"]) if line else None
                row += [line["micro_f1"] if line else None, bounds]
            rows.append(row)
    return latex.tabular(columns, rows)


@plots.styled
def fig_label_efficiency(frame: pd.DataFrame) -> Figure:
    """F1 with its interval by the number of training sentences, a panel a corpus."""
    if frame.empty:
        return plots.statement("This study trains no model on several numbers of sentences.")
    blocks = list(frame.groupby("corpus", sort=False))
    marks = plots.marks_of(frame["series"])
    figure, axes = plt.subplots(
        1, len(blocks), figsize=(plots.WIDTH, 2.9), squeeze=False, sharey=True, layout="constrained"
    )
    for axis, (corpus, block) in zip(axes[0], blocks, strict=True):
        for name, rows in block.groupby("series", sort=False):
            x, y = rows["train_sentences"], rows["micro_f1"]
            spread = [y - rows["micro_f1_low"], rows["micro_f1_high"] - y]
            style = marks[name] | {"linestyle": "-", "linewidth": 1}
            axis.errorbar(x, y, yerr=spread, **style, markersize=4, elinewidth=0.8, capsize=2)
        sizes = sorted(set(block["train_sentences"]))
        axis.set_xscale("log")
        near = [after < CLOSE * size for size, after in zip(sizes, sizes[1:], strict=False)]
        names = ["" if hidden else f"{size:,.0f}" for size, hidden in zip(sizes, [*near, False], strict=True)]
        axis.set_xticks(sizes, names)
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set(ylim=(0, None), xlabel="Training sentences", title=corpus if len(blocks) > 1 else "")
    axes[0, 0].set_ylabel("Strict micro F1, with 95 % interval")
    plots.legend(figure, marks)
    return figure
