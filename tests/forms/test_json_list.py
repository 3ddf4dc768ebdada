"""JSON lists of entities: what a target is, and how answers are read, also in other notations."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span, spans_from_tags, tags_from_spans
from ner_utils.forms.json_list import JsonForm, JsonOccurrenceForm
from ner_utils.forms.json_list.lenient_json import values

TYPES = {"PER": "person", "LOC": "location", "WORK": "creative work"}
FORM = JsonForm(TYPES)
TOKENS = ("Ada", "Lovelace", "met", "O'Brien", "in", "Dublin", ".")
ADA, DUBLIN = Span(0, 2, "PER"), Span(5, 6, "LOC")
ITEMS = [{"text": "Ada Lovelace", "type": "person"}, {"text": "Dublin", "type": "location"}]
LIST = json.dumps(ITEMS)


def read(answer, tokens=TOKENS, form=FORM):
    reading = form.read(answer, tokens)
    return reading.spans, reading.status, {why: number for why, number in reading.dropped.items() if number}


# ------------------------------------------------------------------------------ targets
def test_target():
    sentence = Sentence("s", None, ("Zoë", 'said "', "שלום", "🙂"), (Span(0, 2, "PER"), Span(2, 4, "LOC")))
    assert FORM.target(sentence) == (
        r'[{"text": "Zoë said \"", "type": "person"}, {"text": "שלום 🙂", "type": "location"}]'
    )
    assert FORM.target(Sentence("s", None, ("a",), ())) == "[]"
    twice = Sentence("s", None, ("Ada", "met", "Ada"), (Span(2, 3, "PER"),))
    assert JsonOccurrenceForm(TYPES).target(twice) == '[{"text": "Ada", "type": "person", "occurrence": 2}]'


def is_placeable(sentence):
    """Whether JSON without positions can state the gold: no mention's text occurs earlier in the sentence,
    except where it overlaps an earlier mention."""

    def squeezed(start, end):
        return "".join("".join(sentence.tokens[start:end]).split())

    for mention in sentence.spans:
        before = {i for span in sentence.spans if span < mention for i in range(span.start, span.end)}
        for start in range(mention.start):
            for end in range(start + 1, len(sentence.tokens) + 1):
                same = squeezed(start, end) == squeezed(mention.start, mention.end)
                if same and before.isdisjoint(range(start, end)):
                    return False
    return True


tag = st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in TYPES)])
odd = [
    '"',
    "\\",
    "[",
    "]",
    "{",
    "}",
    "```",
    "<think>",
    "null",
    "שלום",
    "\u202e",
    "\u2028",
    "\x00",
    "👩‍💻",
    "é",
]
token = (st.sampled_from(["a", "b", "ab", *odd]) | st.text(min_size=1, max_size=4)).filter(str.strip)


@given(st.lists(st.tuples(token, tag), max_size=8))
def test_target_is_read_back_exactly_if_it_can_be(pairs):
    tokens, tags = [token for token, _ in pairs], [tag for _, tag in pairs]
    sentence = Sentence("s", None, tuple(tokens), tuple(spans_from_tags(tags)[0]))
    spans, status, dropped = read(FORM.target(sentence), sentence.tokens)
    assert (status, dropped, len(spans)) == ("ok", {}, len(sentence.spans))
    assert (tuple(spans) == sentence.spans) == is_placeable(sentence)


@pytest.mark.parametrize(
    ("text", "gold", "read_as"),
    [
        pytest.param("apple sold an Apple", (3, 4), (3, 4), id="another case is another text"),
        pytest.param("Apple grew an Apple", (3, 4), (0, 1), id="an earlier occurrence is taken"),
        pytest.param("New York NewYork", (2, 3), (0, 2), id="white space makes no difference"),
    ],
)
def test_known_limit_of_mentions_without_positions(text, gold, read_as):
    sentence = Sentence("s", None, tuple(text.split()), (Span(*gold, "PER"),))
    assert read(FORM.target(sentence), sentence.tokens)[0] == [Span(*read_as, "PER")]
    assert is_placeable(sentence) == (gold == read_as)


def test_one_text_with_two_types():
    spans = (Span(0, 1, "PER"), Span(2, 3, "LOC"))
    sentence = Sentence("s", None, ("London", "in", "London"), spans)
    assert tuple(read(FORM.target(sentence), sentence.tokens)[0]) == spans


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


# ---------------------------------------------------------------- what is counted and how
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param("[]", ([], "ok", {}), id="empty"),
        pytest.param("There are none: []", ([], "recovered", {}), id="empty in prose"),
        pytest.param('{"entities": []}', ([], "recovered", {}), id="empty in an object"),
        pytest.param('{"text": "Ada"}', ([], "recovered", {"malformed": 1}), id="no type"),
        pytest.param('["Ada", "Dublin"]', ([], "ok", {"malformed": 2}), id="texts alone"),
        pytest.param('```\n["Ada", "Dublin"]\n```', ([], "recovered", {"malformed": 2}), id="texts, fenced"),
        pytest.param('["Dublin", "location"]', ([DUBLIN], "recovered", {}), id="one pair"),
        pytest.param('[["0", ""]]', ([], "ok", {"unknown_type": 1}), id="a pair without a type"),
        pytest.param(
            '[{"text": "Dublin", "type": "planet"}, ]',
            ([], "recovered", {"unknown_type": 1}),
            id="an unknown type, recovered",
        ),
        pytest.param(
            '{"text": "Dublin", "type": "location"}\n{"text": "Ada"}',
            ([DUBLIN], "recovered", {"malformed": 1}),
            id="JSON lines, one without a type",
        ),
    ],
)
def test_what_counts_as_the_answer(answer, expected):
    assert read(answer) == expected


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("There are none.", id="prose"),
        pytest.param("I see [the list] in [1].", id="prose with brackets"),
        pytest.param("{}", id="object"),
        pytest.param("```\n[1, 2]\n```", id="a list of numbers in a fence"),
        pytest.param('{"text": "Dublin", "type": "location"', id="one object, cut off"),
        pytest.param(f"<think>I see {LIST}", id="thoughts that do not end"),
        pytest.param('[{"text": "[]', id="an empty list in a string"),
        pytest.param('[{"text": ' * 1500, id="too deep"),
        pytest.param("[" + "1" * 5000 + "]", id="a number too long for Python"),
    ],
)
def test_answers_that_cannot_be_read(answer):
    assert read(answer) == ([], "failed", {})


PERSON, PLACE = ITEMS


@pytest.mark.parametrize(
    ("items", "spans", "dropped"),
    [
        pytest.param([PERSON | {"type": "planet"}], [], {"unknown_type": 1}, id="unknown type"),
        pytest.param([PERSON | {"type": "PER"}], [], {"unknown_type": 1}, id="the tag is no name"),
        pytest.param([PERSON | {"type": " Person"}], [ADA], {}, id="case and space of types"),
        pytest.param([PERSON | {"score": 0.5}], [ADA], {}, id="more keys"),
        pytest.param([PERSON | {"text": "Ada Byron"}], [], {"ungrounded": 1}, id="not in the sentence"),
        pytest.param([PERSON | {"text": "ada lovelace"}], [], {"ungrounded": 1}, id="another case"),
        pytest.param([PERSON, PERSON | {"type": "location"}], [ADA], {"duplicate": 1}, id="second type"),
        pytest.param([PERSON | {"text": " \n"}], [], {"malformed": 1}, id="blank text"),
        pytest.param([PERSON | {"text": ["Ada"]}], [], {"malformed": 1}, id="list as text"),
        pytest.param([PERSON | {"type": 1}], [], {"malformed": 1}, id="number as type"),
        pytest.param(["Ada", 1, None, [PERSON], {}], [], {"malformed": 5}, id="no objects"),
        pytest.param(["Ada", PERSON], [ADA], {"malformed": 1}, id="the others count"),
    ],
)
def test_dropped_items(items, spans, dropped):
    assert read(json.dumps(items)) == (spans, "ok", dropped)


@pytest.mark.parametrize(
    ("item", "dropped"),
    [
        pytest.param({"occurrence": 2}, {"ungrounded": 1}, id="no second occurrence"),
        pytest.param({}, {"malformed": 1}, id="no occurrence"),
        pytest.param({"occurrence": True}, {"malformed": 1}, id="no number"),
    ],
)
def test_dropped_occurrences(item, dropped):
    assert read(json.dumps([PLACE | item]), form=JsonOccurrenceForm(TYPES)) == ([], "ok", dropped)


def test_each_form_knows_its_own_types():
    other = JsonForm({"Disease": "person"})
    assert read(LIST, form=other) == ([Span(0, 2, "Disease")], "ok", {"unknown_type": 1})


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
        return [as_python(each) for each in value.content]
    if value.kind == "object":
        return {key.content: as_python(each) for key, each in value.content}
    return value.content


@given(st.lists(json_values, max_size=4), st.sampled_from([None, 2]), st.booleans())
def test_valid_json_is_read_as_json(value, indent, escaped):
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)
    (found,) = values(text, anywhere=True)
    assert (found.begin, found.end, found.whole) == (0, len(text), True)
    assert as_python(found) == value
