"""BioC, XML and JSON alike: passages with gaps, sentences, discontinuous annotations, hostile files."""

import json

import bioc
import pytest
from bioc import biocjson, biocxml
from corpus_files import dataset, read_texts, surfaces

from ner_utils.data.formats import registry
from ner_utils.data.formats.lines import DataError


def passage(offset, text, *annotations, sentences=()):
    made = bioc.BioCPassage()
    made.sentences = list(sentences)
    made.offset, made.text = offset, text
    for kind, stated, *places in annotations:
        annotation = bioc.BioCAnnotation()
        annotation.infons["type"], annotation.text = kind, stated
        for start, length in places:
            annotation.add_location(bioc.BioCLocation(start, length))
        made.add_annotation(annotation)
    return made


def document(name, *passages):
    made = bioc.BioCDocument()
    made.id, made.passages = name, list(passages)
    return made


TITLE = passage(0, "Aspirin and fever.", ("Chemical", "Aspirin", (0, 7)), ("Disease", "fever", (12, 5)))
ABSTRACT = passage(22, "Fever of mice.", ("Disease", "Fever mice", (22, 5), (31, 4)))


@pytest.fixture(params=["xml", "json"])
def read(request, tmp_path):
    def read(*documents, **keys):
        collection = bioc.BioCCollection()
        collection.documents = list(documents)
        path = tmp_path / f"x.{request.param}"
        writer = biocxml if request.param == "xml" else biocjson
        path.write_text(writer.dumps(collection), encoding="utf-8")
        return list(registry.read(dataset("bioc", **keys), path))

    return read


def test_passages_keep_their_offsets(read):
    rows = read(document("1", TITLE, ABSTRACT))
    assert surfaces(rows) == [("Chemical", "Aspirin"), ("Disease", "fever"), ("Disease", "Fever of mice")]
    assert [row.text for row in rows] == ["Aspirin and fever .", "Fever of mice ."]
    assert rows[1].treated == ("discontinuous_mentions",)
    assert {row.document for row in rows} == {"1"}


def test_sentences_are_read_where_a_passage_has_no_text(read):
    for empty in ("", None):
        inside = passage(0, "Flu is bad.", ("Disease", "Flu", (0, 3)))
        rows = read(document("1", passage(0, empty, sentences=[inside]), passage(12, "So.")))
        assert [row.text for row in rows] == ["Flu is bad .", "So ."] and len(rows[0].spans) == 1


def test_equal_locations_are_one(read):
    (row,) = read(document("1", passage(0, "bad lungs", ("Disease", "lungs", (4, 5), (4, 5)))))
    assert surfaces([row]) == [("Disease", "lungs")] and row.treated == ()


def test_passages_without_a_character_between_them(read):
    rows = read(document("1", passage(0, "One. "), passage(5, "Aspirin.", ("Chemical", "Aspirin", (5, 7)))))
    assert surfaces(rows) == [("Chemical", "Aspirin")]


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([document("1", TITLE, passage(10, "x"))], "document 1: the passage at 10 overlaps"),
        ([document("1", TITLE), document("1", TITLE)], "document 1 occurs twice"),
        (
            [document("1", passage(0, "a b", ("Gene", "a", (0, 1))))],
            "annotation 1 of document 1: unknown type",
        ),
        ([document("1", passage(0, "a b", ("Disease", "b", (0, 1))))], "the text of the mention is not at"),
        ([document("1", passage(0, "a b", ("Disease", "a")))], "annotation 1 has no location"),
        (
            [document("1", passage(0, "left and right lungs", ("Disease", "right", (0, 4), (15, 5))))],
            "annotation 1 of document 1: the text of the mention is not at its offsets: 'right'",
        ),
    ],
)
def test_documents_that_are_refused(read, documents, message):
    with pytest.raises(DataError, match=message):
        read(*documents)


@pytest.mark.parametrize(
    "text",
    [
        "<collection><document>",
        '{"documents": [{"id": "1"}]}',
        "{",
        "[7]",
        '{"documents": []}',
        "<passage></passage>",
        '<!DOCTYPE c [<!ENTITY x SYSTEM "file:///etc/hostname">]><collection><source>&x;</source></collection>',
    ],
)
def test_files_that_are_no_bioc(tmp_path, text):
    (tmp_path / "x").write_text(text)
    with pytest.raises(DataError, match="x: no BioC"):
        list(registry.read(dataset("bioc"), tmp_path / "x"))


@pytest.mark.parametrize("key", ["documents", "PubTator3"])
def test_parts_that_publishers_leave_out(tmp_path, key):
    """As in BioRED's JSON and in that of PubTator 3's API."""
    mention = {
        "infons": {"type": "Disease"},
        "text": "flu",
        "locations": [{"offset": 4, "length": 3}],
        "id": "0",
    }
    document = {"id": "1", "passages": [{"offset": 0, "text": "The flu.", "annotations": [mention]}]}
    document["relations"] = [{"id": "R0", "infons": {"entity1": "0"}}]
    for whole in ({key: [document]}, [{key: [document]}], document):
        (sentence,) = read_texts(tmp_path, dataset("bioc"), json.dumps(whole))
        assert surfaces([sentence]) == [("Disease", "flu")]


PLACE = {"offset": 0, "length": 3}
FLU = {"infons": {"type": "Disease"}, "text": "Flu", "locations": [PLACE]}


@pytest.mark.parametrize(
    ("document", "passage", "mention", "expected"),
    [
        ({}, {}, {}, "7"),
        ({"id": 0}, {}, {}, "0"),
        ({"id": None}, {}, {}, "file0.txt:1"),
        ({}, {"offset": "0"}, {}, "no BioC .offset: expected int, found str"),
        ({}, {"offset": None}, {}, "no BioC .lacks 'offset'"),
        ({}, {"text": 7}, {}, "no BioC .text: expected str, found int"),
        ({}, {}, {"locations": [PLACE | {"offset": "0"}], "text": None}, "no BioC .offset: expected int"),
        ({}, {}, {"infons": None}, "document 7: annotation 1 has no location, or no text as infon type"),
        (
            {},
            {},
            {"infons": {"type": ["Disease"]}},
            "document 7: annotation 1 has no location, or no text as",
        ),
        ({}, {"text": "Flu \ud83d"}, {}, "document 7: a lone surrogate"),
    ],
)
def test_values_of_other_kinds(tmp_path, document, passage, mention, expected):
    passage = {"offset": 0, "text": "Flu", "annotations": [FLU | mention]} | passage
    text = json.dumps({"documents": [{"id": "7", "passages": [passage]} | document]})
    if " " in expected:
        with pytest.raises(DataError, match=rf"file0.txt: {expected}"):
            read_texts(tmp_path, dataset("bioc"), text)
    else:
        (sentence,) = read_texts(tmp_path, dataset("bioc"), text)
        assert sentence.document == expected


def test_ids_that_xml_leaves_out(tmp_path):
    mention = "<infon key='type'>Disease</infon><location offset='0' length='3'/><text>Flu</text>"
    text = f"<passage><offset>0</offset><text>Flu</text><annotation>{mention}</annotation></passage>"
    text = f"<collection><document>{text}</document><document>{text}</document></collection>"
    rows = read_texts(tmp_path, dataset("bioc"), text)
    assert [row.document for row in rows] == ["file0.txt:1", "file0.txt:2"] and len(surfaces(rows)) == 2
