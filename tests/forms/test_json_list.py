"""JSON lists of entities: what a target is, and what of an answer counts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_sentence import ADA, DUBLIN, FORM, ITEMS, LIST, TYPES, read

from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span, spans_from_tags
from ner_utils.forms.json_list import JsonForm, JsonOccurrenceForm


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
