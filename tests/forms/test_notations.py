"""Answers in other notations than the list that is asked for: each entity counts, as in plain JSON."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_sentence import ADA, DUBLIN, FORM, ITEMS, LIST, TOKENS, TYPES, read

from ner_utils.data.spans import Span, tags_from_spans
from ner_utils.forms.json_list.lenient_json import value_at


# ---------------------------------------------------------------------- other notations
@pytest.mark.parametrize("answer", [LIST, f"\n {LIST} \n", json.dumps(ITEMS, indent=2)])
def test_a_json_list_is_ok(answer):
    assert read(answer) == ([ADA, DUBLIN], "ok", {})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(f"Answer [] if there are none.\n{LIST}", id="an empty list before"),
        pytest.param(f"{LIST}\nWithout entities I would have said [].", id="an empty list after"),
        pytest.param(f'Form: [{{"text": "Bo", "type": "person"}}]. Answer: {LIST}', id="an example before"),
        pytest.param(f'{LIST} The form was {{"text": ..., "type": ...}}.', id="the instruction again"),
        pytest.param(f"See [1] and [the list]: {LIST} I hope this helps!", id="prose with brackets"),
        pytest.param(f"{LIST}\n\n{LIST}", id="twice"),
        pytest.param(f"<think>Is it {LIST[:40]}</think>\n{LIST}", id="thoughts"),
        pytest.param(f'Maybe [{{"text": "met", "type": "person"}}]\n</think>\n{LIST}', id="end of thoughts"),
        pytest.param(f"<Reasoning>[]</Reasoning>{LIST}", id="thoughts with another tag"),
        pytest.param(f"~~~json\n{LIST}\n~~~", id="code fence"),
        pytest.param(f"```\n{LIST}", id="open code fence"),
        pytest.param(" and ".join(map(json.dumps, ITEMS)), id="objects in prose"),
        pytest.param("\n".join(f"{n}. {json.dumps(item)}" for n, item in enumerate(ITEMS, 1)), id="numbered"),
        pytest.param(str([tuple(item.values()) for item in ITEMS]), id="tuples of Python"),
        pytest.param(json.dumps([list(item.values()) for item in ITEMS]), id="pairs"),
        pytest.param(LIST.replace("}", ",}").replace("]", ",]"), id="too many commas"),
        pytest.param(LIST.replace("}, {", "},, {"), id="a comma twice"),
        pytest.param(LIST.replace("}, {", "} {"), id="a missing comma"),
        pytest.param(LIST.replace("}, {", ", {"), id="a missing brace"),
        pytest.param(LIST.replace("}]", "]"), id="the last brace is missing"),
        pytest.param(LIST.replace('"text"', "text").replace('"type"', "type"), id="keys without quotes"),
        pytest.param(LIST.replace('"text"', '"Named Entity"').replace('"type"', '"TYPE"'), id="other keys"),
        pytest.param(LIST.replace('"type"', '"entity"'), id="one other key"),
        pytest.param(LIST.replace(': "', ": "), id="a missing quote"),
        pytest.param(LIST.replace(', "type"', ', // why\n "type"'), id="comments"),
        pytest.param(LIST.replace('"', "“"), id="quotes of one kind"),
        pytest.param(LIST.replace(" ", "\u00a0").replace("{", "\u200b{"), id="other white space"),
        pytest.param("\ufeff" + LIST, id="byte order mark"),
        pytest.param(LIST.translate(str.maketrans("[]{}:,", "［］｛｝：，")), id="full-width signs"),
        pytest.param(LIST.replace('"', '\\"'), id="escaped quotes"),
        pytest.param(json.dumps({"entities": LIST}), id="a string in an object"),
        pytest.param(json.dumps({"text": " ".join(TOKENS), "entities": ITEMS}), id="with the sentence"),
        pytest.param(json.dumps({"result": {"entities": ITEMS, "sure": True}}), id="in two objects"),
        pytest.param(json.dumps([ITEMS]), id="a list in a list"),
        pytest.param('{"Ada Lovelace": "person", "Dublin": "location"}', id="texts to types"),
        pytest.param('[{"Ada Lovelace": "person"}, {"Dublin": "location"}]', id="an object for each text"),
        pytest.param(
            '{"person": ["Ada Lovelace"], "location": ["Dublin"], "creative work": []}', id="by type"
        ),
        pytest.param('{"Person": "Ada Lovelace", "Location": "Dublin"}', id="one of each type"),
        pytest.param(
            '{"person": [{"text": "Ada Lovelace"}], "location": [{"text": "Dublin"}]}', id="objects by type"
        ),
        pytest.param(LIST[:-1] + ', {"text": "O\'Br', id="cut off in an object"),
        pytest.param(LIST[:-1] + ", {", id="cut off at a brace"),
        pytest.param(LIST[:-1] + ", ...]", id="dots"),
        pytest.param(f'[see "below": {LIST}', id="an open bracket before"),
    ],
)
def test_other_notations_are_recovered(answer):
    assert read(answer) == ([ADA, DUBLIN], "recovered", {})


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("O'Brien", r'"O\'Brien"'),
        ("O'Brien", "'O'Brien'"),
        ("O'Brien", r'"O\x27Brien"'),
        ('Dwayne "Rock" Johnson', '"Dwayne "Rock" Johnson"'),
        ("New_York", r'"New\_York"'),
        ("a { b", "'a { b'"),
        ("back\\slash", r"'back\\slash'"),
    ],
)
def test_texts_in_quotes(text, written):
    tokens = tuple(text.split())
    answer = f"[{{'text': {written}, 'type': 'person'}}]"
    assert read(answer, tokens) == ([Span(0, len(tokens), "PER")], "recovered", {})


@pytest.mark.parametrize("surface", ["} b", "[ ]", '"'])
def test_a_list_that_is_cut_off_with_brackets_in_its_strings(surface):
    tokens = (*surface.split(), *TOKENS)
    answer = json.dumps([{"text": surface, "type": "person"}, ITEMS[1]])[:-1] + ', {"text": "L'
    length = len(surface.split())
    expected = [Span(0, length, "PER"), Span(length + 5, length + 6, "LOC")]
    assert read(answer, tokens) == (expected, "recovered", {})


@pytest.mark.parametrize("name", ["creative_work", "Creative  Work", "creative\u00a0work"])
def test_a_type_of_two_words(name):
    assert read(json.dumps([{"text": "Dublin", "type": name}]))[0] == [Span(5, 6, "WORK")]


def test_an_answer_that_is_cut_off_keeps_its_whole_objects():
    for length in range(len(LIST)):
        spans = [ADA, DUBLIN][: LIST[:length].count("}")]
        assert read(LIST[:length])[:2] == (spans, "recovered" if spans else "failed")


# ------------------------------------------------------------- every item counts, in any notation
WORDS = ("Ada", "Bo", "O'Brien", "São", "of", "Café")
sentences = st.lists(st.sampled_from(WORDS), min_size=3, max_size=9)
pairs = st.lists(
    st.tuples(
        st.lists(st.sampled_from((*WORDS, "Zoë")), min_size=1, max_size=2).map(" ".join),
        st.sampled_from([*TYPES.values(), "planet"]),
    ),
    min_size=1,
    max_size=6,
)
flawed = st.sampled_from([{}, {"text": "Ada"}, {"type": "person"}, {"text": " ", "type": "person"}])
WRITERS = {
    "fenced": lambda items: f"Here:\n```json\n{json.dumps(items, indent=1)}\n```\nThat is all.",
    "thoughts": lambda items: f"<think>[{{}}]</think>{json.dumps(items)}",
    "Python": str,
    "typeset": lambda items: re.sub('"([^"]*)"', "“\\1”", json.dumps(items, ensure_ascii=False)),
    "object": lambda items: json.dumps({"entities": items}),
    "string": lambda items: json.dumps(json.dumps(items)),
    "commas": lambda items: json.dumps(items).replace("}", ",}").replace("}, {", "} {"),
    "draft": lambda items: f'[{{"text": "of", "type": "person"}}], no: {json.dumps(items)}',
    "cut off": lambda items: json.dumps(items)[:-1] + ', {"text": "Ad',
}


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=15)
@given(sentences, pairs, st.lists(flawed, max_size=2))
def test_each_item_counts_in_all_notations(writer, tokens, pairs, flaws):
    """The spans and numbers are those of plain JSON, and each span has its own part of the answer."""
    items = [*flaws[:1], *({"text": text, "type": kind} for text, kind in pairs), *flaws[1:]]
    answer = WRITERS[writer](items)
    plain, reading = FORM.read(json.dumps(items), tokens), FORM.read(answer, tokens)
    assert (reading.spans, reading.dropped) == (plain.spans, plain.dropped)
    assert reading.dropped["malformed"] == len(flaws)
    assert len(reading.spans) + sum(reading.dropped.values()) == len(items)
    tags_from_spans(reading.spans, len(tokens))  # they fit the sentence and do not overlap
    assert len(set(reading.extents)) == len(reading.spans)
    for (begin, end), span in zip(reading.extents, reading.spans, strict=True):
        assert (answer[begin], answer[end - 1]) == ("{", "}")
        assert TYPES[span.type] in answer[begin:end]


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        ('{"person": ["Ada Lovelace"]}', ['"Ada Lovelace"']),
        ('So: {"Ada Lovelace": "person"}', ['"Ada Lovelace": "person"']),
        ('[["Ada Lovelace", "person"], ]', ['["Ada Lovelace", "person"]']),
        ("<think>…</think>[{'text': 'Dublin', 'type': 'location'}]",
         ["{'text': 'Dublin', 'type': 'location'}"]),
    ],
)  # fmt: skip
def test_parts_of_an_answer_that_state_spans(answer, parts):
    assert [answer[begin:end] for begin, end in FORM.read(answer, TOKENS).extents] == parts


# ----------------------------------------------------------------------- against the json library
json_values = st.recursive(
    st.none() | st.integers(-999, 999) | st.text(max_size=6) | st.text("[]{}\"'\\,:/ ", max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def as_python(value):
    if value.kind == "list":
        return list(map(as_python, value.parts))
    if value.kind == "object":
        return {key.content: as_python(each) for key, each in value.content}
    return value.content


@given(st.lists(json_values, max_size=4), st.sampled_from([None, 2]), st.booleans())
def test_valid_json_is_read_as_json(value, indent, escaped):
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)
    found = value_at(text, 0, len(text), set())
    assert (found.begin, found.end, found.whole) == (0, len(text), True)
    assert as_python(found) == value
