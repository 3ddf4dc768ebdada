"""Where do the systems of a study differ? By kinds of mentions and errors, and in their agreement.

`compare` stores what `breakdown` and `error_types` count on a corpus, without its text; the rest shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ner_utils import data
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.forms.base import DROPPED
from ner_utils.rendering import latex, plots
from ner_utils.rendering.latex import Column
from ner_utils.results import evaluation, findings
from ner_utils.results.study import Results
from ner_utils.scoring import breakdown, error_types, resampling
from ner_utils.scoring.span_table import SpanTable


# ------------------------------------------------------------------------ with the corpus
def compare(study: str, dataset: str, overrides: str, corpus: dict[str, list[Sentence]]) -> dict[str, Any]:
    """Compare all runs of a study on a corpus, and store and return the findings. Raises `ResultError` where
    a run is missing."""
    runs = findings.runs_on(study, dataset, overrides)
    gold = data.test_sentences(runs[0], corpus)
    predictions: dict[str, list[Sequence[Prediction]]] = {}
    tables: dict[str, list[SpanTable]] = {}
    for run in runs:
        predicted = evaluation.load_predictions(run, gold)
        gold_table, table = evaluation.span_tables(run, gold, predicted)
        predictions.setdefault(run.system, []).append(predicted)
        tables.setdefault(run.system, []).append(table)
    counts = breakdown.count(gold, predictions, corpus["train"])
    seeds = {name: [run.seed for run in runs if run.system == name] for name in counts}
    pairs = {
        (a, b): resampling.on_common_seeds((counts[a], seeds[a]), (counts[b], seeds[b]))
        for a, b in runs[0].comparisons
        if counts.keys() >= {a, b}
    }
    words = [sentence.tokens for sentence in gold]
    errors = {
        name: [error_types.sort(gold_table, table, words) for table in each] for name, each in tables.items()
    }
    without_ensembles = {run.system: tables[run.system] for run in runs if not run.members}
    unplaced = {name: list(map(_unplaced, each)) for name, each in predictions.items() if each[0][0].status}
    values = {
        "buckets": breakdown.scores(gold, counts, runs[0].resamples),
        "gains": breakdown.gains(gold, pairs, runs[0].resamples),
        "errors": {name: _mean([kinds for kinds, _ in each]) for name, each in errors.items()},
        "unplaced": {name: _mean(each) for name, each in unplaced.items()},
        "types": list(gold_table.types),
        "confusion": {
            name: np.mean([matrix for _, matrix in each], axis=0).round(2).tolist()
            for name, each in errors.items()
        },
        "agreement": error_types.agreement(tables),
        "oracle": error_types.oracle(gold_table, without_ensembles),
        "ceiling": error_types.ceiling(gold),
    }
    return findings.write_findings("differences", runs, values)


def _unplaced(predicted: Sequence[Prediction]) -> dict[str, int]:
    """Output of a system that became no mention: answers that could not be read, and items, by reason."""
    dropped = Counter({"unreadable answers": sum(each.status == "failed" for each in predicted)})
    for each in predicted:
        dropped.update(each.dropped)
    return {name.replace("_", " "): dropped[name] for name in ("unreadable answers", *DROPPED)}


def _mean(rows: Sequence[dict[str, int]]) -> dict[str, float]:
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


# ---------------------------------------------------------------------- from the findings
class Compared(NamedTuple):
    """Findings by the labels of corpora, the labels of the systems to be shown by their ids, the
    `families` of the study's results, and the systems that write answers."""

    reports: dict[str, dict[str, Any]]
    labels: dict[str, str]
    families: Mapping[str, str] = {}
    generators: Collection[str] = ()


def stored_reports(results: Results) -> Compared:
    """The findings on all systems of a study."""
    stored = findings.study_findings(results, "differences")
    reports = {results.corpus_label(dataset): report for dataset, report in stored.items()}
    writing = {run.system for run in results.systems if run.writes}
    return Compared(reports, findings.labels(results), results.families, writing)


def tab_buckets(compared: Compared) -> str:
    """F1 in every bucket, and its number of gold mentions."""
    reports, labels, *_ = compared
    columns = [Column(""), Column("Mentions", 0), *latex.of_systems(labels.values(), 1)]

    def rows(report: dict[str, Any]) -> Iterator[Any]:
        table = pd.DataFrame(report["buckets"])
        shown: list[list[Any]] = []
        for factor, block in table[table["gold"] > 0].groupby("factor", sort=False):
            buckets = block.groupby("bucket", sort=False)
            lines = [[bucket, part["gold"].max(), *_scores(part, labels)] for bucket, part in buckets]
            if (values := [line[1:] for line in lines]) in shown:
                continue  # the same mentions by another name, as where every surface has one type
            shown.append(values)
            yield factor[0].upper() + factor[1:]
            yield from lines

    return latex.tabular(columns, latex.by_corpus({label: rows(each) for label, each in reports.items()}))


def _scores(rows: pd.DataFrame, labels: Iterable[str]) -> list[float | None]:
    """The F1 of each system in a bucket."""
    return [next(iter(rows.loc[rows["system"] == name, "f1"]), None) for name in labels]


def tab_errors(compared: Compared) -> str:
    """Every predicted and every missed mention once, by kind; other output of generators, by reason."""
    reports, labels, *_ = compared
    columns = [Column(""), *latex.of_systems(labels.values(), 0)]

    def rows(report: dict[str, Any]) -> Iterator[Any]:
        lost = {system: report["unplaced"].get(system, {}) for system in labels}
        written = dict.fromkeys(name for each in lost.values() for name in each)
        yield "Mentions"
        for kind in error_types.KINDS:
            yield [kind, *(report["errors"].get(system, {}).get(kind) for system in labels)]
        if written:
            yield "Output that became no mention"
        for name in written:
            yield [name, *(lost[system].get(name) for system in labels)]

    return latex.tabular(columns, latex.by_corpus({label: rows(each) for label, each in reports.items()}))


def tab_agreement(compared: Compared) -> str:
    """F1 of systems against each other; on the diagonal, of a system's runs."""
    reports, labels, *_ = compared
    columns = [Column("System"), *latex.of_systems(labels.values(), 1)]

    def rows(report: dict[str, Any]) -> Iterator[Any]:
        pairs = {(row["a"], row["b"]): row["f1"] for row in report["agreement"]}
        for at, a in enumerate(labels):
            row = [pairs.get((b, a), pairs.get((a, b))) if k <= at else None for k, b in enumerate(labels)]
            yield [labels[a], *row]

    return latex.tabular(columns, latex.by_corpus({label: rows(each) for label, each in reports.items()}))


def numbers(results: Results) -> Iterator[tuple[tuple[str, ...], float]]:
    """F1 of buckets and its gains, numbers of errors, agreement, oracle and ceiling, by the parts of their
    keys."""
    for dataset, report in findings.study_findings(results, "differences").items():
        for row in report["buckets"]:
            for name in ("f1", "low", "high", "gold", "predicted"):
                yield (dataset, row["system"], row["factor"], row["bucket"], name), _number(row[name])
        for row in report["gains"]:
            at = dataset, f"{row['a']}-vs-{row['b']}", row["factor"], row["bucket"]
            yield from (((*at, name), _number(row[name])) for name in ("difference", "low", "high"))
        for system, kinds in report["errors"].items():
            for kind, number in (kinds | report["unplaced"].get(system, {})).items():
                yield (dataset, system, "errors", kind), number
        for row in report["agreement"]:
            yield (dataset, f"{row['a']}-and-{row['b']}", "agreement"), row["f1"]
        for part in ("oracle", "ceiling"):
            yield from (((dataset, part, name), value) for name, value in report[part].items())


def _number(stored: float | None) -> float:
    return float("nan") if stored is None else stored


@plots.styled
def fig_buckets(compared: Compared) -> Figure:
    """F1 with intervals by mention length, surface and sentence length, where systems may rank otherwise."""
    reports, labels, families, _ = compared
    shown = ("mention length", "surface in train", "sentence length")
    blocks = [(label, factor) for label in reports for factor in shown]
    heights = [len(breakdown.FACTORS[factor]) for _, factor in blocks]
    marks = plots.marks_of_systems(families, labels.values())
    size = (plots.WIDTH, min(7.6, 0.16 * len(marks) * sum(heights) + 0.35 * len(blocks) + 0.5))
    figure, axes = plt.subplots(
        len(blocks), 1, figsize=size, sharex=True, squeeze=False, height_ratios=heights
    )
    for axis, (label, factor) in zip(axes[:, 0], blocks, strict=True):
        rows = [row for row in reports[label]["buckets"] if row["factor"] == factor]
        buckets = breakdown.FACTORS[factor]
        many = {row["bucket"]: max(r["gold"] for r in rows if r["bucket"] == row["bucket"]) for row in rows}
        plots.name_rows(axis, [f"{bucket} ({many.get(bucket, 0):,.0f})" for bucket in buckets])
        axis.set_title(f"{label}: {factor}" if len(reports) > 1 else factor)
        for at, (system, name) in enumerate(labels.items()):
            shift = 0.7 * ((at + 0.5) / len(labels) - 0.5)
            for row in (row for row in rows if row["system"] == system and row["gold"]):
                y, mark = buckets.index(row["bucket"]) + shift, marks[name]
                axis.plot([row["low"], row["high"]], [y, y], color=mark["color"], linewidth=1.1)
                axis.plot(row["f1"], y, **mark, markersize=3.5)
    axes[-1, 0].set_xlabel("Strict F1, with 95 % interval; in brackets the gold mentions")
    plots.legend(figure, marks)
    return figure


@plots.styled
def fig_gain(compared: Compared) -> Figure:
    """By mention length, F1 of generators minus that of taggers, of each declared comparison of the two."""
    reports, labels, _, generators = compared
    rows = []
    for corpus, report in reports.items():
        for row in (row for row in report["gains"] if row["factor"] == "mention length"):
            a, b = row["a"], row["b"]
            if {a, b} <= labels.keys() and (a in generators) != (b in generators) and row["low"] is not None:
                # The stored difference is a - b.
                sign, writes, tags = (1, a, b) if a in generators else (-1, b, a)
                low, high = sorted(sign * row[end] for end in ("low", "high"))
                pair = f"{labels[writes]} minus {labels[tags]}"
                rows.append([corpus, pair, row["bucket"], sign * row["difference"], low, high])
    if not rows:
        return plots.statement("This study declares no comparison of a generator with a tagger.")
    frame = pd.DataFrame(rows, columns=["corpus", "pair", "bucket", "mean", "low", "high"])
    buckets, marks = breakdown.FACTORS["mention length"], plots.marks_of(frame["pair"])
    figure, each = plots.panels(frame, 0.2 * len(buckets) * len(marks) + 0.5, rest=0.4, sharex=True)
    for axis, block in each:
        plots.changes(axis, block.to_dict("records"), buckets, ("bucket", "pair", "mean"), marks)
        axis.set_xlabel("Difference in strict F1, with 95 % interval")
    plots.legend(figure, marks)
    return figure
