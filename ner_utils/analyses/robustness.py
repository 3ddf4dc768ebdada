"""What disturbed test sentences cost: each system against itself on the same sentences as they were.

A tokenizer without case reads lower and upper case alike: such a system answers identically by construction,
which is no robustness. Tables say *identical* where no count differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from ner_utils import config
from ner_utils.config.run import Run
from ner_utils.rendering import latex, plots
from ner_utils.rendering.latex import Column
from ner_utils.results.study import SEED, Results, computed_once
from ner_utils.scoring import resampling
from ner_utils.scoring.resampling import Interval

NOTHING = "This study disturbs no sentences."


def asked(results: Results) -> int:
    """How many systems of a study met disturbed sentences."""
    return sum(run.perturbed is not None for run in results.systems)


def undisturbed(run: Run, systems: Sequence[Run]) -> Run:
    """What a disturbed run is compared with: the run whose weights it predicts with, or, where nothing was
    trained, the one among ``systems`` that differs from it in the sentences alone."""
    if run.base:
        return run.base
    wanted = {key: value for key, value in run.identity.items() if key != "perturbed"}
    return next(other for other in systems if not other.perturbed and other.identity == wanted)


def counterpart(run: Run, overrides: str = "") -> Run:
    """The same, from the run's study, whether or not it has results."""
    return undisturbed(run, config.runs_of(run.study, overrides, run.dataset_name))


@computed_once
def changes(results: Results) -> pd.DataFrame:
    """One row a disturbed system: dataset, corpus, system, kind, the label of what it is held against, F1 in
    percent, its change with the 95 % interval (paired, by documents), and answers that could not be read."""
    resamples = results.study.protocol.resamples
    rows: list[dict[str, Any]] = []
    for run in (run for run in results.systems if run.perturbed):
        tables, groups = results.counts[run.dataset_name]
        base = undisturbed(run, results.systems)
        pair = tables[run.system], tables[base.system]
        bounds = resampling.interval(pair[0], groups, "micro_f1", resamples, SEED, pair[1])
        row = results.summary[results.summary["system"] == run.system]
        row = row[row["dataset"] == run.dataset_name].to_dict("records")[0]
        about = {"dataset": run.dataset_name, "corpus": run.dataset.label, "system": run.system}
        about |= {
            "kind": run.perturbed,
            "base": base.label,
            "base_system": base.system,
            "f1": row["micro_f1"],
            "failed": row["failed"],
            "identical": bool((pair[0] == pair[1]).all()),
        }
        rows.append(about | bounds.percent("change"))
    return pd.DataFrame(rows)


def tab_robustness(frame: pd.DataFrame) -> str:
    """Kinds down, systems across: the change in F1 and its interval, of `changes`."""
    if frame.empty:
        return latex.statement(NOTHING)
    bases = list(dict.fromkeys(frame["base"]))
    columns = [Column("Disturbance")]
    for base in bases:
        columns += [
            Column(title, layout="r", over=base) for title in (r"change in \Fone", r"95\,\% interval")
        ]
        columns.append(Column(r"failed (\%)", 1, over=base))
    rows: list[Any] = []
    for corpus, block in frame.groupby("corpus", sort=False):
        rows += [corpus] if frame["corpus"].nunique() > 1 else []
        for kind, lines in block.groupby("kind", sort=False):
            cells = {line["base"]: line for line in lines.to_dict("records")}
            row: list[Any] = [kind]
            for base in bases:
                line = cells.get(base)
                row += _cells(line) if line else [None] * 3
            rows.append(row)
    return latex.tabular(columns, rows)


def write(results: Results, study: str) -> list[str]:
    """Write table and figure where the thesis of ``study`` finds them; their names."""
    frame = changes(results)
    tables, figures = {"tab_robustness": tab_robustness(frame)}, {"fig_robustness": fig_robustness(frame)}
    return plots.save_for_thesis(study, tables, figures)


@plots.styled
def fig_robustness(frame: pd.DataFrame) -> Figure:
    """Kinds down: the change in F1 of each system, with its interval."""
    if frame.empty:
        return plots.statement(NOTHING)
    marks, kinds = plots.marks_of(frame["base"]), list(dict.fromkeys(frame["kind"]))
    blocks = list(frame.groupby("corpus", sort=False))
    size = (plots.WIDTH, (0.3 * len(kinds) + 0.5) * len(blocks) + 0.9)
    figure, axes = plt.subplots(
        len(blocks), 1, figsize=size, sharex=True, squeeze=False, layout="constrained"
    )
    for axis, (corpus, block) in zip(axes[:, 0], blocks, strict=True):
        plots.name_rows(axis, kinds)
        axis.axvline(0, color="0.4", linewidth=0.8)
        axis.set_title(corpus if len(blocks) > 1 else "")
        for row in block.to_dict("records"):
            y = kinds.index(row["kind"]) + 0.5 * ((list(marks).index(row["base"]) + 0.5) / len(marks) - 0.5)
            mark = marks[row["base"]]
            axis.plot([row["low"], row["high"]], [y, y], color=mark["color"], linewidth=1.1)
            axis.plot(row["change"], y, **mark, markersize=4)
    axes[-1, 0].set_xlabel("Change in strict micro F1, with 95 % interval")
    plots.legend(figure, marks)
    return figure


def _cells(line: dict[str, Any]) -> list[Any]:
    change = "identical" if line["identical"] else f"{line['change']:.1f}"
    return [change, latex.interval(line["low"], line["high"]), line["failed"]]


def numbers(results: Results) -> dict[tuple[str, ...], float]:
    """Changes, and the mean change of each system, with their intervals, by the parts of their keys."""
    found: dict[tuple[str, ...], float] = {}
    frame = changes(results)
    for row in frame.to_dict("records"):
        for name in ("change", "low", "high"):
            found[row["dataset"], row["system"], "robustness", name] = row[name]
    for (dataset, base), block in frame.groupby(["dataset", "base_system"]) if len(frame) else ():
        bounds = _mean_change(results, dataset, base, list(block["system"])).percent("mean_change")
        found[dataset, base, "robustness", "mean_change"] = bounds.pop("mean_change")
        found |= {(dataset, base, "robustness", "mean_change", end): bounds[end] for end in ("low", "high")}
    return found


def _mean_change(results: Results, dataset: str, base: str, disturbed: list[str]) -> Interval:
    """The mean over all kinds of the change of one system; a resample draws the same documents for all."""
    tables, groups = results.counts[dataset]
    sides = [tables[name] for name in (*disturbed, base)]
    weights = [1 / len(disturbed)] * len(disturbed) + [-1]
    resamples = results.study.protocol.resamples
    return resampling.weighted_interval(sides, weights, groups, "micro_f1", resamples, SEED)
