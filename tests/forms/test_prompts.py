"""What is asked, what is answered, and how every possible answer is read."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ner_utils import config
from ner_utils.config.schema import Dataset, Model
from ner_utils.config.strict_yaml import ConfigError, check
from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span, spans_from_tags, tags_from_spans
from ner_utils.forms.base import DROPPED
from ner_utils.forms.json_list import JsonForm

TYPES = {"PER": "person", "LOC": "location", "creative-work": "creative work"}
FORMAT = JsonForm(TYPES)
TOKENS = ("Ada", "Lovelace", "left", "London", "for", "London")
ADA, LONDON = {"text": "Ada Lovelace", "type": "person"}, {"text": "London", "type": "location"}
ADA_SPAN, LONDON_SPAN = Span(0, 2, "PER"), Span(3, 4, "LOC")
GOOD = json.dumps([ADA, LONDON])


def read(answer, tokens=TOKENS):
    reading = FORMAT.read(answer, tokens)
    assert set(reading.dropped) == set(DROPPED)
    return reading


def losses(reading):
    return {reason: number for reason, number in reading.dropped.items() if number}


def whole(reading):
    return reading.spans, reading.status, losses(reading)


# ------------------------------------------------------------------------------ asking
def test_instruction_names_every_type_in_words():
    assert "person, location, creative work" in FORMAT.instruction()
    assert "creative-work" not in FORMAT.instruction()


def test_target():
    sentence = Sentence("s", None, ("Zoë", 'said "', "שלום", "🙂"), (Span(0, 2, "PER"), Span(2, 4, "LOC")))
    assert FORMAT.target(sentence) == (
        r'[{"text": "Zoë said \"", "type": "person"}, {"text": "שלום 🙂", "type": "location"}]'
    )
    assert FORMAT.target(Sentence("s", None, ("a",), ())) == "[]"


@pytest.mark.parametrize("key", ["types", "definitions"])
def test_words_for_types_are_stripped_and_not_empty(key):
    values = config.load_dataset("demo").model_dump()
    dataset = check(
        Dataset, values | {key: {kind: f"\u00a0{kind} in words\t" for kind in values["types"]}}, "x"
    )
    assert getattr(dataset, key)["PER"] == "PER in words"
    with pytest.raises(ConfigError, match=rf"x: {key}\.PER: expected words in one line"):
        check(Dataset, values | {key: dict.fromkeys(values["types"], " \n")}, "x")


def test_other_words_of_a_model_are_stripped_and_not_empty(load_model):
    values = load_model("smollm2-135m").model_dump()
    model = check(Model, values | {"type_names": {"PER": " human being "}}, "x")
    assert model.type_names == {"PER": "human being"}
    with pytest.raises(ConfigError, match=r"x: type_names\.PER: expected words in one line"):
        check(Model, values | {"type_names": {"PER": ""}}, "x")


# ----------------------------------------------------------------------- there and back
characters = st.one_of(
    st.text(min_size=1, max_size=6),
    st.sampled_from(
        ['"', "'", "\\", "[", "]", "{", "}", "[]", "{}", "```", "<think>", "</think>", "null", "ه", "שלום"]
        + ["\u202e", "\u200b", "\u2028", "\x00", "🙂", "👩‍💻", "e\u0301", "é", "#a", "@b", "a", "b", "ab"]
    ),
)
token = characters.filter(lambda text: bool(text.strip()))
tag = st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in TYPES)])
pairs = st.lists(st.tuples(token, tag), max_size=10)
# From few surfaces, so that most sentences repeat some.
repetitive = st.lists(st.tuples(st.sampled_from(["a", "b", "ab"]), tag), max_size=10)


def sentence_of(pairs):
    tokens = tuple(token for token, _ in pairs)
    return Sentence("s", None, tokens, tuple(spans_from_tags([tag for _, tag in pairs])[0]))


def is_placeable(sentence):
    """Whether JSON without positions can state the gold: no mention's surface stands earlier in the
    sentence, at token boundaries, except where it overlaps a mention that comes before."""

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


@given(st.one_of(pairs, repetitive))
def test_target_is_read_back_exactly_where_it_can_be(pairs):
    """BIO -> spans -> target -> spans -> BIO, whatever the tokens; `is_placeable` says when."""
    sentence = sentence_of(pairs)
    reading = FORMAT.read(FORMAT.target(sentence), sentence.tokens)
    assert reading.status == "ok"
    assert reading.dropped == dict.fromkeys(DROPPED, 0)
    assert len(reading.spans) == len(sentence.spans)
    exact = tuple(reading.spans) == sentence.spans
    assert exact == is_placeable(sentence)
    if exact:
        tags = tags_from_spans(reading.spans, len(sentence.tokens))
        assert tuple(spans_from_tags(tags)[0]) == sentence.spans


@given(st.lists(token, min_size=1, max_size=8), st.data())
def test_sentences_whose_every_token_is_annotated_are_placeable(tokens, data):
    """Repeated surfaces do no harm where each occurrence is a mention."""
    tags = [f"B-{data.draw(st.sampled_from(list(TYPES)))}" for _ in tokens]
    sentence = sentence_of(list(zip(tokens, tags, strict=True)))
    assert tuple(FORMAT.read(FORMAT.target(sentence), sentence.tokens).spans) == sentence.spans


@pytest.mark.parametrize(
    ("text", "gold", "read_as"),
    [
        pytest.param("apple sold an Apple", (3, 4), (3, 4), id="another case is another surface"),
        pytest.param("Apple grew an Apple", (3, 4), (0, 1), id="an earlier occurrence is taken"),
        pytest.param("Apple grew an Apple", (0, 1), (0, 1), id="a later one is not"),
        pytest.param("a a a", (1, 3), (0, 2), id="overlapping occurrences"),
        pytest.param("New York NewYork", (2, 3), (0, 2), id="white space does not tell apart"),
    ],
)
def test_known_limit_of_mentions_without_positions(text, gold, read_as):
    sentence = Sentence("s", None, tuple(text.split()), (Span(*gold, "PER"),))
    reading = FORMAT.read(FORMAT.target(sentence), sentence.tokens)
    assert reading.spans == [Span(*read_as, "PER")]
    assert is_placeable(sentence) == (gold == read_as)


def test_one_surface_with_two_types():
    sentence = sentence_of([("London", "B-PER"), ("in", "O"), ("London", "B-LOC")])
    assert tuple(FORMAT.read(FORMAT.target(sentence), sentence.tokens).spans) == sentence.spans


# ---------------------------------------------------------------------------- statuses
@pytest.mark.parametrize("answer", [GOOD, f"\n {GOOD} \n", json.dumps([ADA, LONDON], indent=2)])
def test_ok(answer):
    assert whole(read(answer)) == ([ADA_SPAN, LONDON_SPAN], "ok", {})


def test_ok_and_empty():
    assert whole(read("[]")) == ([], "ok", {})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(f"```json\n{GOOD}\n```", id="code fence"),
        pytest.param(f"```\n{GOOD}", id="open code fence"),
        pytest.param(f"Here are the entities: {GOOD} I hope this helps!", id="prose"),
        pytest.param(f"See [1] and [the list]: {GOOD}", id="brackets in prose"),
        pytest.param(f"<think>\nNot [] but\n</think>\n\n{GOOD}", id="think block"),
        pytest.param(f"<think>[{json.dumps(LONDON)}]</think>{GOOD}", id="a draft in a think block"),
        pytest.param(f'{{"entities": {GOOD}}}', id="inside an object"),
        pytest.param(f"{GOOD}\n\n{GOOD}", id="twice"),
        pytest.param(GOOD[:-1], id="cut off at the end"),
        pytest.param(GOOD[:-1] + ', {"text": "Lon', id="cut off inside an object"),
        pytest.param(GOOD[:-1] + ", {", id="cut off at a brace"),
        pytest.param(GOOD.replace("}, {", "} {"), id="a comma forgotten"),
        pytest.param("[" + GOOD[1:-1] + ",]", id="a comma too many"),
    ],
)
def test_recovered(answer):
    reading = read(answer)
    assert (reading.spans, reading.status) == ([ADA_SPAN, LONDON_SPAN], "recovered")
    assert losses(reading) == {}


def test_recovered_and_empty():
    assert whole(read("```json\n[]\n```")) == ([], "recovered", {})


@pytest.mark.parametrize("surface", ["{ x }", "a {", "} b", "[ ]", "[]", "[ { } ]", '"', "\\"])
def test_cut_off_list_with_brackets_in_its_strings(surface):
    tokens = (*surface.split(), *TOKENS)
    answer = json.dumps([{"text": surface, "type": "person"}, LONDON])[:-1] + ', {"text": "L'
    reading = read(answer, tokens)
    length = len(surface.split())
    assert reading.spans == [Span(0, length, "PER"), Span(length + 3, length + 4, "LOC")]
    assert reading.status == "recovered"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("", id="empty"),
        pytest.param("There are none.", id="prose"),
        pytest.param("null", id="null"),
        pytest.param("{}", id="object"),
        pytest.param("[", id="bracket"),
        pytest.param('[{"text": "Ada', id="cut off in the first object"),
        pytest.param("```\n[1, 2]\n```", id="a list of numbers in a fence"),
        pytest.param(f"<think>I see {GOOD}", id="a think block that never ends"),
        pytest.param('[{"text": "[]', id="an empty list inside a string"),
        pytest.param("[" * 5000, id="too deep"),
        pytest.param('[{"text": ' * 1500, id="too deep, in objects"),
        # Python refuses to convert more than 4,300 digits, and not with a JSONDecodeError.
        pytest.param("[" + "1" * 5000 + "]", id="a number too long"),
    ],
)
def test_failed(answer):
    reading = read(answer)
    assert (reading.spans, reading.status) == ([], "failed")
    assert losses(reading) == {}


# ------------------------------------------------------------------------------ losses
@pytest.mark.parametrize(
    ("items", "spans", "dropped"),
    [
        pytest.param([ADA | {"type": "planet"}], [], {"unknown_type": 1}, id="unknown type"),
        pytest.param([ADA | {"type": "PER"}], [], {"unknown_type": 1}, id="the tag is no word"),
        pytest.param([ADA | {"type": " Person"}], [ADA_SPAN], {}, id="case and space of types"),
        pytest.param([ADA | {"score": 0.5}], [ADA_SPAN], {}, id="more keys"),
        pytest.param([ADA | {"text": "Ada Byron"}], [], {"ungrounded": 1}, id="ungrounded"),
        pytest.param([ADA | {"text": "ada lovelace"}], [], {"ungrounded": 1}, id="another case"),
        pytest.param([ADA | {"text": "AdaLovelace"}], [ADA_SPAN], {}, id="white space"),
        pytest.param([ADA, ADA], [ADA_SPAN], {"duplicate": 1}, id="duplicate"),
        pytest.param([ADA, ADA | {"type": "location"}], [ADA_SPAN], {"duplicate": 1}, id="second type"),
        pytest.param([LONDON] * 3, [LONDON_SPAN, Span(5, 6, "LOC")], {"duplicate": 1}, id="thrice of two"),
        pytest.param([ADA | {"text": ""}], [], {"malformed": 1}, id="no text"),
        pytest.param([ADA | {"text": " \n"}], [], {"malformed": 1}, id="blank text"),
        pytest.param([ADA | {"text": None}], [], {"malformed": 1}, id="null text"),
        pytest.param([ADA | {"text": ["Ada"]}], [], {"malformed": 1}, id="list as text"),
        pytest.param([ADA | {"type": 1}], [], {"malformed": 1}, id="number as type"),
        pytest.param([{"text": "Ada"}], [], {"malformed": 1}, id="no type"),
        pytest.param([{"type": "person"}, {}], [], {"malformed": 2}, id="no text at all"),
        pytest.param(["Ada", 1, None, [ADA]], [], {"malformed": 4}, id="no objects"),
        pytest.param(["Ada", ADA], [ADA_SPAN], {"malformed": 1}, id="the rest still counts"),
    ],
)
def test_losses(items, spans, dropped):
    reading = read(json.dumps(items))
    assert (reading.spans, reading.status) == (spans, "ok")
    assert losses(reading) == dropped


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
items = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {
            "text": st.sampled_from([*TOKENS, "Ada Lovelace", "London for London", "x", ""]) | json_values,
            "type": st.sampled_from([*TYPES.values(), "planet"]) | json_values,
        }
    ),
)


@given(st.lists(items, max_size=6))
@example([["0", ""]])
def test_every_item_is_placed_or_counted(items):
    reading = read(json.dumps(items))
    assert reading.status == "ok"
    assert len(reading.spans) + sum(reading.dropped.values()) == len(items)
    tags_from_spans(reading.spans, len(TOKENS))  # they fit and do not overlap


# -------------------------------------------------------------------- whatever is written
pieces = st.sampled_from(
    ["[", "]", "{", "}", '"', ",", ":", "\\", "\\u12", "\\ud800", "[]", "{}", "```json", "<think>"]
    + ["</think>", "NaN", "-Infinity", "1e999", "text", "type", '"text": "Ada"', '"type": "person"']
    + [json.dumps(ADA), GOOD, "London", " ", "\n"]
)
answers = st.one_of(st.text(), st.lists(pieces, max_size=14).map("".join))


@given(answers, st.lists(token, max_size=6))
@example("[" * 5000 + "]" * 5000, [])
@example('[{"text": "\\ud800", "type": "person"}]', ["a"])
def test_no_answer_raises(answer, tokens):
    reading = read(answer, tuple(tokens))
    assert reading.status in ("ok", "recovered", "failed")
    if reading.status == "failed":
        assert reading.spans == []
        assert losses(reading) == {}
    tags_from_spans(reading.spans, len(tokens))


@given(st.integers(0, len(GOOD)))
def test_a_cut_answer_keeps_its_whole_objects(length):
    answer = GOOD[:length]
    wanted = [ADA_SPAN, LONDON_SPAN][: answer.count("}")]
    reading = read(answer)
    assert reading.spans == wanted
    assert reading.status == ("ok" if answer == GOOD else "recovered" if wanted else "failed")


@given(answers)
def test_reading_depends_on_nothing_else(answer):
    assert JsonForm(TYPES).read(answer, TOKENS) == read(answer)


def test_two_corpora_with_one_word():
    """Formats keep to their own types."""
    other = JsonForm({"Disease": "person"})
    assert other.read(GOOD, TOKENS).spans == [Span(0, 2, "Disease")]
    assert losses(other.read(GOOD, TOKENS)) == {"unknown_type": 1}
