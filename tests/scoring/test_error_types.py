"""Kinds of errors: each mention is counted once, worked out by hand, and against all answers."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_spans import TYPES, corpora, sides, tables

from ner_utils import scoring
from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span
from ner_utils.scoring import error_types, span_table


@given(corpora)
def test_every_mention_is_sorted_once(corpus):
    gold, said = tables(*sides(corpus))
    words = [[f"w{at % 2}" for at in range(len(sentence))] for sentence in corpus]
    kinds, confusion = error_types.sort(gold, said, words)
    paired = sum(kinds[kind] for kind in ("correct", "type", "boundary", "both", "place"))
    assert paired + kinds["missed"] == len(gold.columns) == confusion[:-1].sum()
    assert paired + kinds["spurious"] == len(said.columns) == confusion[:, :-1].sum()
    tp, _, _ = scoring.count(gold, said).sum(axis=(0, 1))
    assert kinds["correct"] == tp
    assert np.trace(confusion) == kinds["correct"] + kinds["boundary"]


def test_errors_by_hand():
    gold = [[Span(0, 2, "A"), Span(3, 5, "B"), Span(6, 7, "C"), Span(8, 9, "A"), Span(9, 12, "B")]]
    said = [[Span(0, 2, "A"), Span(3, 4, "B"), Span(6, 7, "A"), Span(7, 8, "C"), Span(10, 13, "C")]]
    sides = [span_table.from_spans(side, TYPES) for side in (gold, said)]
    kinds, confusion = error_types.sort(*sides, [list("abcdefghijklm")])
    assert kinds == {
        "correct": 1, "type": 1, "boundary": 1, "both": 1, "place": 0, "spurious": 1, "missed": 1
    }  # fmt: skip
    assert confusion.tolist() == [[1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]]


def test_the_right_words_at_another_place():
    """Rome stands thrice: the first and the last are meant, the second and the last are said."""
    gold = span_table.from_spans([[Span(0, 1, "A"), Span(4, 5, "A"), Span(5, 6, "B")]], TYPES)
    said = span_table.from_spans([[Span(2, 3, "A"), Span(4, 5, "A"), Span(6, 7, "B")]], TYPES)
    kinds, _ = error_types.sort(gold, said, [["Rome", "or", "Rome", "or", "Rome", "Oslo", "Bonn"]])
    assert (kinds["correct"], kinds["place"], kinds["spurious"], kinds["missed"]) == (1, 1, 1, 1)


def test_agreement_and_oracle():
    gold = span_table.from_spans([[Span(0, 1, "A"), Span(2, 3, "B"), Span(4, 5, "C")]], TYPES)
    one = span_table.from_spans([[Span(0, 1, "A"), Span(2, 3, "B")]], TYPES)
    two = span_table.from_spans([[Span(2, 3, "B"), Span(4, 5, "A")]], TYPES)
    rows = error_types.agreement({"one": [one, two], "two": [two]})
    assert rows == [{"a": "one", "b": "two", "f1": 75.0}, {"a": "one", "b": "one", "f1": 50.0}]
    found = error_types.oracle(gold, {"one": [one], "two": [two]})
    assert found == pytest.approx({"union": 200 / 3, "best": 200 / 3})


def test_ceiling_of_conflicting_copies():
    words, first, second = ("Rome", "wins"), (Span(0, 1, "A"),), (Span(0, 1, "B"),)
    rows = [
        Sentence("1", None, words, first),
        Sentence("2", None, words, first),
        Sentence("3", None, words, second),
    ]
    found = error_types.ceiling([*rows, Sentence("4", None, ("Oslo",), first)])
    assert found == {"copied": 3, "conflicting": 1, "f1": 75.0}
    assert error_types.ceiling(rows[:2])["f1"] == 100


def copies(*annotations):
    return [Sentence(str(at), None, tuple("abcd"), spans) for at, spans in enumerate(annotations)]


def test_ceiling_is_of_any_answer():
    """And not only of those that an annotator gave: both spans, of which each copy has one, are the best."""
    a, b, ab = Span(0, 1, "A"), Span(2, 3, "A"), Span(0, 3, "A")
    assert error_types.ceiling(copies((a,), (b,)))["f1"] == pytest.approx(200 / 3)
    assert error_types.ceiling(copies((a,), (b,), ()))["f1"] == pytest.approx(200 * 2 / (6 + 2))
    # Of spans that overlap, one can be stated: a and b, or the one that covers both.
    assert error_types.ceiling(copies((a, b), (ab,)))["f1"] == pytest.approx(200 * 2 / (4 + 3))
    assert error_types.ceiling(copies((Span(0, 1, "B"),), (a,)))["f1"] == pytest.approx(50)
    # Stating what one copy of four has: not while the rest is right, yes where all else is worse.
    rest = [Sentence(f"r{at}", None, (f"{at}",), (a,)) for at in range(9)]
    assert error_types.ceiling([*copies((a,), (), (), ()), *rest])["f1"] == pytest.approx(200 * 9 / (9 + 10))
    assert error_types.ceiling(copies((a,), (), (), ()))["f1"] == pytest.approx(200 / (4 + 1))
    assert error_types.ceiling(copies((), ()))["f1"] == error_types.ceiling([])["f1"] == 0


spans = st.builds(
    lambda at, n, kind: Span(at, at + n, kind), st.integers(0, 3), st.integers(1, 2), st.sampled_from("AB")
)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("xy"), st.lists(spans, max_size=4)), min_size=1, max_size=5))
def test_ceiling_against_all_answers(rows):
    """Every pair of answers without overlaps to two texts, one by one."""
    gold = [Sentence(str(at), None, (text,) * 5, apart(found)) for at, (text, found) in enumerate(rows)]
    answers = {}
    for text in "xy":
        held = sorted({span for each in gold if each.tokens[0] == text for span in each.spans})
        subsets = (each for n in range(len(held) + 1) for each in combinations(held, n))
        answers[text] = [each for each in subsets if apart(each) == each]
    scores = (
        scoring.score([each.spans for each in gold], [{"x": x, "y": y}[each.tokens[0]] for each in gold]).f1
        for x in answers["x"]
        for y in answers["y"]
    )
    assert error_types.ceiling(gold)["f1"] == pytest.approx(100 * max(scores))


def apart(found):
    """Those that overlap none before them."""
    kept = []
    for span in sorted(found):
        if not kept or kept[-1].end <= span.start:
            kept.append(span)
    return tuple(kept)
