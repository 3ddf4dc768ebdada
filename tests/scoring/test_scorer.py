"""The scorer, against seqeval, nervaluate and by hand."""

import random
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervaluate import Evaluator
from seqeval.metrics import classification_report, f1_score
from seqeval.scheme import IOB1, IOB2, IOBES

from ner_utils import scoring
from ner_utils.data.spans import Span, spans_from_tags, tags_from_spans
from ner_utils.scoring import span_table
from ner_utils.scoring.scorer import Score

TYPES = ("PER", "LOC", "ORG", "creative-work")
tag = st.sampled_from(["O", "O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in TYPES)])
# Gold and predicted tags of some sentences, of one length each.
corpora = st.lists(st.lists(st.tuples(tag, tag), min_size=1, max_size=10), min_size=1, max_size=8)


def spans_of(corpus, side):
    return [spans_from_tags([pair[side] for pair in sentence])[0] for sentence in corpus]


def tags_of(corpus, *sides):
    """Well-formed tags of each side's spans."""
    return [
        [tags_from_spans(spans, len(sentence)) for spans, sentence in zip(side, corpus, strict=True)]
        for side in sides
    ]


def tables(gold, predicted):
    return [span_table.from_spans(side, sorted(TYPES)) for side in (gold, predicted)]


def counts_of(gold, predicted):
    return scoring.total(scoring.rows(scoring.count(*tables(gold, predicted)), sorted(TYPES)))


@given(corpora)
def test_equals_seqeval_to_the_last_digit(corpus):
    """Micro, macro and each type, on well-formed tags (strict seqeval ignores a stray I-)."""
    gold, predicted = spans_of(corpus, 0), spans_of(corpus, 1)
    tags = tags_of(corpus, gold, predicted)
    counts = counts_of(gold, predicted)
    if not counts:
        assert scoring.micro(counts) == scoring.macro(counts) == (0, 0, 0, 0)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it divides by zero
        report = classification_report(*tags, mode="strict", scheme=IOB2, output_dict=True)
    ours = {**scoring.by_type(counts), "micro avg": scoring.micro(counts), "macro avg": scoring.macro(counts)}
    ours["weighted avg"] = scoring.weighted(counts)
    assert ours.keys() == report.keys()
    for name, score in ours.items():
        row = report[name]
        wanted = (row["precision"], row["recall"], row["f1-score"], row["support"])
        assert score == (pytest.approx(wanted, abs=1e-15) if name == "weighted avg" else wanted), name
    assert scoring.score(gold, predicted) == ours["micro avg"]


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
    assert counts_of([[Span(*s) for s in gold]], [[Span(*s) for s in predicted]]) == counts


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


# ----------------------------------------------------------------- whole corpora, from tags
def random_tags(chance, letters, sentences=3000):
    pool = ["O", "O", *(f"{letter}-{kind}" for letter in letters for kind in "ABC")]
    return [[chance.choice(pool) for _ in range(chance.randint(1, 9))] for _ in range(sentences)]


def changed(chance, rows):
    """The same lengths, most tags the same."""
    return [[tag if chance.random() < 0.7 else chance.choice(row) for tag in row] for row in rows]


@pytest.mark.parametrize(
    ("scheme", "theirs", "letters"), [("iob2", IOB2, "BI"), ("iob1", IOB1, "BI"), ("bioes", IOBES, "BIES")]
)
def test_equals_seqeval_on_random_sequences(scheme, theirs, letters):
    """Most of them ill-formed: default mode repairs, strict mode discards what the scheme does not write."""
    chance = random.Random(scheme)
    gold = random_tags(chance, letters)
    predicted = changed(chance, gold)
    for discard, settings in ((None, {}), (scheme, {"mode": "strict", "scheme": theirs})):
        sides = [span_table.from_tags(side, "ABC", discard) for side in (gold, predicted)]
        counts = scoring.total(scoring.rows(scoring.count(*sides), "ABC"))
        for average, score in (("micro", scoring.micro), ("macro", scoring.macro)):
            wanted = f1_score(gold, predicted, average=average, zero_division=0, **settings)
            assert score(counts).f1 == pytest.approx(wanted, abs=1e-12), (discard, average)


@pytest.mark.parametrize("letters", ["BI", "BIES"])
def test_tags_of_a_corpus_are_read_as_those_of_a_sentence(letters):
    rows = [[], *random_tags(random.Random(letters), letters, 1000), [], ["I-A"], []]
    one_by_one = span_table.from_spans([spans_from_tags(row)[0] for row in rows], "ABC")
    assert span_table.from_tags(rows).columns.tolist() == one_by_one.columns.tolist()
    assert span_table.from_tags([]).columns.shape == (0, 4)
    assert span_table.from_tags([[], ["O"]]).sentences == 2


@pytest.mark.parametrize("tag", ["B", "B-", "X-PER", "PER", "", "-PER", "b-PER"])
def test_what_is_no_tag(tag):
    with pytest.raises(ValueError, match="not a tag"):
        span_table.from_tags([["O", tag]])
    with pytest.raises(ValueError, match="unknown type 'LOC'; there are: PER"):
        span_table.from_tags([["B-LOC"]], ["PER"])


@given(corpora)
def test_equals_nervaluate(corpus):
    """All four schemes, on IOB2 (it refuses S-)."""
    gold, predicted = spans_of(corpus, 0), spans_of(corpus, 1)
    tags = tags_of(corpus, gold, predicted)
    theirs = Evaluator(*tags, tags=list(TYPES), loader="list").evaluate()["overall"]
    for name, tally in scoring.tally(*tables(gold, predicted)).items():
        other = theirs["ent_type" if name == "type" else name]
        assert tally == (other.correct, other.incorrect, other.partial, other.missed, other.spurious), name
        assert tally.score[:3] == pytest.approx((other.precision, other.recall, other.f1)), name


def test_schemes_by_hand():
    gold = [[Span(0, 2, "PER"), Span(3, 6, "LOC"), Span(7, 8, "ORG")]]
    predicted = [[Span(0, 2, "LOC"), Span(3, 4, "LOC"), Span(5, 6, "PER")]]
    found = scoring.tally(*tables(gold, predicted))
    assert found["strict"] == (0, 2, 0, 1, 1)
    assert found["exact"] == (1, 1, 0, 1, 1)
    assert found["partial"] == (1, 0, 1, 1, 1)
    assert found["type"] == (1, 1, 0, 1, 1)
    assert found["partial"].score == pytest.approx((0.5, 0.5, 0.5, 3))


@given(corpora)
def test_every_span_is_accounted_for(corpus):
    gold, predicted = spans_of(corpus, 0), spans_of(corpus, 1)
    for tally in scoring.tally(*tables(gold, predicted)).values():
        paired = tally.correct + tally.incorrect + tally.partial
        assert paired + tally.missed == sum(map(len, gold))
        assert paired + tally.spurious == sum(map(len, predicted))


@pytest.mark.corpora
def test_real_gold(request):
    """WNUT-17's gold against a copy with other tags, by seqeval's strict mode too."""
    corpus = request.getfixturevalue("corpora")("wnut17")
    gold = [tags_from_spans(s.spans, len(s.tokens)) for s in corpus["test"]]
    predicted = changed(random.Random(1), gold)
    sides = [span_table.from_tags(side, discard="iob2") for side in (gold, predicted)]
    tp, fp, fn = scoring.count(*sides).sum(axis=(0, 1))
    assert scoring.prf(tp, fp, fn).f1 == pytest.approx(f1_score(gold, predicted, mode="strict", scheme=IOB2))
    assert tp + fn == 1079
