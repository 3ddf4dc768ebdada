"""One run from its configuration to sealed results: what notebooks 02 and 03 call."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ner_utils import data, efficiency, paths, predictions, provenance
from ner_utils.data import Sentence
from ner_utils.perturb import perturb
from ner_utils.run import Run


# Rooms that train and predict are imported late, for all are heavy, and no heavier than needed.
def _trainer(run: Run):
    if run.model.approach == "tagging":
        from ner_utils.tagging import train
    else:
        from ner_utils.adapters import train
    return train


def _predictor(run: Run):
    if run.model.approach == "tagging":
        from ner_utils.tagging import predict
    else:
        from ner_utils.generation import predict
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


def train(run: Run, corpus: dict[str, list[Sentence]]) -> dict[str, Any]:
    """Train, or take up an interrupted training; the record of a finished one is kept."""
    if run.base:
        return train(run.base, corpus)
    kept = run.scratch / "training.json"
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    run.scratch.mkdir(parents=True, exist_ok=True)
    with _alone(run.scratch / "lock"):
        record = _train(run, training_sentences(run, corpus), _visible(run, corpus["dev"]))
        provenance.write_json(kept, record)
    return record


def _train(run: Run, sentences: list[Sentence], dev: list[Sentence]) -> dict[str, Any]:
    """Train with batches in as few parts as there is memory for, and go on from the last checkpoint."""
    batch, parts = run.model.training.batch_size, 1
    while True:
        try:
            with efficiency.Energy() as energy:
                record = _trainer(run)(run, sentences, dev, parts)
            whole = record["starts"] == 1  # what an interrupted part used is not known
            return record | {"batch_parts": parts, "training_joules": energy.joules if whole else None}
        except (RuntimeError, MemoryError) as error:
            if batch % (2 * parts) or not efficiency.is_out_of_memory(error):
                raise
        parts *= 2
        efficiency.release_memory()
        print(
            f"out of memory: going on with {batch // parts} sentences at a time, {batch} a step", flush=True
        )


@contextmanager
def _alone(path: Path):
    """Two processes that train one run would overwrite each other's checkpoints."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"{path.parent}: another process is training this run") from None
        yield


def predict(run: Run, checkpoint: Path | None, sentences: list[Sentence]) -> tuple[list, dict[str, Any]]:
    """Predict in a fresh process, so that time and memory are prediction's own."""
    with efficiency.Energy() as energy:
        predicted, cost = efficiency.in_fresh_process(_predictor(run), run, checkpoint, sentences)
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
        from ner_utils import ensemble

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
    """Write predictions and efficiency, then the manifest; returns its path."""
    provenance.clear(run)
    files = {"predictions.jsonl": predicted} | ({"dev.jsonl": on_dev} if on_dev else {})
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
