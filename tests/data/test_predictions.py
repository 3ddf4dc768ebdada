"""The table of predictions: written, read back, and refused if it does not fit the corpus."""

import json
import re

import pytest

from ner_utils.data import predictions
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import Span
from ner_utils.forms.base import DROPPED
from ner_utils.sealed import ResultError

SENTENCES = [
    Sentence("a", None, ("Ada", "met", "Bo"), (Span(0, 1, "PER"),)),
    Sentence("b", None, ("no", "one"), ()),
]
NOTHING = dict.fromkeys(DROPPED, 0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "predictions.jsonl"


def rows(path, *values):
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")


def test_there_and_back(path):
    written = [
        Prediction("a", (Span(0, 1, "PER"), Span(1, 3, "LOC")), "recovered", NOTHING | {"ungrounded": 2}),
        Prediction("b", (Span(0, 1, "PER"),), repaired=(0,), confidences=(-0.12345678,)),
    ]
    predictions.write_predictions(path, written)
    found = predictions.read_predictions(path, SENTENCES)
    assert found == written
    assert [each.confidences for each in found] == [None, (-0.1235,)]
    assert all(isinstance(span, Span) for prediction in written for span in prediction.spans)


def test_order_is_the_sentences(path):
    predictions.write_predictions(path, [Prediction("b", ()), Prediction("a", ())])
    assert [each.id for each in predictions.read_predictions(path, SENTENCES)] == ["a", "b"]


def test_no_text_is_written(path):
    predictions.write_predictions(path, [Prediction(SENTENCES[0].id, SENTENCES[0].spans, "ok", NOTHING)])
    assert not re.search("Ada|met|Bo", path.read_text(encoding="utf-8"))


A, B = {"id": "a", "spans": [[0, 1, "PER"]]}, {"id": "b", "spans": []}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param([A], "1 predictions do not match the 2 sentences", id="missing"),
        pytest.param([A, B, A | {"id": "c"}], "3 predictions do not match", id="extra"),
        pytest.param([A, B, A], ":3: a occurs twice", id="twice"),
        pytest.param([A | {"spans": [[0, 2, "PER"], [1, 3, "PER"]]}, B], "a: span [1, 3", id="overlap"),
        pytest.param([A | {"spans": [[0, 4, "PER"]]}, B], "a: span [0, 4", id="past the end"),
        pytest.param([A | {"spans": [[1, 1, "PER"]]}, B], "a: span [1, 1", id="empty span"),
        pytest.param([B, A | {"spans": [[0, 1]]}], ":2: expected an object with id", id="no type"),
        pytest.param([B, A | {"spans": [["0", "1", "PER"]]}], ":2: expected an object with id", id="strings"),
        pytest.param(
            [B, A | {"spans": [[False, True, "PER"]]}], ":2: expected an object with id", id="booleans"
        ),
        pytest.param([B, {"id": "a"}], ":2: expected an object with id", id="no spans"),
        pytest.param([B, {"spans": []}], ":2: expected an object with id", id="no id"),
        pytest.param([B, A | {"confidences": []}], ":2: expected an object with id", id="no confidence"),
        pytest.param([B, A | {"confidences": [0.5]}], ":2: expected an object with id", id="above certainty"),
        pytest.param([B, A | {"repaired": [1]}], ":2: expected an object with id", id="no such span"),
        pytest.param([B, [1]], ":2: expected an object with id", id="no object"),
        pytest.param([B, "cut"], ":2: expected an object with id", id="a string"),
    ],
)
def test_refused(path, values, message):
    rows(path, *values)
    with pytest.raises(ResultError, match=f"^{re.escape(str(path))}.*{re.escape(message)}"):
        predictions.read_predictions(path, SENTENCES)
