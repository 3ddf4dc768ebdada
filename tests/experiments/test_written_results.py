"""The files of a run's result: complete, bound to their configuration, and refused where they do not fit."""

import pytest

from ner_utils import stages
from ner_utils.data import predictions
from ner_utils.data.predictions import Prediction
from ner_utils.experiments import experiment
from ner_utils.results import evaluation, provenance
from ner_utils.sealed import ResultError


@pytest.fixture
def sealed(make_run, demo, monkeypatch):
    """A whole result whose predictions are the gold."""
    monkeypatch.setattr(provenance, "commit", lambda: "0123456789")  # whatever is being edited
    run = make_run("minilm", {})
    found = [Prediction(s.id, s.spans) for s in demo["test"]]
    experiment.write_results(run, found, {"best_checkpoint": "checkpoint-1"}, {"sentences_per_second": 1.0})
    return run


def test_gold_as_prediction_scores_one(sealed, demo):
    metrics = evaluation.write_metrics(
        sealed, demo["test"], evaluation.load_predictions(sealed, demo["test"])
    )
    assert metrics["micro"]["f1"] == metrics["macro"]["f1"] == 1.0
    assert evaluation.load_metrics(sealed) == metrics


def test_merged_weights_are_deleted_when_their_run_is_sealed(make_run, demo):
    """Those of the run whose checkpoints another one uses stay until both are sealed."""
    base = make_run("smollm2-135m", {}).model_copy(update={"system": "base"})
    run = base.model_copy(update={"system": "grounded", "base": base})
    predicted = [Prediction(sentence.id, sentence.spans) for sentence in demo["test"]]
    record = {"best_checkpoint": "checkpoint-4", "lowest_loss_checkpoint": "checkpoint-4"}

    def left(run):
        return sorted(folder.name for folder in run.scratch.iterdir())

    (base.scratch / "checkpoint-4").mkdir(parents=True)
    for folder in (base.scratch, run.scratch):
        (folder / "merged-checkpoint-4").mkdir(parents=True)
        (folder / ".merged-checkpoint-4.partial").mkdir()  # of a process that was killed
    experiment.write_results(run, predicted, record, {})
    assert left(run) == []
    assert "merged-checkpoint-4" in left(base)
    experiment.write_results(base, predicted, record, {})
    assert left(base) == ["checkpoint-4"]
    (base.scratch / "merged-checkpoint-4").mkdir()  # a checkpoint was damaged, so the base was trained again
    experiment.write_results(run, predicted, record, {})
    assert left(base) == ["checkpoint-4"]


def test_a_changed_configuration_is_refused_and_named(sealed, make_run):
    other = make_run("minilm", {"training.learning_rate": 3.0e-4})
    with pytest.raises(ResultError, match=r"model\.training\.learning_rate: stored 0\.0002, now 0\.0003"):
        provenance.read_manifest(other)


def test_changed_predictions_are_refused(sealed):
    path = sealed.results / "predictions.jsonl"
    path.write_text(path.read_text().replace("[[", "[[", 1) + "\n")
    with pytest.raises(ResultError, match="changed since"):
        provenance.read_manifest(sealed)


def test_a_result_without_its_manifest_is_none(sealed, demo):
    provenance.clear(sealed)
    assert not provenance.is_done(sealed)
    with pytest.raises(ResultError, match="no result; run make study"):
        evaluation.load_predictions(sealed, demo["test"])


def test_scores_of_another_scorer_are_refused(sealed, demo, monkeypatch):
    evaluation.write_metrics(sealed, demo["test"], evaluation.load_predictions(sealed, demo["test"]))
    monkeypatch.setitem(stages.NUMBERS, "scoring", stages.NUMBERS["scoring"] + 1)
    with pytest.raises(ResultError, match="other rules"):
        evaluation.load_metrics(sealed)


def test_versions_are_a_warning_not_a_refusal(sealed):
    manifest = provenance.read_manifest(sealed)
    assert provenance.warnings(sealed, manifest) == []
    manifest["versions"]["torch"] = "1.0.0"
    assert "torch 1.0.0" in provenance.warnings(sealed, manifest)[0]


def test_a_raised_stage_asks_for_another_result(sealed, monkeypatch):
    before = provenance.manifest_path(sealed)
    monkeypatch.setitem(stages.NUMBERS, "generation", 7)
    assert provenance.manifest_path(sealed) == before, "a tagger generates nothing"
    monkeypatch.setitem(stages.NUMBERS, "tagging", 7)
    assert not provenance.is_done(sealed)
    with pytest.raises(ResultError, match=r"stages: stored None, now \{'tagging': 7\}"):
        provenance.read_manifest(sealed)


def test_files_that_differ_from_the_commit_are_a_warning(sealed):
    manifest = provenance.read_manifest(sealed) | {"commit": "0123456789+"}
    assert "files that differed from commit 0123456789" in provenance.warnings(sealed, manifest)[0]


def test_answers_that_today_might_read_otherwise_are_counted(make_run, demo):
    run = make_run("smollm2-135m", {})
    whole = {"unknown_type": 0, "malformed": 0, "ungrounded": 0, "duplicate": 0}
    rows = [predictions.Prediction(s.id, (), "ok", whole) for s in demo["test"]]
    rows[3] = predictions.Prediction(rows[3].id, (), "failed", whole)
    rows[5] = predictions.Prediction(rows[5].id, (), "ok", whole | {"ungrounded": 1})
    rows[7] = predictions.Prediction(rows[7].id, (), "ok", whole | {"duplicate": 1})
    experiment.write_results(run, rows, {}, {})
    manifest = provenance.read_manifest(run)
    assert provenance.read_otherwise(run, manifest) is None
    manifest["stages"]["reading"] -= 1
    assert provenance.read_otherwise(run, manifest) == f"2 of {len(rows)}"


def test_predictions_hold_no_text(sealed, demo):
    text = (sealed.results / "predictions.jsonl").read_text()
    longest = max((token for s in demo["test"] for token in s.tokens), key=len)
    assert longest not in text
    assert predictions.read_predictions(sealed.results / "predictions.jsonl", demo["test"])
