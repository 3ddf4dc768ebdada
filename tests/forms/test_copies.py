"""Answers that repeat the sentence, with brackets or as a line for each token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span
from ner_utils.forms.registry import FORMS

TYPES = {"PER": "person", "LOC": "location", "WORK": "creative work"}
TOKENS = ("Ada", "Lovelace", "met", "O'Brien", "in", "Dublin", ".")
ADA, DUBLIN = Span(0, 2, "PER"), Span(5, 6, "LOC")
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


@pytest.mark.parametrize("name", COPIES)
def test_target(name):
    sentence = Sentence("s", None, TOKENS, (ADA, DUBLIN))
    assert FORMS[name](TYPES).target(sentence) == COPIES[name]
    assert read(name, COPIES[name]) == ([ADA, DUBLIN], "ok", {})


# ---------------------------------------------------------------------- other notations
@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("```text\n{}\n```", id="fence"),
        pytest.param("Sure, here it is:\n\n{}\n\nI hope this helps!", id="prose"),
        pytest.param("Ada Lovelace met O'Brien in Dublin .\n\n{}", id="the sentence before"),
        pytest.param(
            "[met|person]\nmet:B-person\n</think>\n\n```\n{}\n```", id="end of thoughts, and a fence"
        ),
    ],
)
def test_text_around_a_copy(name, pattern):
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
def test_other_notations_of_inline(answer):
    assert read("inline", answer) == ([ADA, DUBLIN], "recovered", {})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lines("{word}\t{tag}"), id="tabs"),
        pytest.param(lines("{word} {tag}"), id="spaces"),
        pytest.param(lines("{word} -> {tag}"), id="arrows"),
        pytest.param(lines("{word}/{tag}"), id="slashes"),
        pytest.param(lines("{word}, {tag}"), id="commas between"),
        pytest.param(lines("{word}: {tag},"), id="commas at the end"),
        pytest.param(lines("{n}. {word}: {tag}"), id="numbers"),
        pytest.param(lines("- {word}: {tag}"), id="a list"),
        pytest.param("| token | TAG |\n|---|---|\n" + lines("| {word} | {tag} |"), id="a table"),
        pytest.param("{\n" + lines('"{word}": "{tag}",') + "\n}", id="an object"),
        pytest.param(lines("{word}:{tag}").replace("\n", " "), id="one line"),
        pytest.param(lines("{word}:{tag}", [tag.lower() for tag in TAGS]), id="lower case"),
        pytest.param(BIO.replace("-", "_"), id="underscores"),
        pytest.param(lines("{word}: {tag}", [tag[2:] or "O" for tag in TAGS]), id="no prefixes"),
        pytest.param(lines("{word}: {tag}", ["B-person", "L-person", *"OOO", "U-location", "O"]), id="BILOU"),
    ],
)
def test_other_notations_of_bio(answer):
    assert read("bio", answer) == ([ADA, DUBLIN], "recovered", {})


@pytest.mark.parametrize("name", ["creative_work", "Creative  Work", "creative\u00a0work"])
def test_a_type_of_two_words(name):
    assert read("bio", f"met:O\nDublin\tb-{name}\n.\tO")[0] == [Span(5, 6, "WORK")]


# ---------------------------------------------------------------- what is counted and how
@pytest.mark.parametrize(
    ("name", "answer", "spans", "status", "dropped"),
    [
        pytest.param("inline", "[Ada Lovelace|person] met", [ADA], "recovered", {}, id="cut off"),
        pytest.param("inline", "[Ada Lovelace|planet] met O'Brien in Dublin .", [], "ok", {"unknown_type": 1},
                     id="unknown type"),
        pytest.param("inline", "[Ada|person] [Grace|person] Lovelace met O'Brien in Dublin .",
                     [Span(0, 1, "PER")], "recovered", {"ungrounded": 1}, id="not in the sentence"),
        pytest.param("inline", "It is [Dublin|location].", [DUBLIN], "recovered", {}, id="one mention"),
        pytest.param("bio", "Ada:B-person\nLovelace:I-person\nmet:O", [ADA], "recovered", {},
                     id="missing lines"),
        pytest.param("bio", "Dublin:B-location", [DUBLIN], "recovered", {}, id="one line"),
        pytest.param("bio", BIO.replace("Ada:B-person", "Ada : I-Person"), [ADA, DUBLIN], "ok", {},
                     id="an ill-formed tag"),
        pytest.param("bio", f"<think>Ada:O</think>{lines('{word}:{tag}', ['B-planet', *'OOOOOO'])}",
                     [], "ok", {"unknown_type": 1}, id="thoughts, and an unknown type"),
    ],
)  # fmt: skip
def test_answers_with_faults(name, answer, spans, status, dropped):
    assert read(name, answer) == (spans, status, dropped)


@pytest.mark.parametrize("name", COPIES)
def test_answers_that_cannot_be_read(name):
    for answer in ("", "I do not know.", "[Bo|person] and [no", "Bo:B-person\nand:O", "Bo:X\nno"):
        assert read(name, answer) == ([], "failed", {})


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
    assert (status, len(spans) + sum(dropped.values())) == ("recovered", number)


sentences = st.lists(st.sampled_from(("Ada", "Bo", "O'Brien", "São", "of", "Café")), min_size=3, max_size=9)
frames = st.sampled_from(["{}", "```\n{}\n```", "Sure:\n{}\n\nDone.", "Hm.\n</think>\n{}"])


def draw_mentions(tokens, data):
    """Mentions of a sentence (begin, end, name of the type), adjacent or apart."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(tokens)), max_size=6)))
    places = zip(cuts[::2], cuts[1::2], strict=False)
    return [(*place, data.draw(st.sampled_from([*TYPES.values(), "planet"]))) for place in places]


@given(sentences, frames, st.data())
def test_each_mention_of_an_inline_answer_counts(tokens, frame, data):
    words, mentions = list(tokens), draw_mentions(tokens, data)
    for begin, end, name in mentions:
        shape = data.draw(st.sampled_from(["[{}|{}]", "[{}| {} ]", "[{}]", "[{}|x|{}]", "[Zoë {}|{}]"]))
        words[begin:end] = [shape.format(" ".join(words[begin:end]), name), *[""] * (end - begin - 1)]
    reading = FORMS["inline"](TYPES).read(frame.format(" ".join(words)), tokens)
    total = len(reading.spans) + sum(reading.dropped.values())
    assert total == (0 if reading.status == "failed" else len(mentions))


@given(sentences, frames, st.sampled_from(["{}:{}", "{}\t{}", "{} => {}", "{} {}"]), st.data())
def test_each_mention_of_a_bio_answer_counts(tokens, frame, shape, data):
    tags, mentions = ["O"] * len(tokens), draw_mentions(tokens, data)
    for begin, end, name in mentions:
        tags[begin:end] = [f"B-{name}", *[f"I-{name}"] * (end - begin - 1)]
    malformed = [at for at in range(1, len(tags) - 1) if tags[at] == "O" and data.draw(st.booleans())]
    for at in malformed:
        tags[at] = "Q!"
    text = "\n".join(shape.format(*pair) for pair in zip(tokens, tags, strict=True))
    reading = FORMS["bio"](TYPES).read(frame.format(text), tokens)
    total = len(reading.spans) + sum(reading.dropped.values())
    assert total == (0 if reading.status == "failed" else len(mentions) + len(malformed))


@pytest.mark.parametrize(
    ("name", "answer", "parts"),
    [
        ("inline", "Say [Bo|person].\n```\n" + INLINE, ["[Ada Lovelace|person]", "[Dublin|location]"]),
        ("bio", "Hm\n</think>\n" + lines("{n}. {word}\t{tag}"),
         ["1. Ada\tB-person\n2. Lovelace\tI-person", "6. Dublin\tB-location"]),
        ("bio", BIO.replace("\n", " "), ["Ada:B-person Lovelace:I-person", "Dublin:B-location"]),
    ],
)  # fmt: skip
def test_parts_of_an_answer_that_state_spans(name, answer, parts):
    reading = FORMS[name](TYPES).read(answer, TOKENS)
    assert [answer[begin:end] for begin, end in reading.extents] == parts
