"""Calibration: the measures by hand, the interval's coverage by simulation, and the spans that are read."""

import numpy as np
import pytest

from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import Span
from ner_utils.scoring import calibration
from ner_utils.scoring.calibration import PredictedSpans


def made(p, right, groups=None):
    p, right = np.array(p, float), np.array(right, bool)
    groups = np.array([f"g{at}" for at in range(len(p))] if groups is None else groups)
    return PredictedSpans(np.log(p), right, np.arange(len(p)), groups)


def test_by_hand():
    """Ten bins of two: the first five are as sure as they are right, the others half as much."""
    p = np.repeat([0.5, 1.0], 10)
    right = np.array([0, 1] * 5 + [0, 1] * 5, bool)
    assert calibration.ece(p, right) == pytest.approx(0.25)
    assert calibration.brier(p, right) == pytest.approx((10 * 0.25 + 5 * 1) / 20)
    bins = calibration.reliability(p, right)
    assert [row["spans"] for row in bins] == [2] * 10
    assert [row["confidence"] for row in bins] == [0.5] * 5 + [1.0] * 5


def test_risk_falls_where_the_sure_are_right():
    p, right = np.array([0.9, 0.1, 0.8, 0.2]), np.array([1, 0, 1, 0], bool)
    assert calibration.risk_coverage(p, right).tolist() == [0, 0, 1 / 3, 1 / 2]


def test_one_temperature_undoes_another():
    """Truth is drawn with c^2 where c is stated: one half is found again, and mends calibration."""
    chance = np.random.default_rng(0)
    p = chance.uniform(0.3, 1, size=20_000)
    right = chance.random(p.size) < p**2
    found = calibration.temperature(made(p, right))
    assert found == pytest.approx(0.5, abs=0.02)
    assert calibration.ece(p ** (1 / found), right) < 0.01 < calibration.ece(p, right)


@pytest.mark.parametrize("excess", [0.0, 0.05, 0.3])
def test_the_interval_covers_the_error(excess):
    """Of samples from systems whose confidence is too high by so much; with no excess, the error of nearly
    all may be chance."""
    chance, trials = np.random.default_rng(1), 40
    hits = may_be_chance = 0
    for trial in range(trials):
        p = chance.uniform(0.4, 0.9, size=300)
        right = chance.random(300) < p - excess
        low, high, most = calibration.ece_interval(p, made(p, right), 100, seed=trial)
        hits += low <= excess <= high
        may_be_chance += calibration.ece(p, right) <= most
    assert hits >= 0.85 * trials
    assert may_be_chance > 0.87 * trials if excess == 0 else excess < 0.1 or may_be_chance < 0.3 * trials


def test_resampled_are_documents():
    """Spans of a document go together, so that few documents mean a wide interval."""
    chance = np.random.default_rng(2)
    p, right = chance.uniform(0.5, 1, 300), np.repeat(chance.random(6) < 0.5, 50)
    alone = calibration.ece_interval(p, made(p, right), 300)
    together = calibration.ece_interval(p, made(p, right, np.repeat(list("abcdef"), 50)), 300)
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_what_is_stated():
    gold = [Sentence("a", "d1", ("x", "y"), (Span(0, 1, "A"),)), Sentence("b", "d1", ("z",), ())]
    said = [
        Prediction("a", (Span(0, 1, "A"), Span(1, 2, "A")), confidences=(-0.1, -0.5)),
        Prediction("b", (Span(0, 1, "B"),), confidences=(-1.0,)),
    ]
    found = calibration.predicted_spans(gold, [said, said])
    assert found.log.tolist() == [-0.1, -0.5, -1.0] * 2
    assert found.right.tolist() == [True, False, False] * 2
    assert found.sentence.tolist() == [0, 0, 1] * 2
    assert set(found.group) == {"sentence a", "sentence b"}  # of a single document
    more = [Sentence(f"m{at}", f"d{at + 2}", ("x",), ()) for at in range(19)]
    empty = [Prediction(each.id, (), confidences=()) for each in more]
    assert set(calibration.predicted_spans([*gold, *more], [[*said, *empty]]).group) == {"document d1"}
    with pytest.raises(ValueError, match="a: no confidences"):
        calibration.predicted_spans(gold, [[Prediction("a", ()), said[1]]])
