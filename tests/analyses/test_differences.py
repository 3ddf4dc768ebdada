"""Where systems differ: buckets add up, each error is counted once, and nothing of the text is stored."""

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_utils import paths, scoring, sealed
from ner_utils.analyses import differences
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import Span, spans_from_tags
from ner_utils.results import findings
from ner_utils.scoring import breakdown, error_types, significance, span_table
from ner_utils.sealed import ResultError
from ner_utils.thesis import result_numbers

TYPES = ("A", "B", "C")
tag = st.sampled_from(["O", "O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in TYPES)])
corpora = st.lists(st.lists(st.tuples(tag, tag), min_size=1, max_size=9), min_size=1, max_size=6)


def sides(corpus):
    """Gold sentences of one word each time, and predictions."""
    gold, said = [], []
    for at, sentence in enumerate(corpus):
        spans = [tuple(spans_from_tags([pair[side] for pair in sentence])[0]) for side in (0, 1)]
        words = tuple("x" if word % 3 else "Y" for word in range(len(sentence)))
        gold.append(Sentence(f"s{at}", None, words, spans[0]))
        said.append(Prediction(f"s{at}", spans[1]))
    return gold, said


def tables(gold, said):
    return [span_table.from_spans([row.spans for row in side], TYPES) for side in (gold, said)]


# ------------------------------------------------------------------------------- buckets
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


def test_intervals_are_those_of_each_bucket_alone():
    chance = np.random.default_rng(0)
    counts = chance.integers(0, 3, size=(2, 40, 3, 3)).astype(float)
    groups = [f"g{at % 11}" for at in range(40)]
    together = significance.intervals(counts, groups, 300, 5)
    for k, bounds in enumerate(together):
        alone = significance.interval(counts[:, :, [k]], groups, "micro_f1", 300, 5)
        assert bounds == pytest.approx(alone)


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
    gains = {row["bucket"]: row for row in breakdown.gains(gold, counted, [["one", "two"]], 50)}
    assert "none" not in gains and gains["1"]["low"] == -gains["1"]["high"] == -one["high"]
    json.dumps([*rows.values(), *gains.values()], allow_nan=False)


# -------------------------------------------------------------------------------- errors
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


@settings(deadline=None)
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


# ------------------------------------------------------------------------------ a study's
def test_of_a_study(made_up, demo):
    results = made_up(name="vote")
    names = differences.write(results)
    for name in names:
        folder = paths.FIGURES if name.startswith("fig") else paths.THESIS / "generated"
        assert (folder / "vote" / f"{name}.{'pdf' if name.startswith('fig') else 'tex'}").stat().st_size > 200
    numbers = result_numbers.numbers(results)
    whole = sum(
        numbers[f"demo.minilm.mention-20-length.{bucket}.gold"].value
        for bucket in ("1-20-token", "2-20-tokens", "3-20-or-20-more")
    )
    assert whole == results.summary.set_index("system").loc["minilm", "mentions"]
    # An ensemble is no system that could be asked beside its members: it is their vote.
    recalls = {
        name: 100
        * json.loads((paths.RESULTS / f"vote/demo/{name}/seed1/metrics.json").read_text())["micro"]["recall"]
        for name in ("minilm", "seeds")
    }
    assert recalls["seeds"] != recalls["minilm"]
    assert numbers["demo.oracle.best"].value == pytest.approx(recalls["minilm"])
    assert numbers["demo.oracle.union"].value == pytest.approx(recalls["minilm"])
    text = findings.path("vote", "demo", "differences").read_text()
    words = {
        token
        for sentence in demo["test"]
        for token in sentence.tokens
        if len(token) > 6 and token[0].isupper()
    }
    assert not [word for word in words if word in text]


def test_of_other_runs(made_up):
    results = made_up(name="vote")
    file = findings.path("vote", "demo", "differences")
    stored = sealed.read_json(file, "")
    stored["runs"]["minilm, seed 1"] = "0" * 64
    sealed.write_json(file, stored)
    with pytest.raises(ResultError, match="differences.json: of other predictions; run make study"):
        differences.write(results)
    file.unlink()
    with pytest.raises(ResultError, match="differences.json: not compiled"):
        differences.write(results)
