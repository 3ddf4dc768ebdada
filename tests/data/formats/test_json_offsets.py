"""JSON with offsets in the layouts of tools that annotators use: alike, or refused with file and line."""

import functools
import json

import pytest
from corpus_files import dataset, read_texts, surfaces

from ner_utils.data.formats.lines import DataError

NEWS = {"PER": "person", "LOC": "location"}
TEXT = "Ada Lovelace left Bern. Zoë stayed."
EXPECTED = [("PER", "Ada Lovelace"), ("LOC", "Bern"), ("PER", "Zoë")]
TRIPLES = [[0, 12, "PER"], [18, 22, "LOC"], [24, 27, "PER"]]
OBJECTS = [{"start": start, "end": end, "label": kind} for start, end, kind in TRIPLES]
RESULT = [
    {"type": "labels", "value": {"start": start, "end": end, "text": TEXT[start:end], "labels": [kind]}}
    for start, end, kind in TRIPLES
]
TASK = {
    "id": 7,
    "data": {"text": TEXT},
    "annotations": [{"was_cancelled": True, "result": []}, {"result": RESULT}],
}


@pytest.fixture
def read(tmp_path):
    """``read(settings, text, ...)`` reads texts as the files of one split."""
    return functools.partial(read_texts, tmp_path)


LAYOUTS = {
    "spaCy's triples": {"text": TEXT, "entities": TRIPLES},
    "spaCy's pairs": [TEXT, {"entities": TRIPLES}],
    "Prodigy": {"text": TEXT, "spans": OBJECTS, "tokens": [], "answer": "accept"},
    "doccano": {"id": 3, "text": TEXT, "label": TRIPLES},
    "doccano with relations": {
        "text": TEXT,
        "entities": [
            {"id": at, "label": kind, "start_offset": start, "end_offset": end}
            for at, (start, end, kind) in enumerate(TRIPLES)
        ],
        "relations": [],
    },
    "Label Studio": TASK,
    "Label Studio's short form": {"text": TEXT, "label": [each["value"] for each in RESULT]},
}


@pytest.mark.parametrize("record", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("shape", ["lines", "array", "indented array"])
def test_layouts(read, record, shape):
    texts = {
        "lines": json.dumps(record) + "\n\n",
        "array": json.dumps([record]),
        "indented array": json.dumps([record], indent=2, ensure_ascii=False),
    }
    rows = read(dataset("offsets", types=NEWS), texts[shape])
    assert surfaces(rows) == EXPECTED
    assert [row.text for row in rows] == ["Ada Lovelace left Bern .", "Zoë stayed ."]


def test_texts_can_stay_whole(read):
    rows = read(dataset("offsets", types=NEWS, sentences="whole"), json.dumps(LAYOUTS["Prodigy"]))
    assert len(rows) == 1 and surfaces(rows) == EXPECTED


def test_offsets_count_code_points(read):
    record = {"text": "\U0001f600 Ada", "entities": [[2, 5, "PER"]]}
    assert surfaces(read(dataset("offsets", types=NEWS), json.dumps(record))) == [("PER", "Ada")]


def test_fields_of_other_names_and_documents(read):
    settings = dataset("offsets", types=NEWS, fields={"text": "body", "id": "number"})
    rows = read(settings, json.dumps({"body": "Ada left.", "number": 12, "spans": [[0, 3, "PER"]]}))
    assert [(row.document, row.text) for row in rows] == [("12", "Ada left .")]


@pytest.mark.parametrize(
    "text",
    ["[A]\n[B]", "[A]\nB", "A\n\ufeffB", '{"examples": [A]}\n{"data": [B]}', '{"n": 2, "examples": [A, B]}'],
)
def test_values_one_after_the_other(read, text):
    a, b = ({"text": name, "entities": [[0, len(name), "PER"]]} for name in ("Ada", "Bo"))
    text = text.replace("A", json.dumps(a, indent=1)).replace("B", json.dumps(b))
    assert surfaces(read(dataset("offsets", types=NEWS), text)) == [("PER", "Ada"), ("PER", "Bo")]


def with_mention(mention, text="ab"):
    return json.dumps({"text": text, "entities": [mention]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"text": "a", "entities": []}\n{"text": "b"}', ":2: no mentions; expected a list under"),
        ('{"body": "a", "entities": []}', ":1: no text in the field text; there are body"),
        ('[\n{"text": "a", "entities": []},\n{"text": ]', ":3: expected a JSON value"),
        ('[\n{"text": "a", "entities": []},\n', ":3: expected a JSON value"),
        ('[{"text": "a", "entities": []}]\n garbage', ":2: expected a JSON value"),
        (
            '{"a": {"data": [{"text": "a", "spans": []}\n]},\n"b": {"data": [{"text": "b"}]}}',
            ":2: expected one list of records in an object, found another",
        ),
        ('[\n{"text": "a", "entities": []}\n{}]', ":3: no JSON .expected , or ]"),
        ('{"text": "a", "entities": []', ":1: expected a JSON value"),
        ('{"text": "a", "spans": [], "spans": []}', ":1: expected a JSON value .*a key occurs twice"),
        ("7", ":1: expected an object with a text"),
        (with_mention([0, 1]), ":1: expected a mention as"),
        (with_mention(["0", 1, "PER"]), ":1: expected a mention as"),
        (with_mention([0, 1, "ORG"]), ":1: unknown type 'ORG'"),
        (with_mention([0, 9, "PER"]), ":1: a mention from 0 to 9 in a text of 2 characters"),
        (with_mention({"start": 0, "end": 1, "label": "PER", "text": "b"}), "is not at its offsets"),
        ('{"text": "ab", "spans": [[0, 1, "PER"]], "label": [[0, 1, "LOC"]]}', "two fields, spans and label"),
        ('{"data": {"body": "a"}, "annotations": [{"result": []}]}', "in the field text; there are body: "),
        ('{"text": "a", "ner": [{"start": 0}], "annotation_id": 1}', "there are text, ner, annotation_id: "),
        ('{"text": "a \\ud83d", "entities": []}', "document file0.txt:1: a lone surrogate"),
        ('{"tokenized_text": ["\\ud83d"], "ner": []}', "document file0.txt:1: a lone surrogate"),
    ],
)
def test_records_that_are_refused(read, text, message):
    with pytest.raises(DataError, match=message):
        read(dataset("offsets", types=NEWS), text)


def test_flaws_can_be_dropped_and_are_counted(read):
    text = json.dumps({"text": TEXT, "entities": [*TRIPLES, [30, 99, "PER"]]})
    rows = read(dataset("offsets", types=NEWS, flaws="drop"), text)
    assert surfaces(rows) == EXPECTED
    assert sum(row.treated.count("dropped_flaws") for row in rows) == 1


def test_a_private_corpus_is_not_quoted(read):
    with pytest.raises(DataError) as refused:
        read(dataset("offsets", types=NEWS, private=True), with_mention({"text": "Geheim"}, "Geheim"))
    assert "Geheim" not in str(refused.value)


def test_records_of_gliner(read):
    record = {
        "tokenized_text": ["Ada", "Lovelace", "left", "Bern", "."],
        "ner": [[0, 1, "PER"], [3, 3, "LOC"]],
    }
    other = {"tokenized_text": ["Zoë", "stayed"], "ner": [[0, 0, "PER"]]}
    rows = read(dataset("offsets", types=NEWS), json.dumps([record, other], ensure_ascii=False))
    assert surfaces(rows) == EXPECTED
    assert len({row.document for row in rows}) == 2  # though both stand on one line
    for wrong, message in (([[0, 5, "PER"]], "a mention from -1"), ([[1, 0, "PER"]], "a mention from -1")):
        with pytest.raises(DataError, match=message):
            read(dataset("offsets", types=NEWS), json.dumps(record | {"ner": wrong}))
    for wrong, message in (([["a", 0, "PER"]], "first token, last token"), (None, "a list under ner")):
        with pytest.raises(DataError, match=message):
            read(dataset("offsets", types=NEWS), json.dumps(record | {"ner": wrong}))


def test_a_list_inside_of_an_object(read):
    whole = {"classes": ["PER", "LOC"], "annotations": [[TEXT, {"entities": TRIPLES}], None]}
    for text in (json.dumps(whole), json.dumps(whole, indent=4)):
        with pytest.raises(DataError, match="an empty record"):
            read(dataset("offsets", types=NEWS), text)
        rows = read(dataset("offsets", types=NEWS, flaws="drop"), text)
        assert surfaces(rows) == EXPECTED and rows[-1].treated == ("dropped_flaws",)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": TEXT, "spans": OBJECTS, "answer": "reject"}, "not annotated: its answer is reject"),
        ({"text": TEXT, "answer": "ignore"}, "not annotated: its answer is ignore"),
        (TASK | {"annotations": []}, "nobody submitted"),
        (TASK | {"annotations": [{"was_cancelled": True, "result": RESULT}]}, "nobody submitted"),
    ],
)
def test_records_that_nobody_annotated_are_no_gold(record, message, read):
    """A rejected or skipped record would pass for a text without mentions."""
    lines = json.dumps(record) + "\n" + json.dumps({"text": "Bern", "spans": [], "answer": "accept"})
    with pytest.raises(DataError, match=message):
        read(dataset("offsets", types=NEWS), lines)
    (sentence,) = read(dataset("offsets", types=NEWS, flaws="drop"), lines)
    assert sentence.tokens == ("Bern",) and sentence.treated == ("dropped_flaws",)


def annotation(kind, **about):
    values = [{"start": 0, "end": 3, "text": "Ada", "labels": [kind]}] if kind else []
    return {"result": [{"type": "labels", "value": value} for value in values]} | about


OLD, NEW = {"updated_at": "2024-01-01T09"}, {"created_at": "2024-02-01T09"}


@pytest.mark.parametrize(
    ("annotations", "kind"),
    [
        ([annotation("LOC"), annotation("PER", ground_truth=True)], "PER"),
        ([annotation("LOC", **OLD), annotation("PER", **NEW)], "PER"),
        ([annotation("PER", **NEW), annotation("LOC", **OLD)], "PER"),
        ([annotation("PER", completed_by=1), annotation("PER", completed_by=2)], "PER"),
        ([annotation("LOC", completed_by=1, **OLD), annotation("PER", completed_by=2, **NEW)], None),
        ([annotation("LOC", **OLD), annotation("PER")], None),
        ([annotation("PER", **OLD), annotation("LOC", was_cancelled=True, **NEW)], "PER"),
    ],
)
def test_the_annotation_of_a_task_that_counts(read, annotations, kind):
    """The ground truth, or the newest one of one person; people who differ are refused."""
    text = json.dumps({"id": 1, "data": {"text": "Ada left"}, "annotations": annotations})
    if kind:
        assert surfaces(read(dataset("offsets", types=NEWS), text)) == [(kind, "Ada")]
    else:
        with pytest.raises(
            DataError, match=":1: its annotations differ; expected one of them marked as ground"
        ):
            read(dataset("offsets", types=NEWS), text)


@pytest.mark.parametrize(
    ("record", "keys"),
    [
        ({"text": "Ada", "entities": [], "label": [[0, 3, "PER"]], "labels": ["PER", "LOC"]}, {}),
        ({"text": "Ada", "ner": [[0, 3, "PER"]], "annotation_id": 1}, {"fields": {"entities": "ner"}}),
        (
            {"text": "Ada", "label": [[0, 3, "PER"]], "labels": [{"choices": ["a", "b"]}]},
            {"fields": {"entities": "label"}},
        ),
        (TASK | {"data": {"text": TEXT, "entities": [[0, 1, "LOC"]]}}, {}),
        (
            TASK | {"annotations": [{"result": [*RESULT, *(each | about for each in RESULT for about in (
                {"type": "choices", "value": {"start": 0, "end": 3, "choices": ["female"]}},
                {"type": "textarea", "value": {"start": 0, "end": 3, "text": ["Ada L."]}},
            ))]}]},
            {},
        ),
    ],
)  # fmt: skip
def test_where_the_mentions_are(read, record, keys):
    found = surfaces(read(dataset("offsets", types=NEWS, **keys), json.dumps(record)))
    assert found == (EXPECTED if "data" in record else [("PER", "Ada")])


def test_no_mentions_can_mean_no_key(read):
    """In Prodigy's exports and in the short form of Label Studio's."""
    short = {"annotation_id": 2}
    for record, fields in (({"answer": "accept"}, {}), (short, {}), (short, {"entities": "ner"})):
        lines = json.dumps({"text": "Bern", **record}) + "\n"
        lines += json.dumps({"text": "Ada", **record, fields.get("entities", "label"): [[0, 3, "PER"]]})
        rows = read(dataset("offsets", types=NEWS, fields=fields), lines)
        assert [len(row.spans) for row in rows] == [0, 1]


@pytest.mark.parametrize("fields", [{"id": "number"}, {"entities": "ner"}])
def test_declared_fields_must_exist(read, fields):
    line = '{"text": "a", "id": 7, "entities": [], "answer": "accept"}\n'
    with pytest.raises(
        DataError, match="txt: no field (number|ner); there are text, id, entities, answer: see"
    ):
        read(dataset("offsets", types=NEWS, fields=fields), line)
