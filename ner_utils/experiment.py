"""One run from its configuration to sealed results: what notebooks 02 and 03 call."""

from __future__ import annotations

import fcntl
import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ner_utils import data, efficiency, paths, predictions, provenance
from ner_utils.data import Sentence
from ner_utils.schema import Run


def _arm(run: Run):
    """The room that trains and predicts this run; imported late, for both are heavy."""
    if run.model.approach == "tagging":
        from ner_utils import tagging as arm
    else:
        from ner_utils import generation as arm
    return arm


def training_sentences(run: Run, corpus: dict[str, list[Sentence]]) -> list[Sentence]:
    """The run's training sentences: all, or a sample drawn with its seed."""
    return data.draw(corpus["train"], run.train_sentences, run.seed)


def test_sentences(run: Run, corpus: dict[str, list[Sentence]]) -> list[Sentence]:
    """The sentences that the run predicts: all of test, or the study's sample, one for all runs."""
    return data.draw(corpus["test"], run.test_sentences, seed=0)


def train(run: Run, corpus: dict[str, list[Sentence]]) -> dict[str, Any]:
    """Train, or take up an interrupted training; the record of a finished one is kept."""
    kept = run.scratch / "training.json"
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    run.scratch.mkdir(parents=True, exist_ok=True)
    with _alone(run.scratch / "lock"):
        record = _arm(run).train(run, training_sentences(run, corpus), corpus["dev"])
        provenance.write_json(kept, record)
    return record


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
    return efficiency.in_fresh_process(_arm(run).predict, run, checkpoint, sentences)


def best_checkpoint(run: Run, record: dict[str, Any]) -> Path | None:
    """Folder of the checkpoint that dev chose; ``None`` for zero-shot."""
    return run.scratch / record["best_checkpoint"] if record else None


def complete(run: Run) -> None:
    """Train, predict and seal a run whose result is missing; does nothing where it is there."""
    if provenance.is_done(run):
        return
    print(f"{paths.relative(run.results)}: no result yet, so the run is made first", flush=True)
    corpus = data.load(run.dataset_name, run.dataset)
    record = {} if run.zero_shot else train(run, corpus)
    predicted, cost = predict(run, best_checkpoint(run, record), test_sentences(run, corpus))
    seal(run, predicted, record, cost)


def seal(run: Run, predicted: list, record: dict[str, Any], cost: dict[str, Any]) -> Path:
    """Write predictions and efficiency, then the manifest; returns its path."""
    provenance.clear(run)
    predictions.write(run.results / "predictions.jsonl", predicted)
    provenance.write_json(run.results / "efficiency.json", record | cost)
    path = provenance.write_manifest(run, ["predictions.jsonl", "efficiency.json"])
    for folder in run.scratch.glob("checkpoint-*"):
        if folder.name != record.get("best_checkpoint"):
            shutil.rmtree(folder)  # only the chosen one is of further use
    return path
