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

from ner_utils.data.corpus import Sentence
from ner_utils.sealed import ResultError

LEAST = 20  # groups below which sentences are resampled
LEVEL = 0.05  # what an interval leaves out, half of it on each side
CELLS = 2_000_000  # weights held at a time, 16 MB, whatever the size of the corpus
TIE = 1e-12  # differences that are equal in exact arithmetic may not be so in floats


class Interval(NamedTuple):
    """A score, or a difference of scores, with its 95 % interval; NaN where there is none."""

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
    sentences, types, 3], and the group of each sentence, [sentences], as `grouping` has it. Raises
    `ResultError` where runs differ in their sentences, or on an unknown type.
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
    return tables, grouping([document for _, document in keys], [name for name, _ in keys]).names


class Groups(NamedTuple):
    """Which sentences are resampled together."""

    names: np.ndarray  # [sentences]
    kind: str  # what is resampled, "documents" or "sentences"


def grouping(documents: Sequence[str | None], ids: Sequence[str] | None = None, least: int = LEAST) -> Groups:
    """Groups from the document of each sentence, if any: a sentence without one is a group by itself.

    With fewer than ``least`` groups every sentence is a group by itself: the percentiles of a bootstrap over
    a handful of documents say little, and over a single one they have no width. ``ids`` (default: their
    places) name sentences.
    """
    keys = list(zip(ids or range(len(documents)), documents, strict=True))
    names = [f"sentence {name}" if document is None else f"document {document}" for name, document in keys]
    if len(set(names)) < least:
        names = [f"sentence {name}" for name, _ in keys]
    documents = any(name.startswith("document ") for name in names)
    return Groups(np.array(names), "documents" if documents else "sentences")


def groups(sentences: Sequence[Sentence], least: int = LEAST) -> np.ndarray:
    """The group of each sentence, [sentences], as `grouping` has it."""
    return grouping([each.document for each in sentences], [each.id for each in sentences], least).names


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

    Every resample repeats a score of exactly 0 or 1. Its interval ends at the limit of `_limits`, and that of
    the difference of two such scores at the difference of their limits. The ends are NaN where gold has no
    mention, and for other scores where there is a single group.

    ``counts`` [runs, sentences, types, 3] holds tp, fp and fn; ``groups`` [sentences] says which
    sentences go together. Raises `ValueError` on an unknown metric or shapes that do not fit.
    """
    sides, signs = ([counts], [1]) if against is None else ([counts, against], [1, -1])
    return weighted_interval(sides, signs, groups, metric, resamples, seed)


def weighted_interval(
    sides: Sequence[np.ndarray],
    weights: Sequence[float],
    groups: Sequence | np.ndarray,
    metric: str,
    resamples: int,
    seed: int,
) -> Interval:
    """The `interval` of a weighted sum of systems' scores on the same sentences, such as the mean of several
    differences. ``sides`` holds the counts of each system; other arguments as there."""
    return _intervals(sides, weights, groups, metric, resamples, seed)[0]


def intervals(
    counts: np.ndarray,
    groups: Sequence | np.ndarray,
    resamples: int,
    seed: int,
    against: np.ndarray | None = None,
) -> list[Interval]:
    """The `interval` of each type's F1 by itself, or of its difference, all from the same resamples; for what
    is sorted into buckets instead of types, too. Arguments as there."""
    sides, signs = ([counts], [1]) if against is None else ([counts, against], [1, -1])
    return _intervals(sides, signs, groups, None, resamples, seed)


def _intervals(
    sides: Sequence[np.ndarray],
    weights: Sequence[float],
    groups: Sequence | np.ndarray,
    metric: str | None,
    resamples: int,
    seed: int,
) -> list[Interval]:
    """A single one by a metric; without a metric, one a type."""
    parts = [_parts(side, groups, metric or "macro_f1") for side in sides]

    def score(sums: np.ndarray) -> np.ndarray:
        """[..., 2, runs, types] to [..., runs, 1 or types]."""
        return _f1(sums)[..., None] if metric else _each(sums)

    scores = [score(each.sum(axis=0)).mean(axis=0) for each in parts]  # each [1 or types]
    values = np.zeros((resamples, len(scores[0])))
    for rows, sums, drawn in _resample(parts, resamples, seed):
        for weight, each, runs in zip(weights, sums, drawn, strict=True):
            values[rows] += weight * np.take_along_axis(score(each), runs[..., None], axis=1).mean(axis=1)
    bounds = np.percentile(values, [2.5, 97.5], axis=0)
    if len(parts[0]) == 1:
        bounds[:] = np.nan
    stuck = np.isin(scores, (0, 1)).all(axis=0)
    if stuck.any():
        tail = LEVEL / max(2, len(sides))  # all limits hold together in 95 %
        of_sides = zip(weights, sides, scores, strict=True)
        ends = np.array([w * _limits(side, groups, metric, at, tail) for w, side, at in of_sides])
        bounds[:, stuck] = np.stack([ends.min(axis=1), ends.max(axis=1)]).sum(axis=1)[:, stuck]
    estimates = sum(weight * each for weight, each in zip(weights, scores, strict=True))
    return [Interval(*map(float, row)) for row in zip(estimates, *bounds, strict=True)]


def _limits(
    counts: np.ndarray, groups: Sequence | np.ndarray, metric: str | None, scores: np.ndarray, tail: float
) -> np.ndarray:
    """Lower and upper limits, [2, 1 or types], of scores that are 0 or 1, of each type or by a metric.

    None of n groups that hold gold mentions has a hit, or an error: the share of groups with any is then at
    most 1 - tail^(1/n) (Clopper and Pearson 1934, Biometrika 26: 404-413; about 3.7 / n where the tail is
    2.5 %). The limit is the F1 that follows if all mentions of such groups are hits, the number of predicted
    mentions being as it is, or if all are errors. It holds however much the mentions of a group depend on
    each other, and is wide where they do not. Several runs count as one. The limit of a macro score is the
    mean over the types that gold holds. NaN without gold mentions.
    """
    if metric == "micro_f1":
        counts = counts.sum(axis=2, keepdims=True)
    mentions = counts[0, :, :, [0, 2]].sum(axis=0)  # [sentences, types]
    names, member = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(names), mentions.shape[1]))
    np.add.at(sums, member, mentions)
    trials, gold = (sums > 0).sum(axis=0), sums.sum(axis=0)
    predicted = counts[..., :2].sum(axis=(1, 3)).mean(axis=0)
    share = 1 - tail ** (1 / np.where(trials, trials, np.nan))
    hits = share * gold
    most = 2 * hits / (gold + np.maximum(predicted, hits))
    if metric == "macro_f1":
        held = trials > 0 if trials.any() else trials == 0
        share, most = (each[held].mean(keepdims=True) for each in (share, most))
    return np.where(scores == 0, [np.zeros_like(most), most], [1 - share, np.ones_like(share)])


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
    than 0.8 because a larger difference scatters more, and shuffling loses a little. NaN where the runs show
    no scatter at all, as two systems that find nothing do. Arguments as in `paired_test`.
    """
    parts = (_influence(_parts(side, groups, metric)) for side in (a, b))
    difference = np.subtract(*parts)
    error = float(np.sqrt(((difference - difference.mean()) ** 2).sum())) or float("nan")
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
