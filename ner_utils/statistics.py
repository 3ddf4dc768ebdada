"""Intervals and tests on strict F1, computed from each sentence's counts alone.

F1 is a function of sums of counts, so that a resample is a vector of weights over documents, and
thousands of resamples are one matrix product. The score of a system with several runs (seeds) is
the mean of its runs' F1. ``micro_f1`` pools the types; ``macro_f1`` is the mean over the types that
gold or prediction holds *in the resample*, as `scoring.macro` would have it. The F1 of a single type
is ``micro_f1`` on a slice of the counts, ``counts[:, :, [k]]``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from ner_utils.data import Sentence
from ner_utils.predictions import ResultError

CELLS = 2_000_000  # weights held at a time, 16 MB, whatever the size of the corpus
TIE = 1e-12  # differences that are equal in exact arithmetic may not be so in floats


class Interval(NamedTuple):
    """A score, or a difference of scores, with its 95 % interval."""

    estimate: float
    low: float
    high: float

    def percent(self, name: str) -> dict[str, float]:
        """In percent: the estimate under a name of its own, low and high."""
        return {name: 100 * self.estimate, "low": 100 * self.low, "high": 100 * self.high}


def tabulate(
    systems: Mapping[str, Sequence[Sequence[dict[str, Any]]]], types: Collection[str]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Arrays from rows of counts.jsonl, ``{"id", "document", "counts": {type: [tp, fp, fn]}}``.

    ``systems`` maps each system to its runs, a run to its rows. Returns each system's counts, [runs,
    sentences, types, 3], and the group of each sentence, [sentences]: its document, or itself where
    it has none. Raises `ResultError` where runs differ in their sentences, or on an unknown type.
    """
    keys = [(row["id"], row["document"]) for row in next(iter(systems.values()))[0]]
    column = {kind: index for index, kind in enumerate(types)}
    tables = {name: np.zeros((len(runs), len(keys), len(types), 3)) for name, runs in systems.items()}
    for name, runs in systems.items():
        for run, rows in enumerate(runs):
            if [(row["id"], row["document"]) for row in rows] != keys:
                raise ResultError(f"{name}: its runs or those of another system cover other sentences")
            for sentence, row in enumerate(rows):
                for kind, values in row["counts"].items():
                    if kind not in column:
                        raise ResultError(f"{name}: {row['id']}: unknown type {kind!r}")
                    tables[name][run, sentence, column[kind]] = values
    return tables, _groups(keys)


def groups(sentences: Sequence[Sentence]) -> np.ndarray:
    """The group of each sentence, as `tabulate` has it."""
    return _groups([(sentence.id, sentence.document) for sentence in sentences])


def _groups(keys: Sequence[tuple[str, str | None]]) -> np.ndarray:
    return np.array([f"sentence {i}" if doc is None else f"document {doc}" for i, doc in keys])


def interval(
    counts: np.ndarray,
    groups: Sequence | np.ndarray,
    metric: str,
    resamples: int,
    seed: int,
    against: np.ndarray | None = None,
) -> Interval:
    """95 % percentile bootstrap interval of a system's score (Efron and Tibshirani 1993, ch. 13).

    Each resample draws as many runs as there are, then as many groups as there are, both with
    replacement; all drawn runs meet the same groups. One run leaves the chance in training out, few
    understate it. With ``against``, a second system's counts of the same sentences, the interval is
    that of the difference: both sides meet the same groups, and each draws its own runs.

    ``counts`` [runs, sentences, types, 3] holds tp, fp and fn; ``groups`` [sentences] says which
    sentences go together. Raises `ValueError` on an unknown metric or shapes that do not fit.
    """
    values = np.zeros(resamples)
    sides = [_parts(side, groups, metric) for side in (counts, against) if side is not None]
    signs = (1, -1)[: len(sides)]
    for rows, sums, drawn in _resample(sides, resamples, seed):
        for sign, each, runs in zip(signs, sums, drawn, strict=True):
            values[rows] += sign * np.take_along_axis(_f1(each), runs, axis=1).mean(axis=1)
    estimate = sum(sign * _f1(parts.sum(axis=0)).mean() for sign, parts in zip(signs, sides, strict=True))
    return Interval(float(estimate), *map(float, np.percentile(values, [2.5, 97.5])))


def intervals(
    counts: np.ndarray,
    groups: Sequence | np.ndarray,
    resamples: int,
    seed: int,
    against: np.ndarray | None = None,
) -> list[Interval]:
    """The `interval` of each type's F1 by itself, or of its difference, all from the same resamples; for what
    is sorted into buckets instead of types, too. Arguments as there."""
    sides = [_parts(side, groups, "macro_f1") for side in (counts, against) if side is not None]
    signs = (1, -1)[: len(sides)]
    values = np.zeros((resamples, sides[0].shape[3]))
    for rows, sums, drawn in _resample(sides, resamples, seed):
        for sign, each, runs in zip(signs, sums, drawn, strict=True):
            values[rows] += sign * np.take_along_axis(_each(each), runs[..., None], axis=1).mean(axis=1)
    low, high = np.percentile(values, [2.5, 97.5], axis=0)
    pairs = zip(signs, sides, strict=True)
    estimates = sum(sign * _each(parts.sum(axis=0)).mean(axis=0) for sign, parts in pairs)
    return [Interval(*map(float, row)) for row in zip(estimates, low, high, strict=True)]


def _resample(sides: Sequence[np.ndarray], resamples: int, seed: int) -> Iterator[tuple[slice, list, list]]:
    """Slices of the resamples: of each side the parts of the groups that are drawn, summed, [resamples in
    the slice, 2, runs, types], and the runs that are drawn."""
    random = np.random.default_rng(seed)
    drawn = [random.integers(parts.shape[2], size=(resamples, parts.shape[2])) for parts in sides]
    for rows, size in _chunks(resamples, len(sides[0])):
        picks = random.integers(size[1], size=size) + size[1] * np.arange(size[0])[:, None]
        weights = np.bincount(picks.ravel(), minlength=picks.size).reshape(size).astype(float)
        yield rows, [np.tensordot(weights, parts, axes=1) for parts in sides], [runs[rows] for runs in drawn]


def paired_test(
    a: np.ndarray, b: np.ndarray, groups: Sequence | np.ndarray, metric: str, resamples: int, seed: int
) -> float:
    """Two-sided p-value of approximate randomisation: do two systems differ? (Yeh 2000, C00-2137)

    In each resample every group's counts change sides with probability 1/2; p is (1 + hits) /
    (1 + resamples), where a hit is a difference no smaller in size than the observed one. Runs are
    paired in the order given, and a group changes sides in all pairs together, since runs of one
    system are no independent witnesses. A system with one run (greedy zero-shot) meets each run of
    the other. The test is about these runs and not about other seeds. Arguments as in `interval`;
    raises `ValueError` also where both have several runs, but not equally many.
    """
    a, b = (_parts(side, groups, metric) for side in (a, b))
    if a.shape[2] != b.shape[2] and 1 not in (a.shape[2], b.shape[2]):
        raise ValueError(f"runs cannot be paired: {a.shape[2]} against {b.shape[2]}")
    a, b = np.broadcast_arrays(a, b)
    total_a, total_b = a.sum(axis=0), b.sum(axis=0)
    difference = (_f1(total_a) - _f1(total_b)).mean()
    random = np.random.default_rng(seed)
    hits = 0
    for _, size in _chunks(resamples, len(a)):
        moved = np.tensordot(random.integers(2, size=size).astype(float), b - a, axes=1)
        differences = (_f1(total_a + moved) - _f1(total_b - moved)).mean(axis=-1)
        hits += int((np.abs(differences) >= abs(difference) - TIE).sum())
    return (1 + hits) / (1 + resamples)


def smallest_difference(
    a: np.ndarray,
    b: np.ndarray,
    groups: Sequence | np.ndarray,
    metric: str,
    alpha: float,
    power: float = 0.85,
) -> float:
    """The true difference of two systems that the test at level ``alpha`` finds at least four times in
    five, as far as their runs show how much their differences scatter over the groups.

    Normal approximation: the standard error of the difference comes from each group's part in it, F1 being
    linearised (the delta method); the runs are taken as given, as the test takes them. ``power`` is more
    than 0.8 because a larger difference scatters more, and shuffling loses a little. Arguments as in
    `paired_test`.
    """
    parts = (_influence(_parts(side, groups, metric)) for side in (a, b))
    difference = np.subtract(*parts)
    error = float(np.sqrt(((difference - difference.mean()) ** 2).sum()))
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * error


def _influence(parts: np.ndarray) -> np.ndarray:
    """What each group adds to a score's deviation, [groups], the mean over runs and types."""
    sums = parts.sum(axis=0)
    held = sums[1] > 0
    scores = _each(sums)
    slopes = np.divide(
        parts[:, 0] - scores * parts[:, 1], sums[1], out=np.zeros_like(parts[:, 0]), where=held
    )
    return (slopes.sum(axis=2) / np.maximum(held.sum(axis=1), 1)).mean(axis=1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given (Holm 1979, Scandinavian Journal of Statistics 6: 65-70)."""
    adjusted = np.zeros(len(p_values))
    order = np.argsort(p_values)
    steps = np.arange(len(order), 0, -1) * np.asarray(p_values, dtype=float)[order]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()


def _parts(counts: np.ndarray, groups: Sequence | np.ndarray, metric: str) -> np.ndarray:
    """F1's numerator 2tp and denominator 2tp + fp + fn, summed in groups: [groups, 2, runs, types]."""
    if metric not in ("micro_f1", "macro_f1"):
        raise ValueError(f"unknown metric {metric!r}; there are micro_f1 and macro_f1")
    if counts.ndim != 4 or counts.shape[-1] != 3 or counts.shape[1] != len(groups):
        raise ValueError(f"counts of shape {counts.shape} do not fit {len(groups)} sentences")
    if metric == "micro_f1":
        counts = counts.sum(axis=2, keepdims=True)
    tp, fp, fn = counts.transpose(3, 1, 0, 2)  # each [sentences, runs, types]
    names, member = np.unique(groups, return_inverse=True)
    parts = np.zeros((len(names), 2, *tp.shape[1:]))
    np.add.at(parts, member, np.stack([2 * tp, 2 * tp + fp + fn], axis=1))
    return parts


def _f1(sums: np.ndarray) -> np.ndarray:
    """[..., 2, runs, types] to [..., runs]: the mean over types whose denominator is not 0."""
    bottom = sums[..., 1, :, :]
    return _each(sums).sum(axis=-1) / np.maximum((bottom > 0).sum(axis=-1), 1)


def _each(sums: np.ndarray) -> np.ndarray:
    """[..., 2, runs, types] to [..., runs, types]: 0 where the denominator is."""
    top, bottom = np.moveaxis(sums, -3, 0)
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _chunks(resamples: int, groups: int) -> Iterator[tuple[slice, tuple[int, int]]]:
    """Slices of the resamples with the shapes of their weights, [resamples in the slice, groups]."""
    step = max(1, CELLS // groups)
    for start in range(0, resamples, step):
        yield slice(start, start + step), (min(step, resamples - start), groups)
