"""The one scorer. A predicted span is right when start, end and type are (strict match)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ner_utils.spans import Span

# One row a sentence: {type: (true positives, false positives, false negatives)}.
Counts = dict[str, tuple[int, int, int]]


class Score(NamedTuple):
    """Precision, recall and F1 in [0, 1]; 0 where a denominator is 0 (seqeval's convention)."""

    precision: float
    recall: float
    f1: float
    support: int  # gold mentions


def count(gold: Iterable[Span], predicted: Iterable[Span]) -> Counts:
    """Strict counts of one sentence by type."""
    gold, predicted = set(gold), set(predicted)
    counts: Counts = {}
    for kind in sorted({span.type for span in gold | predicted}):
        right = {span for span in gold if span.type == kind}
        said = {span for span in predicted if span.type == kind}
        counts[kind] = (len(right & said), len(said - right), len(right - said))
    return counts


def total(rows: Sequence[Counts]) -> Counts:
    """Counts summed over sentences, by type."""
    sums: dict[str, list[int]] = {}
    for row in rows:
        for kind, values in row.items():
            sums[kind] = [a + b for a, b in zip(sums.get(kind, (0, 0, 0)), values, strict=True)]
    return {kind: tuple(sums[kind]) for kind in sorted(sums)}


def prf(tp: int, fp: int, fn: int) -> Score:
    """Precision, recall and F1 from counts."""
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / (tp + fn) if tp + fn else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Score(precision, recall, f1, tp + fn)


def by_type(counts: Counts) -> dict[str, Score]:
    """Scores of each type that gold or prediction holds."""
    return {kind: prf(*values) for kind, values in counts.items()}


def micro(counts: Counts) -> Score:
    """All mentions pooled, whatever their type."""
    return prf(*(sum(column) for column in zip(*counts.values(), strict=True))) if counts else prf(0, 0, 0)


def macro(counts: Counts) -> Score:
    """Unweighted mean over the types that gold or prediction holds (seqeval's convention)."""
    scores = list(by_type(counts).values())
    if not scores:
        return prf(0, 0, 0)
    means = [sum(score[column] for score in scores) / len(scores) for column in range(3)]
    return Score(*means, sum(score.support for score in scores))


def score(gold: Sequence[Iterable[Span]], predicted: Sequence[Iterable[Span]]) -> Score:
    """Strict micro scores over sentences."""
    return micro(total([count(g, p) for g, p in zip(gold, predicted, strict=True)]))
