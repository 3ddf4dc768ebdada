"""Buckets of mentions: they add up, worked out by hand, and what has no interval."""

import json

import pytest
from hypothesis import given, settings
from made_up_spans import corpora, sides, tables

from ner_utils import scoring
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import Span
from ner_utils.scoring import breakdown


@settings(max_examples=40)
@given(corpora)
def test_buckets_partition_the_mentions(corpus):
    """The counts of each factor add up to those of the scorer, sentence by sentence."""
    gold, said = sides(corpus)
    counts = breakdown.Sorter(gold[:2]).count(gold, said)
    whole = scoring.count(*tables(gold, said)).sum(axis=1)
    first = 0
    for buckets in breakdown.FACTORS.values():
        assert (counts[:, first : first + len(buckets)].sum(axis=1) == whole).all()
        first += len(buckets)
    assert first == counts.shape[1]


def test_buckets_by_hand():
    train = [
        Sentence("1", None, ("Rome", "Rome"), (Span(0, 1, "A"), Span(1, 2, "B"))),
        *(Sentence("2", None, ("Oslo",), (Span(0, 1, "B"),)) for _ in range(38)),
    ]
    sentence = Sentence("3", None, ("rome", "and", "ROME", "or", "New", "York", "City"), (Span(0, 1, "A"),))
    sorter = breakdown.Sorter(train)

    def names(span):
        places = zip(breakdown.FACTORS.values(), sorter.buckets(sentence, span), strict=True)
        return [buckets[place] for buckets, place in places]

    assert names(Span(0, 1, "A")) == [
        "1 token", "under 5 %", "seen", "several", "repeated", "to 10 tokens", "1"
    ]  # fmt: skip
    assert names(Span(4, 7, "B"))[:5] == ["3 or more", "over 20 %", "unseen", "unseen", "once"]


def test_domains_are_a_factor_where_sentences_have_them():
    rows = [
        Sentence(f"s{at}", None, ("x",), (Span(0, 1, "A"),), domain=domain)
        for at, domain in enumerate(("news", None, "law"))
    ]
    assert breakdown.factors(rows)["domain"] == ["law", "news", "unknown"]
    counts = breakdown.Sorter(rows, breakdown.factors(rows)).count(
        rows, [Prediction("", r.spans) for r in rows]
    )
    assert counts[:, -3:, 0].tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert "domain" not in breakdown.factors(rows[1:2])


def test_buckets_without_an_interval():
    """What is predicted in sentences without mentions has a score of 0 by convention, and no interval."""
    gold = [Sentence(f"s{at}", None, ("x", "y"), (Span(0, 1, "A"),) if at % 2 else ()) for at in range(40)]
    said = [Prediction(row.id, (Span(1, 2, "A"),)) for row in gold]
    counted = breakdown.count(gold, {"one": [said], "two": [said]}, gold)
    rows = {(row["factor"], row["bucket"]): row for row in breakdown.scores(gold, counted, 50)}
    none, one = (rows["mentions in sentence", bucket] for bucket in ("none", "1"))
    assert (none["f1"], none["low"], none["high"], none["gold"]) == (0, None, None, 0)
    # None of the 20 sentences with a mention has a hit; they hold 20 predictions, and 20 mentions.
    share = 1 - 0.025 ** (1 / 20)
    assert (one["f1"], one["low"], one["high"]) == pytest.approx((0, 0, 100 * 2 * share * 20 / (20 + 20)))
    gains = {row["bucket"]: row for row in breakdown.gains(gold, {("one", "two"): [*counted.values()]}, 50)}
    assert "none" not in gains and gains["1"]["low"] == -gains["1"]["high"] == -one["high"]
    json.dumps([*rows.values(), *gains.values()], allow_nan=False)
