"""What holds for all output forms: instructions, targets that are read back, and time."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_utils import config
from ner_utils.config.dataset import Dataset
from ner_utils.config.schema import Model
from ner_utils.config.strict_yaml import ConfigError, check
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import spans_from_tags, tags_from_spans
from ner_utils.forms.base import DROPPED, TASKS
from ner_utils.forms.base import check as check_form
from ner_utils.forms.registry import FORMS

TYPES = {"PER": "person", "LOC": "location", "creative-work": "creative work", "ODD": "a|b]: [c]"}
EXACT = ("json-occurrence", "inline", "bio")  # these state the place of a mention
TOKENS = ("Ada", "Lovelace", "left", "London", "for", "London")

odd = ['"', "\\", "[", "]", "|", ":", "a:O", "x:B-person", "[a|person]", "<think>", "</think>", "\\["]
odd += ["שלום", "\u202e", "\u200b", "\u2028", "\x00", "👩‍💻", "e\u0301", "a\tb", "\n:"]
token = (st.sampled_from(["a", "b", "ab", *odd]) | st.text(min_size=1, max_size=4)).filter(str.strip)
tag = st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in TYPES)])


# --------------------------------------------------------------------------- instructions
@pytest.mark.parametrize("name", FORMS)
def test_instructions_name_every_type_in_three_wordings(name):
    instructions = {FORMS[name](TYPES, wording).instruction() for wording in range(1, len(TASKS) + 1)}
    assert len(instructions) == 3
    assert all("person, location, creative work, a|b]: [c]" in text for text in instructions)


def test_an_instruction_defines_types():
    form = FORMS["json"]({"PER": "person", "LOC": "location"}, definitions={"LOC": "a place"})
    assert "types: location, person. What they mean: location: a place. " in form.instruction(["LOC", "PER"])


@pytest.mark.parametrize("key", ["types", "definitions"])
def test_names_of_types_are_stripped_and_not_empty(key):
    values = config.load_dataset("demo").model_dump()
    names = {kind: f"\u00a0{kind} in words\t" for kind in values["types"]}
    assert getattr(check(Dataset, values | {key: names}, "x"), key)["PER"] == "PER in words"
    with pytest.raises(ConfigError, match=rf"x: {key}\.PER: expected words in one line"):
        check(Dataset, values | {key: dict.fromkeys(values["types"], " \n")}, "x")


def test_a_models_names_of_types_are_stripped_and_not_empty(load_model):
    values = load_model("smollm2-135m").model_dump()
    model = check(Model, values | {"type_names": {"PER": " human being "}}, "x")
    assert model.type_names == {"PER": "human being"}
    with pytest.raises(ConfigError, match=r"x: type_names\.PER: expected words in one line"):
        check(Model, values | {"type_names": {"PER": ""}}, "x")


# ------------------------------------------------------------------- written and read back
@pytest.mark.parametrize("before", ["", "<think>[{}] person: [Ada|person]\n\n</think>\n"])
@pytest.mark.parametrize("name", EXACT)
@given(st.lists(st.tuples(token, tag), min_size=1, max_size=8))
def test_a_target_is_read_back(name, before, pairs):
    tokens, tags = [token for token, _ in pairs], [tag for _, tag in pairs]
    sentence = Sentence("s", None, tuple(tokens), tuple(spans_from_tags(tags)[0]))
    form = FORMS[name](TYPES)
    answer = before + form.target(sentence)
    reading = form.read(answer, sentence.tokens)
    if not before:
        assert (tuple(reading.spans), reading.status) == (sentence.spans, "ok")
        assert reading.dropped == dict.fromkeys(DROPPED, 0)
    parts = [answer[begin:end] for begin, end in reading.extents]
    assert sorted(reading.extents) == reading.extents
    for span, part in zip(reading.spans, parts, strict=True):
        if name == "inline":
            escaped = TYPES[span.type].replace("|", r"\|").replace("[", r"\[").replace("]", r"\]")
            assert part.startswith("[") and part.endswith(f"|{escaped}]")
        elif name == "bio":
            assert part.count("\n") == span.end - span.start - 1
        else:
            item = json.loads(part)
            assert item["text"] == " ".join(sentence.tokens[span.start : span.end])
            assert item["type"] == TYPES[span.type]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("word", [" person ", "a|b]: [c]", "back\\slash", "护栏", "B-52", '"q"'])
def test_names_that_every_form_reads_back(name, word):
    check_form(FORMS[name]({"T": word, "U": "other"}))


@pytest.mark.parametrize(
    ("name", "word"),
    [("bio", "a\nb"), ("bio", "x:O"), ("bio", "x:B-y"), ("json", ""), ("inline", " "), ("bio", "\u200b")],
)
def test_names_that_a_form_cannot_read_back_are_refused(name, word):
    with pytest.raises(ValueError, match=r"type 'T': .*is not read back") as error:
        check_form(FORMS[name]({"U": "other", "T": word}))
    assert repr(word) in str(error.value)


def test_one_name_of_two_types_is_refused():
    with pytest.raises(ValueError, match="is not read back"):
        check_form(FORMS["json"]({"A": "person", "B": "Person"}))


# ----------------------------------------------------------------------------- any answer
pieces = [*TOKENS, " ", "\n", "[", "]", "{", "}", "|", ":", "\\", ":O", ":B-person", "person", '"', "1", ","]
pieces += ["\\u12", "\\ud800", "[]", "```json", "<think>", "</think>", "NaN", "1e999", '"text": "Ada"']
pieces += ['"type": "person"', '[{"text": "\\ud800", "type": "person"}]', "[" * 5000]


@pytest.mark.parametrize("name", FORMS)
@given(st.one_of(st.text(), st.lists(st.sampled_from(pieces)).map("".join)), st.lists(token, max_size=6))
def test_no_answer_raises(name, answer, tokens):
    reading = FORMS[name](TYPES).read(answer, tuple(tokens))
    assert set(reading.dropped) == set(DROPPED)
    if reading.status == "failed":
        assert not reading.spans and not any(reading.dropped.values())
    tags_from_spans(reading.spans, len(tokens))  # they fit the sentence and do not overlap


REPEATED = [
    '[{"',
    "[",
    "{",
    '["a",',
    "['a ",
    "[//",
    '"  ',
    '\\"',
    "[a|",
    "a:O ",
    "<think>",
    '[{"x":"[{\\"',
    "1. ",
]
FRAMED = [
    ("x:B-", " ", "x"),
    ("", "a:", " b"),
    ("\n:O\n", "'", " :O"),
    ("x:O\n", "a: ", "b"),
    ("", "B-a", ":"),
]


@pytest.mark.parametrize("name", FORMS)
def test_the_time_grows_in_proportion_to_the_answer(name):
    """Four times the text may take eight times as long; sixteen times would be quadratic."""

    def seconds(head, piece, tail, length):
        began = time.process_time()
        FORMS[name](TYPES).read(head + (piece * length)[:length] + tail, TOKENS)
        return time.process_time() - began

    frames = [*(("", piece, "") for piece in REPEATED), *FRAMED]

    def is_slow(frame):
        return seconds(*frame, 40_000) > 8 * (seconds(*frame, 10_000) + 0.02)

    # Only what is slow each time, since Python's collection of garbage may fall into one of them.
    slow = [frame for frame in frames if all(is_slow(frame) for _ in range(3))]
    assert slow == []
