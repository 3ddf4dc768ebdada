"""Types that training did not show, other names for types, definitions: what an instruction alone can change.

A model that writes can be asked for a type that it never learnt; a head with fixed labels cannot, and is
the baseline. Scores are told apart: of the held-out types, and of the others, which must not suffer.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from ner_utils.config.run import Run
from ner_utils.rendering import latex, plots
from ner_utils.rendering.latex import Column
from ner_utils.results.study import SEED, Results, computed_once
from ner_utils.scoring import resampling


def asked_otherwise(run: Run) -> list[str]:
    """In which ways a run's types are not those that its training showed."""
    base = run.base.model if run.base else run.model
    ways = {
        "types held out": bool(run.held_out),
        "types shuffled in training": getattr(run.model, "type_order", "fixed") == "shuffled",
        "types renamed": getattr(run.model, "type_names", {}) != getattr(base, "type_names", {}),
        "types defined": getattr(run.model, "definitions", False),
    }
    return [way for way, here in ways.items() if here]


def asked(results: Results) -> int:
    """How many systems of a study are asked otherwise."""
    return sum(bool(asked_otherwise(run)) for run in results.systems)


@computed_once
def scores(results: Results) -> pd.DataFrame:
    """One row a system of a study in which a system is asked otherwise: dataset, corpus, label, ways, and F1
    in percent with its interval, for the types that some system did not see, and for the others."""
    rows: list[dict[str, Any]] = []
    runs = [run for run in results.systems if not run.perturbed]
    if not any(map(asked_otherwise, runs)):
        return pd.DataFrame()
    for run in runs:
        out = sorted({kind for other in runs for kind in other.held_out})
        tables, groups = results.counts[run.dataset_name]
        kinds = list(run.dataset.types)
        parts = {"others": [at for at, kind in enumerate(kinds) if kind not in out]}
        parts |= {"held_out": [kinds.index(kind) for kind in out]} if out else {}
        row = {"dataset": run.dataset_name, "corpus": run.dataset.label, "system": run.system}
        row |= {"label": run.label, "ways": ", ".join(asked_otherwise(run)) or "as learnt"}
        for part, columns in parts.items():
            counts = tables[run.system][:, :, columns]
            bounds = resampling.interval(counts, groups, "micro_f1", results.study.protocol.resamples, SEED)
            row |= {f"{part}.{key}": value for key, value in bounds.percent("f1").items()}
            row[f"{part}.mentions"] = float(counts[0][..., [0, 2]].sum())
        rows.append(row)
    return pd.DataFrame(rows)


def tab_flexibility(results: Results) -> str:
    """Systems down: what they are asked, F1 of the types held out, and of the others."""
    frame = scores(results)
    if frame.empty:
        return latex.statement("This study asks no system for other types than it learnt.")
    parts = [part for part in ("held_out", "others") if f"{part}.f1" in frame]
    columns = [Column("System"), Column("Asked", layout="p{4cm}")]
    for part in parts:
        over = {"held_out": "Types held out", "others": "Other types"}[part]
        over += f" ({latex.number(frame[f'{part}.mentions'].iloc[0])} mentions)"
        columns += [Column(r"\Fone", 1, over=over), Column(r"95\,\%", layout="r", over=over)]

    def cells(row: dict) -> list[Any]:
        found = [row["label"], row["ways"]]
        for part in parts:
            found += [row[f"{part}.f1"], latex.interval(row[f"{part}.low"], row[f"{part}.high"])]
        return found

    return latex.tabular(columns, latex.blocks(frame, cells))


def write(results: Results, study: str) -> list[str]:
    """Write the table where the thesis of ``study`` finds it; its name."""
    return plots.save_for_thesis(study, {"tab_flexibility": tab_flexibility(results)}, {})


def numbers(results: Results) -> dict[tuple[str, ...], float]:
    """F1 of both parts, by the parts of their keys."""
    found = {}
    for row in scores(results).to_dict("records"):
        for name, value in row.items():
            if "." in name:
                part, what = name.split(".")
                found[row["dataset"], row["system"], "flexibility", part, what] = value
    return found
