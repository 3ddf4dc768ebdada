"""The one scorer, over whole corpora at once.

Strict: a predicted span is right if its start, end and type are. The other schemes of SemEval-2013 task 9
(Segura-Bedmar et al. 2013, S13-2056): *exact* compares the boundaries alone, *partial* gives half a point to
an overlap, *type* compares the types of spans that overlap. Neither gold nor predicted spans of a sentence
overlap each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ner_utils.data.spans import Span
from ner_utils.scoring import span_table
from ner_utils.scoring.span_table import SpanTable

# One row a sentence, or their sums: {type: (true positives, false positives, false negatives)}.
Counts = dict[str, tuple[int, int, int]]
SCHEMES = ("strict", "exact", "partial", "type")


class Score(NamedTuple):
    """Precision, recall and F1 in [0, 1]; 0 where a denominator is 0 (seqeval's convention)."""

    precision: float
    recall: float
    f1: float
    support: int  # gold mentions


class Tally(NamedTuple):
    """Numbers of predicted and gold spans by their outcome under a scheme."""

    correct: int
    incorrect: int
    partial: int
    missed: int
    spurious: int

    @property
    def score(self) -> Score:
        """A partial match counts half."""
        right = self.correct + 0.5 * self.partial
        both = self.correct + self.incorrect + self.partial
        return _score(right, both + self.spurious, both + self.missed)


# ------------------------------------------------------------------------------- strict
def count(gold: SpanTable, predicted: SpanTable) -> np.ndarray:
    """Strict counts, [sentences, types, 3]: true positives, false positives, false negatives."""
    _check(gold, predicted)
    right = span_table.among(predicted, gold)
    shape = gold.sentences, len(gold.types)
    of_predicted, of_right, of_gold = (
        np.bincount(sentence * shape[1] + kind, minlength=shape[0] * shape[1]).reshape(shape)
        for sentence, kind in (
            (predicted.sentence, predicted.kind),
            (predicted.sentence[right], predicted.kind[right]),
            (gold.sentence, gold.kind),
        )
    )
    return np.stack([of_right, of_predicted - of_right, of_gold - of_right], axis=-1)


def rows(counts: np.ndarray, types: Sequence[str]) -> list[Counts]:
    """Counts of each sentence as they are stored, of the types that gold or prediction holds."""
    stored: list[Counts] = [{} for _ in counts]
    for sentence, kind in np.argwhere(counts.any(axis=-1)):
        stored[sentence][types[kind]] = tuple(map(int, counts[sentence, kind]))
    return stored


def total(stored: Sequence[Counts]) -> Counts:
    """Counts summed over sentences, by type."""
    sums: dict[str, list[int]] = {}
    for row in stored:
        for kind, values in row.items():
            sums[kind] = [a + b for a, b in zip(sums.get(kind, (0, 0, 0)), values, strict=True)]
    return {kind: tuple(sums[kind]) for kind in sorted(sums)}


def prf(tp: int, fp: int, fn: int) -> Score:
    """Precision, recall and F1 from counts."""
    return _score(tp, tp + fp, tp + fn)


def _score(right: float, predicted: int, gold: int) -> Score:
    precision = right / predicted if predicted else 0.0
    recall = right / gold if gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Score(precision, recall, f1, gold)


def by_type(counts: Counts) -> dict[str, Score]:
    """Scores of each type that gold or prediction holds."""
    return {kind: prf(*values) for kind, values in counts.items()}


def micro(counts: Counts) -> Score:
    """All mentions pooled, whatever their type."""
    return prf(*(sum(column) for column in zip(*counts.values(), strict=True))) if counts else prf(0, 0, 0)


def macro(counts: Counts) -> Score:
    """Unweighted mean over the types that gold or prediction holds (seqeval's convention)."""
    return _mean(counts, [1] * len(counts))


def weighted(counts: Counts) -> Score:
    """Mean over types, weighted by their gold mentions."""
    return _mean(counts, [tp + fn for tp, _, fn in counts.values()])


def _mean(counts: Counts, weights: Sequence[int]) -> Score:
    scores, whole = list(by_type(counts).values()), sum(weights)
    if not whole:
        return prf(0, 0, 0)
    means = [sum(w * s[column] for w, s in zip(weights, scores, strict=True)) / whole for column in range(3)]
    return Score(*means, sum(score.support for score in scores))


def score(gold: Sequence[Iterable[Span]], predicted: Sequence[Iterable[Span]]) -> Score:
    """Strict micro scores over sentences."""
    types = sorted({span.type for side in (gold, predicted) for row in side for span in row})
    tables = (span_table.from_spans(side, types) for side in (gold, predicted))
    tp, fp, fn = count(*tables).sum(axis=(0, 1))
    return prf(int(tp), int(fp), int(fn))


# --------------------------------------------------------------------- other schemes
class Pairs(NamedTuple):
    """For each predicted span the gold span with which it is compared, -1 where no free one overlaps it:

    ``first``, the first free one of any type, and ``alike``, the free one of the same type with the closest
    boundaries, else the first free one. A gold span is free until a predicted span is paired with it.
    """

    first: np.ndarray
    alike: np.ndarray


def pair(gold: SpanTable, predicted: SpanTable) -> Pairs:
    """Pair predicted spans, from left to right."""
    _check(gold, predicted)
    width = span_table.width(gold, predicted)
    starts, ends = (gold.columns[:, at] + gold.sentence * width for at in (1, 2))
    begin, stop = (predicted.columns[:, at] + predicted.sentence * width for at in (1, 2))
    low, high = np.searchsorted(ends, begin, side="right"), np.searchsorted(starts, stop, side="left")
    kinds = gold.kind.tolist()
    free = [[True] * (len(kinds) + 1) for _ in range(2)]  # the last, with index -1, stands for no span
    first, alike = np.full((2, len(begin)), -1)
    for at, (kind, near) in enumerate(zip(predicted.kind.tolist(), map(range, low, high), strict=True)):
        first[at] = next((k for k in near if free[0][k]), -1)
        left = [k for k in near if free[1][k]]
        same = [k for k in left if kinds[k] == kind]
        if len(same) > 1:
            same = sorted(same, key=lambda k: abs(starts[k] - begin[at]) + abs(ends[k] - stop[at]))
        alike[at] = next(iter((*same, *left)), -1)
        free[0][first[at]] = free[1][alike[at]] = False
    return Pairs(first, alike)


def tally(gold: SpanTable, predicted: SpanTable) -> dict[str, Tally]:
    """Outcomes of all spans, by scheme."""
    pairs = pair(gold, predicted)
    partner, alike = (
        gold.columns[each] if len(gold.columns) else predicted.columns for each in (pairs.first, pairs.alike)
    )
    paired = pairs.first >= 0
    exact = paired & (partner[:, 1:3] == predicted.columns[:, 1:3]).all(axis=1)
    strict = exact & (partner[:, 3] == predicted.kind)
    typed = (pairs.alike >= 0) & (alike[:, 3] == predicted.kind)

    def make(right: np.ndarray, paired: np.ndarray, half: bool = False) -> Tally:
        correct, whole = int(right.sum()), int(paired.sum())
        rest = (0, whole - correct) if half else (whole - correct, 0)
        return Tally(correct, *rest, len(gold.columns) - whole, len(predicted.columns) - whole)

    return {
        "strict": make(strict, paired),
        "exact": make(exact, paired),
        "partial": make(exact, paired, half=True),
        "type": make(typed, pairs.alike >= 0),
    }


def _check(gold: SpanTable, predicted: SpanTable) -> None:
    if gold[1:] != predicted[1:]:
        raise ValueError(f"{gold.sentences} and {predicted.sentences} sentences, or other types")
