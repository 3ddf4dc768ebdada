"""One run from its configuration to sealed results: what notebooks 02 and 03 call."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ner_utils import data, efficiency, files, locks, paths
from ner_utils.config.run import Run
from ner_utils.data import predictions
from ner_utils.data.corpus import Sentence
from ner_utils.data.perturb import perturb
from ner_utils.results import provenance


# Rooms that train and predict are imported late, for all are heavy, and no heavier than needed.
def _trainer(run: Run):
    if run.model.approach == "tagging":
        from ner_utils.models.tagging import train
    else:
        from ner_utils.models.generation.qlora import train
    return train


def _predictor(run: Run):
    if run.model.approach == "tagging":
        from ner_utils.models.tagging import predict
    else:
        from ner_utils.models.generation.generator import predict
    return predict


def training_sentences(run: Run, corpus: dict[str, list[Sentence]]) -> list[Sentence]:
    """The run's training sentences: all, or a sample drawn with its seed; without the mentions that it is not
    to see."""
    return _visible(run, data.draw(corpus["train"], run.train_sentences, run.seed))


def _visible(run: Run, sentences: list[Sentence]) -> list[Sentence]:
    if not run.held_out:
        return sentences
    return [
        replace(each, spans=tuple(span for span in each.spans if span.type not in run.held_out))
        for each in sentences
    ]


def test_sentences(run: Run, corpus: dict[str, list[Sentence]]) -> list[Sentence]:
    """The sentences that the run predicts: all of test, or the study's sample, one for all runs; disturbed
    where the run is to meet them so."""
    sentences = data.draw(corpus["test"], run.test_sentences, seed=0)
    return perturb(sentences, run.perturbed, corpus["train"]) if run.perturbed else sentences


def dev_sentences(run: Run, corpus: dict[str, list[Sentence]]) -> list[Sentence]:
    """The dev sentences that a run predicts besides test: none, or the study's sample, one for all runs. A
    run that meets disturbed sentences would only answer as the undisturbed one did."""
    wanted = run.dev_predictions and not run.perturbed
    return data.draw(corpus["dev"], run.dev_predictions, seed=0) if wanted else []


def train(run: Run, corpus: dict[str, list[Sentence]], checkpoints: bool = True) -> dict[str, Any]:
    """Train, or take up an interrupted training, and return the record of it.

    A finished training is not repeated, unless its record or one of the ``checkpoints`` that dev chose was
    damaged; ``checkpoints=False`` asks for the record alone. Raises `RuntimeError` where another process
    trains this run or memory does not suffice, `ResultError` where the training began with other files of
    the corpus or other local weights, `training.Diverged`, and `OSError` with the file that a full
    disk did not take.
    """
    if run.base:
        return train(run.base, corpus, checkpoints)
    provenance.begin_training(run)
    if record := _finished(run, checkpoints):
        return record
    run.scratch.mkdir(parents=True, exist_ok=True)
    with locks.alone(run.scratch / "lock", "trains this run"), files.naming(run.scratch):
        record = _train(run, training_sentences(run, corpus), _visible(run, corpus["dev"]))
        provenance.write_json(run.scratch / "training.json", record)
        files.write_checksums(run.scratch, ["training.json"])
    _warn(run, efficiency.doubts(record))
    return record


def _finished(run: Run, checkpoints: bool) -> dict[str, Any] | None:
    """The record of a finished training, if its files are as they were written."""
    kept = run.scratch / "training.json"
    if not kept.is_file():
        return None
    wrong = files.verify_checksums(run.scratch)
    if not wrong:
        record = json.loads(kept.read_text(encoding="utf-8"))
        names = {record["best_checkpoint"], record["lowest_loss_checkpoint"]} if checkpoints else ()
        wrong = [
            f"{name}/{file}" for name in sorted(names) for file in files.verify_checksums(run.scratch / name)
        ]
    if wrong:
        folder = paths.relative(run.scratch)
        print(f"{folder}: missing or damaged: {', '.join(wrong)}; so it is made again", flush=True)
        return None
    return record


def _train(run: Run, sentences: list[Sentence], dev: list[Sentence]) -> dict[str, Any]:
    """Train with batches in as few parts as there is memory for, and go on from the last checkpoint.

    On a second try the process is a fresh one: this one does not give all memory and addresses back.
    """
    batch, parts = run.model.training.batch_size, 1
    while True:
        try:
            if parts == 1:
                return _train_in_parts(run, sentences, dev, parts)
            return efficiency.in_fresh_process(_train_in_parts, run, sentences, dev, parts)
        except efficiency.Killed as error:
            raise _failure(run, "training", error) from None
        except Exception as error:
            if not efficiency.is_out_of_memory(error):
                raise
            if batch % (2 * parts):
                raise _failure(run, "training", batch // parts) from None
        parts *= 2
        print(
            f"out of memory: going on with {batch // parts} sentences at a time, {batch} a step", flush=True
        )


def _train_in_parts(run: Run, sentences: list[Sentence], dev: list[Sentence], parts: int) -> dict[str, Any]:
    with efficiency.Energy() as energy:
        record = _trainer(run)(run, sentences, dev, parts)
    whole = record["starts"] == 1  # what an interrupted part used is not known
    return record | {"batch_parts": parts, "training_joules": energy.joules if whole else None}


def _failure(run: Run, step: str, reason: efficiency.Killed | int) -> RuntimeError:
    """One line: what ended a step for lack of memory, that it was killed or so many sentences at a time, the
    least there is; and what would fit."""
    from ner_utils.experiments.memory import fit

    least = isinstance(reason, int)
    said = f"out of memory at {reason} sentence{'s' * (reason > 1)} at a time" if least else reason
    return RuntimeError(f"{_name(run)}: {step}: {said}; {fit.advice(run, step, least)}")


def _name(run: Run) -> str:
    return f"{run.system} on {run.dataset_name}, seed {run.seed}"


def _warn(run: Run, doubts: list[str]) -> None:
    for doubt in doubts:
        print(f"warning: {_name(run)}: times are not to be trusted: {doubt}", flush=True)


def predict(run: Run, checkpoint: Path | None, sentences: list[Sentence]) -> tuple[list, dict[str, Any]]:
    """Predict in a fresh process, so that time and memory are prediction's own. Raises `RuntimeError` where
    memory does not suffice for one sentence at a time, or the system killed the process."""
    try:
        with efficiency.Energy() as energy, files.naming(run.scratch):
            predicted, cost = efficiency.in_fresh_process(_predictor(run), run, checkpoint, sentences)
    except efficiency.Killed as error:
        raise _failure(run, "prediction", error) from None
    except Exception as error:
        if not efficiency.is_out_of_memory(error):
            raise
        raise _failure(run, "prediction", 1) from None
    _warn(run, efficiency.doubts(cost))
    return predicted, cost | {"prediction_joules": energy.joules}


def predict_dev(run: Run, checkpoint: Path | None, corpus: dict[str, list[Sentence]]) -> list:
    """Predictions of the dev sentences for which the study asks."""
    sentences = dev_sentences(run, corpus)
    return predict(run, checkpoint, sentences)[0] if sentences else []


def best_checkpoint(run: Run, record: dict[str, Any]) -> Path | None:
    """Folder of the checkpoint that dev chose, by F1 or by loss; ``None`` for zero-shot."""
    key = {"f1": "best_checkpoint", "loss": "lowest_loss_checkpoint"}[run.selected_by]
    return (run.base or run).scratch / record[key] if record else None


def complete(run: Run) -> None:
    """Train, predict and seal a run whose result is missing; does nothing where it is there."""
    if provenance.is_done(run):
        return
    for member in run.members:
        complete(member)
    print(f"{paths.relative(run.results)}: no result yet, so the run is made first", flush=True)
    corpus = data.load(run.dataset_name, run.dataset)
    if run.members:
        from ner_utils.experiments import ensemble

        ensemble.complete(run, corpus)
        return
    record = {} if run.untrained else train(run, corpus)
    checkpoint = best_checkpoint(run, record)
    on_dev = predict_dev(run, checkpoint, corpus)
    predicted, cost = predict(run, checkpoint, test_sentences(run, corpus))
    seal(run, predicted, record, cost, on_dev)


def seal(
    run: Run, predicted: list, record: dict[str, Any], cost: dict[str, Any], on_dev: Sequence = ()
) -> Path:
    """Write predictions and efficiency, then the manifest; returns its path. Raises `OSError` with the file
    that a full disk did not take."""
    if not any(each.spans for each in predicted):
        print(f"warning: {_name(run)}: no mention is predicted in {len(predicted)} sentences", flush=True)
    provenance.check_training(run.base or run)
    provenance.clear(run)
    files = {"predictions.jsonl": predicted} | ({"dev.jsonl": on_dev} if on_dev else {})
    with files.naming(run.results):
        for name, rows in files.items():
            predictions.write(run.results / name, rows)
        provenance.write_json(run.results / "efficiency.json", record | cost)
        path = provenance.write_manifest(run, [*files, "efficiency.json"])
    # Only what other systems may predict with is of further use; merged weights follow from it.
    kept = {record.get("best_checkpoint"), record.get("lowest_loss_checkpoint")}
    for folder in [*run.scratch.glob("checkpoint-*"), *run.scratch.glob("merged-*")]:
        if folder.name not in kept:
            shutil.rmtree(folder)
    return path
