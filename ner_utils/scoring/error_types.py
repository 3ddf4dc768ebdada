"""Which errors does a system make? Each counted once; confusions of types; and agreement of systems."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np

from ner_utils import scoring
from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span
from ner_utils.scoring import span_table
from ner_utils.scoring.span_table import SpanTable

# Of a pair of a gold and a predicted span that overlap, and of a span without a partner.
KINDS = ("correct", "type", "boundary", "both", "place", "spurious", "missed")


def sort(
    gold: SpanTable, predicted: SpanTable, sentences: Sequence[Sequence[str]]
) -> tuple[dict[str, int], np.ndarray]:
    """How many of each of `KINDS`, and confusions of types, [gold types and none, predicted types and none].

    Spans are paired as in `scorer.Pairs.alike`. ``type``: the boundaries agree, ``boundary``: the types
    agree, ``both``: neither does. ``place``: a predicted span without a partner has the type and the words of
    a missed one elsewhere in the sentence; ``sentences`` are their tokens.
    """
    partner, of_gold, of_predicted = outcomes(gold, predicted, sentences)
    paired, none = partner >= 0, len(gold.types)
    missed_spans = np.isin(of_gold, ("missed", "place"))
    confusion = np.zeros((none + 1, none + 1), np.int64)
    np.add.at(confusion, (gold.kind[partner[paired]], predicted.kind[paired]), 1)
    np.add.at(confusion[none], predicted.kind[~paired], 1)
    np.add.at(confusion[:, none], gold.kind[missed_spans], 1)
    numbers = Counter(of_gold.tolist())
    numbers["spurious"] = int((of_predicted == "spurious").sum())
    return {each: numbers[each] for each in KINDS}, confusion


def outcomes(
    gold: SpanTable, predicted: SpanTable, sentences: Sequence[Sequence[str]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each predicted span the index of its gold partner, or -1; the kind of each gold span; and that of
    each predicted one, of `KINDS`. Both spans of a pair have its kind, as both spans of ``place`` do."""
    partner, of_predicted = kinds(gold, predicted)
    paired = partner >= 0
    of_gold = np.full(len(gold.columns), "missed", of_predicted.dtype)
    of_gold[partner[paired]] = of_predicted[paired]
    missed, spurious = np.flatnonzero(of_gold == "missed"), np.flatnonzero(~paired)
    for places in _moved(gold, missed, predicted, spurious, sentences):
        of_gold[places[0]] = of_predicted[places[1]] = "place"
    return partner, of_gold, of_predicted


def kinds(gold: SpanTable, predicted: SpanTable) -> tuple[np.ndarray, np.ndarray]:
    """For each predicted span the index of its gold partner, -1 where it has none, and its kind: one of
    `KINDS`, without place and missed; [spans]."""
    partner = scoring.pair(gold, predicted).alike
    paired = np.flatnonzero(partner >= 0)
    right, paired_spans = gold.columns[partner[paired]], predicted.columns[paired]
    same_place = (right[:, 1:3] == paired_spans[:, 1:3]).all(axis=1)
    same_type = right[:, 3] == paired_spans[:, 3]
    kind = np.full(len(partner), "spurious")
    kind[paired] = np.select(
        [same_place & same_type, same_place, same_type], ["correct", "type", "boundary"], "both"
    )
    return partner, kind


def _moved(
    gold: SpanTable,
    missed: np.ndarray,
    predicted: SpanTable,
    spurious: np.ndarray,
    sentences: Sequence[Sequence[str]],
) -> Iterator[tuple[int, int]]:
    """Pairs of a missed and a spurious span, by their indices, with the type and the words in common, in one
    sentence, one to one."""

    def by_words(table: SpanTable, places: np.ndarray) -> dict[tuple, list[int]]:
        found = defaultdict(list)
        for place, (at, start, end, kind) in zip(places, table.columns[places].tolist(), strict=True):
            found[at, kind, tuple(sentences[at][start:end])].append(place)
        return found

    left = by_words(predicted, spurious)
    for key, places in by_words(gold, missed).items():
        yield from zip(places, left.get(key, ()), strict=False)


def agreement(systems: Mapping[str, Sequence[SpanTable]]) -> list[dict[str, Any]]:
    """F1 in percent of each system's spans against each other's, which is the same in both directions: the
    mean over runs, paired in their order (a single run is paired with each run of the other system). A system
    with several runs is also compared with itself, each run with each other."""
    rows = []
    for a, b in combinations(systems, 2):
        many = max(len(systems[a]), len(systems[b]))
        pairs = [(systems[a][k % len(systems[a])], systems[b][k % len(systems[b])]) for k in range(many)]
        rows.append({"a": a, "b": b, "f1": _mean_f1(pairs)})
    for name, runs in systems.items():
        if len(runs) > 1:
            rows.append({"a": name, "b": name, "f1": _mean_f1(list(combinations(runs, 2)))})
    return rows


def _mean_f1(pairs: Sequence[tuple[SpanTable, SpanTable]]) -> float:
    scores = []
    for a, b in pairs:
        tp, fp, fn = scoring.count(a, b).sum(axis=(0, 1))
        scores.append(scoring.prf(tp, fp, fn).f1)
    return 100 * float(np.mean(scores))


def oracle(gold: SpanTable, systems: Mapping[str, Sequence[SpanTable]]) -> dict[str, float]:
    """Percent of gold mentions that any system finds, by the first run of each: the recall of an oracle that
    picks the right answers of all; and the most that one system finds."""
    hits = {name: span_table.among(gold, runs[0]) for name, runs in systems.items()}
    whole = max(1, len(gold.columns))
    return {
        "union": 100 * float(np.any(list(hits.values()), axis=0).sum()) / whole,
        "best": 100 * max(float(each.sum()) for each in hits.values()) / whole,
    }


def ceiling(sentences: Sequence[Sentence]) -> dict[str, Any]:
    """The highest score that conflicting copies allow: sentences of equal tokens with different annotations
    cannot all be right for a system that gives equal answers. ``f1``, in percent, is the highest micro F1 of
    any such system whose mentions do not overlap within a sentence; ``copied`` counts the sentences that have
    a copy, ``conflicting`` the texts whose copies differ.

    To predict a span in n copies, k of which have it, adds n to the predicted mentions and k to the right
    ones. F1, a ratio, is highest for the spans whose sum of 2k - F1 x n is highest (Dinkelbach 1967,
    Management Science 13: 492-498): F1 is raised until the choice stays the same.
    """
    copies: dict[tuple[str, ...], list[set[Span]]] = defaultdict(list)
    for sentence in sentences:
        copies[sentence.tokens].append(set(sentence.spans))
    several = [versions for versions in copies.values() if len(versions) > 1]
    differing = [versions for versions in several if any(version != versions[0] for version in versions)]
    gold = sum(len(sentence.spans) for sentence in sentences)
    clear = gold - sum(len(version) for versions in differing for version in versions)
    best, before = Fraction(0), None
    while best != before:
        chosen = [_most(versions, best) for versions in differing]
        right, predicted = (clear + sum(each) for each in zip((0, 0), *chosen, strict=True))
        best, before = Fraction(2 * right, max(1, predicted + gold)), best
    return {
        "copied": sum(map(len, several)),
        "conflicting": len(differing),
        "f1": 100 * scoring.prf(right, predicted - right, gold - right).f1,
    }


def _most(versions: Sequence[set[Span]], price: Fraction) -> tuple[int, int]:
    """Right and predicted mentions, over all versions, of the spans without overlaps for which twice the
    right ones less ``price`` times the predicted ones is highest (weighted interval scheduling)."""
    held = Counter(span for version in versions for span in version)
    ends = sorted({span.end for span in held})
    # By the end of what was considered: the highest sum, and the right and predicted mentions that have it.
    best: dict[int, tuple[Fraction, int, int]] = {0: (Fraction(0), 0, 0)}
    for at, end in zip((0, *ends), ends, strict=False):
        options = [best[at]]
        for span, right in held.items():
            if span.end == end:
                start = max(place for place in best if place <= span.start)
                worth, *numbers = best[start]
                more = 2 * right - price * len(versions)
                options.append((worth + more, numbers[0] + right, numbers[1] + len(versions)))
        best[end] = max(options)
    return best[ends[-1] if ends else 0][1:]
