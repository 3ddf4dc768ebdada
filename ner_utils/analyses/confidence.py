"""How far can the confidences of systems be trusted? Calibration, before and after one temperature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ner_utils import data
from ner_utils.config.run import Run
from ner_utils.data import predictions
from ner_utils.data.corpus import Sentence
from ner_utils.rendering import latex, plots
from ner_utils.rendering.latex import Column
from ner_utils.results import evaluation, findings
from ner_utils.results.study import Results
from ner_utils.scoring import calibration
from ner_utils.scoring.calibration import NoConfidences, PredictedSpans, predicted_spans

LEAST = 5 * calibration.BINS  # predicted spans; systems with fewer are left out
POINTS = 50  # of a curve that is stored
SUREST = 0.05  # share of spans at which a curve begins: below, it would show single spans
NOTHING = "No system states enough spans with a confidence."


# ------------------------------------------------------------------------ with the corpus
def assess(study: str, dataset: str, overrides: str, corpus: dict[str, list[Sentence]]) -> dict[str, Any]:
    """Assess all systems of a study on a corpus, and store and return the findings. Systems with too few
    predicted spans, or without confidences (ensembles, and runs of older versions), have a reason instead."""
    runs = findings.runs_on(study, dataset, overrides)
    systems: dict[str, list[Run]] = {}
    for run in runs:
        systems.setdefault(run.system, []).append(run)
    reports: dict[str, Any] = {}
    for system, each in systems.items():
        test, dev = data.test_sentences(each[0], corpus), data.dev_sentences(each[0], corpus)
        try:
            spans = predicted_spans(test, [evaluation.load_predictions(run, test) for run in each])
        except NoConfidences:
            reports[system] = {"reason": "no confidences"}
            continue
        if len(spans.log) < LEAST:
            reports[system] = {"reason": f"only {len(spans.log)} spans"}
            continue
        on_dev = [predictions.read_predictions(run.results / "dev.jsonl", dev) for run in each] if dev else []
        reports[system] = _report(spans, predicted_spans(dev, on_dev), runs[0].resamples)
    return findings.write_findings("confidence", runs, {"systems": reports})


def _report(test: PredictedSpans, dev: PredictedSpans, resamples: int) -> dict[str, Any]:
    """Calibration of one system, before and after the temperature that is learnt on ``dev`` where it has
    enough spans, right and wrong ones; shares from 0 to 1."""
    curve = calibration.risk_coverage(test.log, test.right)
    places = np.unique(np.linspace(1, len(curve), POINTS).round().astype(int))
    report: dict[str, Any] = {
        "spans": len(test.log),
        "right": float(test.right.mean()),
        "curve": [[place / len(curve), float(curve[place - 1])] for place in places],
        "area": float(curve.mean()),
        "surer_half": float(curve[(len(curve) + 1) // 2 - 1]),
        "before": _calibration(np.exp(test.log), test, resamples),
    }
    if len(dev.log) >= LEAST and 0 < dev.right.mean() < 1:
        report["temperature"] = calibration.temperature(dev)
        report["after"] = _calibration(np.exp(test.log / report["temperature"]), test, resamples)
    return report


def _calibration(p: np.ndarray, spans: PredictedSpans, resamples: int) -> dict[str, Any]:
    low, high, chance = calibration.ece_interval(p, spans, resamples)
    values = {"mean": float(p.mean()), "ece": calibration.ece(p, spans.right)}
    values |= {"low": low, "high": high, "chance": chance, "brier": calibration.brier(p, spans.right)}
    return values | {"bins": calibration.reliability(p, spans.right)}


# ---------------------------------------------------------------------- from the findings
# Of systems, each with its name; those of a study's results also name the system's family.
Reports = Sequence[tuple[str, Mapping[str, Any]]]


def stored_reports(results: Results) -> Reports:
    """The findings on all systems of a study; names include the corpus if there are several."""
    stored, labels = findings.study_findings(results, "confidence"), findings.labels(results)
    marks = plots.marks_of_systems(results.families, labels.values())
    names = {dataset: f", {results.corpus_label(dataset)}" if len(stored) > 1 else "" for dataset in stored}
    return [
        (labels[system] + names[dataset], report | {"mark": marks[labels[system]]})
        for dataset, each in stored.items()
        for system, report in each["systems"].items()
        if system in labels
    ]


def _assessed(reports: Reports) -> Reports:
    """The reports without a reason against an assessment."""
    return [(name, report) for name, report in reports if "reason" not in report]


def frame(reports: Reports) -> pd.DataFrame:
    """A row for each system that was assessed: shares from 0 to 1."""
    measures = [(part, key) for part in ("before", "after") for key in ("mean", "ece", "brier")]
    names = {f"{part}.{key}": f"{key} {part}" for part, key in measures}
    table = pd.json_normalize([{"system": name} | report for name, report in _assessed(reports)])
    columns = ["system", "spans", "right", *names, "temperature", "area"]
    return table.reindex(columns=columns).rename(columns=names)


def tab_confidence(reports: Reports) -> str:
    """Each system in two rows, as it is and after one temperature: how sure, how often right, calibration."""
    error = r"Calibration error (\%)"
    columns = [Column("System"), Column("Spans", 0), Column(r"Right (\%)", 1), Column("$T$", 2)]
    columns += [Column(r"\shortstack{Mean con-\\fidence (\%)}", 1), Column("ECE", 1, over=error)]
    columns += [Column(r"95\,\%", layout="r", over=error), Column("chance", 1, over=error)]
    columns += [Column("Brier", 3), Column(r"\shortstack{Wrong in the\\confident\\half (\%)}", 1)]
    rows: list[Any] = []
    for name, report in reports:
        if "reason" in report:
            rows.append([f"{name} ({report['reason']})", *[None] * (len(columns) - 1)])
            continue
        about = [name, report["spans"], 100 * report["right"], None]
        rows.append([*about, *_row(report["before"]), 100 * report["surer_half"]])
        if "after" in report:
            about = [latex.Raw(r"\quad after one temperature"), None, None, report["temperature"]]
            rows.append([*about, *_row(report["after"]), None])
    return latex.tabular(columns, rows)


def _row(each: Mapping[str, Any]) -> list[Any]:
    bounds = latex.interval(100 * each["low"], 100 * each["high"])
    return [100 * each["mean"], 100 * each["ece"], bounds, 100 * each["chance"], each["brier"]]


def numbers(results: Results) -> Iterator[tuple[tuple[str, ...], float]]:
    """Measures of each system in percent, temperatures and Brier scores, by the parts of their keys."""
    for dataset, each in findings.study_findings(results, "confidence").items():
        for system, report in _assessed(each["systems"].items()):
            at = (dataset, system, "confidence")
            yield from (((*at, name), 100 * report[name]) for name in ("right", "area", "surer_half"))
            if "temperature" in report:
                yield (*at, "temperature"), report["temperature"]
            for part in (part for part in ("before", "after") if part in report):
                for name in ("mean", "ece", "low", "high", "chance"):
                    yield (*at, part, name), 100 * report[part][name]
                yield (*at, part, "brier"), report[part]["brier"]


@plots.styled
def fig_reliability(reports: Reports) -> Figure:
    """A panel a system: the share that is right against the confidence, in bins of equal mass."""
    shown = _assessed(reports)
    if not shown:
        return plots.statement(NOTHING)
    figure, axes = plots.grid(len(shown), 3, 1.95, 0.45, sharex=True, sharey=True)
    marks = plots.marks_of(["as it is", "after one temperature"])
    for axis, (name, report) in zip(axes.flat, shown, strict=False):
        axis.plot([0, 100], [0, 100], color="0.6", linewidth=0.8)
        for part, mark in zip(("before", "after"), marks.values(), strict=True):
            if part not in report:
                continue
            x, y = ([100 * row[key] for row in report[part]["bins"]] for key in ("confidence", "right"))
            axis.plot(x, y, **mark | {"linestyle": "-", "linewidth": 0.8}, markersize=3, clip_on=False)
        axis.set_title(plots.wrap(name, 26), fontsize="small")
        axis.set(xlim=(0, 100), ylim=(0, 100), xticks=(0, 50, 100), yticks=(0, 50, 100))
    for axis in axes[:, 0]:
        axis.set_ylabel("Right (%)")
    for axis in axes.flat[max(0, len(shown) - axes.shape[1]) : len(shown)]:  # the lowest of each column
        axis.set_xlabel("Confidence (%)")
        axis.tick_params(labelbottom=True)
    plots.legend(figure, marks)
    return figure


@plots.styled
def fig_risk(reports: Reports) -> Figure:
    """The share of wrong spans among the most confident ones, by how many are kept."""
    shown = _assessed(reports)
    if not shown:
        return plots.statement(NOTHING)
    other = plots.marks_of(name for name, _ in shown)
    marks = {name: report.get("mark", other[name]) for name, report in shown}
    figure, axis = plt.subplots(figsize=(plots.WIDTH, 2.8))
    for name, report in shown:
        kept = [point for point in report["curve"] if point[0] >= SUREST]
        x, y = (100 * np.array(values) for values in zip(*kept, strict=True))
        style = marks[name] | {"linestyle": "-", "linewidth": 1, "markersize": 3}
        axis.plot(x, y, **style, markevery=max(1, len(x) // 8))
    axis.set(xlim=(0, 100), ylim=(0, None), ylabel="Wrong among them (%)")
    axis.set_xlabel("Predicted spans that are kept, the most confident first (%)")
    plots.legend(figure, marks)
    return figure
