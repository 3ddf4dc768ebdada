"""Scores on perturbed test sentences, compared with those of the same model on the original text."""

import pytest
from conftest import show

from ner_utils import config, data
from ner_utils.analyses import robustness
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.thesis.numbers import result_numbers

STUDY = """
title: Disturbed
kind: demonstration
question: What does it cost?
datasets: [demo]
seeds: [1]
systems:
  minilm: {model: minilm}
  lower: {model: minilm, label: Lower, weights_of: minilm, perturbed: lower case}
  swap: {model: minilm, label: Swap, weights_of: minilm, perturbed: swap}
protocol:
  primary_metric: micro_f1
  comparisons: [[lower, minilm]]
  dev_evaluations: 1
  dev_sample: 4
  test_sentences: 40
  latency_sentences: 1
  resamples: 50
"""


def test_of_a_study(add_study, made_up, demo):
    add_study("disturbed", STUDY)
    results = made_up(name="disturbed")
    frame = robustness.changes(results).set_index("system")
    summary = results.summary.set_index("system")
    for name in ("lower", "swap"):
        change = summary.loc[name, "micro_f1"] - summary.loc["minilm", "micro_f1"]
        assert frame.loc[name, "change"] == pytest.approx(change)
        assert frame.loc[name, "low"] <= change <= frame.loc[name, "high"]
    assert "lower case" in show("disturbed", results)["tab_robustness"]
    (axis,) = show("disturbed", results)["fig_robustness"].axes
    assert axis.has_data()
    numbers = result_numbers(results)
    mean = numbers["demo.minilm.robustness.mean_change"].value
    assert type(mean) is float, "a claim could not compare it"
    assert mean == pytest.approx(frame["change"].mean())
    low, high = (numbers[f"demo.minilm.robustness.mean_change.{end}"].value for end in ("low", "high"))
    assert low < mean < high
    # The errors of the systems are independent, so the mean of two changes varies less than the changes.
    assert high - low < (frame["high"] - frame["low"]).max()
    assert numbers["study.disturbed"].value == 2
    run = config.load_run("disturbed", "demo", "lower", 1)
    assert all(s.text == s.text.lower() for s in data.test_sentences(run, demo))
    assert run.fingerprint != run.base.fingerprint


def test_a_change_is_that_of_the_seeds_that_both_have(add_study, made_up):
    more = STUDY.replace("seeds: [1]", "seeds: [1, 2]").replace("lower case}", "lower case, seeds: [2]}")
    add_study("disturbed", more)
    results = made_up(name="disturbed")
    f1 = results.runs.set_index(["system", "seed"])["micro_f1"]
    change = robustness.changes(results).set_index("system").loc["lower", "change"]
    assert change == pytest.approx(f1["lower", 2] - f1["minilm", 2])
    assert change != pytest.approx(f1["lower", 2] - f1["minilm"].mean())


UNTRAINED = """
  asked: {model: smollm2-135m, label: Asked, zero_shot: true, overrides: {max_new_tokens: 32}}
  longer: {model: smollm2-135m, label: Longer, zero_shot: true, overrides: {max_new_tokens: 64}}
  shown: {model: smollm2-135m, label: Shown, few_shot: 2}
  upper:
    {model: smollm2-135m, label: Up, zero_shot: true, perturbed: upper case, overrides: {max_new_tokens: 32}}
  emoji: {model: smollm2-135m, label: Emoji, few_shot: 2, perturbed: emoji}
protocol:"""


def test_what_is_not_trained_is_compared_with_the_same_model_and_settings(add_study, made_up):
    add_study("disturbed", STUDY.replace("\nprotocol:", UNTRAINED))
    results = made_up(name="disturbed")
    frame = robustness.changes(results).set_index("system")
    assert frame["base_system"].to_dict() == {
        "lower": "minilm", "swap": "minilm", "upper": "asked", "emoji": "shown"
    }  # fmt: skip
    run = config.load_run("disturbed", "demo", "upper", 0)
    assert robustness.counterpart(run) == config.load_run("disturbed", "demo", "asked", 0)
    scores, numbers = results.summary.set_index("system")["micro_f1"], result_numbers(results)
    for name, base in (("upper", "asked"), ("emoji", "shown")):
        assert frame.loc[name, "change"] == pytest.approx(scores[name] - scores[base])
        assert numbers[f"demo.{name}.robustness.change"].value == frame.loc[name, "change"]
        assert numbers[f"demo.{base}.robustness.mean_change"].value == frame.loc[name, "change"]
    table = show("disturbed", results)["tab_robustness"]
    assert "upper case" in table and "Asked" in table and "Longer" not in table


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("asked: {model: smollm2-135m, label: Asked, zero_shot: true, overrides: {max_new_tokens: 32}}",
         "asked: {model: smollm2-135m, label: Asked, zero_shot: true, overrides: {wording: 2}}"),
        ("label: Emoji, few_shot: 2", "label: Emoji, zero_shot: true"),
        ("label: Shown,", "label: Shown, perturbed: swap,"),
    ],
)  # fmt: skip
def test_what_nothing_can_be_compared_with_is_refused(add_study, old, new):
    text = STUDY.replace("\nprotocol:", UNTRAINED)
    assert text.count(old) == 1
    add_study("disturbed", text.replace(old, new))
    with pytest.raises(ConfigError, match="declare a system with the same model and settings"):
        config.load_study("disturbed")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("perturbed: swap", "perturbed: upside down", "should be 'lower case', 'upper case'"),
        (
            "weights_of: minilm, perturbed: swap",
            "perturbed: swap",
            "name the system that reads test undisturbed",
        ),
    ],
)
def test_refused(add_study, old, new, message):
    add_study("disturbed", STUDY.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        config.load_study("disturbed")
