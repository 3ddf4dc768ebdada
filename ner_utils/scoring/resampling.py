"""How sure are we of a score? Bootstrap intervals of strict F1, from each sentence's counts alone.

F1 is a function of sums of counts. A resample is therefore a vector of weights over documents, and thousands
of resamples are one matrix product. The score of a system with several runs (seeds) is the mean of its runs'
F1. ``micro_f1`` pools the types; ``macro_f1`` is the mean over the types that gold or prediction holds *in
the resample*, as `scoring.macro` computes it. The F1 of a single type is ``micro_f1`` on a slice of the
counts, ``counts[:, :, [k]]``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ner_utils.data.corpus import Sentence
from ner_utils.sealed import ResultError

LEAST = 20  # groups; with fewer, sentences are resampled
LEVEL = 0.05  # probability outside an interval, half of it on each side
CELLS = 2_000_000  # weights held at a time, 16 MB, whatever the size of the corpus


class Interval(NamedTuple):
    """A score, or a difference of scores, with its 95 % interval; NaN where there is none."""

    estimate: float
    low: float
    high: float

    def percent(self, name: str) -> dict[str, float]:
        """In percent: the estimate under the given name, low and high."""
        return {name: 100 * self.estimate, "low": 100 * self.low, "high": 100 * self.high}


# ----------------------------------------------------------------- counts and groups
def tabulate(
    systems: Mapping[str, Sequence[Sequence[dict[str, Any]]]], types: Collection[str]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Arrays from rows of counts.jsonl, ``{"id", "document", "counts": {type: [tp, fp, fn]}}``.

    ``systems`` maps each system to its runs, a run to its rows. Returns each system's counts, [runs,
    sentences, types, 3], and the group of each sentence, [sentences], as `grouping` defines it. Raises
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
    a handful of documents say little, and over a single one they have no width. ``ids`` (default: the
    sentences' indices) name sentences.
    """
    keys = list(zip(ids or range(len(documents)), documents, strict=True))
    names = [f"sentence {name}" if document is None else f"document {document}" for name, document in keys]
    if len(set(names)) < least:
        names = [f"sentence {name}" for name, _ in keys]
    documents = any(name.startswith("document ") for name in names)
    return Groups(np.array(names), "documents" if documents else "sentences")


def groups(sentences: Sequence[Sentence], least: int = LEAST) -> np.ndarray:
    """The group of each sentence, [sentences], as `grouping` defines it."""
    return grouping([each.document for each in sentences], [each.id for each in sentences], least).names


def on_common_seeds(*systems: tuple[np.ndarray, Sequence[int]]) -> list[np.ndarray]:
    """The counts, [runs, ...], of each of several systems on the seeds that all have, by their counts and
    seeds. A zero-shot system has no seed, written [0]: its run is compared with every run of the others."""
    seeded = [set(seeds) for _, seeds in systems if list(seeds) != [0]]
    common = sorted(set.intersection(*seeded)) if seeded else []
    return [
        counts if list(seeds) == [0] else counts[[list(seeds).index(seed) for seed in common]]
        for counts, seeds in systems
    ]


def f1_parts(counts: np.ndarray, groups: Sequence | np.ndarray, metric: str) -> np.ndarray:
    """F1's numerator 2tp and denominator 2tp + fp + fn, summed in groups: [groups, 2, runs, types].

    ``counts`` [runs, sentences, types, 3] holds tp, fp and fn; ``groups`` [sentences] names the group of each
    sentence. Raises `ValueError` on an unknown metric or shapes that do not fit.
    """
    if metric not in ("micro_f1", "macro_f1"):
        raise ValueError(f"unknown metric {metric!r}; there are micro_f1 and macro_f1")
    if counts.ndim != 4 or counts.shape[-1] != 3 or counts.shape[1] != len(groups):
        raise ValueError(f"counts of shape {counts.shape} do not fit {len(groups)} sentences")
    if metric == "micro_f1":
        counts = counts.sum(axis=2, keepdims=True)
    tp, fp, fn = counts.transpose(3, 1, 0, 2)  # each [sentences, runs, types]
    return _sum_in_groups(np.stack([2 * tp, 2 * tp + fp + fn], axis=1), groups)


def _sum_in_groups(values: np.ndarray, groups: Sequence | np.ndarray) -> np.ndarray:
    """[sentences, ...] to [groups, ...]."""
    names, group = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(names), *values.shape[1:]))
    np.add.at(sums, group, values)
    return sums


def f1(sums: np.ndarray) -> np.ndarray:
    """From summed `f1_parts`, [..., 2, runs, types] to [..., runs]: the mean over types whose denominator is
    not 0."""
    bottom = sums[..., 1, :, :]
    return f1_by_type(sums).sum(axis=-1) / np.maximum((bottom > 0).sum(axis=-1), 1)


def f1_by_type(sums: np.ndarray) -> np.ndarray:
    """From summed `f1_parts`, [..., 2, runs, types] to [..., runs, types]: 0 where the denominator is."""
    top, bottom = np.moveaxis(sums, -3, 0)
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def chunks(resamples: int, groups: int) -> Iterator[tuple[slice, tuple[int, int]]]:
    """Slices of the resamples with the shapes of their weights, [resamples in the slice, groups]: no more
    than `CELLS` at a time."""
    step = max(1, CELLS // groups)
    for start in range(0, resamples, step):
        yield slice(start, start + step), (min(step, resamples - start), groups)


# -------------------------------------------------------------------------- intervals
def interval(
    counts: np.ndarray,
    groups: Sequence | np.ndarray,
    metric: str,
    resamples: int,
    seed: int,
    against: np.ndarray | None = None,
) -> Interval:
    """95 % percentile bootstrap interval of a system's score (Efron and Tibshirani 1993, ch. 13).

    Each resample draws as many runs as there are, then as many groups as there are, both with replacement;
    all drawn runs are scored on the same groups. An interval of one run leaves out the chance in training,
    and one of few runs understates it. With ``against``, a second system's counts of the same sentences, the
    interval is that of the difference: both systems are scored on the same groups and, if they have equally
    many runs, on the same ones, because runs of one seed share training sentences and perhaps weights.

    Every resample repeats a score of exactly 0 or 1. Its interval ends at the limit of `_limits`, and that of
    the difference of two such scores at the difference of their limits. The ends are NaN where gold has no
    mention, and for other scores where there is a single group.

    Arguments, and what is raised, as in `f1_parts`.
    """
    sides, weights = ([counts], [1]) if against is None else ([counts, against], [1, -1])
    return intervals(sides, weights, groups, metric, resamples, seed)[0]


def intervals(
    sides: Sequence[np.ndarray],
    weights: Sequence[float],
    groups: Sequence | np.ndarray,
    metric: str | None,
    resamples: int,
    seed: int,
) -> list[Interval]:
    """The `interval` of a weighted sum of systems' scores on the same sentences, such as a difference or the
    mean of several differences: a list of one, or, without a metric, one for the F1 of each type, all from
    the same resamples. ``sides`` holds the counts of each system; buckets of mentions may take the place of
    types. Other arguments as there."""
    parts = [f1_parts(side, groups, metric or "macro_f1") for side in sides]

    def score(sums: np.ndarray) -> np.ndarray:
        """[..., 2, runs, types] to [..., runs, 1 or types]."""
        return f1(sums)[..., None] if metric else f1_by_type(sums)

    scores = [score(each.sum(axis=0)).mean(axis=0) for each in parts]  # each [1 or types]
    values = np.zeros((resamples, len(scores[0])))
    for rows, sums, drawn in _resample(parts, resamples, seed):
        for weight, each, runs in zip(weights, sums, drawn, strict=True):
            values[rows] += weight * np.take_along_axis(score(each), runs[..., None], axis=1).mean(axis=1)
    bounds = np.percentile(values, [2.5, 97.5], axis=0)
    if len(parts[0]) == 1:
        bounds[:] = np.nan
    extreme = np.isin(scores, (0, 1)).all(axis=0)
    if extreme.any():
        tail = LEVEL / max(2, len(sides))  # all limits hold together in 95 %
        of_sides = zip(weights, sides, scores, strict=True)
        ends = np.array([w * _limits(side, groups, metric, at, tail) for w, side, at in of_sides])
        bounds[:, extreme] = np.stack([ends.min(axis=1), ends.max(axis=1)]).sum(axis=1)[:, extreme]
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
    sums = _sum_in_groups(counts[0, :, :, [0, 2]].sum(axis=0), groups)  # gold mentions, [groups, types]
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
    numbers = dict.fromkeys(parts.shape[2] for parts in sides)
    runs_of = {number: random.integers(number, size=(resamples, number)) for number in numbers}
    drawn = [runs_of[parts.shape[2]] for parts in sides]
    for rows, size in chunks(resamples, len(sides[0])):
        picks = random.integers(size[1], size=size) + size[1] * np.arange(size[0])[:, None]
        weights = np.bincount(picks.ravel(), minlength=picks.size).reshape(size).astype(float)
        yield rows, [np.tensordot(weights, parts, axes=1) for parts in sides], [runs[rows] for runs in drawn]
