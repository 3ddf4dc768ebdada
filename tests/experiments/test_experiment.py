"""A run that trains and predicts: interrupted, continued, short of memory."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ner_utils import paths
from ner_utils.experiments import experiment
from ner_utils.models import tagging, weights
from ner_utils.models.generation import generator

# Trains in one process after the other, each killed after a step, but for the last. They are forks of a first
# one, because its imports take seconds.
TRAIN = """
import os, pickle, signal, sys
from pathlib import Path
from ner_utils import data, paths
from ner_utils.experiments import experiment
from ner_utils.models.training import trainer

class Mortal(trainer.DevEvaluations):
    def on_step_end(self, args, state, control, **kwargs):
        super().on_step_end(args, state, control, **kwargs)
        if state.global_step == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

trainer.DevEvaluations, Mortal.__name__ = Mortal, "DevEvaluations"  # the class's name in checkpoints
paths.RUNS = Path(sys.argv[1])
run = pickle.loads(Path(sys.argv[2]).read_bytes())
corpus = data.load(run.dataset_name, run.dataset)
experiment.trainer_of(run)
for last_step in [*map(int, sys.argv[3:]), 0]:
    # A checkpoint that was being written when the process died is not complete.
    (run.scratch / "checkpoint-999").mkdir(parents=True, exist_ok=True)
    if not (process := os.fork()):
        experiment.train_run(run, corpus)
        sys.exit()
    print("EXIT", os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


def command(folder, run, code, *arguments):
    """The command that runs a script with the run's settings, in that folder."""
    settings, script = folder / "run.pickle", folder / "script.py"
    settings.write_bytes(pickle.dumps(run))
    script.write_text(code)
    return [sys.executable, str(script), str(folder), str(settings), *map(str, arguments)]


def scratch(folder, run):
    return folder / "test" / paths.run_id(run.dataset_name, run.system, run.seed) / run.fingerprint[:12]


def weights_of(folder, run, record):
    checkpoint = scratch(folder, run) / record["best_checkpoint"]
    return next(path for path in checkpoint.glob("*.safetensors")).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("approach", "kills"), [("tagging", (3, 14)), ("gliner", (8,)), ("generation", (8,))]
)
def test_killed_and_resumed_training_ends_bit_identical(
    approach, kills, make_run, make_tiny_llama, tiny_tagger, tiny_gliner, demo, tmp_path, monkeypatch
):
    """Killed before the first checkpoint, in a later epoch, and between two checkpoints."""
    if approach == "tagging":
        run = tiny_tagger.model_copy(update={"train_sentences": 40})
    elif approach == "gliner":
        run = tiny_gliner()
    else:
        settings = {"training.epochs": 3, "training.batch_size": 8, "training.accumulation_steps": 1}
        settings |= {"max_new_tokens": 8, "lora.dropout": 0.1, "merge_adapter": False}
        folder = make_tiny_llama()
        run = make_run("tiny-llama", settings, weights_folder=folder, train_sentences=40, dev_sample=4)
    calm, hurt = tmp_path / "calm", tmp_path / "hurt"
    hurt.mkdir()
    monkeypatch.setattr(paths, "RUNS", calm)
    undisturbed = experiment.train_run(run, demo)
    assert (undisturbed["steps"], len(undisturbed["looks"])) == (15, 3)

    log = subprocess.run(
        command(hurt, run, TRAIN, *kills),
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=600,
    ).stdout  # fmt: skip
    exits = [int(code) for code in re.findall(r"^EXIT (.+)$", log, re.MULTILINE)]
    assert exits == [-signal.SIGKILL] * len(kills) + [0], log[-2000:]

    resumed = json.loads((scratch(hurt, run) / "training.json").read_text())
    assert log.count("going on from checkpoint") == 1
    assert resumed["starts"] == 2
    assert resumed["looks"] == undisturbed["looks"]
    assert resumed["losses"] == undisturbed["losses"]
    assert weights_of(hurt, run, resumed) == weights_of(calm, run, undisturbed)


# Trains or predicts in a process that may take so many MiB more than it has when its model is loaded.
CONFINED = """
import importlib, json, pickle, resource, sys
from pathlib import Path
import torch
from ner_utils import data, paths
from ner_utils.experiments import experiment

module, name, mib = importlib.import_module(sys.argv[3]), sys.argv[4], int(sys.argv[5])
load = getattr(module, name)

def load_and_confine(*arguments, **keywords):
    torch.manual_seed(0)
    model = load(*arguments, **keywords)
    if resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY:
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        limit = int(fields["VmData"].split()[0]) * 1024 + mib * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return model

setattr(module, name, load_and_confine)  # also in a fresh process that this one starts
paths.RUNS = Path(sys.argv[1])
if __name__ == "__main__":
    run = pickle.loads(Path(sys.argv[2]).read_bytes())
    corpus = data.load(run.dataset_name, run.dataset)
    if sys.argv[6:]:
        checkpoint = Path(sys.argv[6]) if sys.argv[6] != "-" else None
        predicted, cost = experiment.predictor_of(run)(run, checkpoint, corpus["test"])
        result = [cost["batch_size"], [prediction.spans for prediction in predicted]]
    else:
        record = experiment.train_run(run, corpus)
        result = [record["batch_parts"], record["losses"]]
    print("RESULT", json.dumps(result))
"""


def confined(folder, run, module, name, mib, *arguments):
    """Output and result of a confined process; ``name`` is the function of a module that loads the model."""
    done = subprocess.run(
        command(folder, run, CONFINED, module.__name__, name, mib, *arguments),
        env=os.environ | {"PYTHONPATH": str(paths.ROOT), "MALLOC_ARENA_MAX": "1"},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    *log, result = done.stdout.strip().splitlines()
    return "\n".join(log), json.loads(result.removeprefix("RESULT "))


@pytest.fixture
def seed_loading(monkeypatch):
    """``seed_loading(module, name)`` makes a function that loads a model seed its random weights."""

    def patch(module, name):
        load = getattr(module, name)

        def load_seeded(*arguments, **keywords):
            torch.manual_seed(0)
            return load(*arguments, **keywords)

        monkeypatch.setattr(module, name, load_seeded)

    return patch


def spans_of(predicted):
    return json.loads(json.dumps([prediction.spans for prediction in predicted]))


@pytest.mark.slow
def test_a_tagger_short_of_memory_halves_its_batches(make_run, demo, seed_loading, tmp_path):
    run = make_run("minilm", {"prediction_batch_tokens": 100_000})
    base = weights.resolve(run.model.weights)  # its head is random, and predicts something
    seed_loading(tagging, "load_tagger")
    free, cost = tagging.predict_with_tagger(run, Path(base), demo["test"])
    log, (tokens, spans) = confined(tmp_path, run, tagging, "load_tagger", 190, base)
    assert "out of memory: going on with batches half as large" in log
    assert tokens < cost["batch_size"]
    assert spans == spans_of(free)


@pytest.mark.slow
def test_a_generator_short_of_memory_halves_its_rows(make_run, make_tiny_llama, demo, seed_loading, tmp_path):
    settings = {"max_new_tokens": 24, "prediction_batch_size": 512}
    run = make_run("tiny-llama", settings, weights_folder=make_tiny_llama())
    run = run.model_copy(update={"untrained": True})
    seed_loading(generator, "load_for_prediction")
    free, _ = generator.predict_with_generator(run, None, demo["test"])
    log, (rows, spans) = confined(tmp_path, run, generator, "load_for_prediction", 60, "-")
    assert "out of memory: going on with 256 answers at a time" in log
    assert rows <= 256
    assert spans == spans_of(free)


@pytest.mark.slow
def test_a_training_short_of_memory_computes_its_batches_in_parts(make_run, demo, seed_loading, tmp_path):
    """It learns the same, because a step is still the whole batch."""
    settings = {"training.batch_size": 64, "training.epochs": 1}
    run = make_run("minilm", settings, dev_evaluations=1, train_sentences=128, dev_sample=4)
    seed_loading(tagging, "load_tagger")
    free = experiment.train_run(run, demo)
    log, (parts, losses) = confined(tmp_path, run, tagging, "load_tagger", 680)
    assert "out of memory: going on with 32 sentences at a time" in log
    assert (free["batch_parts"], parts % 2) == (1, 0)
    assert [step for step, _ in losses] == [step for step, _ in free["losses"]]
    assert [loss for _, loss in losses] == pytest.approx([loss for _, loss in free["losses"]], rel=0.05)
