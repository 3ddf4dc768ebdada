"""The scorer, against seqeval in strict mode and by hand."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

from ner_utils import scoring
from ner_utils.scoring import Score
from ner_utils.spans import Span, spans_from_tags, tags_from_spans

TYPES = ("PER", "LOC", "ORG", "creative-work")
tag = st.sampled_from(["O", "O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in TYPES)])
# Gold and predicted tags of some sentences, of one length each.
corpora = st.lists(st.lists(st.tuples(tag, tag), min_size=1, max_size=10), min_size=1, max_size=8)


def spans_of(corpus, side):
    return [spans_from_tags([pair[side] for pair in sentence])[0] for sentence in corpus]


def counts_of(gold, predicted):
    return scoring.total([scoring.count(g, p) for g, p in zip(gold, predicted, strict=True)])


@given(corpora)
def test_equals_seqeval_to_the_last_digit(corpus):
    """Micro, macro and each type, on well-formed tags (strict seqeval ignores a stray I-)."""
    gold, predicted = spans_of(corpus, 0), spans_of(corpus, 1)
    tags = [
        [tags_from_spans(spans, len(sentence)) for spans, sentence in zip(side, corpus, strict=True)]
        for side in (gold, predicted)
    ]
    counts = counts_of(gold, predicted)
    if not counts:
        assert scoring.micro(counts) == scoring.macro(counts) == (0, 0, 0, 0)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it divides by zero
        report = classification_report(*tags, mode="strict", scheme=IOB2, output_dict=True)
    ours = {**scoring.by_type(counts), "micro avg": scoring.micro(counts), "macro avg": scoring.macro(counts)}
    del report["weighted avg"]
    assert ours.keys() == report.keys()
    for name, score in ours.items():
        row = report[name]
        assert score == (row["precision"], row["recall"], row["f1-score"], row["support"]), name
    assert scoring.score(gold, predicted) == ours["micro avg"]


@given(corpora)
def test_swapping_gold_and_prediction_swaps_precision_and_recall(corpus):
    gold, predicted = spans_of(corpus, 0), spans_of(corpus, 1)
    there, back = scoring.score(gold, predicted), scoring.score(predicted, gold)
    assert (there.precision, there.recall) == (back.recall, back.precision)
    assert there.f1 == pytest.approx(back.f1)


@given(corpora)
def test_gold_scores_one_against_itself(corpus):
    gold = spans_of(corpus, 0)
    number = sum(map(len, gold))
    perfect = float(number > 0)
    assert scoring.score(gold, gold) == (perfect, perfect, perfect, number)
    assert scoring.macro(counts_of(gold, gold)) == (perfect, perfect, perfect, number)


@pytest.mark.parametrize(
    ("gold", "predicted", "counts"),
    [
        pytest.param([], [], {}, id="nothing"),
        pytest.param([(0, 2, "PER")], [], {"PER": (0, 0, 1)}, id="missed"),
        pytest.param([], [(0, 2, "PER")], {"PER": (0, 1, 0)}, id="invented"),
        pytest.param([(0, 2, "PER")], [(0, 2, "PER")], {"PER": (1, 0, 0)}, id="right"),
        pytest.param([(0, 2, "PER")], [(0, 1, "PER")], {"PER": (0, 1, 1)}, id="wrong end"),
        pytest.param([(1, 2, "PER")], [(0, 2, "PER")], {"PER": (0, 1, 1)}, id="wrong start"),
        pytest.param([(0, 2, "PER")], [(0, 2, "LOC")], {"LOC": (0, 1, 0), "PER": (0, 0, 1)}, id="wrong type"),
        pytest.param([(0, 1, "PER")], [(0, 1, "PER")] * 2, {"PER": (1, 0, 0)}, id="said twice"),
    ],
)
def test_count(gold, predicted, counts):
    assert scoring.count([Span(*s) for s in gold], [Span(*s) for s in predicted]) == counts


def test_total():
    rows = [{"PER": (1, 0, 2)}, {}, {"LOC": (0, 1, 0), "PER": (1, 1, 1)}]
    assert scoring.total(rows) == {"LOC": (0, 1, 0), "PER": (2, 1, 3)}
    assert list(scoring.total(rows)) == ["LOC", "PER"]
    assert scoring.total([]) == {}


@pytest.mark.parametrize(
    ("counts", "score"),
    [
        ((0, 0, 0), (0, 0, 0, 0)),
        ((0, 3, 0), (0, 0, 0, 0)),
        ((0, 0, 3), (0, 0, 0, 3)),
        ((0, 2, 3), (0, 0, 0, 3)),
        ((3, 0, 0), (1, 1, 1, 3)),
        ((1, 3, 1), (0.25, 0.5, 1 / 3, 2)),
    ],
)
def test_prf(counts, score):
    assert scoring.prf(*counts) == pytest.approx(score)


def test_micro_and_macro_by_hand():
    counts = {"LOC": (1, 0, 0), "ORG": (0, 1, 0), "PER": (1, 1, 3)}
    assert scoring.micro(counts) == pytest.approx(Score(0.5, 0.4, 4 / 9, 5))
    # A type that gold lacks and prediction names counts, as zero; F1 is a mean, not made of means.
    assert scoring.macro(counts) == pytest.approx(Score(0.5, 1.25 / 3, (1 + 0 + 1 / 3) / 3, 5))
    assert scoring.micro({}) == scoring.macro({}) == Score(0, 0, 0, 0)
    assert scoring.by_type({}) == {}


def test_score_of_nothing():
    assert scoring.score([], []) == scoring.score([[]], [[]]) == Score(0, 0, 0, 0)


def test_lengths_must_agree():
    with pytest.raises(ValueError):
        scoring.score([[], []], [[]])
