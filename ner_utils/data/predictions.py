"""The table of predictions, which all systems write and all scores are computed from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, TypeAdapter, ValidationError

from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span
from ner_utils.sealed import ResultError

STATUSES = ("ok", "recovered", "failed")  # how an answer was read, from good to bad
DIGITS = 4  # decimal places of stored confidences


@dataclass(frozen=True)
class Prediction:
    """The predicted spans of a sentence.

    ``status`` and ``dropped`` are from a generator's answer (`forms.base.Reading`). ``repaired`` has the
    indices of spans that begin with an ill-formed tag. ``confidences`` has for each span the mean
    log-probability of its tags, or of the part of the answer that states it. Confidences do not count for
    equality, because their last digits depend on the batch.
    """

    id: str
    spans: tuple[Span, ...]
    status: str | None = None
    dropped: dict[str, int] | None = None
    repaired: tuple[int, ...] | None = None
    confidences: tuple[float, ...] | None = field(default=None, compare=False)


def _whole(prediction: Prediction) -> Prediction:
    """The prediction. Raises `ValueError` if its repaired places or confidences do not fit its spans."""
    spans, confidences = len(prediction.spans), prediction.confidences
    if not set(prediction.repaired or ()) <= set(range(spans)):
        raise ValueError("repaired: expected places of spans")
    if confidences is not None and not (len(confidences) == spans and all(each <= 0 for each in confidences)):
        raise ValueError("confidences: expected a log-probability for each span")
    return prediction


_ROW = TypeAdapter(Annotated[Prediction, AfterValidator(_whole)])


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write a JSON object for each prediction on a line of its own; the text of sentences is not stored."""
    with path.open("w", encoding="utf-8") as file:
        for prediction in predictions:
            row = {key: value for key, value in vars(prediction).items() if value is not None}
            if prediction.confidences is not None:
                row["confidences"] = [round(value, DIGITS) for value in prediction.confidences]
            file.write(json.dumps(row) + "\n")


def read_predictions(path: Path, sentences: Sequence[Sentence]) -> list[Prediction]:
    """Read predictions, in the order of ``sentences``.

    Raises `ResultError` unless there is exactly one for each sentence, and its spans are inside of the
    sentence and do not overlap.
    """
    rows = parse_predictions(path)
    if set(rows) != {sentence.id for sentence in sentences}:
        raise ResultError(f"{path}: {len(rows)} predictions do not match the {len(sentences)} sentences")
    for sentence in sentences:
        end = 0
        for span in sorted(rows[sentence.id].spans):
            if not end <= span.start < span.end <= len(sentence.tokens):
                raise ResultError(f"{path}: {sentence.id}: span {list(span)} overlaps or leaves the sentence")
            end = span.end
    return [rows[sentence.id] for sentence in sentences]


def parse_predictions(path: Path) -> dict[str, Prediction]:
    """Read predictions by the ids of their sentences. Raises `ResultError` with the line that is none."""
    rows: dict[str, Prediction] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            prediction = _ROW.validate_json(line, strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ResultError(f"{path}:{number}: expected an object with id and spans ({reason})") from None
        if prediction.id in rows:
            raise ResultError(f"{path}:{number}: {prediction.id} occurs twice")
        rows[prediction.id] = prediction
    return rows
