"""The table of predictions: written, read back, and refused where it does not fit the corpus."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    assert [prediction.id for prediction in predictions.read_predictions(path, SENTENCES)] == ["a", "b"]


@given(st.text(), st.lists(st.booleans(), max_size=8))
def test_any_id_and_spans(tmp_path_factory, name, mentions):
    path = tmp_path_factory.mktemp("any") / "predictions.jsonl"
    sentence = Sentence(name, None, ("x",) * len(mentions), ())
    spans = tuple(Span(index, index + 1, "PER") for index, mention in enumerate(mentions) if mention)
    predictions.write_predictions(path, [Prediction(name, spans)])
    assert predictions.read_predictions(path, [sentence]) == [Prediction(name, spans)]


def test_no_text_is_written(path):
    predictions.write_predictions(path, [Prediction(SENTENCES[0].id, SENTENCES[0].spans, "ok", NOTHING)])
    assert not re.search("Ada|met|Bo", path.read_text(encoding="utf-8"))


A, B = {"id": "a", "spans": [[0, 1, "PER"]]}, {"id": "b", "spans": []}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param([A], "1 predictions do not match the 2 sentences", id="missing"),
        pytest.param([], "0 predictions do not match the 2 sentences", id="empty"),
        pytest.param([A, B, A | {"id": "c"}], "3 predictions do not match", id="extra"),
        pytest.param([A, A | {"id": "c"}], "do not match", id="another"),
        pytest.param([A, B, A], ":3: a second prediction for a", id="twice"),
        pytest.param([A | {"spans": [[0, 2, "PER"], [1, 3, "PER"]]}, B], "a: span [1, 3", id="overlap"),
        pytest.param([A | {"spans": [[0, 1, "PER"], [0, 1, "LOC"]]}, B], "a: span [0, 1", id="same place"),
        pytest.param([A | {"spans": [[0, 4, "PER"]]}, B], "a: span [0, 4", id="past the end"),
        pytest.param([A | {"spans": [[-1, 1, "PER"]]}, B], "a: span [-1, 1", id="before the start"),
        pytest.param([A | {"spans": [[1, 1, "PER"]]}, B], "a: span [1, 1", id="empty span"),
        pytest.param([A | {"spans": [[2, 1, "PER"]]}, B], "a: span [2, 1", id="backwards"),
        pytest.param([B, A | {"spans": [[0, 1]]}], ":2: not a prediction", id="no type"),
        pytest.param([B, A | {"spans": [[0, 1, "PER", 1]]}], ":2: not a prediction", id="too long"),
        pytest.param([B, A | {"spans": [["0", "1", "PER"]]}], ":2: not a prediction", id="strings"),
        pytest.param([B, A | {"spans": [[0.0, 1.5, "PER"]]}], ":2: not a prediction", id="fractions"),
        pytest.param([B, A | {"spans": [[False, True, "PER"]]}], ":2: not a prediction", id="booleans"),
        pytest.param([B, A | {"spans": [[0, 1, None]]}], ":2: not a prediction", id="null type"),
        pytest.param([B, A | {"spans": 1}], ":2: not a prediction", id="no list"),
        pytest.param([B, A | {"id": ["a"]}], ":2: not a prediction", id="list as id"),
        pytest.param([B, {"id": "a"}], ":2: not a prediction", id="no spans"),
        pytest.param([B, {"spans": []}], ":2: not a prediction", id="no id"),
        pytest.param([B, A | {"confidences": []}], ":2: not a prediction", id="no confidence"),
        pytest.param([B, A | {"confidences": [0.5]}], ":2: not a prediction", id="above certainty"),
        pytest.param([B, A | {"confidences": [None]}], ":2: not a prediction", id="null confidence"),
        pytest.param([B, A | {"repaired": [1]}], ":2: not a prediction", id="no such span"),
        pytest.param([B, [1]], ":2: not a prediction", id="no object"),
    ],
)
def test_refused(path, values, message):
    rows(path, *values)
    with pytest.raises(ResultError, match=f"^{re.escape(str(path))}.*{re.escape(message)}"):
        predictions.read_predictions(path, SENTENCES)


def test_cut_off_file(path):
    predictions.write_predictions(path, [Prediction("a", ()), Prediction("b", ())])
    path.write_text(path.read_text()[:-3])
    with pytest.raises(ResultError, match=":2: not a prediction"):
        predictions.read_predictions(path, SENTENCES)
