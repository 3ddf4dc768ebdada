"""An ensemble: systems vote on spans, with weights learnt on dev.

Each member that predicts a span adds its weight. The logistic function of the sum is the probability that the
span is correct (stacking: Wolpert 1992). Spans above a threshold are kept, the most probable first, without
overlaps. The threshold is the one with the highest F1 on dev, where each sentence is predicted with weights
learnt on the other folds. The final weights are learnt on all of dev. An ensemble needs stored predictions,
and no model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ner_utils import efficiency, scoring
from ner_utils.config.run import Run
from ner_utils.data import predictions
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import Span, without_overlaps
from ner_utils.results import evaluation, provenance
from ner_utils.scoring import resampling
from ner_utils.sealed import ResultError

FOLDS = 5
OPTIONAL = ("labelling_seconds", "teacher_seconds", "dollars")  # costs that some systems have
Votes = dict[Span, np.ndarray]  # of a sentence: which members predict each span, [members] of 0 and 1


@dataclass(frozen=True)
class Voter:
    """Learnt on dev: a weight for each member, a bias, and the threshold of probability."""

    weights: np.ndarray
    bias: float
    threshold: float

    def probabilities(self, votes: np.ndarray) -> np.ndarray:
        """[spans] from [spans, members]."""
        return 1 / (1 + np.exp(-(votes @ self.weights + self.bias)))

    def sufficient(self) -> list[tuple[int, ...]]:
        """The smallest sets of members, by their indices, whose votes together suffice for a span."""
        members, found = range(len(self.weights)), []
        for size in range(1, len(members) + 1):
            for chosen in itertools.combinations(members, size):
                enough = self.probabilities(np.isin(members, chosen).astype(float)) >= self.threshold
                if enough and not any(set(smaller) <= set(chosen) for smaller in found):
                    found.append(chosen)
        return found

    def choose(self, votes: Votes) -> tuple[Span, ...]:
        """The spans of a sentence that the ensemble predicts."""
        if not votes:
            return ()
        return _choose_spans(list(votes), self.probabilities(np.array(list(votes.values()))), self.threshold)


def count_votes(members: Sequence[Iterable[Span]]) -> Votes:
    """Votes on one sentence, from the spans of each member."""
    votes: Votes = {}
    for at, spans in enumerate(members):
        for span in spans:
            votes.setdefault(span, np.zeros(len(members)))[at] = 1
    return dict(sorted(votes.items()))


def train_voter(
    gold: Sequence[Iterable[Span]], votes: Sequence[Votes], groups: Sequence
) -> tuple[Voter, float]:
    """A voter learnt on dev sentences, and its cross-validated F1 in [0, 1].

    Sentences of the same of the ``groups``, such as a document, go into one fold. Raises `ValueError` where
    nothing can be learnt: too few spans are predicted, or all are correct or all wrong.
    """
    # Late: the thesis reads what was learnt, and learns nothing.
    from sklearn.model_selection import GroupKFold

    spans = [(at, span) for at, sentence in enumerate(votes) for span in sentence]
    features = np.array([votes[at][span] for at, span in spans])
    correct = np.array([span in set(gold[at]) for at, span in spans])
    group = np.array([groups[at] for at, _ in spans])
    if len(set(group)) < FOLDS:
        raise ValueError(f"spans are stated in {len(set(group))} dev sentences, too few for {FOLDS} folds")
    probabilities = np.zeros(len(spans))
    for train, test in GroupKFold(FOLDS).split(features, correct, group):
        probabilities[test] = _learn_weights(features[train], correct[train]).probabilities(features[test])
    sentences: list[list[int]] = [[] for _ in gold]
    for row, (at, _) in enumerate(spans):
        sentences[at].append(row)

    def f1_at(threshold: float) -> float:
        chosen = [
            _choose_spans([spans[row][1] for row in rows], probabilities[rows], threshold)
            for rows in sentences
        ]
        return scoring.score(gold, chosen).f1

    # Each fold has its own weights, so equal votes have similar probabilities: thresholds lie between them.
    thresholds = np.unique(probabilities.round(3)) - 5e-4
    scores = [f1_at(threshold) for threshold in thresholds]
    voter, best = _learn_weights(features, correct), int(np.argmax(scores))
    return Voter(voter.weights, voter.bias, float(thresholds[best])), scores[best]


def _learn_weights(features: np.ndarray, correct: np.ndarray) -> Voter:
    if correct.all() or not correct.any():
        raise ValueError("the spans that are stated on dev, or in folds of it, are all right or all wrong")
    from sklearn.linear_model import LogisticRegression  # late, as above

    model = LogisticRegression().fit(features, correct)
    return Voter(model.coef_[0], float(model.intercept_[0]), 0.5)


def _choose_spans(spans: Sequence[Span], probabilities: np.ndarray, threshold: float) -> tuple[Span, ...]:
    """Spans that reach the threshold, the most probable first (the longer of equals), without overlaps."""
    ranked = sorted(
        (-p, span.start - span.end, span)
        for p, span in zip(probabilities, spans, strict=True)
        if p >= threshold
    )
    return without_overlaps(span for _, _, span in ranked)


def collect_votes(run: Run, split: str, sentences: Sequence[Sentence]) -> list[Votes]:
    """The members' votes on each sentence of dev or test, from their stored predictions.

    Raises `ResultError` where a member's result is missing.
    """
    for member in run.members:
        provenance.read_manifest(member)
    name = {"dev": "dev.jsonl", "test": "predictions.jsonl"}[split]
    predicted = [predictions.read_predictions(member.results / name, sentences) for member in run.members]
    return [count_votes([prediction.spans for prediction in row]) for row in zip(*predicted, strict=True)]


def train_voter_on_dev(run: Run, dev: Sequence[Sentence]) -> tuple[Voter, float]:
    """`train_voter` on the members' stored predictions of dev. The sentences of a document go into one fold,
    unless there are fewer documents than folds. Raises `ResultError` where nothing can be learnt."""
    votes = collect_votes(run, "dev", dev)
    try:
        return train_voter([s.spans for s in dev], votes, resampling.groups(dev, least=FOLDS))
    except ValueError as error:
        raise ResultError(f"{run.system}: {error}") from None


def vote_patterns(run: Run, dev: Sequence[Sentence], voter: Voter) -> pd.DataFrame:
    """For each set of members that predict a span together: how many spans on dev, the share that is correct
    (in percent), and the voter's probability and decision."""
    pairs = zip(dev, collect_votes(run, "dev", dev), strict=True)
    rows = [[*vote, span in sentence.spans] for sentence, votes in pairs for span, vote in votes.items()]
    names = [f"{member.label}, seed {member.seed}" for member in run.members]
    frame = pd.DataFrame(rows, columns=[*names, "right"]).astype(int)
    table = frame.groupby(names)["right"].agg(spans="size", right="mean").reset_index()
    probability = voter.probabilities(table[names].to_numpy())
    kept = probability >= voter.threshold
    return table.assign(right=100 * table["right"], probability=probability, kept=kept)


def predict_by_vote(run: Run, voter: Voter, test: Sequence[Sentence]) -> list[Prediction]:
    """The ensemble's predictions, from those of its members."""
    votes = collect_votes(run, "test", test)
    return [Prediction(s.id, voter.choose(vote)) for s, vote in zip(test, votes, strict=True)]


def cost_of_members(run: Run, voter: Voter, dev_f1: float) -> dict[str, Any]:
    """An ensemble's entries of efficiency.json: the voter, and the cost of members that run one by one."""
    learnt = {"members": [[member.system, member.seed] for member in run.members], "dev_f1": dev_f1}
    learnt |= {"weights": voter.weights.tolist(), "bias": voter.bias, "threshold": voter.threshold}
    return _sum([evaluation.load_cost(member) for member in run.members]) | {"ensemble": learnt}


def _sum(costs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The cost of members together: times add up, percentiles and memory do not. What is not known of a
    member, as the parameters of a model behind a server, is not known of them together."""

    def total(key: str) -> float:
        return sum(cost.get(key, 0) for cost in costs)

    def most(key: str) -> dict[str, float]:
        peaks = [cost.get(key, {}) for cost in costs]
        return {name: max(each.get(name, 0) for each in peaks) for peak in peaks for name in peak}

    sizes, speeds = ([cost.get(key) for cost in costs] for key in ("parameters", "sentences_per_second"))
    threads = [cost["threads"] for cost in costs if "threads" in cost]
    return {
        **{key: total(key) for key in ("training_seconds", "looks_seconds")},
        **{key: total(key) for key in OPTIONAL if any(key in cost for cost in costs)},
        "latency": _latency([cost["latency"] for cost in costs]),
        "sentences_per_second": 1 / sum(1 / speed for speed in speeds) if all(speeds) else None,
        **({"parameters": {key: sum(s[key] for s in sizes) for key in sizes[0]}} if all(sizes) else {}),
        "prediction_memory": most("prediction_memory"),
        "training_memory": most("training_memory"),
        "prediction_truncation": {},
        **({"threads": threads[0]} if threads else {}),
    }


def _latency(members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The latency of all members, one after another, on each sentence. The mean is None where a member has
    none. Percentiles are None where a member's times of single sentences are not stored, or are of other
    sentences."""
    means = [each["mean_ms"] for each in members]
    latency: dict[str, Any] = {"mean_ms": None if None in means else sum(means)}
    times = [each.get("milliseconds") for each in members]
    if not all(times) or len(set(map(len, times))) > 1:
        return latency | {"p50_ms": None, "p95_ms": None}
    return latency | efficiency.summary(np.sum(times, axis=0)) | latency
