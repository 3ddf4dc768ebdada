"""Files of JSON lines: tags by name and by number, ids, and lines that are refused."""

import functools
import json

import pytest
from corpus_files import dataset, read_texts

from ner_utils import config
from ner_utils.data.formats.lines import DataError
from ner_utils.data.spans import Span


@pytest.fixture
def read(tmp_path):
    """``read(settings, text, ...)`` reads texts as the files of one split."""
    return functools.partial(read_texts, tmp_path)


NEWS = {"ORG": "organization", "LOC": "location"}


def json_lines(*rows):
    return "".join(json.dumps({"tokens": ["a", "b"]} | row) + "\n" for row in rows)


def test_integer_tags_are_places_in_the_declared_names(read):
    settings = dataset("jsonl", types=NEWS, tags=["B-LOC", "I-LOC", "O", "B-ORG"])
    rows = read(
        settings, json_lines({"ner_tags": [0, 1]}, {"ner_tags": [2, 3]}, {"ner_tags": ["B-LOC", "O"]})
    )
    assert [row.spans for row in rows] == [(Span(0, 2, "LOC"),), (Span(1, 2, "ORG"),), (Span(0, 1, "LOC"),)]
    settings = dataset("jsonl", types=NEWS, scheme="bilou", tags=["O", "U-LOC", "B-LOC", "I-LOC", "L-LOC"])
    assert [s.spans for s in read(settings, json_lines({"ner_tags": [2, 4]}))] == [(Span(0, 2, "LOC"),)]
    settings = dataset("jsonl", types={"LOC": "place"}, tags=["O", "B", "I"])
    assert [s.spans for s in read(settings, json_lines({"ner_tags": [1, 2]}))] == [(Span(0, 2, "LOC"),)]


@pytest.mark.parametrize(
    ("tags", "names", "message"),
    [
        ([0, 1], [], "ner_tags are integers, .* declare `tags:`"),
        ([0, 3], ["O", "B-LOC", "I-LOC"], "unknown tag 3; `tags` names 0 to 2"),
        ([0, 10**40], ["O", "B-LOC"], "unknown tag 1000"),
        ([True, False], ["O", "B-LOC"], "unknown tag True"),
        ([0, "B-LOC"], ["O", "B-LOC"], "unknown tag 'B-LOC'"),
        ([[0], [1]], ["O", "B-LOC"], r"unknown tag \[0\]"),
    ],
)
def test_unknown_integer_tags(read, tags, names, message):
    with pytest.raises(DataError, match=f":2: {message}"):
        read(
            dataset("jsonl", types=NEWS, tags=names), json_lines({"ner_tags": ["O", "O"]}, {"ner_tags": tags})
        )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"tags": ["O", "B-PER"]}, "tags: 'B-PER' is no tag of these types in scheme iob2"),
        ({"tags": ["O", "B-LOC", "O"]}, "tags: a name occurs twice"),
        ({"tags": ["O"], "format": "conll"}, "tags: format conll has no such key"),
        ({"fields": {"text": "x"}}, "fields: text: format jsonl has tokens, ner_tags, id, document "),
        ({"fields": {"tokens": "x"}, "format": "csv"}, "fields: tokens: format csv has sentence, token"),
        ({"fields": {"document": "x"}, "format": "offsets"}, "fields: document: format offsets has text, id"),
        ({"fields": {"document": "x"}, "format": "conll"}, "fields: format conll has no such key"),
    ],
)
def test_declared_keys_are_checked(keys, message):
    with pytest.raises(ValueError, match=message):
        dataset(**{"format": "jsonl", "types": NEWS} | keys)


def test_integer_tags_of_multinerd():
    """In the order of its README: O is 0, then B and I of each type."""
    tags = config.load_dataset("multinerd.de").tags
    assert len(tags) == 31 and tags[:4] == ["O", "B-PER", "I-PER", "B-ORG"]
    assert (tags[21], tags[22], tags[30]) == ("B-MEDIA", "I-MEDIA", "I-VEHI")


def test_ids_may_be_integers_and_lines_blank(read):
    rows = [
        {"ner_tags": ["O", "O"], "id": 0, "document": 12},
        {"ner_tags": ["O", "O"], "id": "x", "document": ""},
    ]
    text = "\r\n" + json_lines(*rows).replace("\n", "\r\n \r\n\r\n")
    assert [(s.id, s.document) for s in read(dataset("jsonl"), text)] == [("0", "12"), ("x", None)]
    same = json_lines({"ner_tags": ["O", "O"], "id": 7}, {"ner_tags": ["O", "O"], "id": "7"})
    with pytest.raises(DataError, match=":2: two sentences share an id '7': see .*file0.txt:1$"):
        read(dataset("jsonl"), same)
    with pytest.raises(DataError, match=r":2: two sentences share an id: see .*file0.txt:1$"):
        read(dataset("jsonl", private=True), same)


@pytest.mark.parametrize(
    ("key", "value"), [("id", True), ("id", 1.5), ("document", [7]), ("source", float("nan"))]
)
def test_ids_of_other_types_are_refused(read, key, value):
    with pytest.raises(DataError, match=":1: .* must be strings or integers"):
        read(dataset("jsonl", domain="source"), json_lines({"ner_tags": ["O", "O"], key: value}))


@pytest.mark.parametrize(
    "line",
    [
        '{"tokens": ["a"], "tokens": ["b"], "ner_tags": ["O"]}',
        '{"tokens": ["a"], "ner_tags": ["O"], "more": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"tokens": ["a"], "ner_tags": ["O"], "id": ' + "7" * 5000 + "}",
        '{"tokens": ["a"], "ner_tags": ["' + "x" * 1_000_000 + '"]}',
        '{"tokens": ["a"], "ner_tags": ["\\u001b[2J"]}',
    ],
)
def test_messages_about_strange_lines_are_short(read, line):
    with pytest.raises(DataError, match=":2: ") as error:
        read(dataset("jsonl"), '{"tokens": ["a"], "ner_tags": ["O"]}\n' + line)
    assert len(str(error.value)) < 600 and "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    "row",
    [
        {"tokens": ["a", "hi \ud83d"]},
        {"tokens": ["a", "b"], "id": "\udfff"},
        {"tokens": ["a", "b"], "source": "\ud800"},
    ],
)
def test_lone_surrogates_are_flaws(read, row):
    settings = dataset("jsonl", domain="source")
    text = json_lines(
        {"ner_tags": ["O", "O"], "source": "x"},
        {"ner_tags": ["O", "O"]} | row,
        {"tokens": ["🙂", "c"], "ner_tags": ["O", "O"]},
    )
    with pytest.raises(DataError, match=":2: a lone surrogate"):
        read(settings, text)
    rows = read(settings.model_copy(update={"flaws": "drop"}), text)
    assert [(s.tokens, s.treated) for s in rows] == [(("a", "b"), ()), (("🙂", "c"), ("dropped_flaws",))]


@pytest.mark.parametrize("keys", [{"fields": {"document": "x"}}, {"fields": {"id": "x"}}, {"domain": "x"}])
def test_declared_fields_must_exist_in_some_row(read, keys):
    rows = [{"ner_tags": ["O", "O"]}, {"ner_tags": ["O", "O"], "x": "y"}]
    assert len(read(dataset("jsonl", **keys), json_lines(*rows))) == 2
    with pytest.raises(
        DataError, match=r"file0.txt: no field x; there are tokens, ner_tags: see `fields` and"
    ):
        read(dataset("jsonl", **keys), json_lines(rows[0]))


def test_dropped_blank_tokens_are_counted(read):
    rows = [
        {"tokens": ["", "b"], "ner_tags": ["O", "B-Disease"]},
        {"tokens": [" ", ""], "ner_tags": ["O", "O"]},
    ]
    (sentence,) = read(dataset("jsonl", flaws="drop"), json_lines(*rows, {"tokens": [], "ner_tags": []}))
    assert (sentence.tokens, sentence.spans) == (("b",), (Span(0, 1, "Disease"),))
    assert sentence.treated == ("dropped_flaws",) * 3
