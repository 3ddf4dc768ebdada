"""Perturbed sentences: spans stay with their mentions, and nothing else is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_utils.data import perturb
from ner_utils.data.perturb import KINDS
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span

word = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=6)


@st.composite
def sentences(draw):
    tokens = tuple(draw(st.lists(word, min_size=1, max_size=9)))
    cuts = sorted(draw(st.sets(st.integers(0, len(tokens)), max_size=6)))
    places = zip(cuts[::2], cuts[1::2], strict=False)
    spans = tuple(Span(*place, draw(st.sampled_from("AB"))) for place in places)
    return Sentence(f"s{draw(st.integers(0, 99))}", None, tokens, spans)


def words(sentence, span):
    return sentence.tokens[span.start : span.end]


@pytest.mark.parametrize("kind", KINDS)
@given(sentence=sentences())
def test_mentions_keep_their_order_and_types(kind, sentence):
    (done,) = perturb.perturb([sentence], kind, [])
    assert [span.type for span in done.spans] == [span.type for span in sentence.spans]
    assert done.id == sentence.id
    assert done.tokens and all(done.tokens)
    end = 0
    for span in done.spans:
        assert end <= span.start < span.end <= len(done.tokens)
        end = span.end
    assert perturb.perturb([sentence], kind, []) == [done]  # it depends on the id alone
    if kind in ("no punctuation", "emoji"):
        assert [words(done, span) for span in done.spans] == [words(sentence, s) for s in sentence.spans]
    elif kind == "hashtags":
        tags = ["#" + "".join(words(sentence, span)).lstrip("#") for span in sentence.spans]
        assert [words(done, span) for span in done.spans] == [(tag,) for tag in tags]
    elif kind not in ("swap", "other origin"):
        assert done.spans == sentence.spans


@pytest.mark.parametrize(("kind", "rate"), [("typos 1 %", 0.01), ("typos 5 %", 0.05)])
def test_number_of_typos(kind, rate):
    rows = [Sentence(f"s{at}", None, ("keyboard",) * 10, ()) for at in range(200)]
    wrong = sum(token != "keyboard" for row in perturb.perturb(rows, kind, []) for token in row.tokens)
    assert wrong / 2000 == pytest.approx(1 - (1 - rate) ** 8, rel=0.2)  # two typos can be in one word


def test_names_are_swapped_for_unseen_ones_of_their_type():
    train = [Sentence("t", None, ("Rome",), (Span(0, 1, "LOC"),))]
    names = (("Oslo", "LOC"), ("rome", "LOC"), ("Ada", "PER"), ("Bern", "LOC"))
    rows = [
        Sentence(f"s{at}", None, ("in", name), (Span(1, 2, kind),)) for at, (name, kind) in enumerate(names)
    ]
    first, second, third, fourth = [row.tokens[1] for row in perturb.perturb(rows, "swap", train)]
    assert (first, fourth) == ("Bern", "Oslo") and second in ("Oslo", "Bern")
    assert third == "Ada"  # there is no other name of a person


def test_persons_alone_get_names_of_another_origin():
    row = Sentence("s", None, ("Ada", "met", "Rome"), (Span(0, 1, "PER"), Span(2, 3, "LOC")))
    (done,) = perturb.perturb([row], "other origin", [])
    first, second = done.spans
    assert " ".join(words(done, first)) in perturb.PERSONS
    assert words(done, second) == ("Rome",)
    assert len(set(perturb.PERSONS)) == len(perturb.PERSONS) > 40


@pytest.mark.parametrize(
    ("kind", "tokens"),
    [
        ("no punctuation", "Dear Ada Lovelace hi"),
        ("hashtags", "Dear #AdaLovelace , hi !"),
        ("lower case", "dear ada lovelace , hi !"),
    ],
)
def test_by_hand(kind, tokens):
    row = Sentence("s", None, ("Dear", "Ada", "Lovelace", ",", "hi", "!"), (Span(1, 3, "PER"),))
    (done,) = perturb.perturb([row], kind, [])
    assert " ".join(done.tokens) == tokens


def test_homoglyphs_look_alike():
    rows = [Sentence(f"s{at}", None, ("a",), ()) for at in range(50)]
    assert {row.tokens[0] for row in perturb.perturb(rows, "homoglyphs", [])} == {"a", "\u0430"}
