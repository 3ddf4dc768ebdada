"""Answers as models write them: the same entities in other notations are the same spans, each item counts."""

import json
import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span
from ner_utils.forms.alignment import LETTERS_COMPARED, align, folded, transfer
from ner_utils.forms.base import check
from ner_utils.forms.lenient_json import values
from ner_utils.forms.registry import FORMS

TYPES = {"PER": "person", "LOC": "location", "WORK": "creative work"}
TOKENS = ("Ada", "Lovelace", "met", "O'Brien", "in", "Dublin", ".")
ADA, DUBLIN, BRIEN = Span(0, 2, "PER"), Span(5, 6, "LOC"), Span(3, 4, "PER")
ITEMS = [{"text": "Ada Lovelace", "type": "person"}, {"text": "Dublin", "type": "location"}]
LIST = json.dumps(ITEMS)
INLINE = "[Ada Lovelace|person] met O'Brien in [Dublin|location] ."
TAGS = ("B-person", "I-person", "O", "O", "O", "B-location", "O")
BIO = "\n".join(f"{word}:{tag}" for word, tag in zip(TOKENS, TAGS, strict=True))
COPIES = {"inline": INLINE, "bio": BIO}


def read(name, answer, tokens=TOKENS):
    reading = FORMS[name](TYPES).read(answer, tokens)
    return reading.spans, reading.status, {why: number for why, number in reading.dropped.items() if number}


def lines(pattern, tags=TAGS):
    pairs = zip(TOKENS, tags, strict=True)
    return "\n".join(pattern.format(word=word, tag=tag, n=n) for n, (word, tag) in enumerate(pairs, 1))


# --------------------------------------------------------------------- the same in other notations
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(f"Answer [] if there are none.\n{LIST}", id="an empty list before"),
        pytest.param(f"{LIST}\nWithout entities I would have said [].", id="an empty list behind"),
        pytest.param(f'Form: [{{"text": "Bo", "type": "person"}}]. Answer: {LIST}', id="an example before"),
        pytest.param(f'{LIST} The form was {{"text": ..., "type": ...}}.', id="the request again"),
        pytest.param(f"<think>Is it {LIST[:40]}</think>\n{LIST}", id="thoughts"),
        pytest.param(f'Maybe [{{"text": "met", "type": "person"}}]\n</think>\n{LIST}', id="thoughts' end"),
        pytest.param(f"<Reasoning>[]</Reasoning>{LIST}", id="thoughts by another name"),
        pytest.param(f"~~~json\n{LIST}\n~~~", id="another fence"),
        pytest.param("\n".join(map(json.dumps, ITEMS)), id="JSON lines"),
        pytest.param(" and ".join(map(json.dumps, ITEMS)), id="objects in prose"),
        pytest.param("\n".join(f"{n}. {json.dumps(item)}" for n, item in enumerate(ITEMS, 1)), id="numbered"),
        pytest.param(str(ITEMS), id="Python"),
        pytest.param(str([tuple(item.values()) for item in ITEMS]), id="tuples"),
        pytest.param(json.dumps([list(item.values()) for item in ITEMS]), id="pairs"),
        pytest.param(LIST.replace("}", ",}").replace("]", ",]"), id="commas too many"),
        pytest.param(LIST.replace("}, {", "},, {"), id="a comma twice"),
        pytest.param(LIST.replace("}, {", ", {"), id="a brace forgotten"),
        pytest.param(LIST.replace("}]", "]"), id="the last brace forgotten"),
        pytest.param(LIST.replace('"text"', "text").replace('"type"', "type"), id="keys without quotes"),
        pytest.param(LIST.replace('"text"', '"Text"').replace('"type"', '"TYPE"'), id="capital keys"),
        pytest.param(LIST.replace('"text"', '"entity"').replace('"type"', '"label"'), id="other keys"),
        pytest.param(LIST.replace('"type"', '"entity"'), id="one other key"),
        pytest.param(
            LIST.replace('"text"', '"Named Entity"').replace('"type"', '"entity_type"'), id="long keys"
        ),
        pytest.param(LIST.replace(': "', ": "), id="a quote forgotten"),
        pytest.param(LIST.replace(', "type"', ', // why\n "type"'), id="comments"),
        pytest.param(LIST.replace('"', "“"), id="quotes of one kind"),
        pytest.param(re.sub('"([^"]*)"', "“\\1”", LIST), id="quotes of a typesetter"),
        pytest.param(LIST.replace(" ", "\u00a0").replace("{", "\u200b{"), id="other white space"),
        pytest.param("\ufeff" + LIST, id="byte order mark"),
        pytest.param(LIST.translate(str.maketrans("[]{}:,", "［］｛｝：，")), id="full-width signs"),
        pytest.param(json.dumps(LIST), id="JSON in a string"),
        pytest.param(LIST.replace('"', '\\"'), id="escaped quotes alone"),
        pytest.param(json.dumps({"entities": LIST}), id="a string in an object"),
        pytest.param(json.dumps({"text": " ".join(TOKENS), "entities": ITEMS}), id="beside the sentence"),
        pytest.param(json.dumps({"result": {"entities": ITEMS, "sure": True}}), id="two objects deep"),
        pytest.param(json.dumps([ITEMS]), id="a list in a list"),
        pytest.param('{"Ada Lovelace": "person", "Dublin": "location"}', id="texts to types"),
        pytest.param('[{"Ada Lovelace": "person"}, {"Dublin": "location"}]', id="each text to its type"),
        pytest.param(
            '{"person": ["Ada Lovelace"], "location": ["Dublin"], "creative work": []}', id="by type"
        ),
        pytest.param('{"Person": "Ada Lovelace", "Location": "Dublin"}', id="one of each type"),
        pytest.param(
            '{"person": [{"text": "Ada Lovelace"}], "location": [{"text": "Dublin"}]}', id="objects by type"
        ),
        pytest.param(LIST[:-1] + ', {"text": "O\'Br', id="cut off"),
        pytest.param(f'[see "below": {LIST}', id="a bracket that stays open"),
    ],
)
def test_json_in_other_notations(answer):
    assert read("json", answer) == ([ADA, DUBLIN], "recovered", {})


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("O'Brien", r'"O\'Brien"'),
        ("O'Brien", r"'O\'Brien'"),
        ("O'Brien", "'O'Brien'"),
        ("O'Brien", r'"O\x27Brien"'),
        ('Dwayne "Rock" Johnson', '"Dwayne "Rock" Johnson"'),
        ('Dwayne "Rock" Johnson', """'Dwayne "Rock" Johnson'"""),
        ("New_York", r'"New\_York"'),
        ("a { b", "'a { b'"),
        ("[ ]", "'[ ]'"),
        ("back\\slash", r"'back\\slash'"),
    ],
)
def test_texts_in_quotes(text, written):
    answer = f"[{{'text': {written}, 'type': 'person'}}]"
    assert read("json", answer, tuple(text.split())) == (
        [Span(0, len(text.split()), "PER")],
        "recovered",
        {},
    )


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("```text\n{}\n```", id="fence"),
        pytest.param("Sure, here it is:\n\n{}\n\nI hope this helps!", id="prose"),
        pytest.param("Ada Lovelace met O'Brien in Dublin .\n\n{}", id="the sentence before"),
        pytest.param("[met|person]\nmet:B-person\n</think>\n\n```\n{}\n```", id="thoughts' end, and a fence"),
    ],
)
def test_copies_in_a_frame(name, pattern):
    assert read(name, pattern.format(COPIES[name])) == ([ADA, DUBLIN], "recovered", {})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("For example [Bo|person] sings.\n" + INLINE, id="an example before"),
        pytest.param(INLINE.replace("Ada", "Eve") + "\n" + INLINE, id="a draft before"),
        pytest.param("［Ada Lovelace｜person］ met O'Brien in ［Dublin｜location］ .", id="full-width"),
        pytest.param("[Ada Lovelace | Person] met O’Brien in [Dublin|LOCATION].", id="case and apostrophe"),
        pytest.param("Ada Lovelace met O'Brien in Dublin .\n" + INLINE.replace("met", "meets"), id="an echo"),
        pytest.param("[Ada Lovelace|person]\n[Dublin|location]", id="mentions alone"),
    ],
)
def test_inline_in_other_notations(answer):
    assert read("inline", answer) == ([ADA, DUBLIN], "recovered", {})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lines("{word}\t{tag}"), id="tabs"),
        pytest.param(lines("{word} {tag}"), id="spaces"),
        pytest.param(lines("{word} -> {tag}"), id="arrows"),
        pytest.param(lines("{word}/{tag}"), id="slashes"),
        pytest.param(lines("{word}, {tag}"), id="commas between"),
        pytest.param(lines("{n}. {word}: {tag}"), id="numbers"),
        pytest.param(lines("- {word}: {tag}"), id="a list"),
        pytest.param("| token | TAG |\n|---|---|\n" + lines("| {word} | {tag} |"), id="a table"),
        pytest.param("{\n" + lines('"{word}": "{tag}",') + "\n}", id="an object"),
        pytest.param(lines("{word}:{tag}").replace("\n", " "), id="one line"),
        pytest.param(BIO.lower().replace("ada", "Ada").replace("lovelace", "Lovelace")
                     .replace("o'brien", "O'Brien").replace("dublin", "Dublin"), id="small letters"),
        pytest.param(BIO.replace("-", "_"), id="underscores"),
        pytest.param(lines("{word}: {tag}", [tag[2:] or "O" for tag in TAGS]), id="no prefixes"),
        pytest.param(lines("{word}: {tag}", ["B-person", "E-person", *"OOO", "S-location", "O"]), id="BIOES"),
        pytest.param(lines("{word}: {tag}", ["B-person", "L-person", *"OOO", "U-location", "O"]), id="BILOU"),
        pytest.param(lines("{word}: {tag},"), id="commas"),
    ],
)  # fmt: skip
def test_bio_in_other_notations(answer):
    assert read("bio", answer) == ([ADA, DUBLIN], "recovered", {})


@pytest.mark.parametrize("types", ["creative_work", "Creative  Work", "creative-work", "creative\u00a0work"])
def test_a_type_of_two_words(types):
    assert read("json", json.dumps([{"text": "Dublin", "type": types}]))[0] == [Span(5, 6, "WORK")]
    assert read("bio", f"met:O\nDublin\tb-{types}\n.\tO")[0] == [Span(5, 6, "WORK")]


# ------------------------------------------------------------------------------- which is the answer
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param("There are none: []", ([], "recovered", {}), id="empty"),
        pytest.param('{"entities": []}', ([], "recovered", {}), id="empty in an object"),
        pytest.param('{"person": [], "location": []}', ([], "recovered", {}), id="empty by type"),
        pytest.param('{"text": "Dublin", "type": "location"', ([], "failed", {}), id="a lone object cut off"),
        pytest.param('{"text": "Ada"}', ([], "recovered", {"malformed": 1}), id="no type"),
        pytest.param('["Ada", "Dublin"]', ([], "ok", {"malformed": 2}), id="texts alone"),
        pytest.param('```\n["Ada", "Dublin"]\n```', ([], "recovered", {"malformed": 2}), id="texts, fenced"),
        pytest.param('["Dublin", "location"]', ([DUBLIN], "recovered", {}), id="a lone pair"),
        pytest.param('[{"text": "Dublin", "type": "planet"}, ]', ([], "recovered", {"unknown_type": 1}),
                     id="an unknown type is an answer"),
        pytest.param(f'{LIST[:-1]}, ...]', ([ADA, DUBLIN], "recovered", {}), id="dots state nothing"),
        pytest.param('{"text": "Dublin", "type": "location"}\n{"text": "Ada"}',
                     ([DUBLIN], "recovered", {"malformed": 1}), id="JSON lines, one without a type"),
        pytest.param("I see [the list] in [1].", ([], "failed", {}), id="brackets of prose"),
    ],
)  # fmt: skip
def test_what_counts_as_the_answer(answer, expected):
    assert read("json", answer) == expected


@pytest.mark.parametrize("name", COPIES)
def test_what_could_not_be_read_states_nothing(name):
    for answer in ("", "I do not know.", "[Bo|person] and [no", "Bo:B-person\nand:O", "Bo:X\nno"):
        assert read(name, answer) == ([], "failed", {})


def test_a_mention_that_is_placed_has_been_read():
    assert read("bio", "Dublin:B-location") == ([DUBLIN], "recovered", {})
    assert read("inline", "It is [Dublin|location].") == ([DUBLIN], "recovered", {})


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("[Ada [Lovelace|person]|location] met O'Brien in Dublin .", 2),
        ("[Ada|x|person] Lovelace met [O'Brien] in [Dublin|location] .", 3),
        ("[Ada Lovelace|person met [O'Brien|person] in Dublin .", 2),
        ("Ada Lovelace|person] met O'Brien in Dublin .", 1),
        ("[|person] Ada Lovelace met O'Brien in [Dublin|location", 2),
    ],
)
def test_each_bracket_counts_once(answer, number):
    spans, status, dropped = read("inline", answer)
    assert status == "recovered"
    assert len(spans) + sum(dropped.values()) == number


# ----------------------------------------------------------------------- code points of the same letters
@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("Cafe\u0301", "Café"), ("Café", "Cafe\u0301"), ("Việt", "Vie\u0302\u0323t"), ("Å", "\u212b"),
        ("iPhone\u200b", "iPhone"), ("Wi\u00adFi", "WiFi"), ("\u202eAda\u202c", "Ada"), ("\ufeffAda", "Ada"),
        ("O’Brien", "O'Brien"), ("O'Brien", "Oʼ\u200bBrien"), ("“Rock”", '"Rock"'), ("``Rock''", '"Rock"'),
        ("Jean‑Luc", "Jean-Luc"), ("1990–95", "1990-95"), ("Ａｄａ", "Ada"), ("ﬁsh", "fish"), ("❤️", "❤"),
    ],
)  # fmt: skip
def test_other_code_points_of_the_same_letters(token, text):
    tokens = ("see", token, "there")
    for name, answer in {
        "json": json.dumps([{"text": text, "type": "person"}]),
        "json-occurrence": json.dumps([{"text": text, "type": "person", "occurrence": 1}]),
        "inline": f"see [{text}|person] there",
        "bio": f"see:O\n{text}:B-person\nthere:O",
    }.items():
        assert read(name, answer, tokens)[0] == [Span(1, 2, "PER")], name


@given(st.text(min_size=1, max_size=8).filter(str.strip))
def test_composed_and_decomposed_texts_are_one(text):
    for form in ("NFC", "NFD"):
        assert folded(unicodedata.normalize(form, text)) == folded(text)


def test_exact_texts_come_first():
    tokens = ("a\u200b", "a", "’", "'")
    found = align([("a", "PER", None), ("'", "LOC", None), ("a", "PER", None)], tokens)
    assert found.spans == [Span(0, 1, "PER"), Span(1, 2, "PER"), Span(3, 4, "LOC")]
    assert align([("a", "PER", 1)], tokens).spans == [Span(1, 2, "PER")]
    assert align([("a", "PER", 2)], tokens).spans == [Span(1, 2, "PER")]  # of those alike, the second


def test_a_token_of_format_characters_alone_begins_and_ends_nothing():
    tokens = ("\u200b", "Ada", "\u200b", "Byron", "\u200d")
    assert align([("Ada Byron", "PER", None)], tokens).spans == [Span(1, 4, "PER")]
    assert transfer("AdaByron", [(0, 3, "PER"), (3, 8, "LOC")], tokens).spans == [
        Span(1, 2, "PER"),
        Span(3, 4, "LOC"),
    ]
    assert align([("\u200b", "PER", None)], tokens).spans == [Span(0, 1, "PER")]  # it is there exactly


# ------------------------------------------------------------------------- every item counts, alike
WORDS = ("Ada", "Bo", "O'Brien", "ring", "São", "of", "Café")
sentences = st.lists(st.sampled_from(WORDS), min_size=3, max_size=9)
stated = st.lists(
    st.tuples(
        st.lists(st.sampled_from((*WORDS, "Zoë")), min_size=1, max_size=2).map(" ".join),
        st.sampled_from([*TYPES.values(), "planet"]),
    ),
    min_size=1,
    max_size=6,
)
WRITERS = {
    "indented": lambda items: json.dumps(items, indent=2),
    "fenced": lambda items: f"Here:\n```json\n{json.dumps(items)}\n```\nThat is all.",
    "thoughts": lambda items: f"<think>[{{}}]</think>{json.dumps(items)}",
    "Python": str,
    "single quotes": lambda items: json.dumps(items, ensure_ascii=False).replace('"', "'"),
    "typeset": lambda items: re.sub('"([^"]*)"', "“\\1”", json.dumps(items, ensure_ascii=False)),
    "lines": lambda items: "\n".join(map(json.dumps, items)),
    "object": lambda items: json.dumps({"entities": items}),
    "string": lambda items: json.dumps(json.dumps(items)),
    "keys": lambda items: json.dumps([{"Mention": i["text"], "Label": i["type"]} for i in items]),
    "commas": lambda items: json.dumps(items).replace("}", ",}").replace("}, {", "} {"),
    "draft": lambda items: f'[{{"text": "of", "type": "person"}}], no: {json.dumps(items)}',
    "cut off": lambda items: json.dumps(items)[:-1] + ', {"text": "Ad',
}


@pytest.mark.parametrize("writer", WRITERS)
@given(sentences, stated)
def test_all_notations_of_json_are_read_alike(writer, tokens, pairs):
    items = [{"text": text, "type": kind} for text, kind in pairs]
    plain = FORMS["json"](TYPES).read(json.dumps(items), tokens)
    other = FORMS["json"](TYPES).read(WRITERS[writer](items), tokens)
    assert (other.spans, other.dropped) == (plain.spans, plain.dropped)
    assert len(other.spans) + sum(other.dropped.values()) == len(items)


flawed = st.sampled_from(
    [{}, {"text": "Ada"}, {"type": "person"}, {"text": " ", "type": "person"}, {"text": None}]
)


@pytest.mark.parametrize("writer", ["indented", "fenced", "Python", "object", "string", "commas", "cut off"])
@given(sentences, stated, st.lists(flawed, max_size=3), st.randoms())
def test_flawed_items_count(writer, tokens, pairs, flaws, random):
    items = [{"text": text, "type": kind} for text, kind in pairs] + flaws
    random.shuffle(items)
    reading = FORMS["json"](TYPES).read(WRITERS[writer](items), tokens)
    assert reading.dropped["malformed"] == len(flaws)
    assert len(reading.spans) + sum(reading.dropped.values()) == len(items)


def mentions(tokens, data):
    """Mentions of a sentence, side by side or apart: begins and ends, and what stands for each type."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(tokens)), max_size=6)))
    places = list(zip(cuts[::2], cuts[1::2], strict=False))
    return [(*place, data.draw(st.sampled_from([*TYPES.values(), "planet"]))) for place in places]


shapes = st.sampled_from(["[{}|{}]", "[{}|{}]", "[{}| {} ]", "[{}]", "[{}|x|{}]", "[Zoë {}|{}]"])
frames = st.sampled_from(["{}", "```\n{}\n```", "Sure:\n{}\n\nDone.", "Hm.\n</think>\n{}"])


@given(sentences, frames, st.data())
def test_every_mention_of_an_inline_answer_counts(tokens, frame, data):
    words, made = list(tokens), mentions(tokens, data)
    for begin, end, kind in made:
        shape = data.draw(
            st.sampled_from(["[{}|{}]", "[{}|{}]", "[{}| {} ]", "[{}]", "[{}|x|{}]", "[Zoë {}|{}]"])
        )
        text = shape.format(" ".join(words[begin:end]), kind)
        words[begin:end] = [text, *[""] * (end - begin - 1)]
    reading = FORMS["inline"](TYPES).read(frame.format(" ".join(words)), tokens)
    total = len(reading.spans) + sum(reading.dropped.values())
    assert total == (0 if reading.status == "failed" else len(made))


@given(sentences, frames, st.sampled_from(["{}:{}", "{}\t{}", "{} : {}", "{} => {}", "{} {}"]), st.data())
def test_every_mention_of_a_bio_answer_counts(tokens, frame, shape, data):
    tags, made = ["O"] * len(tokens), mentions(tokens, data)
    for begin, end, kind in made:
        tags[begin:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - begin - 1)]
    bad = [
        at
        for at, tag in enumerate(tags)
        if tag == "O" and 0 < at < len(tags) - 1 and data.draw(st.booleans())
    ]
    for at in bad:
        tags[at] = "Q!"
    text = "\n".join(shape.format(*pair) for pair in zip(tokens, tags, strict=True))
    reading = FORMS["bio"](TYPES).read(frame.format(text), tokens)
    total = len(reading.spans) + sum(reading.dropped.values())
    assert total == (0 if reading.status == "failed" else len(made) + len(bad))


# ------------------------------------------------------------------------------------------ extents
@pytest.mark.parametrize("writer", WRITERS)
@given(sentences, stated)
def test_extents_hold_the_words_of_their_spans(writer, tokens, pairs):
    answer = WRITERS[writer]([{"text": text, "type": kind} for text, kind in pairs])
    reading = FORMS["json"](TYPES).read(answer, tokens)
    assert len(set(reading.extents)) == len(reading.spans)
    for (begin, end), span in zip(reading.extents, reading.spans, strict=True):
        piece = answer[begin:end]
        assert (piece[0], piece[-1]) == ("{", "}")
        assert TYPES[span.type] in piece
        first = json.dumps(tokens[span.start]).strip('"')
        assert tokens[span.start] in piece or first in piece or first.replace("\\", "\\\\") in piece


@pytest.mark.parametrize(
    ("name", "answer", "pieces"),
    [
        ("json", '{"person": ["Ada Lovelace"]}', ['"Ada Lovelace"']),
        ("json", 'So: {"Ada Lovelace": "person"}', ['"Ada Lovelace": "person"']),
        ("json", '[["Ada Lovelace", "person"], ]', ['["Ada Lovelace", "person"]']),
        ("json", "<think>…</think>[{'text': 'Dublin', 'type': 'location'}]",
         ["{'text': 'Dublin', 'type': 'location'}"]),
        ("inline", "Say [Bo|person].\n```\n" + INLINE, ["[Ada Lovelace|person]", "[Dublin|location]"]),
        ("bio", "Hm\n</think>\n" + lines("{n}. {word}\t{tag}"),
         ["1. Ada\tB-person\n2. Lovelace\tI-person", "6. Dublin\tB-location"]),
        ("bio", BIO.replace("\n", " "), ["Ada:B-person Lovelace:I-person", "Dublin:B-location"]),
    ],
)  # fmt: skip
def test_extents_in_other_notations(name, answer, pieces):
    reading = FORMS[name](TYPES).read(answer, TOKENS)
    assert [answer[begin:end] for begin, end in reading.extents] == pieces


# ----------------------------------------------------------------- what was read as asked stays the same
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text() | st.text("[]{}\"'\\,:/ ", max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def plain(value):
    if value.kind == "list":
        return [plain(each) for each in value.content]
    if value.kind == "object":
        return {key.content: plain(each) for key, each in value.content}
    return value.content


def without_booleans(value):
    if isinstance(value, list):
        return [without_booleans(each) for each in value]
    if isinstance(value, dict):
        return {key: without_booleans(each) for key, each in value.items()}
    return None if isinstance(value, bool) else value


@given(st.lists(json_values, max_size=4), st.sampled_from([None, 0, 2]), st.booleans())
def test_valid_json_is_read_as_json(value, indent, escaped):
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)
    (found,) = values(text, anywhere=True)
    assert (found.begin, found.end, found.whole) == (0, len(text), True)
    assert plain(found) == without_booleans(value)


@given(sentences, st.data(), st.sampled_from([None, 1]), st.sampled_from(["", "\n ", "\u00a0"]))
def test_a_list_as_asked_is_ok_and_read_exactly(tokens, data, indent, blank):
    """Against the `json` library, and places of whole tokens by their texts."""
    form, spans = FORMS["json-occurrence"](TYPES), []
    for begin, end, kind in mentions(tokens, data):
        code = {name: key for key, name in TYPES.items()}.get(kind)
        spans += [Span(begin, end, code)] if code else []
    items = json.loads(form.target(Sentence("", None, tuple(tokens), tuple(spans))))
    items = [item | data.draw(st.sampled_from([{}, {"sure": True}, {"why": "]}"}])) for item in items]
    answer = blank + json.dumps(items, indent=indent) + blank
    reading = form.read(answer, tokens)
    assert (reading.spans, reading.status, sum(reading.dropped.values())) == (spans, "ok", 0)
    assert [json.loads(answer[begin:end]) for begin, end in reading.extents] == items


# ------------------------------------------------------------------------------------- time and words
PIECES = [
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


FRAMES = [
    ("x:B-", " ", "x"),
    ("", "a:", " b"),
    ("\n:O\n", "'", " :O"),
    ("x", " ", ":O"),
    ("x:O\n", "a: ", "b"),
    ("", "B-a", ":"),
]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(("head", "piece", "tail"), [*(("", piece, "") for piece in PIECES), *FRAMES])
def test_the_time_grows_as_the_answer_does(name, head, piece, tail):
    """Four times the text may take at most eight times the processor's time; sixteen would be a square."""

    def seconds(length):
        began = time.process_time()
        FORMS[name](TYPES).read(head + (piece * length)[:length] + tail, TOKENS)
        return time.process_time() - began

    assert seconds(120_000) <= 8 * (seconds(30_000) + 0.05)


def test_an_alignment_compares_a_bounded_number_of_letters(monkeypatch):
    """Letters compared with the sentence's, which is what takes the time, do not grow with the answer."""
    seen = []

    class Matcher:
        def __init__(self, junk, written, letters, autojunk):
            seen.append(len(written))

        def get_matching_blocks(self):
            return []

    monkeypatch.setattr("ner_utils.forms.alignment.SequenceMatcher", Matcher)
    for length in (5_000, 50_000):
        transfer("Ada" * length, [], TOKENS)
    assert max(seen) == LETTERS_COMPARED


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(
    "word", ["person", " person ", "a|b]: [c]", "back\\slash", "护栏", "B-52", "x-y z", '"q"']
)
def test_words_that_every_form_reads_back(name, word):
    check(FORMS[name]({"T": word, "U": "other"}))


@pytest.mark.parametrize(
    ("name", "word"),
    [("bio", "a\nb"), ("bio", "x:O"), ("bio", "x:B-y"), ("json", ""), ("inline", " "), ("bio", "\u200b")],
)
def test_words_that_a_form_cannot_read_back_are_refused(name, word):
    with pytest.raises(ValueError, match=r"type 'T': .*is not read back") as error:
        check(FORMS[name]({"U": "other", "T": word}))
    assert repr(word) in str(error.value)


def test_a_word_of_two_types_is_refused():
    with pytest.raises(ValueError, match="is not read back"):
        check(FORMS["json"]({"A": "person", "B": "Person"}))
