"""Confidences of a study: what is stored, written and quoted, and what is refused."""

import pytest
from conftest import show

from ner_utils import data
from ner_utils.analyses import confidence
from ner_utils.results import evaluation, findings
from ner_utils.scoring import calibration
from ner_utils.thesis.numbers import result_numbers


def test_of_a_study(made_up, demo):
    results = made_up("protocol.dev_predictions=80")
    found = findings.study_findings(results, "confidence")["demo"]["systems"]
    assert found["smollm2-zero-shot"].get("reason", "only").startswith("only")
    shown = show("confidence", results)
    assert list(shown) == ["tab_confidence", "fig_reliability", "fig_risk"]
    assert "MiniLM" in shown["tab_confidence"]
    numbers = result_numbers(results)
    tagged = found["minilm"]
    assert numbers["demo.minilm.confidence.before.ece"].value == 100 * tagged["before"]["ece"]
    assert tagged["after"]["brier"] < tagged["before"]["brier"]
    run = next(item.run for item in results.stored if item.run.system == "minilm")
    gold = data.test_sentences(run, demo)
    spans = calibration.predicted_spans(gold, [evaluation.load_predictions(run, gold)])
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
        assert not isinstance(error.value, calibration.NoConfidences)


def test_without_dev_nothing_is_learnt(made_up):
    results = made_up("protocol.dev_predictions=null")
    found = findings.study_findings(results, "confidence")["demo"]["systems"]["minilm"]
    assert "before" in found and "after" not in found
    assert "--" in confidence.tab_confidence([("MiniLM", found)])
