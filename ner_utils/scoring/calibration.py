"""How far can a system's confidences be trusted? Calibration of predicted spans, and one temperature.

The confidence of a predicted span is the exponential of the mean log-probability of the tokens that write it:
the tags of its words, or its part of the answer. Under a grammar, probabilities are those among the permitted
tokens, which is another quantity: compare constrained systems with each other. Missed mentions have no
confidence, so that no measure here is about recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.scoring import resampling

BINS = 10


class NoConfidences(ValueError):
    """Predictions without confidences."""


class PredictedSpans(NamedTuple):
    """Arrays [spans]: mean log-probability, whether the span is right, the index of its sentence, and the
    group that is resampled with it."""

    log: np.ndarray
    right: np.ndarray
    sentence: np.ndarray
    group: np.ndarray


def predicted_spans(gold: Sequence[Sentence], runs: Sequence[Sequence[Prediction]]) -> PredictedSpans:
    """All predicted spans of some runs on the same sentences. Raises `NoConfidences` where a run has none."""
    rows = []
    for predicted in runs:
        each = zip(gold, predicted, resampling.groups(gold), strict=True)
        for at, (sentence, prediction, group) in enumerate(each):
            if prediction.confidences is None:
                raise NoConfidences(f"{sentence.id}: no confidences are stored")
            for span, value in zip(prediction.spans, prediction.confidences, strict=True):
                rows.append((value, span in sentence.spans, at, group))
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    kinds = (float, bool, int, str)
    return PredictedSpans(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def temperature(dev: PredictedSpans) -> float:
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
    """Bins of equal mass, the lowest confidences first: mean confidence, share of right spans, number of
    spans."""
    order = np.argsort(p, kind="stable")
    return [
        {"confidence": float(p[part].mean()), "right": float(right[part].mean()), "spans": len(part)}
        for part in np.array_split(order, BINS)
        if len(part)
    ]


def brier(p: np.ndarray, right: np.ndarray) -> float:
    """Mean squared difference of confidence and truth."""
    return float(((p - right) ** 2).mean())


def risk_coverage(p: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The share of wrong spans among the k surest, for every k, [spans] (El-Yaniv and Wiener 2010)."""
    order = np.argsort(-p, kind="stable")
    return np.cumsum(~right[order]) / np.arange(1, len(p) + 1)


def ece_interval(
    p: np.ndarray, spans: PredictedSpans, resamples: int, seed: int = 0
) -> tuple[float, float, float]:
    """A 95 % interval of `ece` by resampling documents, and the error that a perfectly calibrated system with
    these confidences stays below 19 times in 20.

    A resample's error lies above the sample's as the sample's lies above the truth. The lower end is
    therefore reflected at the estimate (Davison and Hinkley 1997, section 2.4), and 0 where the estimate may
    be chance alone; from the upper end the mean excess is taken. In simulations this covers in 88 to 96 %.
    """
    order = np.argsort(p, kind="stable")
    p, right = p[order], spans.right[order].astype(float)
    names, group = np.unique(spans.group[order], return_inverse=True)
    random = np.random.default_rng(seed)
    errors, perfect = np.empty(resamples), np.empty(resamples)
    for at in range(resamples):
        times = np.bincount(random.integers(len(names), size=len(names)), minlength=len(names))
        drawn = np.repeat(np.arange(len(p)), times[group])  # still in order
        errors[at] = _sorted_ece(p[drawn], right[drawn])
        perfect[at] = _sorted_ece(p, random.random(len(p)) < p)
    estimate, chance = _sorted_ece(p, right), float(np.percentile(perfect, 95))
    lower, upper = np.percentile(errors, [2.5, 97.5])
    low = 0.0 if estimate <= chance else max(0.0, 2 * estimate - float(upper))
    return low, max(estimate, float(upper - (errors.mean() - estimate))), chance


def _sorted_ece(p: np.ndarray, right: np.ndarray) -> float:
    """`ece` of confidences in ascending order."""
    gaps = [part.sum() for part in np.array_split(p - right, BINS)]
    return sum(map(abs, gaps)) / max(1, len(p))
