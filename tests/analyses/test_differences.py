"""Differences within a study: stored without text, quoted, and refused where they do not fit."""

import json

import pytest
from conftest import show

from ner_utils import paths, sealed
from ner_utils.analyses import differences
from ner_utils.results import findings
from ner_utils.sealed import ResultError
from ner_utils.thesis.numbers import result_numbers


def test_of_a_study(made_up, demo):
    results = made_up(name="vote")
    shown = ["tab_buckets", "tab_errors", "tab_agreement", "fig_buckets", "fig_gain"]
    assert list(show("differences", results)) == shown
    numbers = result_numbers(results)
    whole = sum(
        numbers[f"demo.minilm.mention-20-length.{bucket}.gold"].value
        for bucket in ("1-20-token", "2-20-tokens", "3-20-or-20-more")
    )
    assert whole == results.summary.set_index("system").loc["minilm", "mentions"]
    # The oracle leaves out an ensemble, which is its members' vote.
    recalls = {
        name: 100
        * json.loads((paths.RESULTS / f"vote/demo/{name}/seed1/metrics.json").read_text())["micro"]["recall"]
        for name in ("minilm", "seeds")
    }
    assert recalls["seeds"] != recalls["minilm"]
    assert numbers["demo.oracle.best"].value == pytest.approx(recalls["minilm"])
    assert numbers["demo.oracle.union"].value == pytest.approx(recalls["minilm"])
    text = findings.path("vote", "demo", "differences").read_text()
    words = {
        token
        for sentence in demo["test"]
        for token in sentence.tokens
        if len(token) > 6 and token[0].isupper()
    }
    assert not [word for word in words if word in text]


def test_of_other_runs(made_up):
    results = made_up(name="vote")
    file = findings.path("vote", "demo", "differences")
    stored = sealed.read_json(file, "")
    stored["runs"]["minilm, seed 1"] = "0" * 64
    sealed.write_json(file, stored)
    with pytest.raises(ResultError, match="differences.json: of other predictions; run make study"):
        show("differences", results)
    file.unlink()
    with pytest.raises(ResultError, match="differences.json: not made yet"):
        show("differences", results)


def test_a_property_with_the_same_mentions_is_shown_once():
    buckets = {"known": (7.0, 40.0), "unknown": (3.0, 20.0), "none": (0.0, 0.0)}
    rows = [
        {"system": "a", "factor": factor, "bucket": bucket, "gold": gold, "f1": f1}
        for factor in ("surface in train", "types of surface in train")
        for bucket, (gold, f1) in buckets.items()
    ]
    text = differences.tab_buckets(differences.Compared({"C": {"buckets": rows}}, {"a": "A"}))
    assert "Surface in train" in text and "Types of surface" not in text and "none" not in text
