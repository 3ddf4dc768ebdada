"""CSV with a row for each token: sentences by their cell, quoted cells, and what is refused."""

import functools

import pytest
from corpus_files import dataset, read_texts, surfaces

from ner_utils.data.formats.lines import DataError

NEWS = {"PER": "person", "LOC": "location"}
HEAD = "sentence,token,tag\n"


@pytest.fixture
def read(tmp_path):
    """``read(settings, text, ...)`` reads texts as the files of one split."""
    return functools.partial(read_texts, tmp_path)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        pytest.param(HEAD + "1,Ada,B-PER\n1,left,O\n2,Bern,B-LOC\n", {}, id="named in each row"),
        pytest.param(
            "Sentence #,Word,POS,Tag\nSentence: 1,Ada,NNP,B-PER\n,left,VBD,O\nSentence: 2,Bern,NNP,B-LOC\n",
            {"fields": {"sentence": "Sentence #", "token": "Word", "tag": "Tag"}},
            id="named once, other columns",
        ),
        pytest.param(HEAD + "1,Ada,B_PER\n1,left,O\n\n2,Bern, B_LOC\n", {}, id="blank lines and underscores"),
        pytest.param(
            HEAD + "1,Ada,U-PER\r\n1,left,O\r\n2,Bern,U-LOC", {"scheme": "bilou"}, id="another scheme"
        ),
    ],
)
def test_sentences(read, text, keys):
    rows = read(dataset("csv", types=NEWS, **keys), text)
    assert [row.tokens for row in rows] == [("Ada", "left"), ("Bern",)]
    assert surfaces(rows) == [("PER", "Ada"), ("LOC", "Bern")]


def test_sentences_are_numbered_in_their_document(read):
    cells = ["a,1,Ada,B-PER", "a,1,left,O", "a,2,Bern,B-LOC", "b,2,Bo,B-PER", ",,left,O", "c,,so,O"]
    text = "doc," + HEAD + "\n".join(cells)
    rows = read(dataset("csv", types=NEWS, fields={"document": "doc"}), text)
    assert [(row.document, len(row.tokens)) for row in rows] == [("a", 2), ("a", 1), ("b", 2), ("c", 1)]
    with pytest.raises(DataError, match=":1: no field document_id; there are doc, sentence, token, tag"):
        read(dataset("csv", types=NEWS, fields={"document": "document_id"}), text)


def test_cells_with_commas_and_quotation_marks(read):
    rows = read(dataset("csv", types=NEWS), HEAD + '1,",",O\n1,"""",O\n1,"Ada",B-PER\n')
    assert rows[0].tokens == (",", '"', "Ada")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentence,word,tag\n", ":1: no field token; there are sentence, word, tag: see `fields`"),
        ("", ":1: no field sentence"),
        ("sentence;token;tag\n1;Ada;B-PER\n", ":1: separated by ';'; expected commas"),
        ("sentence\ttoken\ttag\n", r":1: separated by '\\t'; expected commas"),
        ("sentence,token,tag,tag\n1,Ada,O,B-PER\n", ":1: two columns have the name tag"),
        (HEAD + "1,Ada,B-PER\n1,x,B-ORG\n", ":3: unknown tag 'B-ORG'"),
        (HEAD + "1,Ada\n", ":2: expected 3 cells, as in the header, found 2"),
        (HEAD + '1,a,O\n1,"b,O\n', ":3: no CSV"),
        (HEAD + "1,Ada,B-ORG\n", ":2: unknown tag 'B-ORG'"),
        (HEAD + "1,,O\n1,a,O\n", ":2: tokens must be non-empty strings"),
    ],
)
def test_tables_that_are_refused(read, text, message):
    with pytest.raises(DataError, match=message):
        read(dataset("csv", types=NEWS), text)
