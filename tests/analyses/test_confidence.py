"""Confidence: the numbers worked out by hand, coverage by simulation, and that none of it leaks text."""

import numpy as np
import pytest

from ner_utils import data, paths
from ner_utils.analyses import confidence
from ner_utils.analyses.confidence import Stated
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import Span
from ner_utils.results import evaluation, findings
from ner_utils.thesis import result_numbers


def made(p, right, groups=None):
    p, right = np.array(p, float), np.array(right, bool)
    groups = np.array([f"g{at}" for at in range(len(p))] if groups is None else groups)
    return Stated(np.log(p), right, np.arange(len(p)), groups)


def test_by_hand():
    """Ten bins of two: the first five are as sure as they are right, the others half as much."""
    p = np.repeat([0.5, 1.0], 10)
    right = np.array([0, 1] * 5 + [0, 1] * 5, bool)
    assert confidence.ece(p, right) == pytest.approx(0.25)
    assert confidence.brier(p, right) == pytest.approx((10 * 0.25 + 5 * 1) / 20)
    bins = confidence.reliability(p, right)
    assert [row["spans"] for row in bins] == [2] * 10
    assert [row["confidence"] for row in bins] == [0.5] * 5 + [1.0] * 5


def test_risk_falls_where_the_sure_are_right():
    p, right = np.array([0.9, 0.1, 0.8, 0.2]), np.array([1, 0, 1, 0], bool)
    assert confidence.risk_coverage(p, right).tolist() == [0, 0, 1 / 3, 1 / 2]


def test_one_temperature_undoes_another():
    """Truth is drawn with c^2 where c is stated: one half is found again, and mends calibration."""
    chance = np.random.default_rng(0)
    p = chance.uniform(0.3, 1, size=20_000)
    right = chance.random(p.size) < p**2
    found = confidence.temperature(made(p, right))
    assert found == pytest.approx(0.5, abs=0.02)
    assert confidence.ece(p ** (1 / found), right) < 0.01 < confidence.ece(p, right)


@pytest.mark.parametrize("excess", [0.0, 0.05, 0.1, 0.3])
def test_the_interval_covers_the_error(excess):
    """Of samples from systems that are so much too sure; at none, the error of nearly all may be chance."""
    chance = np.random.default_rng(1)
    hits = may_be_chance = 0
    for trial in range(200):
        p = chance.uniform(0.4, 0.9, size=300)
        right = chance.random(300) < p - excess
        low, high, most = confidence.ece_interval(p, made(p, right), 150, seed=trial)
        hits += low <= excess <= high
        may_be_chance += confidence.ece(p, right) <= most
    assert 174 <= hits <= 198
    assert may_be_chance > 175 if excess == 0 else excess < 0.1 or may_be_chance < 60


def test_resampled_are_documents():
    """Spans of a document go together, so that few documents mean a wide interval."""
    chance = np.random.default_rng(2)
    p, right = chance.uniform(0.5, 1, 300), np.repeat(chance.random(6) < 0.5, 50)
    alone = confidence.ece_interval(p, made(p, right), 300)
    together = confidence.ece_interval(p, made(p, right, np.repeat(list("abcdef"), 50)), 300)
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_what_is_stated():
    gold = [Sentence("a", "d1", ("x", "y"), (Span(0, 1, "A"),)), Sentence("b", "d1", ("z",), ())]
    said = [
        Prediction("a", (Span(0, 1, "A"), Span(1, 2, "A")), confidences=(-0.1, -0.5)),
        Prediction("b", (Span(0, 1, "B"),), confidences=(-1.0,)),
    ]
    found = confidence.stated(gold, [said, said])
    assert found.log.tolist() == [-0.1, -0.5, -1.0] * 2
    assert found.right.tolist() == [True, False, False] * 2
    assert found.sentence.tolist() == [0, 0, 1] * 2
    assert set(found.group) == {"sentence a", "sentence b"}  # of a single document
    more = [Sentence(f"m{at}", f"d{at + 2}", ("x",), ()) for at in range(19)]
    empty = [Prediction(each.id, (), confidences=()) for each in more]
    assert set(confidence.stated([*gold, *more], [[*said, *empty]]).group) == {"document d1"}
    with pytest.raises(ValueError, match="a: no confidences"):
        confidence.stated(gold, [[Prediction("a", ()), said[1]]])


def test_of_a_study(made_up, demo):
    results = made_up("protocol.dev_predictions=80")
    found = findings.of_study(results, "confidence")["demo"]["systems"]
    assert found["smollm2-zero-shot"].get("reason", "only").startswith("only")
    for name in confidence.write(results):
        folder = paths.FIGURES if name.startswith("fig") else paths.THESIS / "generated"
        file = f"{name}.{'pdf' if name.startswith('fig') else 'tex'}"
        assert (folder / "plain" / file).stat().st_size > 200
    numbers = result_numbers.numbers(results)
    tagged = found["minilm"]
    assert numbers["demo.minilm.confidence.before.ece"].value == 100 * tagged["before"]["ece"]
    assert tagged["after"]["brier"] < tagged["before"]["brier"]
    run = next(item.run for item in results.stored if item.run.system == "minilm")
    gold = data.test_sentences(run, demo)
    spans = confidence.stated(gold, [evaluation.load_predictions(run, gold)])
    assert tagged["spans"] == len(spans.log) == results.stored[0].metrics["predicted"]
    assert tagged["right"] == pytest.approx(results.stored[0].metrics["micro"]["precision"])
    assert tagged["curve"][-1] == [1, pytest.approx(1 - tagged["right"])]


@pytest.mark.parametrize("name", ["manifest-*.json", "predictions.jsonl"])
def test_a_damaged_file_is_no_lack_of_confidences(made_up, demo, name):
    """Neither half a file nor one that is no text may pass for a system without confidences."""
    results = made_up("protocol.dev_predictions=80")
    run = next(item.run for item in results.stored if item.run.system == "minilm")
    (path,) = run.results.glob(name)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"\xff" + whole):
        path.write_bytes(damaged)
        with pytest.raises(Exception) as error:
            confidence.assess("plain", "demo", "protocol.resamples=50 protocol.dev_predictions=80", demo)
        assert not isinstance(error.value, confidence.NoConfidences)


def test_without_dev_nothing_is_learnt(made_up):
    results = made_up("protocol.dev_predictions=null")
    found = findings.of_study(results, "confidence")["demo"]["systems"]["minilm"]
    assert "before" in found and "after" not in found
    assert "--" in confidence.tab_confidence([("Demo", "MiniLM", found)])
