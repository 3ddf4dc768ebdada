"""What do disturbed test sentences cost? Each system against itself on the same sentences, undisturbed.

A tokenizer that ignores case reads lower and upper case alike: such a system answers identically by
construction, which is no robustness. Tables print *identical* where no count differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ner_utils import config
from ner_utils.config.run import Run
from ner_utils.rendering import latex, plots
from ner_utils.rendering.latex import Column
from ner_utils.results.study import SEED, Results, computed_once
from ner_utils.scoring import resampling

NOTHING = "This study disturbs no sentences."


def count_systems(results: Results) -> int:
    """How many systems of a study were tested on disturbed sentences."""
    return sum(run.perturbed is not None for run in results.systems)


def undisturbed(run: Run, systems: Sequence[Run]) -> Run:
    """The run with which a disturbed run is compared: the one whose weights it predicts with, or, where
    nothing was trained, the one among ``systems`` that differs from it in the sentences alone."""
    if run.base:
        return run.base
    identity = {key: value for key, value in run.identity.items() if key != "perturbed"}
    return next(other for other in systems if not other.perturbed and other.identity == identity)


def counterpart(run: Run, overrides: str = "") -> Run:
    """The `undisturbed` run of the run's study, with or without results."""
    return undisturbed(run, config.runs_of(run.study, overrides, run.dataset_name))


@computed_once
def changes(results: Results) -> pd.DataFrame:
    """One row a disturbed system: dataset, corpus, system, kind, base (the label of the system with which it
    is compared) and base_system, F1 in percent, its change with the 95 % interval (paired, by documents),
    failed (percent of answers that could not be read), and whether no count differs."""
    scores = results.summary.set_index(["dataset", "system"])
    rows: list[dict[str, Any]] = []
    for run in (run for run in results.systems if run.perturbed):
        dataset, base = run.dataset_name, undisturbed(run, results.systems)
        pair, _ = results.paired_counts(dataset, run.system, base.system)
        row = {
            "dataset": dataset,
            "corpus": run.dataset.label,
            "system": run.system,
            "kind": run.perturbed,
            "base": base.label,
            "base_system": base.system,
            "f1": scores.loc[(dataset, run.system), "micro_f1"],
            "failed": scores.loc[(dataset, run.system), "failed"],
            "identical": np.array_equal(*pair),
        }
        bounds = results.interval(dataset, "micro_f1", run.system, base.system)
        rows.append(row | bounds.percent("change"))
    return pd.DataFrame(rows)


def numbers(results: Results) -> Iterator[tuple[tuple[str, ...], float]]:
    """Changes, and the mean change of each system, with their intervals, by the parts of their keys."""
    frame = changes(results)
    for row in frame.to_dict("records"):
        for name in ("change", "low", "high"):
            yield (row["dataset"], row["system"], "robustness", name), row[name]
    for (dataset, base), block in frame.groupby(["dataset", "base_system"]) if len(frame) else ():
        # The mean over all kinds; a resample draws the same documents for all.
        sides, groups = results.paired_counts(dataset, *block["system"], base)
        weights = [1 / len(block)] * len(block) + [-1]
        resamples = results.study.protocol.resamples
        (mean,) = resampling.intervals(sides, weights, groups, "micro_f1", resamples, SEED)
        for name, value in zip(("mean_change", "mean_change.low", "mean_change.high"), mean, strict=True):
            yield (dataset, base, "robustness", name), 100 * value


def tab_robustness(frame: pd.DataFrame) -> str:
    """Kinds down, systems across: the change in F1 and its interval, of `changes`."""
    if frame.empty:
        return latex.statement(NOTHING)
    columns = [Column("Disturbance")]
    for base in dict.fromkeys(frame["base"]):
        columns += [Column(r"change in \Fone", layout="r", over=base)]
        columns += [Column(r"95\,\% interval", layout="r", over=base), Column(r"failed (\%)", 1, over=base)]

    def cells(row: dict[str, Any]) -> list[Any]:
        change = "identical" if row["identical"] else latex.Raw(latex.number(row["change"], 1))
        return [change, latex.interval(row["low"], row["high"]), row["failed"]]

    return latex.tabular(columns, latex.crossed(frame, "kind", "base", cells))


@plots.styled
def fig_robustness(frame: pd.DataFrame) -> Figure:
    """Kinds down: the change in F1 of each system, with its interval."""
    if frame.empty:
        return plots.statement(NOTHING)
    marks, kinds = plots.marks_of(frame["base"]), list(dict.fromkeys(frame["kind"]))
    figure, each = plots.panels(frame, 0.3 * len(kinds) + 0.3, 1, 0.9, sharex=True)
    for axis, block in each:
        plots.changes(axis, block.to_dict("records"), kinds, ("kind", "base", "change"), marks)
    axis.set_xlabel("Change in strict micro F1, with 95 % interval")
    plots.legend(figure, marks)
    return figure
