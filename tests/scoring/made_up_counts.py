"""Made-up counts of systems, and the scorer's F1 of them, for the tests of intervals and of significance."""

import numpy as np

from ner_utils import scoring

TYPES = ("A", "B", "C")
METRICS = {"micro_f1": scoring.micro, "macro_f1": scoring.macro}


def draw(runs: int, sentences: int, types: int = 3, seed: int = 0, error: float = 0.4) -> np.ndarray:
    """Counts of a system that errs now and then, over one gold standard."""
    gold = np.random.default_rng(99).poisson(0.5, (1, sentences, types)).repeat(runs, axis=0)
    random = np.random.default_rng(seed)
    tp = random.binomial(gold, 1 - error)
    return np.stack([tp, random.poisson(error / 3, tp.shape), gold - tp], axis=-1).astype(float)


def scorer_f1(counts: np.ndarray, metric: str) -> float:
    """The score by the project's scorer; ``counts`` is [runs, sentences, types, 3]."""
    scores = []
    for run in counts:
        rows = [dict(zip(TYPES, map(tuple, row), strict=True)) for row in run.astype(int)]
        held = {kind: values for kind, values in scoring.total(rows).items() if any(values)}
        scores.append(METRICS[metric](held).f1)
    return float(np.mean(scores))


def simulate(chance, recall, false_alarms, sentences=300, mentions=1.5, shared=0.5):
    """Counts of two systems, [1, sentences, 1, 3] each: both find a mention with their chances, in part the
    same ones, and predict wrong ones."""
    gold = chance.poisson(mentions, sentences)
    both = chance.binomial(gold, shared)
    luck = chance.random(sentences)
    sides = []
    for found, wrong in zip(recall, false_alarms, strict=True):
        tp = (both * (luck < found)).astype(int) + chance.binomial(gold - both, found)
        fp = chance.poisson(wrong * mentions, sentences)
        sides.append(np.stack([tp, fp, gold - tp], axis=-1)[None, :, None, :])
    return sides


def true_f1(recall, false_alarms):
    return 2 * recall / (2 * recall + false_alarms + 1 - recall)
