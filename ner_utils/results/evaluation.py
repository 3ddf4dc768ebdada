"""Scores one run from its stored predictions, and loads what is stored of it. Needs no model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ner_utils import paths, scoring, sealed, stages
from ner_utils.config.run import Run
from ner_utils.data import predictions
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.files import differing, sha256, write_whole
from ner_utils.results import provenance
from ner_utils.scoring import span_table, surface_scores
from ner_utils.scoring.span_table import SpanTable
from ner_utils.sealed import ResultError


def write_metrics(run: Run, gold: Sequence[Sentence], predicted: Sequence[Prediction]) -> dict[str, Any]:
    """Write counts.jsonl, then metrics.json with what they were made from; returns the metrics."""
    scores, rows = evaluate(run, gold, predicted)
    lines = [
        json.dumps({"id": sentence.id, "document": sentence.document, "counts": counts})
        for sentence, counts in zip(gold, rows, strict=True)
    ]
    write_whole(run.results / "counts.jsonl", ("\n".join(lines) + "\n").encode())
    source = {
        "fingerprint": run.fingerprint,
        "stages": stages.numbers("scoring"),
        "inputs": provenance.inputs(run),
        "files": {name: sha256(run.results / name) for name in ("counts.jsonl", "predictions.jsonl")},
    }
    metrics = source | scores
    sealed.write_json(run.results / "metrics.json", metrics)
    return metrics


def evaluate(
    run: Run, gold: Sequence[Sentence], predicted: Sequence[Prediction]
) -> tuple[dict[str, Any], list[scoring.Counts]]:
    """Metrics, and the counts of each sentence. Metrics are strict scores, those of other schemes and by the
    rules of other papers; for tagging, the effect of repairing tags; for generation, statuses of answers and
    dropped items."""
    tables = span_tables(run, gold, predicted)
    rows = scoring.rows(scoring.count(*tables), tables[0].types)
    counts = scoring.total(rows)
    by_others = surface_scores.scores(gold, [prediction.spans for prediction in predicted])
    values: dict[str, Any] = {
        "sentences": len(gold),
        "micro": scoring.micro(counts)._asdict(),
        "macro": scoring.macro(counts)._asdict(),
        "types": {kind: score._asdict() for kind, score in scoring.by_type(counts).items()},
        "predicted": sum(len(prediction.spans) for prediction in predicted),
        "weighted": scoring.weighted(counts)._asdict(),
        "schemes": {
            name: tally._asdict() | tally.score._asdict() for name, tally in scoring.tally(*tables).items()
        },
        "conventions": {name: score._asdict() for name, score in by_others.items()},
    }
    if any(prediction.repaired is not None for prediction in predicted):
        values["repair"] = _without_repair(gold, predicted)
    if any(prediction.status for prediction in predicted):
        dropped = Counter()
        for prediction in predicted:
            dropped.update(prediction.dropped)
        answered = values["predicted"] + sum(dropped.values())
        values["statuses"] = dict(sorted(Counter(prediction.status for prediction in predicted).items()))
        values["answered"] = answered
        values["dropped"] = dict(sorted(dropped.items()))
        values["ungrounded_rate"] = dropped["ungrounded"] / answered if answered else 0.0
    return values, rows


def _without_repair(gold: Sequence[Sentence], predicted: Sequence[Prediction]) -> dict[str, Any]:
    """The number of spans that an ill-formed tag opens, and the scores without them: those of a scorer that
    discards such tags instead of repairing them."""
    repaired = [each.repaired or () for each in predicted]
    kept = [
        [span for at, span in enumerate(each.spans) if at not in opened]
        for each, opened in zip(predicted, repaired, strict=True)
    ]
    discarded = scoring.score([each.spans for each in gold], kept)
    return {"spans": sum(map(len, repaired)), "discarded": discarded._asdict()}


def span_tables(
    run: Run, gold: Sequence[Sentence], predicted: Sequence[Prediction]
) -> tuple[SpanTable, SpanTable]:
    """Gold and predictions as tables of spans."""
    types = sorted(run.dataset.types)
    return tuple(span_table.from_spans([row.spans for row in side], types) for side in (gold, predicted))


def load_predictions(run: Run, gold: Sequence[Sentence]) -> list[Prediction]:
    """The stored predictions of a finished run, checked against its manifest and the corpus."""
    provenance.check_inputs(run, provenance.read_manifest(run))
    return predictions.read_predictions(run.results / "predictions.jsonl", gold)


def load_cost(run: Run) -> dict[str, Any]:
    """The cost of a finished run (``efficiency.json``)."""
    return json.loads((run.results / "efficiency.json").read_text(encoding="utf-8"))


def load_metrics(run: Run) -> dict[str, Any]:
    """The stored metrics of a run. Raises `ResultError` where they are missing, were made from other
    predictions, by another configuration or another scorer, or were changed since."""
    path, again = run.results / "metrics.json", f"run make study STUDY={run.study}"
    values = sealed.read_made(path, stages.numbers("scoring"), again)
    if values["fingerprint"] != run.fingerprint:
        raise ResultError(f"{paths.relative(path)}: scores of another configuration; {again}")
    if wrong := differing(run.results, values["files"]):
        raise ResultError(f"{paths.relative(run.results / wrong[0])}: not the file of these scores; {again}")
    return values


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
    metrics, cost = load_metrics(run), load_cost(run)
    rows = (run.results / "counts.jsonl").read_text(encoding="utf-8").splitlines()
    return Stored(run, manifest, metrics, cost, [json.loads(row) for row in rows])
