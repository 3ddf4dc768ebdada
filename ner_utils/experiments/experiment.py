"""The steps of one run, from its configuration to its result files: notebooks 02, 03, 17 and 18 call them."""

from __future__ import annotations

import json
import pkgutil
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ner_utils import data, efficiency, files, paths, processes, scoring
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data import predictions
from ner_utils.data.corpus import DataError, Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.experiments.memory import fit
from ner_utils.models.weights import WeightsError
from ner_utils.results import provenance
from ner_utils.sealed import ResultError

Corpus = dict[str, list[Sentence]]
# What a training raises for reasons outside of the code. RuntimeError: another process trains the run, or
# memory does not suffice. OSError: a full disk.
ERRORS = (ConfigError, DataError, ResultError, WeightsError, RuntimeError, OSError)
# The state of an optimizer in a checkpoint, twice as large as the trained weights; only a training that goes
# on needs it.
STATE = ("optimizer.pt", "scheduler.pt", "rng_state.pth")
# Functions below `models`, by a model's approach; imported late, because torch and its like take seconds.
TRAINERS = {
    "tagging": "tagging:train_tagger",
    "gliner": "gliner:train_gliner",
    "generation": "generation.qlora:train_generator",
}
PREDICTORS = {
    "tagging": "tagging:predict_with_tagger",
    "gliner": "gliner:predict_with_gliner",
    "generation": "generation:predict_with_generator",
    "endpoint": "endpoint.predictor:predict_with_endpoint",
}


# -------------------------------------------------------------------------- training
def train_run(run: Run, corpus: Corpus, checkpoints: bool = True) -> dict[str, Any]:
    """Train, or continue an interrupted training, and return its record.

    A finished training is not repeated, unless its record or one of the ``checkpoints`` that dev chose is
    damaged; ``checkpoints=False`` asks for the record alone. Raises `RuntimeError` where another process
    trains this run or memory does not suffice, `ResultError` where the training began with other files of
    the corpus or other local weights, `training.Diverged`, and `OSError` with the file that did not fit on a
    full disk.
    """
    if run.base:
        return train_run(run.base, corpus, checkpoints)
    provenance.begin_training(run)
    if record := _finished_record(run, checkpoints):
        return record
    run.scratch.mkdir(parents=True, exist_ok=True)
    with processes.lock(run.scratch / "lock", "trains this run"), files.naming(run.scratch):
        sentences, dev = data.training_sentences(run, corpus), data.without_held_out(run, corpus["dev"])
        labelled, labelling = _label_sentences(run, corpus) if run.labels else ([], {})
        if labelled:  # the labeller may have been trained here
            processes.release_memory()
            efficiency.forget_peak_memory()
        train, dev = (data.in_parts(run, each) for each in (sentences + labelled, dev))
        record = _train_with_halved_batches(run, train, dev) | labelling
        files.write_whole_json(run.training_record, record)
        files.write_checksums(run.scratch, [run.training_record.name])
        if checkpoints and run.merges:
            from ner_utils.models.generation.generator import merge  # late, as `TRAINERS`

            # In a separate process, so that neither training nor prediction holds a second model in memory.
            processes.in_fresh_process(merge, run, run.scratch / record["best_checkpoint"])
    _warn_of_doubtful_times(run, record)
    return record


def _label_sentences(run: Run, corpus: Corpus) -> tuple[list[Sentence], dict[str, Any]]:
    """The sentences that another run labels, with the mentions that it predicts; the number of sentences, the
    seconds that this and the training of that run took, and the strict F1 of these labels (reported only;
    nothing is selected by it). Both are kept in the scratch folder."""
    sentences = data.sentences_to_label(run, corpus)
    kept, times = run.scratch / "labels.jsonl", run.scratch / "labelling.json"
    if not times.is_file():
        record = {} if run.labels.untrained else train_run(run.labels, corpus)
        checkpoint = best_checkpoint(run.labels, record)
        # An id is unique in its split alone, and raw answers to test are kept under theirs.
        renamed = [replace(each, id=f"train/{each.id}") for each in sentences]
        predicted, cost = predict_sentences(run.labels, checkpoint, renamed)
        predicted = [replace(said, id=each.id) for each, said in zip(sentences, predicted, strict=True)]
        predictions.write_predictions(kept, predicted)
        taught = sum(record.get(part, 0.0) for part in ("training_seconds", "looks_seconds"))
        seconds = {"labelling_seconds": sum(cost["prediction_seconds"].values()), "teacher_seconds": taught}
        files.write_whole_json(times, seconds)
    predicted = predictions.read_predictions(kept, sentences)
    f1 = scoring.score([each.spans for each in sentences], [each.spans for each in predicted]).f1
    labelled = [replace(each, spans=said.spans) for each, said in zip(sentences, predicted, strict=True)]
    record = json.loads(times.read_text(encoding="utf-8"))
    return labelled, record | {"labelled_sentences": len(labelled), "labels_f1": f1}


def _finished_record(run: Run, checkpoints: bool) -> dict[str, Any] | None:
    """The record of a finished training, if its files are as they were written."""
    path = run.training_record
    if not path.is_file():
        return None
    damaged = files.verify_checksums(run.scratch)
    if not damaged:
        record = json.loads(path.read_text(encoding="utf-8"))
        names = {record["best_checkpoint"], record["lowest_loss_checkpoint"]} if checkpoints else ()
        damaged = [
            f"{name}/{file}" for name in sorted(names) for file in files.verify_checksums(run.scratch / name)
        ]
    if damaged:
        folder = paths.relative(run.scratch)
        print(f"{folder}: missing or damaged: {', '.join(damaged)}; so it is made again", flush=True)
        return None
    return record


def _train_with_halved_batches(run: Run, sentences: list[Sentence], dev: list[Sentence]) -> dict[str, Any]:
    """Train. If memory runs out, halve the sentences per pass; the sentences per step stay the same.

    Each further try runs in a fresh process, because this one does not give all memory back. It continues
    from the last checkpoint.
    """
    batch, parts = run.model.training.batch_size, 1
    while True:
        try:
            if parts == 1:
                return _train_in_parts(run, sentences, dev, parts)
            return processes.in_fresh_process(_train_in_parts, run, sentences, dev, parts)
        except processes.Killed as error:
            raise _memory_error(run, "training", error) from None
        except Exception as error:
            if not processes.is_out_of_memory(error):
                raise
            if batch % (2 * parts):
                raise _memory_error(run, "training", batch // parts) from None
        parts *= 2
        print(
            f"out of memory: going on with {batch // parts} sentences at a time, {batch} a step", flush=True
        )


def _train_in_parts(run: Run, sentences: list[Sentence], dev: list[Sentence], parts: int) -> dict[str, Any]:
    """Train with each batch in so many parts; returns the record."""
    return trainer_of(run)(run, sentences, dev, parts) | {"batch_parts": parts}


def trainer_of(run: Run) -> Callable[..., dict[str, Any]]:
    """The function that trains a run's model."""
    return pkgutil.resolve_name(f"ner_utils.models.{TRAINERS[run.model.approach]}")


def predictor_of(run: Run) -> Callable[..., tuple[list[Prediction], dict[str, Any]]]:
    """The function that predicts with a run's model."""
    return pkgutil.resolve_name(f"ner_utils.models.{PREDICTORS[run.model.approach]}")


# ------------------------------------------------------------------------ prediction
def best_checkpoint(run: Run, record: dict[str, Any]) -> Path | None:
    """Folder of the checkpoint that dev chose, by F1 or by loss; ``None`` for zero-shot."""
    key = {"f1": "best_checkpoint", "loss": "lowest_loss_checkpoint"}[run.selected_by]
    return (run.base or run).scratch / record[key] if record else None


def predict_sentences(
    run: Run, checkpoint: Path | None, sentences: list[Sentence]
) -> tuple[list[Prediction], dict[str, Any]]:
    """Predictions and their cost, made in a fresh process, so that time and memory are prediction's alone.

    Raises `RuntimeError` where memory does not suffice for one sentence at a time, or the system killed the
    process.
    """
    try:
        with files.naming(run.scratch):
            parts = data.in_parts(run, sentences)
            predicted, cost = processes.in_fresh_process(predictor_of(run), run, checkpoint, parts)
    except processes.Killed as error:
        raise _memory_error(run, "prediction", error) from None
    except Exception as error:
        if not processes.is_out_of_memory(error):
            raise
        raise _memory_error(run, "prediction", 1) from None
    if cost["sentences_per_second"]:
        cost["sentences_per_second"] *= len(sentences) / len(parts)
    _warn_of_doubtful_times(run, cost)
    return data.join_predictions(run, sentences, predicted), cost


def predict_dev_sentences(run: Run, checkpoint: Path | None, corpus: Corpus) -> list[Prediction]:
    """Predictions of the dev sentences for which the study asks."""
    sentences = data.dev_sentences(run, corpus)
    return predict_sentences(run, checkpoint, sentences)[0] if sentences else []


# ---------------------------------------------------------------------- result files
def write_results(
    run: Run,
    predicted: Sequence[Prediction],
    record: dict[str, Any],
    cost: dict[str, Any],
    on_dev: Sequence[Prediction] = (),
) -> Path:
    """Write predictions and efficiency, then the manifest that seals them; returns the manifest's path.

    Checkpoints that nothing else can use are deleted. Raises `OSError` with the file that did not fit on a
    full disk.
    """
    if not any(each.spans for each in predicted):
        print(f"warning: {run.title}: no mention is predicted in {len(predicted)} sentences", flush=True)
    provenance.check_training(run.base or run)
    provenance.clear(run)
    rows_of = {"predictions.jsonl": predicted} | ({"dev.jsonl": on_dev} if on_dev else {})
    with files.naming(run.results):
        for name, rows in rows_of.items():
            predictions.write_predictions(run.results / name, rows)
        files.write_whole_json(run.results / "efficiency.json", record | cost)
        manifest = provenance.write_manifest(run, [*rows_of, "efficiency.json"])
    # Also clean the base run: it may have been trained and merged again for this run.
    for each in (run, run.base):
        if each and provenance.is_done(each):
            delete(leftovers(each, record))
    return manifest


def leftovers(run: Run, record: dict[str, Any]) -> list[Path]:
    """What nothing needs any more in the scratch folder of a run with a result. Other systems may predict
    with the checkpoints that dev chose, but merged weights can be made from these again, and no training goes
    on from there."""
    kept = {record.get("best_checkpoint"), record.get("lowest_loss_checkpoint")}
    folders = paths.weight_folders(run.scratch)
    unneeded = [folder for folder in folders if folder.name not in kept]
    return unneeded + [folder / name for folder in folders if folder.name in kept for name in STATE]


def delete(unneeded: Sequence[Path]) -> None:
    """Delete files and folders; the checksums of a checkpoint forget its files first."""
    for folder in filter(Path.is_dir, unneeded):
        shutil.rmtree(folder)
    there = list(filter(Path.is_file, unneeded))
    for folder in {path.parent for path in there}:
        files.forget_checksums(folder, {path.name for path in there if path.parent == folder})
    for path in there:
        path.unlink()


# -------------------------------------------------------------------------- messages
def _memory_error(run: Run, step: str, reason: processes.Killed | int) -> RuntimeError:
    """One line: what ended a step, and what would fit. ``reason``: the process was killed, or memory did not
    suffice for so many sentences at a time, the smallest number possible."""
    if isinstance(reason, int):
        text = f"out of memory at {reason} sentence{'s' * (reason > 1)} at a time"
        return RuntimeError(f"{run.title}: {step}: {text}; {fit.advice(run, step, least=True)}")
    return RuntimeError(f"{run.title}: {step}: {reason}; {fit.advice(run, step)}")


def _warn_of_doubtful_times(run: Run, record: dict[str, Any]) -> None:
    for doubt in efficiency.doubts(record):
        print(f"warning: {run.title}: times are not to be trusted: {doubt}", flush=True)
