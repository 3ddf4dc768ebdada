"""A run from configuration to sealed results: interrupted, resumed, refused."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ner_utils import evaluation, experiment, paths, predictions, provenance
from ner_utils.predictions import Prediction, ResultError

TRAIN = """
import sys
from pathlib import Path
from ner_utils import data, experiment, paths, schema

if __name__ == "__main__":
    paths.RUNS = Path(sys.argv[1])
    run = schema.Run.model_validate_json(Path(sys.argv[2]).read_text())
    experiment.train(run, data.load(run.dataset_name, run.dataset))
"""


def start(folder, run):
    settings, script = folder / "run.json", folder / "train.py"
    settings.write_text(run.model_dump_json())
    script.write_text(TRAIN)
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT)}
    with (folder / "log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, str(script), str(folder), str(settings)],
            env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def finish(folder, run):
    process = start(folder, run)
    assert process.wait(600) == 0, (folder / "log").read_text()[-2000:]
    return json.loads((scratch(folder, run) / "training.json").read_text())


def scratch(folder, run):
    return folder / "test" / paths.run_id(run.dataset_name, run.system, run.seed) / run.fingerprint[:12]


def weights_of(folder, run, record):
    checkpoint = scratch(folder, run) / record["best_checkpoint"]
    return next(path for path in checkpoint.glob("*.safetensors")).read_bytes()


@pytest.mark.parametrize("arm", ["tagging", "generation"])
def test_killed_and_resumed_training_ends_bit_identical(arm, make_run, make_tiny_llama, tmp_path):
    settings = {"training.epochs": 3, "training.batch_size": 8, "training.accumulation_steps": 1}
    if arm == "tagging":
        run = make_run("minilm", settings, train_sentences=80)
    else:
        folder = make_tiny_llama()
        settings |= {"max_new_tokens": 8, "lora.dropout": 0.1}
        run = make_run("tiny-llama", settings, weights_folder=folder, train_sentences=160, dev_sample=4)
    calm, hurt = tmp_path / "calm", tmp_path / "hurt"
    calm.mkdir(), hurt.mkdir()
    undisturbed = finish(calm, run)

    process = start(hurt, run)
    deadline = time.monotonic() + 300
    while not list(scratch(hurt, run).glob("checkpoint-*/trainer_state.json")):
        assert time.monotonic() < deadline, "no checkpoint appeared"
        assert process.poll() is None, (hurt / "log").read_text()[-2000:]
        time.sleep(0.05)
    time.sleep(0.4)  # some steps beyond the checkpoint
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (scratch(hurt, run) / "training.json").exists(), "it was killed too late to prove anything"
    # A checkpoint that was being written when the process died is not taken for whole.
    (scratch(hurt, run) / "checkpoint-999").mkdir()
    resumed = finish(hurt, run)

    assert resumed["starts"] == 2
    assert resumed["training_seconds"] > 0
    assert resumed["looks"] == undisturbed["looks"]
    assert resumed["losses"] == undisturbed["losses"]
    assert weights_of(hurt, run, resumed) == weights_of(calm, run, undisturbed)


def test_two_processes_never_train_one_run(tmp_path):
    with experiment._alone(tmp_path / "lock"):
        second = experiment._alone(tmp_path / "lock")
        with pytest.raises(RuntimeError, match="another process"):
            second.__enter__()


@pytest.fixture
def sealed(make_run, demo):
    """A whole result whose predictions are the gold."""
    run = make_run("minilm", {})
    found = [Prediction(s.id, s.spans) for s in demo["test"]]
    experiment.seal(run, found, {"best_checkpoint": "checkpoint-1"}, {"sentences_per_second": 1.0})
    return run


def test_gold_as_prediction_scores_one(sealed, demo):
    metrics = evaluation.write(sealed, demo["test"], evaluation.load_predictions(sealed, demo["test"]))
    assert metrics["micro"]["f1"] == metrics["macro"]["f1"] == 1.0
    assert evaluation.load_metrics(sealed) == metrics


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


def test_scores_of_another_scorer_are_refused(sealed, demo):
    evaluation.write(sealed, demo["test"], evaluation.load_predictions(sealed, demo["test"]))
    path = sealed.results / "metrics.json"
    path.write_text(path.read_text().replace('"scorer": "', '"scorer": "0'))
    with pytest.raises(ResultError, match="another scorer"):
        evaluation.load_metrics(sealed)


def test_versions_are_a_warning_not_a_refusal(sealed):
    manifest = provenance.read_manifest(sealed)
    assert provenance.warnings(sealed, manifest) == []
    manifest["versions"]["torch"] = "1.0.0"
    assert "torch 1.0.0" in provenance.warnings(sealed, manifest)[0]


def test_predictions_hold_no_text(sealed, demo):
    text = (sealed.results / "predictions.jsonl").read_text()
    longest = max((token for s in demo["test"] for token in s.tokens), key=len)
    assert longest not in text
    assert predictions.read(sealed.results / "predictions.jsonl", demo["test"])
