"""The table of predictions, where both ways of doing NER meet: indices, never text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span
from ner_utils.sealed import ResultError

DIGITS = 4  # after the point, of stored confidences


@dataclass(frozen=True)
class Prediction:
    """The predicted spans of a sentence; ``status`` and ``dropped`` for generation only, ``repaired`` for
    tagging: the places among the spans of those that an ill-formed tag opens.

    ``confidences`` holds for each span the mean log-probability of the tokens that state it: of the words'
    tags, or of the piece of the answer. Its last digits depend on the batch, so it is no part of equality.
    """

    id: str
    spans: tuple[Span, ...]
    status: str | None = None
    dropped: dict[str, int] | None = None
    repaired: tuple[int, ...] | None = None
    confidences: tuple[float, ...] | None = field(default=None, compare=False)


def write(path: Path, predictions: Iterable[Prediction]) -> None:
    """One JSON object a line."""
    with path.open("w", encoding="utf-8") as file:
        for prediction in predictions:
            row = {key: value for key, value in vars(prediction).items() if value is not None}
            if prediction.confidences is not None:
                row["confidences"] = [round(value, DIGITS) for value in prediction.confidences]
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
            repaired, confidences = (_numbers(row, key, len(spans)) for key in ("repaired", "confidences"))
            prediction = Prediction(
                row["id"], spans, row.get("status"), row.get("dropped"), repaired, confidences
            )
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


def _numbers(row: dict, key: str, spans: int) -> tuple | None:
    """A field with numbers about the spans, where there is one."""
    if key not in row:
        return None
    values = row[key]
    if key == "repaired" and not set(values) <= set(range(spans)):
        raise TypeError("repaired: expected places of spans")
    if key == "confidences" and (len(values) != spans or not all(value <= 0 for value in values)):
        raise TypeError("confidences: expected a log-probability for each span")
    return tuple(values)
