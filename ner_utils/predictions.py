"""The table of predictions, where both ways of doing NER meet: indices, never text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ner_utils.data import Sentence
from ner_utils.spans import Span


class ResultError(Exception):
    """A stored result that cannot be used; the message names file and reason."""


@dataclass(frozen=True)
class Prediction:
    """The predicted spans of a sentence; ``status`` and ``dropped`` for generation only."""

    id: str
    spans: tuple[Span, ...]
    status: str | None = None
    dropped: dict[str, int] | None = None


def write(path: Path, predictions: Iterable[Prediction]) -> None:
    """One JSON object a line."""
    with path.open("w", encoding="utf-8") as file:
        for prediction in predictions:
            row = {"id": prediction.id, "spans": prediction.spans}
            if prediction.status:
                row |= {"status": prediction.status, "dropped": prediction.dropped}
            file.write(json.dumps(row) + "\n")


def read(path: Path, sentences: Sequence[Sentence]) -> list[Prediction]:
    """Read predictions in the order of ``sentences``.

    Raises `ResultError` unless there is exactly one for each sentence and every span fits it.
    """
    rows: dict[str, Prediction] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            spans = tuple(Span(*span) for span in row["spans"])
            prediction = Prediction(row["id"], spans, row.get("status"), row.get("dropped"))
            if [type(value) for span in spans for value in span] != [int, int, str] * len(spans):
                raise TypeError("a span is [start, end, type]")
            if not isinstance(row["id"], str):
                raise TypeError("an id is a string")
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ResultError(f"{path}:{number}: not a prediction ({error})") from None
        if prediction.id in rows:
            raise ResultError(f"{path}:{number}: a second prediction for {prediction.id}")
        rows[prediction.id] = prediction
    if set(rows) != {sentence.id for sentence in sentences}:
        raise ResultError(f"{path}: {len(rows)} predictions do not match the {len(sentences)} sentences")
    for sentence in sentences:
        ends = [0]
        for span in sorted(rows[sentence.id].spans):
            if not ends[-1] <= span.start < span.end <= len(sentence.tokens):
                raise ResultError(f"{path}: {sentence.id}: span {list(span)} overlaps or leaves the sentence")
            ends.append(span.end)
    return [rows[sentence.id] for sentence in sentences]
