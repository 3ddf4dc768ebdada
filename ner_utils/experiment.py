"""One run from its configuration to sealed results: what notebooks 02 and 03 call."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ner_utils import data, efficiency, predictions, provenance
from ner_utils.config import Run
from ner_utils.data import Sentence


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


def train(run: Run, corpus: dict[str, list[Sentence]]) -> dict[str, Any]:
    """Train, or take up an interrupted training; the record of a finished one is kept."""
    kept = run.scratch / "training.json"
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    run.scratch.mkdir(parents=True, exist_ok=True)
    record = _arm(run).train(run, training_sentences(run, corpus), corpus["dev"])
    provenance.write_json(kept, record)
    return record


def predict(run: Run, checkpoint: Path | None, sentences: list[Sentence]) -> tuple[list, dict[str, Any]]:
    """Predict in a fresh process, so that time and memory are prediction's own."""
    return efficiency.in_fresh_process(_arm(run).predict, run, checkpoint, sentences)


def best_checkpoint(run: Run, record: dict[str, Any]) -> Path:
    """Folder of the checkpoint that dev chose."""
    return run.scratch / record["best_checkpoint"]


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
