"""Conversion: what is written can be read again, with the same mentions."""

import json

import pytest
from corpus_files import dataset

from ner_utils import config
from ner_utils.data import convert
from ner_utils.data.formats import registry
from ner_utils.data.predictions import Prediction, write_predictions
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span, surface

TYPES = {"PER": "person", "LOC": "location"}
READ_AS = {
    "conll": "conll",
    "jsonl": "jsonl",
    "offsets": "offsets",
    "label-studio": "offsets",
    "brat": "brat",
}
SENTENCES = [
    Sentence("s1", "d1", ("Zoë", "left", "New", "York", "."), (Span(0, 1, "PER"), Span(2, 4, "LOC"))),
    Sentence("s2", "d1", ("\U0001f600", "Ada", "<b>", "&", '"', "stayed"), (Span(1, 2, "PER"),)),
    Sentence("s3", "d2", ("nobody", "did"), ()),
]


def written(kind, folder, sentences, predicted=None):
    """The sentences, written in a format and read again."""
    output = folder / ("brat" if kind == "brat" else "written.txt")
    convert.write(sentences, kind, output, predicted)
    kinds = {span.type: span.type.lower() for sentence in sentences for span in sentence.spans} | TYPES
    whole = {"sentences": "whole"} if READ_AS[kind] == "offsets" else {}
    settings = dataset(READ_AS[kind], types=kinds, **whole)
    files = sorted(output.iterdir()) if kind == "brat" else [output]
    return list(registry.read(settings, *files))


def mentions(sentences):
    """Types and characters of all mentions, however the text is cut into tokens."""
    return [
        (span.type, surface(each.tokens, span).replace(" ", "")) for each in sentences for span in each.spans
    ]


@pytest.mark.parametrize("kind", READ_AS)
def test_round_trips(kind, tmp_path):
    again = written(kind, tmp_path, SENTENCES)
    assert mentions(again) == mentions(SENTENCES)
    if kind in ("conll", "jsonl"):
        assert [each.tokens for each in again] == [each.tokens for each in SENTENCES]


@pytest.mark.parametrize("kind", READ_AS)
def test_round_trips_of_the_demo_corpus(kind, tmp_path, demo):
    again = written(kind, tmp_path, demo["test"])
    assert sorted(mentions(again)) == sorted(mentions(demo["test"]))


def test_predictions_take_the_place_of_gold_or_stand_beside_it(tmp_path):
    predicted = [(Span(2, 4, "PER"),), (), ()]
    assert mentions(written("offsets", tmp_path, SENTENCES, predicted)) == [("PER", "NewYork")]
    assert mentions(written("label-studio", tmp_path, SENTENCES, predicted)) == mentions(SENTENCES)
    tasks = json.loads((tmp_path / "written.txt").read_text())
    assert tasks[0]["predictions"][0]["result"][0]["value"]["text"] == "New York"


def test_the_command(tmp_path, demo, capsys):
    output = tmp_path / "out.jsonl"
    convert.main(["demo", "test", "jsonl", str(output)])
    assert len(output.read_text().splitlines()) == len(demo["test"])
    assert "sentences written to" in capsys.readouterr().out
    sample = demo["test"][:5]
    write_predictions(tmp_path / "predictions.jsonl", [Prediction(each.id, ()) for each in sample])
    convert.main(
        ["demo", "test", "offsets", str(output), "--predictions", str(tmp_path / "predictions.jsonl")]
    )
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["id"] for row in rows] == [each.id for each in sample]
    assert not any(row["entities"] for row in rows)


def test_an_unknown_corpus_is_refused():
    with pytest.raises(config.ConfigError, match="no such file"):
        convert.main(["no-such", "test", "jsonl", "x"])


def test_docbin(tmp_path):
    spacy = pytest.importorskip("spacy")
    from spacy.tokens import DocBin

    convert.write(SENTENCES, "docbin", tmp_path / "x.spacy")
    docs = list(DocBin().from_disk(tmp_path / "x.spacy").get_docs(spacy.blank("xx").vocab))
    assert [(ent.label_, ent.text) for doc in docs for ent in doc.ents][1] == ("LOC", "New York")
