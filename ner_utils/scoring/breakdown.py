"""On which mentions do systems differ? Scores by properties of a mention and of its sentence.

Every mention, gold or predicted, falls into one bucket of each factor, so that the buckets of a factor add up
to all mentions. Whether a mention is seen or ambiguous, and how common its type is, is judged by all training
sentences of a corpus, even if a system had fewer; surfaces are compared in lower case.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import Span, surface, times_in
from ner_utils.scoring import resampling

# The buckets of each factor, in the order in which they are shown.
FACTORS = {
    "mention length": ("1 token", "2 tokens", "3 or more"),
    "share of type in train": ("under 5 %", "5 to 20 %", "over 20 %"),
    "surface in train": ("unseen", "seen"),
    "types of surface in train": ("unseen", "one", "several"),
    "surface in sentence": ("once", "repeated"),
    "sentence length": ("to 10 tokens", "11 to 20", "21 to 30", "over 30"),
    "mentions in sentence": ("none", "1", "2", "3 or more"),
}

Factors = Mapping[str, Sequence[str]]


def factors(gold: Sequence[Sentence]) -> Factors:
    """`FACTORS`, and the domains of the sentences if they have any."""
    domains = sorted({sentence.domain or "unknown" for sentence in gold})
    return FACTORS | ({"domain": domains} if domains != ["unknown"] else {})


class Sorter:
    """Sorts mentions into the buckets of factors."""

    def __init__(self, train: Sequence[Sentence], factors: Factors = FACTORS) -> None:
        self.factors = factors
        self.kinds: dict[str, set[str]] = defaultdict(set)
        types: Counter[str] = Counter()
        for sentence in train:
            for span in sentence.spans:
                self.kinds[surface(sentence.tokens, span).lower()].add(span.type)
                types[span.type] += 1
        self.shares = {kind: number / types.total() for kind, number in types.items()}

    def buckets(self, sentence: Sentence, span: Span) -> list[int]:
        """The index of a mention's bucket in each factor; ``sentence`` is the gold one."""
        length, words = span.end - span.start, len(sentence.tokens)
        kinds = len(self.kinds.get(surface(sentence.tokens, span).lower(), ()))
        share = self.shares.get(span.type, 0)
        times = times_in([token.lower() for token in sentence.tokens], span)
        domains = self.factors.get("domain")
        return [
            min(length, 3) - 1,
            int(share >= 0.05) + int(share > 0.2),
            int(kinds > 0),
            min(kinds, 2),
            int(times > 1),
            int(words > 10) + int(words > 20) + int(words > 30),
            min(len(sentence.spans), 3),
            *([domains.index(sentence.domain or "unknown")] if domains else []),
        ]

    def count(self, gold: Sequence[Sentence], predicted: Sequence[Prediction]) -> np.ndarray:
        """Strict counts, [sentences, buckets of all factors in a row, 3]: true positives, false positives,
        false negatives."""
        sizes = [len(buckets) for buckets in self.factors.values()]
        first = np.cumsum([0, *sizes[:-1]])
        counts = np.zeros((len(gold), sum(sizes), 3))
        for at, (sentence, prediction) in enumerate(zip(gold, predicted, strict=True)):
            right, predicted_spans = set(sentence.spans), set(prediction.spans)
            for span in right | predicted_spans:
                outcome = 2 if span not in predicted_spans else 0 if span in right else 1
                counts[at, first + self.buckets(sentence, span), outcome] += 1
        return counts


Counted = Mapping[str, np.ndarray]  # by system, [runs, sentences, buckets, 3]


def count(
    gold: Sequence[Sentence],
    systems: Mapping[str, Sequence[Sequence[Prediction]]],
    train: Sequence[Sentence],
) -> Counted:
    """The counts of each system; ``systems`` maps each to the predictions of its runs."""
    sorter = Sorter(train, factors(gold))
    return {
        name: np.stack([sorter.count(gold, predicted) for predicted in runs])
        for name, runs in systems.items()
    }


def scores(gold: Sequence[Sentence], counted: Counted, resamples: int) -> list[dict[str, Any]]:
    """One row a system and bucket with mentions: numbers of gold and predicted mentions (means over runs) and
    F1 in percent with its interval, None where it has none, as without gold mentions."""
    rows, groups = [], resampling.groups(gold)
    for system, counts in counted.items():
        sums = counts.sum(axis=1).mean(axis=0)
        intervals = resampling.intervals([counts], [1], groups, None, resamples, seed=0)
        for name, (tp, fp, fn), bounds in zip(_names(gold), sums, intervals, strict=True):
            if tp + fp + fn:
                row = {"system": system, **name, "gold": tp + fn, "predicted": tp + fp}
                rows.append(row | _stored(bounds.percent("f1")))
    return rows


def gains(
    gold: Sequence[Sentence], pairs: Mapping[tuple[str, str], Sequence[np.ndarray]], resamples: int
) -> list[dict[str, Any]]:
    """One row a pair of systems, with the counts of both, and bucket with gold mentions: the difference a - b
    of F1 in percent, with its interval."""
    rows, groups = [], resampling.groups(gold)
    for (a, b), counts in pairs.items():
        intervals = resampling.intervals(counts, [1, -1], groups, None, resamples, seed=0)
        held = counts[0][0][:, :, [0, 2]].sum(axis=(0, 2))
        for name, number, bounds in zip(_names(gold), held, intervals, strict=True):
            if number:
                rows.append({"a": a, "b": b, **name, **_stored(bounds.percent("difference"))})
    return rows


def _stored(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {key: None if np.isnan(value) else value for key, value in values.items()}


def _names(gold: Sequence[Sentence]) -> list[dict[str, str]]:
    return [{"factor": name, "bucket": one} for name, buckets in factors(gold).items() for one in buckets]


def frame(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> pd.DataFrame:
    """Buckets down, systems across: the number of gold mentions, and F1."""
    table = pd.DataFrame(rows)
    table["label"] = table["system"].map(labels)
    keys = ["factor", "bucket"]
    number = table.groupby(keys, sort=False)["gold"].max().rename("mentions")
    wide = table.pivot_table(index=keys, columns="label", values="f1", sort=False)
    return number.to_frame().join(wide[list(dict.fromkeys(table["label"]))])
