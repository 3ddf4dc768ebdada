"""What others print: worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span
from ner_utils.scoring import surface_scores


def test_a_second_mention_of_a_name_is_gone():
    tokens = ["Bern", "and", "Bern", "and", "New", "Bern"]
    spans = [Span(0, 1, "LOC"), Span(2, 3, "LOC"), Span(4, 6, "LOC"), Span(5, 6, "PER")]
    assert surface_scores.first_match(spans, tokens) == {
        Span(0, 1, "LOC"),
        Span(4, 6, "LOC"),
        Span(0, 1, "PER"),
    }


def test_words_and_not_letters_are_matched():
    assert surface_scores.first_match([Span(1, 2, "X")], ["USA", "US"]) == {Span(1, 2, "X")}


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=8), st.data())
def test_same_words_never_later_and_stable(tokens, draw):
    start = draw.draw(st.integers(0, len(tokens) - 1))
    span = Span(start, draw.draw(st.integers(start + 1, len(tokens))), "X")
    (moved,) = surface_scores.first_match([span], tokens)
    assert moved.start <= span.start
    assert tokens[moved.start : moved.end] == tokens[span.start : span.end]
    assert surface_scores.first_match([moved], tokens) == {moved}


def test_scores_by_hand():
    """One mention found at its place, one at the other's, one with another case; a name in two sentences."""
    gold = [
        Sentence("1", None, ("Bern", "or", "Bern"), (Span(0, 1, "LOC"), Span(2, 3, "LOC"))),
        Sentence("2", None, ("BERN", "and", "Rome"), (Span(0, 1, "LOC"), Span(2, 3, "LOC"))),
    ]
    found = surface_scores.scores(gold, [[Span(2, 3, "LOC")], [Span(0, 1, "LOC"), Span(1, 2, "LOC")]])
    assert found["first_match"][:2] == (2 / 3, 2 / 3)
    assert found["first_match"].support == 3
    assert found["string_set"] == (2 / 3, 2 / 3, 2 / 3, 3)
    assert found["surfaces"] == (2 / 3, 2 / 3, 2 / 3, 3)
    once_more = surface_scores.scores(gold, [[Span(2, 3, "LOC")], [Span(2, 3, "LOC")]])
    assert once_more["surfaces"] == (1.0, 2 / 3, 0.8, 3)


def test_the_second_score_asks_for_the_place():
    """A name at the place of another sentence's is wrong, although both sides hold the same pair."""
    there, none = (Span(0, 1, "person"),), ()
    gold = [Sentence("1", None, ("Ada",), there), Sentence("2", None, ("Ada",), none)]
    assert surface_scores.scores(gold, [none, there])["surfaces"] == (0, 0, 0, 1)
    assert surface_scores.scores(gold, [there, there])["surfaces"] == (1, 1, 1, 1)
    # The same within one sentence: other words than gold's at its place, gold's words at another one.
    gold = [Sentence("1", None, ("Ada", "met", "Ada"), (Span(2, 3, "person"),))]
    assert surface_scores.scores(gold, [[Span(0, 1, "person")]])["surfaces"] == (0, 0, 0, 1)
    both = [Span(0, 1, "person"), Span(2, 3, "person")]
    assert surface_scores.scores(gold, [both])["surfaces"] == (1, 1, 1, 1)


def test_the_second_score_counts_distinct_pairs():
    """Three names, of which one stands three times; right are one of the three, and none of the others."""
    names = Span(0, 1, "PER"), Span(1, 2, "PER"), Span(2, 3, "LOC")
    gold = [
        Sentence("1", None, ("Ada", "in", "Bonn"), (names[0], names[2])),
        Sentence("2", None, ("Ada", "Ada", "Oslo"), names),
    ]
    said = [[Span(0, 1, "PER"), Span(1, 2, "LOC")], [Span(0, 1, "LOC"), Span(1, 2, "PER"), Span(2, 3, "PER")]]
    # Gold: Ada PER, Bonn LOC, Oslo LOC. Predicted: Ada PER, in LOC, Ada LOC, Oslo PER.
    assert surface_scores.scores(gold, said)["surfaces"] == pytest.approx((1 / 4, 1 / 3, 2 / 7, 3))


def test_nothing_on_one_side():
    gold = [Sentence("1", None, ("Ada",), (Span(0, 1, "PER"),))]
    assert surface_scores.scores(gold, [[]])["surfaces"] == (0, 0, 0, 1)
    assert surface_scores.scores([Sentence("1", None, ("Ada",), ())], [[]])["surfaces"] == (0, 0, 0, 0)
