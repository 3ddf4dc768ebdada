"""Score one run from its stored predictions. Needs the corpus, and no model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ner_utils import conventions, predictions, provenance, scoring
from ner_utils.data import Sentence
from ner_utils.predictions import Prediction, ResultError
from ner_utils.run import Run


def evaluate(run: Run, gold: Sequence[Sentence], predicted: Sequence[Prediction]) -> dict[str, Any]:
    """Strict scores, those by the rules of others, and for generation statuses and what was dropped."""
    counts = scoring.total(sentence_counts(gold, predicted))
    values: dict[str, Any] = {
        "fingerprint": run.fingerprint,
        "scorer": provenance.source_hash(provenance.SCORERS),
        "sentences": len(gold),
        "micro": scoring.micro(counts)._asdict(),
        "macro": scoring.macro(counts)._asdict(),
        "types": {kind: score._asdict() for kind, score in scoring.by_type(counts).items()},
        "predicted": sum(len(prediction.spans) for prediction in predicted),
        "first_match": _first_match(gold, predicted)._asdict(),
    }
    if any(prediction.status for prediction in predicted):
        dropped = Counter()
        for prediction in predicted:
            dropped.update(prediction.dropped)
        answered = values["predicted"] + sum(dropped.values())
        values["statuses"] = dict(sorted(Counter(prediction.status for prediction in predicted).items()))
        values["answered"] = answered
        values["dropped"] = dict(sorted(dropped.items()))
        values["ungrounded_rate"] = dropped["ungrounded"] / answered if answered else 0.0
    return values


def _first_match(gold: Sequence[Sentence], predicted: Sequence[Prediction]) -> scoring.Score:
    sides = zip(gold, predicted, strict=True)
    pairs = [
        [conventions.first_match(of.spans, sentence.tokens) for of in (sentence, said)]
        for sentence, said in sides
    ]
    return scoring.score(*zip(*pairs, strict=True)) if pairs else scoring.prf(0, 0, 0)


def sentence_counts(gold: Sequence[Sentence], predicted: Sequence[Prediction]) -> list[scoring.Counts]:
    """Strict counts of each sentence by type."""
    return [
        scoring.count(sentence.spans, prediction.spans)
        for sentence, prediction in zip(gold, predicted, strict=True)
    ]


def write(run: Run, gold: Sequence[Sentence], predicted: Sequence[Prediction]) -> dict[str, Any]:
    """Write counts.jsonl, then metrics.json; returns the metrics."""
    lines = [
        json.dumps({"id": sentence.id, "document": sentence.document, "counts": counts})
        for sentence, counts in zip(gold, sentence_counts(gold, predicted), strict=True)
    ]
    (run.results / "counts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    metrics = evaluate(run, gold, predicted)
    provenance.write_json(run.results / "metrics.json", metrics)
    return metrics


def load_predictions(run: Run, gold: Sequence[Sentence]) -> list[Prediction]:
    """The stored predictions of a finished run, checked against its manifest and the corpus."""
    provenance.read_manifest(run)
    return predictions.read(run.results / "predictions.jsonl", gold)


def load_cost(run: Run) -> dict[str, Any]:
    """What a finished run took (``efficiency.json``)."""
    return json.loads((run.results / "efficiency.json").read_text(encoding="utf-8"))


def load_metrics(run: Run) -> dict[str, Any]:
    """The stored metrics of a run. Refuses what another configuration or scorer made."""
    path = run.results / "metrics.json"
    if not path.is_file():
        raise ResultError(f"{path}: not scored yet; run make study STUDY={run.study}")
    values = json.loads(path.read_text(encoding="utf-8"))
    if values["fingerprint"] != run.fingerprint:
        raise ResultError(f"{path}: scores of another configuration; run make study STUDY={run.study}")
    if values["scorer"] != provenance.source_hash(provenance.SCORERS):
        raise ResultError(f"{path}: scores of another scorer; run make study STUDY={run.study}")
    return values
