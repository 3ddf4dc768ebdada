"""Damaged files of a training are named, and never used."""

import json
import math
import os
import shutil

import pytest
import torch
import transformers
from without_memory import killed, short_of_memory

from ner_utils import processes
from ner_utils.data import predictions
from ner_utils.experiments import experiment
from ner_utils.models import generation
from ner_utils.models.training import batches, trainer


@pytest.fixture(scope="module")
def small(demo):
    return {"train": demo["train"], "dev": demo["dev"][:8], "test": demo["test"][:4]}


@pytest.fixture
def run(tiny_tagger, tmp_path, monkeypatch):
    """The tagger's run in a folder of the test's own."""
    monkeypatch.setattr(trainer.paths, "RUNS", tmp_path / "runs")
    return tiny_tagger


def interrupted(run, corpus, monkeypatch, step):
    """Train, and die in a later step than this one."""
    step_end = trainer.DevEvaluations.on_step_end

    def mortal(self, args, state, control, **keywords):
        if state.global_step > step:
            raise KeyboardInterrupt
        step_end(self, args, state, control, **keywords)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer.DevEvaluations, "on_step_end", mortal)
        experiment.train_run(run, corpus)


def flip(file):
    """Change one bit in the middle of a file."""
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def learnt(run, record):
    return (run.scratch / record["best_checkpoint"] / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tiny_tagger, small):
    """The record and weights of a training that nothing disturbed, and a copy of its folder."""
    record = experiment.train_run(tiny_tagger, small)
    assert [look["step"] for look in record["looks"]] == [2, 4, 6]
    return record, learnt(tiny_tagger, record)


def never(state):
    return False


def test_every_file_of_a_checkpoint_counts(run, small, undisturbed, monkeypatch):
    interrupted(run, small, monkeypatch, 4)
    newest = run.scratch / "checkpoint-4"
    names = {path.name for path in newest.iterdir()}
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} < names
    assert trainer.last_checkpoint(run.scratch, never)[0] == newest
    for damage in (flip, cut, lambda file: file.unlink()):
        for name in names:
            whole = (newest / name).read_bytes()
            damage(newest / name)
            found = trainer.last_checkpoint(run.scratch, never)
            assert found is None or found[0] != newest, name
            (newest / name).write_bytes(whole)
    assert trainer.last_checkpoint(run.scratch, never)[0] == newest


@pytest.mark.parametrize("name", ["optimizer.pt", "model.safetensors"])
def test_a_damaged_checkpoint_ends_in_the_same_weights(run, small, undisturbed, monkeypatch, capsys, name):
    interrupted(run, small, monkeypatch, 4)
    flip(run.scratch / "checkpoint-4" / name)
    record = experiment.train_run(run, small)
    said = capsys.readouterr().out
    assert f"checkpoint-4 is damaged ({name}) and is not used" in said
    assert "going on from checkpoint-4" not in said
    assert (record["looks"], learnt(run, record)) == (undisturbed[0]["looks"], undisturbed[1])


def state(best, step, looks):
    """A trainer's state after a step; ``looks`` gives the loss on dev by step."""
    log = [{"step": at, "epoch": 1.0, "eval_loss": loss, "eval_f1": 0.5} for at, loss in looks.items()]
    return {"global_step": step, "best_global_step": best, "log_history": log}


def test_the_one_before_is_taken(tmp_path, capsys):
    """Checkpoints of the best F1 (2), the lowest loss (2) and the last look (3); step 1 was overtaken."""
    losses = {1: 0.9, 2: 0.5, 3: 0.7}
    for step, best in {1: 1, 2: 2, 3: 2}.items():
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        seen = {at: loss for at, loss in losses.items() if at <= step}
        (folder / "trainer_state.json").write_text(json.dumps(state(best, step, seen)))
        (folder / "optimizer.pt").write_text("")
        trainer.files.write_checksums(folder)
    shutil.rmtree(tmp_path / "checkpoint-1")
    last = trainer.last_checkpoint(tmp_path, never)
    assert (last[0].name, last[1]["global_step"]) == ("checkpoint-3", 3)
    flip(tmp_path / "checkpoint-3" / "trainer_state.json")
    assert trainer.last_checkpoint(tmp_path, never)[0].name == "checkpoint-2"
    assert "checkpoint-3 is damaged (trainer_state.json)" in capsys.readouterr().out
    flip(tmp_path / "checkpoint-3" / "trainer_state.json")
    flip(tmp_path / "checkpoint-2" / "trainer_state.json")
    # The last one is whole, but what it calls the best is not.
    assert trainer.last_checkpoint(tmp_path, never) is None


def test_a_checkpoint_without_checksums_was_not_saved_to_its_end(
    run, small, undisturbed, monkeypatch, capsys
):
    interrupted(run, small, monkeypatch, 2)
    (run.scratch / "checkpoint-2" / trainer.files.CHECKSUMS).unlink()
    assert trainer.last_checkpoint(run.scratch, never) is None
    assert "checkpoint-2 is not saved to its end" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "damage"), [("training.json", flip), ("model.safetensors", cut), ("checksums.json", flip)]
)
def test_a_finished_training_that_was_damaged_is_made_again(run, small, undisturbed, capsys, name, damage):
    record = experiment.train_run(run, small)
    before = (run.scratch / "training.json").stat().st_mtime_ns
    assert experiment.train_run(run, small) == record
    assert (run.scratch / "training.json").stat().st_mtime_ns == before, "kept as it was"
    best = run.scratch / record["best_checkpoint"]
    damage((best if name == "model.safetensors" else run.scratch) / name)
    capsys.readouterr()
    again = experiment.train_run(run, small)
    assert "missing or damaged: " in capsys.readouterr().out
    assert (again["looks"], learnt(run, again)) == (undisturbed[0]["looks"], undisturbed[1])
    assert experiment.train_run(run, small) == again


def test_a_record_whose_checkpoint_is_gone(run, small, undisturbed, capsys):
    """Tuning needs the record alone, prediction the checkpoint too."""
    record = experiment.train_run(run, small)
    for folder in run.scratch.glob("checkpoint-*"):
        shutil.rmtree(folder)
    assert experiment.train_run(run, small, checkpoints=False) == record
    assert learnt(run, experiment.train_run(run, small)) == undisturbed[1]


def test_a_merged_model_that_was_damaged_is_made_again(
    make_run, make_tiny_llama, demo, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(trainer.paths, "RUNS", tmp_path / "runs")
    settings = {"training.epochs": 1, "max_new_tokens": 4, "training.batch_size": 4, "quantisation": None}
    run = make_run(
        "tiny-llama", settings, dev_evaluations=1, weights_folder=make_tiny_llama(), train_sentences=4
    )
    run = run.model_copy(update={"dev_sample": 1})
    record = experiment.train_run(run, {"train": demo["train"], "dev": demo["dev"][:1]})
    adapter = experiment.best_checkpoint(run, record)
    merged = generation.merge(run, adapter)
    whole = (merged / "model.safetensors").read_bytes()
    assert generation.merge(run, adapter) == merged
    assert "damaged" not in capsys.readouterr().out
    for damage in (flip, cut):
        damage(merged / "model.safetensors")
        found, _ = generation.predict_with_generator(run, adapter, demo["test"][:1])
        assert f"{merged.name}: damaged (model.safetensors), so it is made again" in capsys.readouterr().out
        assert (merged / "model.safetensors").read_bytes() == whole
        assert isinstance(found[0], predictions.Prediction)
    partial = merged.with_name(f".{merged.name}.partial")  # of a process that was killed
    partial.mkdir()
    (partial / "stray.safetensors").write_text("half")
    shutil.rmtree(merged)
    assert not (generation.merge(run, adapter) / "stray.safetensors").exists()


def test_two_processes_never_train_one_run(run, small):
    run.scratch.mkdir(parents=True)
    with (
        processes.lock(run.scratch / "lock", "works"),
        pytest.raises(RuntimeError, match=rf"another process trains this run \(process {os.getpid()} on "),
    ):
        experiment.train_run(run, small)


def test_a_training_that_diverges_is_refused(run, small):
    learning = run.model.training.model_copy(update={"learning_rate": 1.0e30, "warmup_fraction": 0.0})
    wild = run.model_copy(update={"model": run.model.model_copy(update={"training": learning})})
    with pytest.raises(trainer.Diverged, match=r"the loss on dev is (nan|inf).*Lower model"):
        experiment.train_run(wild, small)
    assert not (wild.scratch / "training.json").exists()


def test_a_loss_that_is_finite_on_a_part_of_dev_has_diverged(run, demo, monkeypatch):
    """The library's default is the mean of the finite ones."""
    corpus = {"train": demo["train"], "dev": demo["dev"][:24]}
    divisors = iter([math.nan, *[1.0] * 1000])
    ordinary = batches.GroupedByLength.divisor

    def divisor(self, rows):
        return ordinary(self, rows) if self.model.training else next(divisors)

    monkeypatch.setattr(batches.GroupedByLength, "divisor", divisor)
    with pytest.raises(trainer.Diverged, match="the loss on dev is nan"):
        experiment.train_run(run, corpus)


def test_the_peak_of_memory_is_that_of_the_training(run, small, monkeypatch):
    """And not of a process that finds it finished, without a record."""
    experiment.train_run(run, small)
    (run.scratch / "training.json").unlink()
    monkeypatch.setattr(trainer.efficiency, "peak_memory", lambda: {"process_mib": 1.0})
    record = experiment.train_run(run, small)
    assert record["training_memory"]["process_mib"] > 100
    assert record["starts"] == 2


def test_a_constant_rate_has_a_warm_up(run):
    settings = run.model.training.model_copy(update={"schedule": "constant", "warmup_fraction": 0.5})
    run = run.model_copy(update={"model": run.model.model_copy(update={"training": settings})})
    rates = transformers.get_scheduler(
        trainer.arguments(run, 1)["lr_scheduler_type"],
        torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0),
        num_warmup_steps=2,
        num_training_steps=4,
    )
    seen = []
    for _ in range(4):
        seen += rates.get_last_lr()
        rates.optimizer.step()
        rates.step()
    assert seen == [0.0, 0.5, 1.0, 1.0]


def test_a_model_that_predicts_nothing_is_said(run, demo, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer.paths, "RESULTS", tmp_path / "results")
    nothing = [predictions.Prediction(sentence.id, ()) for sentence in demo["test"]]
    experiment.write_results(run, nothing, {}, {"sentences_per_second": 1.0})
    assert f"no mention is predicted in {len(nothing)} sentences" in capsys.readouterr().out


# ------------------------------------------------------------------------------ memory
def full_disk(*arguments):
    raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("predictor", "said", "advice"),
    [
        (
            killed,
            "prediction: the system killed the process: it was probably out of memory; ",
            "lower model.prediction_batch_tokens",
        ),
        (
            short_of_memory,
            "prediction: out of memory at 1 sentence at a time; ",
            "lower model.training.max_length, or take a smaller model",
        ),
    ],
)
def test_a_prediction_without_memory_is_one_line(run, small, monkeypatch, predictor, said, advice):
    monkeypatch.setattr(experiment, "predictor_of", lambda run: predictor)
    with pytest.raises(RuntimeError) as caught:
        experiment.predict_sentences(run, None, small["test"])
    message = str(caught.value)
    assert message.startswith(f"minilm on demo, seed 1: {said}")
    assert advice in message
    assert "\n" not in message


def test_a_training_without_memory_for_one_sentence_is_one_line(run, small, monkeypatch):
    one = run.model.training.model_copy(update={"batch_size": 1})
    run = run.model_copy(update={"model": run.model.model_copy(update={"training": one})})
    monkeypatch.setattr(experiment, "trainer_of", lambda run: short_of_memory)
    with pytest.raises(
        RuntimeError,
        match=r"^minilm on demo, seed 1: training: out of memory at 1 sent.*lower model.training.max_length",
    ):
        experiment.train_run(run, small)


def test_a_full_disk_names_what_the_training_wrote(run, small, monkeypatch):
    monkeypatch.setattr(experiment, "trainer_of", lambda run: full_disk)
    with pytest.raises(OSError, match="No space left on device") as caught:
        experiment.train_run(run, small)
    assert str(run.scratch) in str(caught.value)
