"""Where systems differ: scores by what a mention or its sentence is like.

Every mention, gold or predicted, falls into one bucket of each factor, so that the buckets of a factor add up
to the whole. What training data make of a mention (seen, ambiguous, how common its type is) is judged by all
of a corpus' training sentences, whatever a system was given of them; surfaces are compared in lower case.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ner_utils import statistics
from ner_utils.data import Sentence
from ner_utils.predictions import Prediction
from ner_utils.spans import Span, surface

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


class Sorter:
    """Sorts mentions into buckets."""

    def __init__(self, train: Sequence[Sentence]) -> None:
        self.kinds: dict[str, set[str]] = defaultdict(set)
        types: Counter[str] = Counter()
        for sentence in train:
            for span in sentence.spans:
                self.kinds[surface(sentence.tokens, span).lower()].add(span.type)
                types[span.type] += 1
        self.shares = {kind: number / types.total() for kind, number in types.items()}

    def buckets(self, sentence: Sentence, span: Span) -> list[int]:
        """The place of a mention's bucket in each of `FACTORS`; ``sentence`` is the gold one."""
        length, words = span.end - span.start, len(sentence.tokens)
        kinds = len(self.kinds.get(surface(sentence.tokens, span).lower(), ()))
        share = self.shares.get(span.type, 0)
        said = tuple(token.lower() for token in sentence.tokens[span.start : span.end])
        lower = [token.lower() for token in sentence.tokens]
        stands = sum(tuple(lower[at : at + length]) == said for at in range(words - length + 1))
        return [
            min(length, 3) - 1,
            int(share >= 0.05) + int(share > 0.2),
            int(kinds > 0),
            min(kinds, 2),
            int(stands > 1),
            int(words > 10) + int(words > 20) + int(words > 30),
            min(len(sentence.spans), 3),
        ]

    def count(self, gold: Sequence[Sentence], predicted: Sequence[Prediction]) -> np.ndarray:
        """Strict counts, [sentences, buckets of all factors in a row, 3]: true positives, false positives,
        false negatives."""
        sizes = [len(buckets) for buckets in FACTORS.values()]
        first = np.cumsum([0, *sizes[:-1]])
        counts = np.zeros((len(gold), sum(sizes), 3))
        for at, (sentence, prediction) in enumerate(zip(gold, predicted, strict=True)):
            right, said = set(sentence.spans), set(prediction.spans)
            for span in right | said:
                what = 2 if span not in said else 0 if span in right else 1
                counts[at, first + self.buckets(sentence, span), what] += 1
        return counts


def breakdown(
    gold: Sequence[Sentence],
    systems: Mapping[str, Sequence[Sequence[Prediction]]],
    train: Sequence[Sentence],
    resamples: int,
) -> list[dict[str, Any]]:
    """One row a system and bucket that holds anything: numbers of gold and predicted mentions (means over
    runs) and F1 in percent with its interval. ``systems`` maps each to the predictions of its runs."""
    sorter = Sorter(train)
    groups = statistics.groups(gold)
    names = [(factor, bucket) for factor, buckets in FACTORS.items() for bucket in buckets]
    rows = []
    for system, runs in systems.items():
        counts = np.stack([sorter.count(gold, predicted) for predicted in runs])
        sums = counts.sum(axis=1).mean(axis=0)
        found = statistics.intervals(counts, groups, resamples, seed=0)
        for (factor, bucket), (tp, fp, fn), bounds in zip(names, sums, found, strict=True):
            if tp + fp + fn:
                scores = dict(zip(("f1", "low", "high"), (100 * value for value in bounds), strict=True))
                row = {"system": system, "factor": factor, "bucket": bucket}
                rows.append(row | {"gold": tp + fn, "predicted": tp + fp} | scores)
    return rows


def frame(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> pd.DataFrame:
    """Buckets down, systems across: F1, beside the number of gold mentions."""
    table = pd.DataFrame(rows)
    table["label"] = table["system"].map(labels)
    keys = ["factor", "bucket"]
    number = table.groupby(keys, sort=False)["gold"].max().rename("mentions")
    wide = table.pivot_table(index=keys, columns="label", values="f1", sort=False)
    return number.to_frame().join(wide[list(dict.fromkeys(table["label"]))])
