"""Output forms: whatever a sentence holds, its spans survive the way into text and back."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span, spans_from_tags, tags_from_spans
from ner_utils.forms.alignment import occurrences, transfer
from ner_utils.forms.base import DROPPED, TASKS
from ner_utils.forms.registry import FORMS

TYPES = {"PER": "person", "LOC": "location", "creative-work": "creative work", "ODD": "a|b]: [c]"}
EXACT = ("json-occurrence", "inline", "bio")  # these say where a mention stands
TOKENS = ("Ada", "Lovelace", "left", "London", "for", "London")
SPANS = (Span(0, 2, "PER"), Span(5, 6, "LOC"))
NOTHING = dict.fromkeys(DROPPED, 0)

characters = st.one_of(
    st.text(min_size=1, max_size=6),
    st.sampled_from(
        ['"', "\\", "[", "]", "|", ":", "[]", "a:O", "x:B-person", "[a|person]", "<think>", "</think>", "\\["]
        + [
            "שלום",
            "\u202e",
            "\u200b",
            "\u2028",
            "\x00",
            "🙂",
            "👩‍💻",
            "e\u0301",
            "a\tb",
            "\n:",
            "a",
            "b",
            "ab",
        ]
    ),
)
token = characters.filter(lambda text: bool(text.strip()))
tag = st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in TYPES)])
pairs = st.lists(st.tuples(st.one_of(token, st.sampled_from(["a", "b", "ab"])), tag), min_size=1, max_size=10)


def sentence_of(pairs):
    tokens = tuple(token for token, _ in pairs)
    return Sentence("s", None, tokens, tuple(spans_from_tags([tag for _, tag in pairs])[0]))


@pytest.mark.parametrize("name", EXACT)
@given(pairs)
def test_spans_survive_the_way_into_text_and_back(name, pairs):
    sentence, form = sentence_of(pairs), FORMS[name](TYPES)
    reading = form.read(form.target(sentence), sentence.tokens)
    assert tuple(reading.spans) == sentence.spans
    assert (reading.status, reading.dropped) == ("ok", NOTHING)


@pytest.mark.parametrize("before", ["", "<think>[{}] person: [Ada|person]\n\n</think>\n"])
@pytest.mark.parametrize("name", EXACT)
@given(pairs)
def test_each_span_knows_the_piece_that_states_it(name, before, pairs):
    """A piece names the type and holds the letters, and pieces follow each other as their spans do."""
    sentence, form = sentence_of(pairs), FORMS[name](TYPES)
    answer = before + form.target(sentence)
    reading = form.read(answer, sentence.tokens)
    pieces = [answer[begin:end] for begin, end in reading.extents]
    assert len(pieces) == len(reading.spans)
    assert sorted(reading.extents) == reading.extents
    for span, piece in zip(reading.spans, pieces, strict=True):
        if name.startswith("json"):
            assert form.type_of(json.loads(piece)["type"]) == span.type
            assert json.loads(piece)["text"] == " ".join(sentence.tokens[span.start : span.end])
        elif name == "inline":
            name_of_type = re.sub(r"([\\\[\]|])", r"\\\1", TYPES[span.type])
            assert piece[0] == "[" and piece.endswith(f"|{name_of_type}]")
        else:
            assert piece.count("\n") == span.end - span.start - 1


def test_pieces_of_what_could_be_recovered():
    answer = 'Sure: [{"text": "London", "type": "location"}, {"text": "Ada Lovelace", "type": "person"'
    reading = FORMS["json"](TYPES).read(answer + '}, {"te', TOKENS)
    pieces = [(answer + "}")[begin:end] for begin, end in reading.extents]
    assert [json.loads(piece)["text"] for piece in pieces] == ["Ada Lovelace", "London"]


@pytest.mark.parametrize("name", FORMS)
def test_instructions_name_every_type_in_three_wordings(name):
    instructions = {FORMS[name](TYPES, wording).instruction() for wording in range(1, len(TASKS) + 1)}
    assert len(instructions) == 3
    assert all(", ".join(TYPES.values()) in text for text in instructions)


@pytest.mark.parametrize("name", FORMS)
@given(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from(
                [*TOKENS, " ", "\n", "[", "]", "|", ":", "\\", ":O", ":B-person", "person", '"', "1"]
            )
        ).map("".join),
    ),
    st.lists(token, max_size=6),
)
def test_no_answer_raises(name, answer, tokens):
    reading = FORMS[name](TYPES).read(answer, tuple(tokens))
    assert set(reading.dropped) == set(DROPPED)
    tags_from_spans(reading.spans, len(tokens))


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("json-occurrence", '[{"text": "Ada Lovelace", "type": "person", "occurrence": 1}, '
         '{"text": "London", "type": "location", "occurrence": 2}]'),
        ("inline", "[Ada Lovelace|person] left London for [London|location]"),
        ("bio", "Ada:B-person\nLovelace:I-person\nleft:O\nLondon:O\nfor:O\nLondon:B-location"),
    ],
)  # fmt: skip
def test_targets(name, answer):
    assert FORMS[name](TYPES).target(Sentence("s", None, TOKENS, SPANS)) == answer


@pytest.mark.parametrize(
    ("name", "answer", "spans", "status", "dropped"),
    [
        pytest.param("inline", "[Ada Lovelace|person] left London", SPANS[:1], "recovered", {}, id="cut off"),
        pytest.param("inline", "ok: [Ada Lovelace|person] leaves London for [London|location].", SPANS,
                     "recovered", {}, id="copied badly"),
        pytest.param("inline", "[Ada Lovelace|planet] left London for London", [], "ok", {"unknown_type": 1},
                     id="unknown type"),
        pytest.param("inline", "Ada Lovelace left London for [London|location", [], "recovered",
                     {"malformed": 1}, id="a bracket that stays open"),
        pytest.param("inline", "[Ada] Lovelace left London for London", [], "recovered", {"malformed": 1},
                     id="no type"),
        pytest.param("inline", "[Ada|person] [Grace|person] Lovelace left London for London",
                     [Span(0, 1, "PER")], "recovered", {"ungrounded": 1}, id="from elsewhere"),
        pytest.param("inline", "I do not know.", [], "failed", {}, id="prose"),
        pytest.param("bio", "Ada:B-person\nLovelace:I-person\nleft:O", [SPANS[0]], "recovered", {},
                     id="lines that lack"),
        pytest.param("bio", "Ada: b-person", [Span(0, 1, "PER")], "recovered", {}, id="a small letter"),
        pytest.param("bio", "Ada: X\nleft: Y", [], "failed", {}, id="no tag"),
        pytest.param("bio", "Ada : I-Person\nLovelace:I-person\nleft:O\nLondon:O\nfor:O\nLondon:B-location",
                     SPANS, "ok", {}, id="repaired"),
        pytest.param("bio", "<think>Ada:O</think>Ada:B-planet\nLovelace:O\nleft:O\nLondon:O\nfor:O\nLondon:O",
                     [], "ok", {"unknown_type": 1}, id="thoughts, and an unknown type"),
        pytest.param("json-occurrence", '[{"text": "London", "type": "location", "occurrence": 3}]', [], "ok",
                     {"ungrounded": 1}, id="no third place"),
        pytest.param("json-occurrence", '[{"text": "London", "type": "location"}]', [], "ok",
                     {"malformed": 1}, id="no place"),
        pytest.param("json-occurrence", '[{"text": "London", "type": "location", "occurrence": true}]', [],
                     "ok", {"malformed": 1}, id="a place that is no number"),
    ],
)  # fmt: skip
def test_answers_that_are_not_quite_right(name, answer, spans, status, dropped):
    reading = FORMS[name](TYPES).read(answer, TOKENS)
    assert (reading.spans, reading.status) == (list(spans), status)
    assert {reason: number for reason, number in reading.dropped.items() if number} == dropped


def test_occurrences_are_whole_tokens():
    assert occurrences("a b", ("a", "b", "ab", "a", "bc", "abab")) == [(0, 2), (2, 3)]
    assert occurrences(" ", ("a",)) == []


def test_a_copy_with_holes_keeps_what_is_whole():
    placed = transfer("Adaleftfor", [(0, 3, "PER"), (3, 10, "LOC")], TOKENS)
    assert placed.spans == [Span(0, 1, "PER")]
    assert (placed.ungrounded, placed.copied) == (1, 10 / 30)
