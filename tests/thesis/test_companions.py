"""What companion studies add to a study's texts, and the warnings that stand with its results."""

import re
from dataclasses import replace

import pytest

from ner_utils import analyses, config, paths, sealed
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.files import sha256
from ner_utils.results import cautions, study
from ner_utils.sealed import ResultError
from ner_utils.thesis import build, paper_claims, result_tables
from ner_utils.thesis.numbers import result_numbers

OTHER = """
title: Disturbed and renamed
kind: demonstration
question: What does it cost?
datasets: [demo]
seeds: [1]
systems:
  minilm: {model: minilm, train_sentences: 99}
  lower: {model: minilm, label: Lower, weights_of: minilm, perturbed: lower case}
  writer: {model: smollm2-135m, train_sentences: 99}
  renamed: {model: smollm2-135m, label: Renamed, weights_of: writer, overrides: {type_names: {PER: human}}}
protocol: {primary_metric: micro_f1, comparisons: [[minilm, writer]], dev_evaluations: 1, dev_sample: 4,
           test_sentences: 40, latency_sentences: 1, resamples: 50}
"""


@pytest.fixture
def with_companion(made_up, add_study):
    """``main``, which is ``plain`` with a companion study that asks other questions."""
    add_study("other", OTHER)
    made_up(name="other")
    add_study("main", f"companions: [other]\n{(paths.PARAMS / 'studies' / 'plain.yaml').read_text()}")
    return made_up("minilm:train_sentences=160", "main")


def test_a_companion_answers_what_the_study_does_not_ask(with_companion, monkeypatch):
    numbers = result_numbers(with_companion)
    (other,) = with_companion.companions
    own = result_numbers(other)
    assert numbers["other.demo.lower.robustness.change"] == own["demo.lower.robustness.change"]
    assert numbers["study.disturbed"].value == numbers["study.flexible"].value == 1
    assert numbers["study.disturbed.title"].text == "Disturbed and renamed"
    assert numbers["study.flexible.sentences"].text == "40"
    assert "study.disturbed.title" not in own
    assert "study.label_efficiency" not in numbers
    names = analyses.write_answers(with_companion)
    assert "lower case" in (paths.THESIS / "generated/main" / "tab_robustness.tex").read_text()
    assert "types renamed" in (paths.THESIS / "generated/main" / "tab_flexibility.tex").read_text()
    assert {"tab_label_efficiency", "fig_robustness"} <= set(names)
    key = {"Gain": "gain.low", "Noise": "encoder.robustness.mean_change"}
    listed = [paper_claims.PaperClaim(paper="A", statement=name, scope=paper_claims.Scope()) for name in key]
    monkeypatch.setattr(paper_claims, "load", lambda: listed)
    monkeypatch.setattr(
        paper_claims, "verdict", lambda claim, pair: str(pair.values.get(key[claim.statement], "")) or None
    )
    (_, first), (name, second) = paper_claims.verdicts(with_companion)
    assert [bool(text) for _, text in first] == [True, False]
    assert [claim.statement for claim, text in second if text] == ["Noise"]
    assert name.endswith("(study other)")


def test_a_companion_is_run_and_checked_like_the_study(with_companion, add_study):
    runs = config.with_companions("main", "seeds=[2]")
    assert {(run.study, run.seed) for run in runs if not run.untrained} == {("main", 2), ("other", 1)}
    (with_companion.stored[0].run.results.parents[3] / "other/demo/lower/seed1/metrics.json").unlink()
    with pytest.raises(ResultError, match="other/demo/lower/seed1"):
        result_numbers(study.load_results("main", "protocol.resamples=50 minilm:train_sentences=160"))
    for name in ("main", "nobody"):
        add_study("main", f"companions: [{name}]\n{(paths.PARAMS / 'studies' / 'plain.yaml').read_text()}")
        with pytest.raises(ConfigError, match=rf"main.yaml: companions: '{name}' is no other study"):
            config.load_study("main")


def test_doubtful_times_and_empty_predictions_are_warned_of(plain_results):
    """In the overview and on the thesis' page of warnings; stored results without a usage have no doubts."""
    results = plain_results
    assert cautions.doubts(results.stored) == []
    assert "Warning" not in build.overview(results)
    busy = {"seconds": 10.0, "cpu_seconds": 9.0, "other_seconds": 12.0, "cores": 2, "threads": 2, "load": 4.0}
    first, second, *others = results.stored
    spoilt = first.efficiency | {"training_usage": busy}
    spoilt["latency"] = spoilt["latency"] | {"usage": busy}
    spoilt["failed_sentences"] = 3
    wild = [look | {"dev_loss": float("nan")} for look in second.efficiency["looks"]]
    stored = [
        replace(first, efficiency=spoilt),
        replace(
            second,
            metrics=second.metrics | {"predicted": 0},
            efficiency=second.efficiency | {"looks": wild},
        ),
        *others,
    ]
    lines = cautions.doubts(stored)
    a, b = (f"{item.run.system} on demo" for item in (first, second))
    assert lines == [
        "times are not to be trusted, because the machine was busy while they were taken: "
        f"{a} (training, latency)",
        f"no mention is predicted in any sentence: {b} (seed {second.run.seed})",
        f"sentences could not be predicted, and count as empty: {a} (3 with seed {first.run.seed})",
        f"the loss on dev is not a number, so the training diverged: {b} (seed {second.run.seed})",
    ]
    text = build.overview(replace(results, stored=stored))
    assert all(f"**Warning:** {line}." in text for line in lines)
    many = [
        replace(first, run=first.run.model_copy(update={"system": f"s{number}"}), efficiency=spoilt)
        for number in range(200)
    ]
    for line in cautions.doubts(many):
        assert len(line) < 700
        assert line.endswith("and 188 more")


def test_too_few_documents_are_warned_of(made_up):
    """In warnings, which the thesis prints, and in the overview; intervals are those of sentences."""
    results = made_up()
    assert "documents" not in build.overview(results)
    assert not any("fewer than 20 documents" in line for line in results.warnings)
    alone = results.summary.set_index("system").loc["minilm"]
    for file in paths.RESULTS.glob("plain/demo/*/*/counts.jsonl"):
        text = re.sub(r'"document": "[^"]*"', '"document": "one"', file.read_text(encoding="utf-8"))
        file.write_text(text, encoding="utf-8")
        metrics = sealed.read_json(file.with_name("metrics.json"), "")
        metrics["files"]["counts.jsonl"] = sha256(file)
        sealed.write_json(file.with_name("metrics.json"), metrics)
    few = study.load_results("plain", "protocol.resamples=50")
    (warning,) = [line for line in few.warnings if "fewer than 20 documents" in line]
    assert warning in build.overview(few)
    assert warning.split(":")[0] in few.corpora
    row = few.summary.set_index("system").loc["minilm"]
    assert row["micro_f1_low"] < row["micro_f1"] == alone["micro_f1"] < row["micro_f1_high"]


def test_a_score_of_nothing_has_an_interval(made_up):
    """A system without correct predictions: the upper limit of its score is above 0, and is printed."""
    results = made_up()
    item = next(item for item in results.stored if item.run.untrained)
    for row in item.counts:
        row["counts"] = {kind: [0, 0, tp + fn] for kind, (tp, _, fn) in row["counts"].items()}
    name = f"demo.{item.run.system}.micro_f1"
    numbers = result_numbers(results)
    assert numbers[f"{name}.low"].text == "0.0"
    assert float(numbers[f"{name}.high"].text) == pytest.approx(numbers[f"{name}.high"].value, abs=0.05)
    assert numbers[f"{name}.high"].value > 1
    assert f"(0.0 to {numbers[f'{name}.high'].text})" in build.overview(results)
    assert "0.0 to 0.0" not in result_tables.scores(results)
