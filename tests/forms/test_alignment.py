"""Text against tokens: where mentions are placed, whatever their white space and code points."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_utils.data.spans import Span, tags_from_spans
from ner_utils.forms import alignment
from ner_utils.forms.alignment import folded, occurrences, transfer
from ner_utils.forms.registry import FORMS

TYPES = ("PER", "LOC")


def align(mentions, tokens):
    """Mentions without the number of an occurrence."""
    return alignment.align([(*mention, None) for mention in mentions], tokens)


@pytest.mark.parametrize(
    ("mentions", "tokens", "spans", "ungrounded", "duplicate"),
    [
        pytest.param(["a"], "", [], 1, 0, id="empty sentence"),
        pytest.param(["Ada"], "ada", [], 1, 0, id="case matters"),
        pytest.param(["a", "a", "a"], "a x a", [(0, 1), (2, 3)], 0, 1, id="one too many"),
        pytest.param(["a", "a b"], "a b a b", [(0, 1), (2, 4)], 0, 0, id="first without overlap"),
        pytest.param(["a b", "a"], "a b", [(0, 2)], 0, 1, id="inside another is taken"),
        pytest.param(["b", "a"], "a b", [(0, 1), (1, 2)], 0, 0, id="not in the order of the text"),
        pytest.param(["a a"], "a a a", [(0, 2)], 0, 0, id="overlapping occurrences"),
        pytest.param([" Norway\u00a0\t's "], "Norway 's", [(0, 2)], 0, 0, id="white space"),
        pytest.param(["way"], "Norway", [], 1, 0, id="begins inside a token"),
        pytest.param(["Nor"], "Norway", [], 1, 0, id="ends inside a token"),
        pytest.param(["ab"], "xab ab", [(1, 2)], 0, 0, id="first at borders of tokens"),
        pytest.param(["", " "], "a b", [], 2, 0, id="blank"),
        pytest.param(["שלום"], "a שלום b", [(1, 2)], 0, 0, id="right to left"),
        pytest.param(["e\u0301"], "e \u0301", [(0, 2)], 0, 0, id="combining mark as a token"),
    ],
)
def test_align(mentions, tokens, spans, ungrounded, duplicate):
    found = align([(mention, "PER") for mention in mentions], tokens.split(" ") if tokens else [])
    assert found.spans == [(*span, "PER") for span in spans]
    assert (found.ungrounded, found.duplicate) == (ungrounded, duplicate)


def test_types_follow_the_order_of_mentions():
    found = align([("Washington", "PER"), ("Washington", "LOC")], ["Washington", "in", "Washington"])
    assert found.spans == [Span(0, 1, "PER"), Span(2, 3, "LOC")]


def naive_align(mentions, tokens):
    """The same rule, by trying every interval of tokens."""
    intervals = [(i, j) for i in range(len(tokens)) for j in range(i + 1, len(tokens) + 1)]
    used, spans, ungrounded, duplicate = set(), [], 0, 0
    for mention, kind in mentions:
        places = [(i, j) for i, j in intervals if "".join(tokens[i:j]) == "".join(mention.split())]
        free = [(i, j) for i, j in places if used.isdisjoint(range(i, j))]
        if free:
            used.update(range(*free[0]))
            spans.append(Span(*free[0], kind))
        ungrounded += not places
        duplicate += bool(places) and not free
    return sorted(spans), ungrounded, duplicate


few = st.sampled_from(["a", "b", "ab", "ba", "aba", "a b", "b a b"])


@given(
    st.lists(st.sampled_from("ab"), max_size=8), st.lists(st.tuples(few, st.sampled_from(TYPES)), max_size=6)
)
def test_align_against_all_intervals(tokens, mentions):
    found = align(mentions, tokens)
    assert (found.spans, found.ungrounded, found.duplicate) == naive_align(mentions, tokens)
    for span, origin in zip(found.spans, found.origins, strict=True):
        mention, kind = mentions[origin][:2]
        assert ("".join(tokens[span.start : span.end]), span.type) == ("".join(mention.split()), kind)


@given(
    st.lists(st.text(min_size=1, max_size=4).filter(str.strip), max_size=6),
    st.lists(st.tuples(st.text(max_size=4), st.sampled_from(TYPES)), max_size=6),
)
def test_each_mention_is_placed_or_counted(tokens, mentions):
    found = align(mentions, tokens)
    assert len(found.spans) + found.ungrounded + found.duplicate == len(mentions)
    tags_from_spans(found.spans, len(tokens))  # they fit the sentence and do not overlap


def test_a_numbered_occurrence_is_that_one():
    mentions = [("a b", "PER", 2), ("a", "LOC", 1), ("b", "PER", 2), ("b", "LOC", 3)]
    found = alignment.align(mentions, ("a", "b", "a", "b"))
    assert found.spans == [Span(0, 1, "LOC"), Span(2, 4, "PER")]
    assert (found.duplicate, found.ungrounded) == (1, 1)


def test_occurrences_are_whole_tokens():
    assert occurrences("a b", ("a", "b", "ab", "a", "bc", "abab")) == [(0, 2), (2, 3)]
    assert occurrences(" ", ("a",)) == []


# ------------------------------------------------------------------------------ copies
def test_a_copy_with_gaps_keeps_its_whole_mentions():
    tokens = ("Ada", "Lovelace", "left", "London", "for", "London")
    placed = transfer("Adaleftfor", [(0, 3, "PER"), (3, 10, "LOC")], tokens)
    assert placed.spans == [Span(0, 1, "PER")]
    assert (placed.ungrounded, placed.copied) == (1, 10 / 30)


def test_a_bounded_number_of_letters_is_compared(monkeypatch):
    """The letters compared with the sentence, which take the time, do not grow with the answer."""
    compared = []

    class Matcher:
        def __init__(self, junk, written, letters, autojunk):
            compared.append(len(written))

        def get_matching_blocks(self):
            return []

    monkeypatch.setattr("ner_utils.forms.alignment.SequenceMatcher", Matcher)
    for length in (5_000, 50_000):
        transfer("Ada" * length, [], ("Ada", "met", "Bo"))
    assert max(compared) == alignment.LETTERS_COMPARED


# ------------------------------------------------------------------- equivalent code points
@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("Cafe\u0301", "Café"), ("Việt", "Vie\u0302\u0323t"), ("iPhone\u200b", "iPhone"),
        ("\u202eAda\u202c", "Ada"), ("O'Brien", "Oʼ\u200bBrien"), ("``Rock''", '"Rock"'),
        ("Jean‑Luc", "Jean-Luc"), ("1990–95", "1990-95"), ("Ａｄａ", "Ada"), ("ﬁsh", "fish"), ("❤️", "❤"),
    ],
)  # fmt: skip
def test_equivalent_code_points(token, text):
    for name, answer in {
        "json": json.dumps([{"text": text, "type": "person"}]),
        "json-occurrence": json.dumps([{"text": text, "type": "person", "occurrence": 1}]),
        "inline": f"see [{text}|person] there",
        "bio": f"see:O\n{text}:B-person\nthere:O",
    }.items():
        reading = FORMS[name]({"PER": "person"}).read(answer, ("see", token, "there"))
        assert reading.spans == [Span(1, 2, "PER")], name


@given(st.text(min_size=1, max_size=8).filter(str.strip))
def test_composed_and_decomposed_texts_are_equal(text):
    for form in ("NFC", "NFD"):
        assert folded(unicodedata.normalize(form, text)) == folded(text)


def test_exact_texts_come_first():
    tokens = ("a\u200b", "a", "’", "'")
    found = align([("a", "PER"), ("'", "LOC"), ("a", "PER")], tokens)
    assert found.spans == [Span(0, 1, "PER"), Span(1, 2, "PER"), Span(3, 4, "LOC")]
    for number in (1, 2):  # the only exact one; the second one in equivalent code points
        assert alignment.align([("a", "PER", number)], tokens).spans == [Span(1, 2, "PER")]


def test_a_token_of_format_characters_has_no_border():
    tokens = ("\u200b", "Ada", "\u200b", "Byron", "\u200d")
    assert align([("Ada Byron", "PER")], tokens).spans == [Span(1, 4, "PER")]
    spans = [Span(1, 2, "PER"), Span(3, 4, "LOC")]
    assert transfer("AdaByron", [(0, 3, "PER"), (3, 8, "LOC")], tokens).spans == spans
    assert align([("\u200b", "PER")], tokens).spans == [Span(0, 1, "PER")]  # the exact text
