"""What is stored of one run, loaded and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ner_utils.config.run import Run
from ner_utils.results import evaluation, provenance


@dataclass(frozen=True)
class Stored:
    """One run's result, verified: the contents of its files."""

    run: Run
    manifest: dict[str, Any]
    metrics: dict[str, Any]
    efficiency: dict[str, Any]
    counts: list[dict[str, Any]]


def load_stored(run: Run) -> Stored:
    """The stored result of a run. Raises `ResultError` where a file is missing or does not fit the run."""
    manifest = provenance.read_manifest(run)
    metrics, cost = evaluation.load_metrics(run), evaluation.load_cost(run)
    rows = (run.results / "counts.jsonl").read_text(encoding="utf-8").splitlines()
    return Stored(run, manifest, metrics, cost, [json.loads(row) for row in rows])
