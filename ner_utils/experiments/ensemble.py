"""An ensemble: systems vote on spans, with weights that dev sentences teach.

Each member that states a span adds its weight; the sum, through a logistic function, is the probability that
the span is right (stacking: Wolpert 1992). Spans above a threshold are kept, the likeliest first, none over
another. The threshold is the one with the highest F1 on dev, where every sentence is judged with weights that
the other folds taught; the final weights are taught by all of dev. Needs stored predictions and no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from ner_utils import scoring
from ner_utils.config.run import Run
from ner_utils.data import predictions
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import Span
from ner_utils.results import evaluation, provenance
from ner_utils.scoring import resampling
from ner_utils.sealed import ResultError

FOLDS = 5
Votes = dict[Span, np.ndarray]  # of a sentence: which members state each span, [members] of 0 and 1


@dataclass(frozen=True)
class Voter:
    """What dev taught: a weight for each member, a bias, and a probability to be reached."""

    weights: np.ndarray
    bias: float
    threshold: float

    def probabilities(self, votes: np.ndarray) -> np.ndarray:
        """[spans] from [spans, members]."""
        return 1 / (1 + np.exp(-(votes @ self.weights + self.bias)))

    def choose(self, votes: Votes) -> tuple[Span, ...]:
        """The spans of a sentence that the members' votes carry."""
        if not votes:
            return ()
        return _choose(list(votes), self.probabilities(np.array(list(votes.values()))), self.threshold)


def count_votes(members: Sequence[Iterable[Span]]) -> Votes:
    """The members' spans of one sentence, put together."""
    found: Votes = {}
    for at, spans in enumerate(members):
        for span in spans:
            found.setdefault(span, np.zeros(len(members)))[at] = 1
    return dict(sorted(found.items()))


def train_voter(
    gold: Sequence[Iterable[Span]], votes: Sequence[Votes], groups: Sequence
) -> tuple[Voter, float]:
    """A voter taught by dev sentences, and the F1 in [0, 1] that it has on folds that did not teach it.

    ``groups`` says which sentences go together into a fold: those of a document. Raises `ValueError` where
    dev teaches nothing: too few spans are stated, or they are all right or all wrong.
    """
    spans = [(at, span) for at, sentence in enumerate(votes) for span in sentence]
    stated = np.array([votes[at][span] for at, span in spans])
    right = np.array([span in set(gold[at]) for at, span in spans])
    member = np.array([groups[at] for at, _ in spans])
    if len(set(member)) < FOLDS:
        raise ValueError(f"spans are stated in {len(set(member))} dev sentences, too few for {FOLDS} folds")
    unseen = np.zeros(len(spans))
    for learn, judge in GroupKFold(FOLDS).split(stated, right, member):
        unseen[judge] = _teach(stated[learn], right[learn]).probabilities(stated[judge])
    sentences: list[list[int]] = [[] for _ in gold]
    for row, (at, _) in enumerate(spans):
        sentences[at].append(row)

    def judged(threshold: float) -> float:
        chosen = [_choose([spans[row][1] for row in rows], unseen[rows], threshold) for rows in sentences]
        return scoring.score(gold, chosen).f1

    # Folds see other sentences, so that one pattern of votes has several probabilities: a step between.
    levels = np.unique(unseen.round(3))
    scores = [judged(level - 5e-4) for level in levels]
    voter, best = _teach(stated, right), int(np.argmax(scores))
    return Voter(voter.weights, voter.bias, float(levels[best] - 5e-4)), scores[best]


def _teach(stated: np.ndarray, right: np.ndarray) -> Voter:
    if right.all() or not right.any():
        raise ValueError("the spans that are stated on dev, or in folds of it, are all right or all wrong")
    model = LogisticRegression().fit(stated, right)
    return Voter(model.coef_[0], float(model.intercept_[0]), 0.5)


def _choose(spans: Sequence[Span], likely: np.ndarray, threshold: float) -> tuple[Span, ...]:
    """Spans that reach the threshold, the likeliest first (the longer of equals), without overlaps."""
    chosen: list[Span] = []
    for _, _, span in sorted(
        (-p, span.start - span.end, span) for p, span in zip(likely, spans, strict=True) if p >= threshold
    ):
        if all(span.end <= other.start or other.end <= span.start for other in chosen):
            chosen.append(span)
    return tuple(sorted(chosen))


def collect_votes(run: Run, split: str, sentences: Sequence[Sentence]) -> list[Votes]:
    """What the members of an ensemble state in each sentence of dev or test, from their stored predictions.

    Raises `ResultError` where a member's result is missing.
    """
    for member in run.members:
        provenance.read_manifest(member)
    name = {"dev": "dev.jsonl", "test": "predictions.jsonl"}[split]
    said = [predictions.read(member.results / name, sentences) for member in run.members]
    return [count_votes([prediction.spans for prediction in row]) for row in zip(*said, strict=True)]


def train_voter_on_dev(run: Run, dev: Sequence[Sentence]) -> tuple[Voter, float]:
    """`train_voter` on the members' stored predictions of dev. The sentences of a document go into one fold,
    unless there are fewer documents than folds. Raises `ResultError` where dev teaches nothing."""
    stated = collect_votes(run, "dev", dev)
    try:
        return train_voter([s.spans for s in dev], stated, resampling.groups(dev, least=FOLDS))
    except ValueError as error:
        raise ResultError(f"{run.system}: {error}") from None


def vote_patterns(run: Run, dev: Sequence[Sentence], voter: Voter) -> pd.DataFrame:
    """Who states a span, how often on dev, how often rightly, and what the voter makes of it."""
    pairs = zip(dev, collect_votes(run, "dev", dev), strict=True)
    rows = [[*vote, span in sentence.spans] for sentence, stated in pairs for span, vote in stated.items()]
    names = [f"{member.label}, seed {member.seed}" for member in run.members]
    frame = pd.DataFrame(rows, columns=[*names, "right"]).astype(int)
    found = frame.groupby(names)["right"].agg(spans="size", right="mean").reset_index()
    likely = voter.probabilities(found[names].to_numpy())
    return found.assign(right=100 * found["right"], probability=likely, kept=likely >= voter.threshold)


def predict_by_vote(run: Run, voter: Voter, test: Sequence[Sentence]) -> list[Prediction]:
    """The ensemble's predictions, from those of its members."""
    stated = collect_votes(run, "test", test)
    return [Prediction(s.id, voter.choose(vote)) for s, vote in zip(test, stated, strict=True)]


def cost_of_members(run: Run, voter: Voter, dev_f1: float) -> dict[str, Any]:
    """What an ensemble takes, for efficiency.json: its members, one after another; and what dev taught."""
    taught = {"members": [[member.system, member.seed] for member in run.members], "dev_f1": dev_f1}
    taught |= {"weights": voter.weights.tolist(), "bias": voter.bias, "threshold": voter.threshold}
    return _sum([evaluation.load_cost(member) for member in run.members]) | {"ensemble": taught}


def _sum(costs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Times add up, percentiles and memory do not."""

    def total(key: str, part: str) -> float:
        return sum(cost[key][part] for cost in costs)

    def most(key: str) -> dict[str, float]:
        peaks = [cost[key] for cost in costs if key in cost]
        return {name: max(peak[name] for peak in peaks) for name in peaks[0]} if peaks else {}

    return {
        **{key: sum(cost.get(key, 0) for cost in costs) for key in ("training_seconds", "looks_seconds")},
        "latency": _latency([cost["latency"] for cost in costs]),
        "sentences_per_second": 1 / sum(1 / cost["sentences_per_second"] for cost in costs),
        "parameters": {key: total("parameters", key) for key in ("total", "trainable")},
        "prediction_memory": most("prediction_memory"),
        "training_memory": most("training_memory"),
        "prediction_truncation": {},
        "threads": costs[0]["threads"],
    }


def _latency(members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """That of all members, one after another, on each sentence. Percentiles are None where a member's times
    were stored without those of its sentences, or are of other sentences."""
    found: dict[str, Any] = {"mean_ms": sum(each["mean_ms"] for each in members)}
    times = [each.get("milliseconds") for each in members]
    if not all(times) or len(set(map(len, times))) > 1:
        return found | {"p50_ms": None, "p95_ms": None}
    together = np.sum(times, axis=0)
    p50, p95 = np.percentile(together, [50, 95])
    found |= {"sentences": len(together), "p50_ms": float(p50), "p95_ms": float(p95)}
    return found | {"milliseconds": together.round(3).tolist()}
