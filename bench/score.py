"""Scoring and statistics at the size of MultiNERD's test set: from tags to scores, against seqeval.

Part of `make bench`, and by itself in two minutes: ``python bench/score.py``. Both sides read the same tags
of 16,454 sentences, ill-formed ones among them, in turns, and must give the same scores. Writes
``results/bench/score.json``.
"""

from __future__ import annotations

import random
from itertools import combinations
from statistics import median

import numpy as np
from measure import timed
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

from ner_utils import paths, scoring, sealed
from ner_utils.config.dataset import tag_names
from ner_utils.results import provenance
from ner_utils.scoring import resampling, significance, span_table

SENTENCES = 16_454
TYPES = tuple(f"T{at:02d}" for at in range(15))
TURNS = 3
RESAMPLES = 10_000
SYSTEMS, RUNS = 3, 3


def tags(seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """Gold and predicted tags: every third token belongs to a mention, every tenth predicted one is any."""
    chance, names = random.Random(seed), tag_names(TYPES)
    gold, predicted = [], []
    for _ in range(SENTENCES):
        row: list[str] = []
        while len(row) < 22:
            kind = chance.choice(TYPES)
            mention = [f"B-{kind}", *[f"I-{kind}"] * chance.randrange(3)] if chance.random() < 0.2 else ["O"]
            row += mention
        gold.append(row)
        predicted.append([chance.choice(names) if chance.random() < 0.1 else tag for tag in row])
    return gold, predicted


def score_here(gold: list[list[str]], predicted: list[list[str]]) -> dict[str, float]:
    """Strict F1 by type, and micro."""
    tables = [span_table.from_tags(rows, TYPES, discard="iob2") for rows in (gold, predicted)]
    sums = scoring.count(*tables).sum(axis=0)  # [types, 3]
    found = {kind: scoring.prf(*row).f1 for kind, row in zip(TYPES, sums, strict=True)}
    return found | {"micro": scoring.prf(*sums.sum(axis=0)).f1}


def score_by_seqeval(gold: list[list[str]], predicted: list[list[str]]) -> dict[str, float]:
    """The same by seqeval's strict mode."""
    report = classification_report(gold, predicted, mode="strict", scheme=IOB2, output_dict=True)
    return {name: report[name]["f1-score"] for name in TYPES} | {"micro": report["micro avg"]["f1-score"]}


def micro_alone(systems: list[np.ndarray], groups: np.ndarray) -> None:
    """The interval of one system's micro F1, and its test against another."""
    resampling.interval(systems[0], groups, "micro_f1", RESAMPLES, 0)
    significance.paired_test(systems[0], systems[1], groups, "micro_f1", RESAMPLES, 0)


def everything(systems: list[np.ndarray], groups: np.ndarray) -> None:
    """Micro, macro and each type of every system, and both scores of all pairs, tested."""
    for counts in systems:
        resampling.intervals([counts], [1], groups, None, RESAMPLES, 0)
    for metric in ("micro_f1", "macro_f1"):
        for counts in systems:
            resampling.interval(counts, groups, metric, RESAMPLES, 0)
        for a, b in combinations(systems, 2):
            resampling.interval(a, groups, metric, RESAMPLES, 0, b)
            significance.paired_test(a, b, groups, metric, RESAMPLES, 0)


def main() -> None:
    """Measure, print and store."""
    turns: dict[str, list[float]] = {"ours": [], "theirs": []}
    for turn in range(TURNS):
        work = tags(turn)
        (seconds, scores), (other, expected) = timed(score_here, *work), timed(score_by_seqeval, *work)
        turns["ours"].append(seconds)
        turns["theirs"].append(other)
        wrong = [name for name in expected if abs(scores[name] - expected[name]) > 1e-9]
        if wrong:
            raise RuntimeError(f"our scores and seqeval's differ: {', '.join(wrong)}")
    chance = np.random.default_rng(0)
    shape = (SYSTEMS, RUNS, SENTENCES, len(TYPES), 3)
    systems = list((chance.random(shape) < 0.05).astype(float))
    groups = np.arange(SENTENCES).astype(str)
    found = {
        **provenance.environment(),
        "sentences": SENTENCES,
        "seconds": turns,
        "ratio": median(turns["theirs"]) / median(turns["ours"]),
        "resamples": RESAMPLES,
        "micro_seconds": timed(micro_alone, systems, groups)[0],
        "all_seconds": timed(everything, systems, groups)[0],
    }
    for name in ("seconds", "ratio", "micro_seconds", "all_seconds"):
        print(name, found[name])
    sealed.write_json(paths.RESULTS / "bench" / "score.json", found)


if __name__ == "__main__":
    main()
