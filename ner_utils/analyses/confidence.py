"""How far a system's confidence can be trusted: calibration, before and after one temperature.

A predicted span's confidence is the exponential of the mean log-probability of the tokens that state it, in
every arm: of its words' tags, or of its piece of the answer. Under a grammar, a token's probability is that
among the permitted ones, which is another quantity: constrained systems are to be compared with each other.
Mentions that are missed have no confidence, so that nothing here is about recall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar

from ner_utils import config, data
from ner_utils.config.run import Run
from ner_utils.data import predictions
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.rendering import latex, plots, save
from ner_utils.rendering.latex import Column
from ner_utils.results import evaluation, findings
from ner_utils.results.study import Results
from ner_utils.scoring import significance

BINS = 10
LEAST = 5 * BINS  # predicted spans below which nothing is said
POINTS = 50  # of a curve that is stored
SUREST = 0.05  # share of spans from which on a curve is drawn: single spans would be noise


class NoConfidences(ValueError):
    """Predictions without confidences."""


class Stated(NamedTuple):
    """Predicted spans, each array [spans]: mean log-probability, whether it is right, the place of its
    sentence, and the group that is resampled with it."""

    log: np.ndarray
    right: np.ndarray
    sentence: np.ndarray
    group: np.ndarray


def stated(gold: Sequence[Sentence], runs: Sequence[Sequence[Prediction]]) -> Stated:
    """All predicted spans of some runs on the same sentences. Raises `NoConfidences` where a run has none."""
    rows = []
    for predicted in runs:
        each = zip(gold, predicted, significance.groups(gold), strict=True)
        for at, (sentence, prediction, group) in enumerate(each):
            if prediction.confidences is None:
                raise NoConfidences(f"{sentence.id}: no confidences are stored")
            for span, value in zip(prediction.spans, prediction.confidences, strict=True):
                rows.append((value, span in sentence.spans, at, group))
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    kinds = (float, bool, int, str)
    return Stated(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def temperature(dev: Stated) -> float:
    """The T for which exp(log / T) gives the right spans of dev the highest likelihood. One number moves all
    confidences up or down, and never changes their order (after Guo et al. 2017, arXiv 1706.04599, who
    divide logits by it)."""

    def loss(log_t: float) -> float:
        p = np.clip(np.exp(dev.log / np.exp(log_t)), 1e-9, 1 - 1e-9)
        return -float(np.log(np.where(dev.right, p, 1 - p)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded").x))


def ece(p: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over `BINS` bins of equal mass (Nixon et al. 2019, arXiv 1904.01685)."""
    return sum(row["spans"] * abs(row["right"] - row["confidence"]) for row in reliability(p, right)) / len(p)


def reliability(p: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    """Bins of equal mass, from the least sure on: mean confidence, share that is right, number of spans."""
    order = np.argsort(p, kind="stable")
    return [
        {"confidence": float(p[part].mean()), "right": float(right[part].mean()), "spans": len(part)}
        for part in np.array_split(order, BINS)
        if len(part)
    ]


def brier(p: np.ndarray, right: np.ndarray) -> float:
    """Mean squared distance of confidence and truth."""
    return float(((p - right) ** 2).mean())


def risk_coverage(p: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The share of wrong spans among the surest k, for every k, [spans] (El-Yaniv and Wiener 2010)."""
    order = np.argsort(-p, kind="stable")
    return np.cumsum(~right[order]) / np.arange(1, len(p) + 1)


def ece_interval(p: np.ndarray, spans: Stated, resamples: int, seed: int = 0) -> tuple[float, float, float]:
    """A 95 % interval of `ece` by resampling documents, and the error that a perfectly calibrated system with
    these confidences stays below 19 times in 20.

    A resample's error lies above the sample's as the sample's lies above the truth. The lower end is
    therefore reflected at the estimate (Davison and Hinkley 1997, section 2.4), and 0 where the estimate may
    be chance alone; from the upper end the mean excess is taken. In simulations this covers in 88 to 96 %.
    """
    order = np.argsort(p, kind="stable")
    p, right = p[order], spans.right[order].astype(float)
    names, member = np.unique(spans.group[order], return_inverse=True)
    random = np.random.default_rng(seed)
    found, perfect = np.empty(resamples), np.empty(resamples)
    for at in range(resamples):
        times = np.bincount(random.integers(len(names), size=len(names)), minlength=len(names))
        drawn = np.repeat(np.arange(len(p)), times[member])  # still in order
        found[at] = _sorted_ece(p[drawn], right[drawn])
        perfect[at] = _sorted_ece(p, random.random(len(p)) < p)
    estimate, chance = _sorted_ece(p, right), float(np.percentile(perfect, 95))
    lower, upper = np.percentile(found, [2.5, 97.5])
    low = 0.0 if estimate <= chance else max(0.0, 2 * estimate - float(upper))
    return low, max(estimate, float(upper - (found.mean() - estimate))), chance


def _sorted_ece(p: np.ndarray, right: np.ndarray) -> float:
    """`ece` of confidences in ascending order."""
    gaps = [part.sum() for part in np.array_split(p - right, BINS)]
    return sum(map(abs, gaps)) / max(1, len(p))


# -------------------------------------------------------------------------- compiling
def examine(test: Stated, dev: Stated | None, resamples: int) -> dict[str, Any]:
    """Calibration of one system, before and after the temperature that ``dev`` teaches, where there is any;
    shares from 0 to 1."""
    curve = risk_coverage(test.log, test.right)
    places = np.unique(np.linspace(1, len(curve), POINTS).round().astype(int))
    found: dict[str, Any] = {
        "spans": len(test.log),
        "right": float(test.right.mean()),
        "curve": [[place / len(curve), float(curve[place - 1])] for place in places],
        "area": float(curve.mean()),
        "surer_half": float(curve[(len(curve) + 1) // 2 - 1]),
        "before": _calibration(np.exp(test.log), test, resamples),
    }
    if dev is not None and len(dev.log) >= LEAST and 0 < dev.right.mean() < 1:
        found["temperature"] = temperature(dev)
        found["after"] = _calibration(np.exp(test.log / found["temperature"]), test, resamples)
    return found


def _calibration(p: np.ndarray, spans: Stated, resamples: int) -> dict[str, Any]:
    low, high, chance = ece_interval(p, spans, resamples)
    values = {"mean": float(p.mean()), "ece": ece(p, spans.right), "low": low, "high": high, "chance": chance}
    return values | {"brier": brier(p, spans.right), "bins": reliability(p, spans.right)}


def assess(study: str, dataset: str, overrides: str, corpus: dict[str, list[Sentence]]) -> dict[str, Any]:
    """All systems of a study on a corpus, examined and stored; of those that state too little, or whose runs
    have no confidences (they vote, or an older version made them), the reason."""
    runs = findings.runs_on(study, dataset, overrides)
    resamples = config.load_study(study, config.split_overrides(overrides)).protocol.resamples
    systems: dict[str, list[Run]] = {}
    for run in runs:
        systems.setdefault(run.system, []).append(run)
    found: dict[str, Any] = {}
    for system, each in systems.items():
        test = data.test_sentences(each[0], corpus)
        try:
            spans = stated(test, [evaluation.load_predictions(run, test) for run in each])
        except NoConfidences:
            found[system] = {"reason": "no confidences"}
            continue
        if len(spans.log) < LEAST:
            found[system] = {"reason": f"only {len(spans.log)} spans"}
            continue
        dev = data.dev_sentences(each[0], corpus)
        learnt = stated(dev, [predictions.read(r.results / "dev.jsonl", dev) for r in each]) if dev else None
        found[system] = examine(spans, learnt, resamples)
    return findings.write("confidence", runs, {"systems": found})


# ---------------------------------------------------------------------------- telling
def write(results: Results) -> list[str]:
    """Write the table and figures where the study's thesis finds them; their names."""
    found = results.once(findings.of_study, "confidence")
    labels = findings.labels(results)
    blocks = [
        (results.corpus_label(dataset), labels[system], report)
        for dataset, each in found.items()
        for system, report in each["systems"].items()
    ]
    figures = {make.__name__: make(blocks) for make in (fig_reliability, fig_risk)}
    return save.write(results.name, {"tab_confidence": tab_confidence(blocks)}, figures)


Blocks = Sequence[tuple[str, str, Mapping[str, Any]]]  # corpus, label, what `examine` found or the reason


def _names(blocks: Blocks) -> list[str]:
    several = len({corpus for corpus, _, _ in blocks}) > 1
    return [f"{label}, {corpus}" if several else label for corpus, label, _ in blocks]


def frame(blocks: Blocks) -> pd.DataFrame:
    """A row for each system that was examined: shares from 0 to 1."""
    rows = []
    for name, report in _examined(blocks):
        row = {"system": name, "spans": report["spans"], "right": report["right"]}
        for part in ("before", "after"):
            each = report.get(part, {})
            row |= {f"{key} {part}": each.get(key, np.nan) for key in ("mean", "ece", "brier")}
        rows.append(row | {"temperature": report.get("temperature", np.nan), "area": report["area"]})
    return pd.DataFrame(rows)


def tab_confidence(blocks: Blocks) -> str:
    """Each system in two rows, as it is and after one temperature: how sure, how often right, calibration."""
    columns = [Column("System"), Column("Spans", 0), Column(r"Right (\%)", 1), Column("$T$", 2)]
    columns += [Column(r"Sure (\%)", 1), Column("ECE", 1, over=r"Calibration error (\%)")]
    columns += [Column(r"95\,\%", layout="r", over=r"Calibration error (\%)")]
    columns += [Column("chance", 1, over=r"Calibration error (\%)"), Column("Brier", 3)]
    columns += [Column(r"\shortstack{Wrong in the\\surer half (\%)}", 1)]
    rows: list[Any] = []
    for name, (_, _, report) in zip(_names(blocks), blocks, strict=True):
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


def numbers(results: Results) -> dict[tuple[str, ...], float]:
    """What the thesis may quote or judge, in percent but for temperature and Brier score."""
    found = {}
    for dataset, each in results.once(findings.of_study, "confidence").items():
        for system, report in each["systems"].items():
            at = (dataset, system, "confidence")
            if "reason" in report:
                continue
            found |= {(*at, name): 100 * report[name] for name in ("right", "area", "surer_half")}
            if "temperature" in report:
                found[(*at, "temperature")] = report["temperature"]
            for part in ("before", "after"):
                for name in ("mean", "ece", "low", "high", "chance") if part in report else ():
                    found[(*at, part, name)] = 100 * report[part][name]
                if part in report:
                    found[(*at, part, "brier")] = report[part]["brier"]
    return found


def _examined(blocks: Blocks) -> list[tuple[str, Mapping[str, Any]]]:
    pairs = zip(_names(blocks), blocks, strict=True)
    return [(name, report) for name, (_, _, report) in pairs if "reason" not in report]


@plots.styled
def fig_reliability(blocks: Blocks) -> Figure:
    """A panel a system: the share that is right against the confidence, in bins of equal mass."""
    shown = _examined(blocks)
    if not shown:
        return plots.statement("No system states enough spans with a confidence.")
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    size = (plots.WIDTH, 1.95 * lines + 0.45)
    figure, axes = plt.subplots(
        lines, columns, figsize=size, squeeze=False, sharex=True, sharey=True, layout="constrained"
    )
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
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
    for axis in axes.flat[max(0, len(shown) - columns) : len(shown)]:  # the lowest of each column
        axis.set_xlabel("Confidence (%)")
        axis.tick_params(labelbottom=True)
    plots.legend(figure, marks)
    return figure


@plots.styled
def fig_risk(blocks: Blocks) -> Figure:
    """The share of wrong spans among the surest ones, by how many are kept."""
    shown = _examined(blocks)
    if not shown:
        return plots.statement("No system states enough spans with a confidence.")
    marks = plots.marks_of(name for name, _ in shown)
    figure, axis = plt.subplots(figsize=(plots.WIDTH, 2.8), layout="constrained")
    for name, report in shown:
        kept = [point for point in report["curve"] if point[0] >= SUREST]
        x, y = (100 * np.array(values) for values in zip(*kept, strict=True))
        style = marks[name] | {"linestyle": "-", "linewidth": 1, "markersize": 3}
        axis.plot(x, y, **style, markevery=max(1, len(x) // 8))
    axis.set(xlim=(0, 100), ylim=(0, None), xlabel="Predicted spans that are kept, the surest first (%)")
    axis.set_ylabel("Wrong among them (%)")
    plots.legend(figure, marks)
    return figure
