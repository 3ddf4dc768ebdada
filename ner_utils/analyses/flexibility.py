"""Can an instruction alone change the types? Types that training did not show, other names, definitions.

A model that writes can be asked for a type that it never learnt; a head with fixed labels cannot, and is the
baseline. The scores of held-out types and of the others, which must not suffer, are separate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from ner_utils.config.run import Run
from ner_utils.rendering import latex
from ner_utils.rendering.latex import Column
from ner_utils.results.study import Results, computed_once


def asked_otherwise(run: Run) -> list[str]:
    """The ways in which the types that a run is asked for are not those of its training."""
    base = run.base.model if run.base else run.model
    ways = {
        "types held out": bool(run.held_out),
        "types shuffled in training": getattr(run.model, "type_order", "fixed") == "shuffled",
        "types renamed": getattr(run.model, "type_names", {}) != getattr(base, "type_names", {}),
        "types defined": getattr(run.model, "definitions", False),
    }
    return [way for way, here in ways.items() if here]


def count_systems(results: Results) -> int:
    """How many systems of a study are asked for other types than those of their training."""
    return sum(bool(asked_otherwise(run)) for run in results.systems)


@computed_once
def scores(results: Results) -> pd.DataFrame:
    """One row a system of a study in which a system is `asked_otherwise`: dataset, corpus, system, label,
    ways, and F1 in percent with its interval, for the types that some system did not see in training
    (held_out), and for the others. Empty for other studies."""
    rows: list[dict[str, Any]] = []
    runs = results.undisturbed.systems
    if not any(map(asked_otherwise, runs)):
        return pd.DataFrame()
    held_out = {kind for run in runs for kind in run.held_out}
    for run in runs:
        tables, _ = results.counts[run.dataset_name]
        kinds = list(run.dataset.types)
        parts = {"others": [at for at, kind in enumerate(kinds) if kind not in held_out]}
        parts |= {"held_out": [kinds.index(kind) for kind in sorted(held_out)]} if held_out else {}
        row = {"dataset": run.dataset_name, "corpus": run.dataset.label, "system": run.system}
        row |= {"label": run.label, "ways": ", ".join(asked_otherwise(run)) or "as trained"}
        for part, types in parts.items():
            bounds = results.interval(run.dataset_name, "micro_f1", run.system, types=types)
            row |= {f"{part}.{key}": value for key, value in bounds.percent("f1").items()}
            row[f"{part}.mentions"] = float(tables[run.system][0][:, types][..., [0, 2]].sum())
        rows.append(row)
    return pd.DataFrame(rows)


def numbers(results: Results) -> Iterator[tuple[tuple[str, ...], float]]:
    """F1 of both parts, by the parts of their keys."""
    for row in scores(results).to_dict("records"):
        for name in (name for name in row if "." in name):
            yield (row["dataset"], row["system"], "flexibility", *name.split(".")), row[name]


def tab_flexibility(frame: pd.DataFrame) -> str:
    """Systems down: the ways in which they are asked, F1 of the types held out, and of the others."""
    if frame.empty:
        return latex.statement("This study asks no system for other types than it learnt.")
    titles = {"held_out": "Types held out", "others": "Other types"}
    parts = {part: title for part, title in titles.items() if f"{part}.f1" in frame}
    columns = [Column("System"), Column("Types in the prompt", layout="p{4cm}")]
    for part, title in parts.items():
        over = f"{title} ({latex.number(frame[f'{part}.mentions'].iloc[0])} mentions)"
        columns += [Column(r"\Fone", 1, over=over), Column(r"95\,\%", layout="r", over=over)]

    def cells(row: dict[str, Any]) -> list[Any]:
        values = [row["label"], row["ways"]]
        for part in parts:
            values += [row[f"{part}.f1"], latex.interval(row[f"{part}.low"], row[f"{part}.high"])]
        return values

    return latex.tabular(columns, latex.blocks(frame, cells))
