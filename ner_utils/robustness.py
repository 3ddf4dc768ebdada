"""What disturbed test sentences cost: each system against itself on the same sentences as they were.

A tokenizer without case reads lower and upper case alike: such a system answers identically by construction,
which is no robustness. Tables say *identical* where no count differs.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from ner_utils import latex, statistics
from ner_utils.latex import Column
from ner_utils.study import SEED, Results


def changes(results: Results) -> pd.DataFrame:
    """One row a disturbed system: dataset, corpus, system, kind, the label of what it is held against, F1 in
    percent, its change with the 95 % interval (paired, by documents), and answers that could not be read."""
    resamples = results.study.protocol.resamples
    rows: list[dict[str, Any]] = []
    seen = set()
    for item in results.stored:
        run = item.run
        if not run.perturbed or not run.base or (run.dataset_name, run.system) in seen:
            continue
        seen.add((run.dataset_name, run.system))
        tables, groups = results.counts[run.dataset_name]
        pair = tables[run.system], tables[run.base.system]
        bounds = statistics.interval(pair[0], groups, "micro_f1", resamples, SEED, pair[1])
        row = results.summary[results.summary["system"] == run.system]
        row = row[row["dataset"] == run.dataset_name].to_dict("records")[0]
        found = dict(zip(("change", "low", "high"), (100 * value for value in bounds), strict=True))
        about = {"dataset": run.dataset_name, "corpus": run.dataset.label, "system": run.system}
        about |= {
            "kind": run.perturbed,
            "base": run.base.label,
            "base_system": run.base.system,
            "f1": row["micro_f1"],
            "failed": row["failed"],
            "identical": bool((pair[0] == pair[1]).all()),
        }
        rows.append(about | found)
    return pd.DataFrame(rows)


def tab_robustness(results: Results) -> str:
    """Kinds down, systems across: the change in F1 and its interval."""
    frame = changes(results)
    if frame.empty:
        return latex.statement("This study disturbs no sentences.")
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


def _cells(line: dict[str, Any]) -> list[Any]:
    change = "identical" if line["identical"] else f"{line['change']:.1f}"
    return [change, latex.interval(line["low"], line["high"]), line["failed"]]


def numbers(results: Results) -> dict[tuple[str, ...], float]:
    """Changes, by the parts of their keys."""
    found: dict[tuple[str, ...], float] = {}
    frame = changes(results)
    for row in frame.to_dict("records"):
        for name in ("change", "low", "high"):
            found[row["dataset"], row["system"], "robustness", name] = row[name]
    for (dataset, base), block in frame.groupby(["dataset", "base_system"]) if len(frame) else ():
        for name in ("change", "f1"):  # over all kinds
            found[dataset, base, "robustness", f"mean_{name}"] = block[name].mean()
    return found
