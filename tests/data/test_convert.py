"""Conversion: what is written can be read again, with the same mentions."""

import json
from collections import Counter

import pytest
from corpus_files import dataset

from ner_utils import config
from ner_utils.data import convert
from ner_utils.data.formats import registry
from ner_utils.data.formats.lines import DataError
from ner_utils.data.predictions import Prediction, write_predictions
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span, surface
from ner_utils.sealed import ResultError

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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": found no prediction; expected"),
        ("{0}\n\n{1}\n", ":2: expected an object with id"),
        ("{0}\nx\n", ":2: expected an object with id"),
        ('{"spans": []}', ":1: expected an object with id"),
        ("{0}\n{0}\n", ":2: .* occurs twice"),
        ('{0}\n{"id": "other", "spans": []}', ": 2 predictions do not match the 1 sentences"),
        (b"\xff\xfe{\0", ":1: expected an object with id"),
        ("{NOPE}", ": found NOPE; expected predictions of PER, ORG"),
    ],
)
def test_predictions_that_are_refused(tmp_path, demo, text, message):
    """Before the output is written."""
    rows = {f"{{{at}}}": {"id": demo["test"][at].id, "spans": []} for at in (0, 1)}
    rows["{NOPE}"] = rows["{0}"] | {"spans": [[0, 1, "NOPE"]]}
    for key, row in rows.items():
        text = text if isinstance(text, bytes) else text.replace(key, json.dumps(row))
    path, output = tmp_path / "predictions.jsonl", tmp_path / "out"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ResultError, match=f"{path}{message}"):
        convert.main(["demo", "test", "jsonl", str(output), "--predictions", str(path)])
    assert not output.exists()


def named(*names):
    return [Sentence(f"s{at}", name, ("Ada",), (Span(0, 1, "PER"),)) for at, name in enumerate(names)]


@pytest.mark.parametrize(
    ("sentences", "documents"),
    [
        (named("A", "B", "A"), {"A": 2, "B": 1}),
        (named("a/1", "a:1", "a-1-2"), {"a-1": 1, "a-1-2": 1, "a-1-2-2": 1}),
        (named("a", "A"), {"a": 1, "A-2": 1}),
        (named("s1", None), {"s1": 1, "s1-2": 1}),
        (named("d" * 300), {"d" * 100: 1}),
    ],
)
def test_documents_of_brat_do_not_overwrite_each_other(tmp_path, sentences, documents):
    assert Counter(row.document for row in written("brat", tmp_path, sentences)) == documents


@pytest.mark.parametrize("kind", ["conll", "brat"])
def test_tokens_that_a_line_cannot_hold(tmp_path, kind):
    tokens = ("a\tb", "c\nd", "# id", "#begin document x", "Ada")
    (row, *others) = written(kind, tmp_path, [Sentence("s1", None, tokens, (Span(4, 5, "PER"),))])
    assert mentions([row]) == [("PER", "Ada")] and others == []
    if kind == "conll":
        assert row.tokens == ("a b", "c d", *tokens[2:])


@pytest.mark.parametrize(
    ("kind", "token", "type", "message"),
    [
        ("conll", "-DOCSTART-", "PER", "s1: format conll cannot hold a token -DOCSTART-"),
        ("brat", "Ada", "geo loc", "s1: format brat cannot hold a space in type 'geo loc'"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path, kind, token, type, message):
    with pytest.raises(DataError, match=message):
        convert.write([Sentence("s1", None, (token,), (Span(0, 1, type),))], kind, tmp_path / "x")


def test_an_unknown_corpus_is_refused():
    with pytest.raises(config.ConfigError, match="no such file"):
        convert.main(["no-such", "test", "jsonl", "x"])


def test_docbin(tmp_path):
    spacy = pytest.importorskip("spacy")
    from spacy.tokens import DocBin

    convert.write(SENTENCES, "docbin", tmp_path / "x.spacy")
    docs = list(DocBin().from_disk(tmp_path / "x.spacy").get_docs(spacy.blank("xx").vocab))
    assert [(ent.label_, ent.text) for doc in docs for ent in doc.ents][1] == ("LOC", "New York")
