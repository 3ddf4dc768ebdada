"""Series of systems that differ in the number of their training sentences alone."""

from conftest import show

from ner_utils.analyses import label_efficiency
from ner_utils.thesis.numbers import result_numbers

STUDY = """
title: More and more
kind: demonstration
question: What are labels worth?
datasets: [demo]
seeds: [1]
systems:
  a: {model: minilm, label: "MiniLM, 10", train_sentences: 10}
  c: {model: minilm, label: "MiniLM, all"}
  b: {model: minilm, label: "MiniLM, 30", train_sentences: 30}
  d: {model: minilm, label: "MiniLM, longer", overrides: {training.epochs: 9}}
  e: {model: smollm2-135m, label: "SmolLM2, 10", train_sentences: 10}
  f: {model: smollm2-135m, label: "SmolLM2, 30", train_sentences: 30}
protocol:
  primary_metric: micro_f1
  comparisons: []
  dev_evaluations: 2
  dev_sample: 4
  test_sentences: 60
  latency_sentences: 1
  resamples: 50
"""


def test_of_a_study(add_study, made_up):
    add_study("growing", STUDY)
    results = made_up(name="growing")
    frame = label_efficiency.series(results)
    assert frame["system"].tolist() == ["a", "b", "c"]  # two sizes of SmolLM2 are no series
    assert frame["train_sentences"].tolist() == [10, 30, 640]
    shown = show("label_efficiency", results)
    assert list(shown) == ["tab_label_efficiency", "fig_label_efficiency"]
    assert "MiniLM" in shown["tab_label_efficiency"]
    numbers = result_numbers(results)
    assert numbers["study.label_efficiency"].value == numbers["demo.b.training_sizes"].value == 3
    assert "demo.e.training_sizes" not in numbers


def test_how_far_the_steps_of_a_series_lie_apart(add_study, made_up):
    add_study("growing", STUDY)
    results = made_up(name="growing")
    steps = {"a": 10.0, "b": 30.0, "c": 640.0}
    frame = results.summary
    frame["steps"] = frame["system"].map(steps)
    assert {value for key, value in label_efficiency.numbers(results) if "ratio" in key[-1]} == {64.0}


def test_fewer_sentences_may_be_trained_for_longer(add_study, made_up):
    """Where each size has one length of training, it is a series all the same."""
    longer = "train_sentences: 10, overrides: {training.epochs: 40}}"
    lines = STUDY.replace("train_sentences: 10}", longer, 1).splitlines()
    add_study("longer", "\n".join(line for line in lines if not line.startswith("  d:")))
    frame = label_efficiency.series(made_up(name="longer"))
    assert frame["system"].tolist() == ["a", "b", "c"]


def test_a_study_without_a_series(plain_results):
    assert label_efficiency.series(plain_results).empty
    assert "several numbers" in show("label_efficiency", plain_results)["tab_label_efficiency"]
    assert "study.label_efficiency" not in result_numbers(plain_results)
