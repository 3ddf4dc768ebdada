"""Intervals, against every resample one by one, against exact distributions, and by simulation."""

import itertools
import tracemalloc

import numpy as np
import pytest
import scipy.stats
from made_up_counts import METRICS, TYPES, draw, scorer_f1, simulate, true_f1

from ner_utils.data.corpus import Sentence
from ner_utils.scoring import resampling
from ner_utils.scoring.resampling import interval, tabulate
from ner_utils.scoring.significance import paired_test
from ner_utils.sealed import ResultError


def test_tabulate():
    first = [
        {"id": "1", "document": "d", "counts": {"A": [1, 2, 3]}},
        {"id": "d", "document": None, "counts": {}},
        {"id": "3", "document": "d", "counts": {"B": [4, 5, 6], "A": [7, 8, 9]}},
        *({"id": f"other {at}", "document": f"other {at}", "counts": {}} for at in range(20)),
    ]
    second = [{**row, "counts": {}} for row in first]
    tables, groups = tabulate({"x": [first, second], "y": [second]}, TYPES)
    assert tables["x"].shape == (2, 23, 3, 3) and tables["y"].shape == (1, 23, 3, 3)
    assert tables["x"][0, 0].tolist() == [[1, 2, 3], [0, 0, 0], [0, 0, 0]]
    assert tables["x"][0, 2].tolist() == [[7, 8, 9], [4, 5, 6], [0, 0, 0]]
    assert tables["x"].sum() == 45 and tables["y"].sum() == 0
    # A sentence without a document is its own group, whatever its id.
    assert groups[0] == groups[2] != groups[1]
    with pytest.raises(ResultError, match="y: .*other sentences"):
        tabulate({"x": [first], "y": [second[::-1]]}, TYPES)
    with pytest.raises(ResultError, match="unknown type 'B'"):
        tabulate({"x": [first]}, ["A"])


# ------------------------------------------------------------------------- what is resampled
@pytest.mark.parametrize(
    ("documents", "number", "kind"),
    [
        (["top"] * 500, 500, "sentences"),  # a border at the top of a file
        ([f"d{at % 19}" for at in range(500)], 500, "sentences"),
        ([f"d{at % 20}" for at in range(500)], 20, "documents"),
        ([None] * 3 + [f"d{at % 20}" for at in range(500)], 23, "documents"),
        ([None] * 5, 5, "sentences"),
        ([], 0, "sentences"),
    ],
)
def test_sentences_are_resampled_where_documents_are_few(documents, number, kind):
    found = resampling.grouping(documents)
    assert (len(found.names), len(set(found.names)), found.kind) == (len(documents), number, kind)


def test_groups_of_a_corpus_are_those_of_its_stored_counts():
    for many in (10, 50):
        gold = [Sentence(f"s{at:02d}", f"d{at % many}", ("x",), ()) for at in range(100)]
        rows = [{"id": each.id, "document": each.document, "counts": {}} for each in gold]
        assert resampling.groups(gold).tolist() == tabulate({"x": [rows]}, TYPES)[1].tolist()
        assert len(set(resampling.groups(gold, least=5))) == many


# --------------------------------------------------------------------------------- intervals
@pytest.mark.parametrize("metric", METRICS)
def test_estimates_are_the_scorers(metric):
    counts, other = draw(3, 40, seed=1), draw(1, 40, seed=2)
    counts[:, :, 2] = 0  # a type that neither gold nor prediction holds
    groups = np.arange(40)
    assert interval(counts, groups, metric, 10, 0).estimate == pytest.approx(scorer_f1(counts, metric))
    difference = interval(counts, groups, metric, 10, 0, against=other).estimate
    assert difference == pytest.approx(scorer_f1(counts, metric) - scorer_f1(other, metric))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("against", [0, 1, 2])
def test_interval_against_loops(metric, against):
    """All resamples of 2 runs and 3 documents, one by one; of a score, and of a difference from a system with
    so many runs: those of the same seeds are drawn together."""
    counts, other, groups = draw(2, 6, seed=3), draw(against, 6, seed=4), np.array([0, 1, 1, 2, 2, 2])
    values = []
    for documents in itertools.product(range(3), repeat=3):
        sentences = [s for document in documents for s in np.flatnonzero(groups == document)]
        for runs in map(list, itertools.product(range(2), repeat=2)):
            drawn = other[runs if against == 2 else [0]][:, sentences] if against else None
            less = scorer_f1(drawn, metric) if against else 0
            values.append(scorer_f1(counts[runs][:, sentences], metric) - less)
    exact = np.percentile(values, [2.5, 97.5], method="inverted_cdf")
    found = interval(counts, groups, metric, 50_000, 0, other if against else None)
    assert (found.low, found.high) == pytest.approx(tuple(exact), abs=1e-9)


def test_interval_against_binomial():
    """One mention a sentence, right or of the wrong type: F1 is the share k/n of right ones."""
    n, k = 200, 130
    counts = np.zeros((1, n, 1, 3))
    counts[0, :k, 0, 0] = counts[0, k:, 0, 1] = counts[0, k:, 0, 2] = 1
    found = interval(counts, np.arange(n), "micro_f1", 20_000, 0)
    assert found.estimate == pytest.approx(k / n)
    exact = scipy.stats.binom.ppf([0.025, 0.975], n, k / n) / n
    assert (found.low, found.high) == pytest.approx(tuple(exact), abs=1.01 / n)


def test_runs_of_the_same_weights_vary_together():
    """Three runs that differ much, and the same with one answer changed: a difference of a point or so."""
    a = np.concatenate([draw(1, 100, seed=6, error=error) for error in (0.1, 0.5, 0.9)])
    b = a.copy()
    b[:, 0, 0] += [0, 1, 0]
    score, difference = (interval(a, np.arange(100), "micro_f1", 2000, 0, other) for other in (None, b))
    assert difference.high - difference.low < 0.1 * (score.high - score.low)


def test_common_seeds():
    runs = np.arange(3)[:, None]
    a, b, c = resampling.on_common_seeds((runs, [1, 2, 3]), (runs[:2], [3, 2]), (runs[:1], [0]))
    assert (a.ravel().tolist(), b.ravel().tolist(), c.ravel().tolist()) == ([1, 2], [1, 0], [0])
    a, b = resampling.on_common_seeds((runs, [1, 2, 3]), (runs[:1], [3]))
    assert (a.ravel().tolist(), b.ravel().tolist()) == ([2], [0])  # a trained run is not compared with others


def test_a_weighted_sum_of_scores():
    """A mean of two differences from one system, on the same resamples: by hand from the scores of each."""
    base, one, two = draw(1, 100, seed=20), draw(1, 100, seed=21), draw(1, 100, seed=22, error=0.6)
    sides, weights = [one, two, base], [0.5, 0.5, -1]
    (found,) = resampling.intervals(sides, weights, np.arange(100), "micro_f1", 4000, 0)
    scores = [scorer_f1(each, "micro_f1") for each in sides]
    assert found.estimate == pytest.approx((scores[0] + scores[1]) / 2 - scores[2])
    chance = np.random.default_rng(1)
    values = []
    for _ in range(1500):
        drawn = chance.integers(100, size=100)
        sums = [each[0, drawn].sum(axis=(0, 1)) for each in sides]
        f1 = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in sums]
        values.append((f1[0] + f1[1]) / 2 - f1[2])
    assert found[1:] == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), abs=0.01)


def test_intervals_are_those_of_each_type_alone():
    counts, groups = draw(2, 40, seed=5), [f"g{at % 11}" for at in range(40)]
    for k, bounds in enumerate(resampling.intervals([counts], [1], groups, None, 300, 5)):
        assert bounds == pytest.approx(interval(counts[:, :, [k]], groups, "micro_f1", 300, 5))


def test_interval_grows_with_groups_and_runs():
    one = draw(1, 100, seed=5)
    copies = np.concatenate([one, one], axis=1)
    apart = interval(copies, np.arange(200), "micro_f1", 4000, 0)
    together = interval(copies, np.tile(np.arange(100), 2), "micro_f1", 4000, 0)
    ratio = (together.high - together.low) / (apart.high - apart.low)
    assert ratio == pytest.approx(2**0.5, rel=0.08)
    runs = np.concatenate([one, draw(1, 100, seed=6, error=0.8)])
    spread = interval(runs, np.arange(100), "micro_f1", 4000, 0)
    assert spread.high - spread.low > 0.3


def test_difference_uses_the_pairing():
    """Systems that err alike: the interval of the difference is narrow, those of the scores are not."""
    a, b = draw(1, 300, seed=9), draw(1, 300, seed=9)
    b[0, 0] += [0, 3, 0]
    groups = np.arange(300)
    score, difference = (interval(a, groups, "micro_f1", 2000, 0, other) for other in (None, b))
    assert difference.high - difference.low < (score.high - score.low) / 2
    assert interval(a, groups, "micro_f1", 2000, 0, against=a) == (0, 0, 0)


def test_intervals_cover_the_truth():
    """Of a score and of a difference, about 95 % each, over fresh test sets."""
    chance, trials = np.random.default_rng(3), 300
    recall, false_alarms = (0.6, 0.5), (0.5, 0.3)
    scores = [true_f1(*pair) for pair in zip(recall, false_alarms, strict=True)]
    covered = np.zeros(2)
    for trial in range(trials):
        a, b = simulate(chance, recall, false_alarms, sentences=100)
        one = interval(a, np.arange(100), "micro_f1", 200, trial)
        two = interval(a, np.arange(100), "micro_f1", 200, trial, b)
        covered += [one.low <= scores[0] <= one.high, two.low <= scores[0] - scores[1] <= two.high]
    assert (covered / trials >= 0.92).all() and (covered / trials <= 0.98).all()


def test_seeded():
    counts, groups = draw(2, 50, seed=15), np.arange(50)
    assert interval(counts, groups, "micro_f1", 300, 1) == interval(counts, groups, "micro_f1", 300, 1)
    assert interval(counts, groups, "micro_f1", 300, 1) != interval(counts, groups, "micro_f1", 300, 2)


def test_refusals():
    counts, groups = draw(2, 5), np.arange(5)
    with pytest.raises(ValueError, match="unknown metric 'f1'"):
        interval(counts, groups, "f1", 10, 0)
    with pytest.raises(ValueError, match="do not fit 4 sentences"):
        interval(counts, groups[:4], "micro_f1", 10, 0)


def test_nothing_to_score():
    """A score of 0 by convention, about which nothing can be said; and a single group to resample."""
    counts = np.zeros((2, 4, 3, 3))
    counts[:, 1, 0, 1] = 5  # predicted, where gold has nothing
    for metric, each in itertools.product(METRICS, (counts, np.zeros((1, 4, 3, 3)))):
        assert interval(each, np.arange(4), metric, 10, 0) == pytest.approx((0, np.nan, np.nan), nan_ok=True)
    assert np.isnan(
        [each[1:] for each in resampling.intervals([counts], [1], np.arange(4), None, 10, 0)]
    ).all()
    counts = draw(1, 8, seed=4)
    found = interval(counts, np.zeros(8), "micro_f1", 50, 0)
    assert found.estimate == pytest.approx(scorer_f1(counts, "micro_f1")) and np.isnan(found[1:]).all()


def test_memory():
    """Weights of all resamples at once would take 150 MB."""
    a, b = draw(1, 1287, types=6, seed=17), draw(1, 1287, types=6, seed=18)
    tracemalloc.start()
    interval(a, np.arange(1287), "macro_f1", 5000, 0)
    paired_test(a, b, np.arange(1287), "macro_f1", 5000, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


# ------------------------------------------------------------------- scores of exactly 0 and 1
def share_at_most(trials: int) -> float:
    """The upper limit of a share of which so many trials show none, by scipy's exact 95 % interval."""
    return scipy.stats.binomtest(0, trials).proportion_ci(0.95, "exact").high


def one_each(n: int, right: bool, wrong: int = 0) -> np.ndarray:
    """A mention in each of n sentences, all right or all missed, and ``wrong`` predictions besides."""
    counts = np.zeros((1, n + 3, 1, 3))
    counts[0, :n, 0, 0 if right else 2] = 1
    counts[0, 0, 0, 1] = wrong
    return counts


@pytest.mark.parametrize("n", [1, 338])
@pytest.mark.parametrize("metric", METRICS)
def test_limits_of_scores_of_0_and_1(n, metric):
    """At most so many of the n mentions are found, and each is one of those that are predicted."""
    groups, share = np.arange(n + 3), share_at_most(n)
    none, many = (interval(one_each(n, False, wrong), groups, metric, 50, 0) for wrong in (0, 5 * n))
    assert none == pytest.approx((0, 0, 2 * share / (1 + share)))
    assert many == pytest.approx((0, 0, 2 * share / (1 + 5)))
    assert interval(one_each(n, True), groups, metric, 50, 0) == pytest.approx((1, 1 - share, 1))


def test_limits_count_groups_and_not_mentions():
    """Mentions of a document may all be alike; runs of a system, too."""
    counts = np.tile(one_each(40, False), (3, 1, 1, 1))
    found = interval(counts, np.arange(43) // 4, "micro_f1", 50, 0)  # ten documents hold mentions
    share = share_at_most(10)
    assert found == pytest.approx((0, 0, 2 * share / (1 + share)))


def test_limits_of_types_and_of_their_mean():
    """One type stands in 30 sentences, one in 3, and one in none; nothing is found."""
    counts = np.zeros((1, 40, 3, 3))
    counts[0, :30, 0, 2] = counts[0, 37:, 1, 2] = 1
    shares = [share_at_most(30), share_at_most(3)]
    expected = [2 * share / (1 + share) for share in shares]
    each = resampling.intervals([counts], [1], np.arange(40), None, 50, 0)
    assert [bounds.high for bounds in each] == pytest.approx([*expected, np.nan], nan_ok=True)
    assert interval(counts, np.arange(40), "macro_f1", 50, 0).high == pytest.approx(np.mean(expected))
    counts[0, 5, 0] = 1, 0, 0  # the first type has a hit: its interval is the bootstrap's, others stay
    after = resampling.intervals([counts], [1], np.arange(40), None, 50, 0)
    assert after[0].low == 0 < after[0].estimate < after[0].high < expected[0] + 0.2
    assert after[1] == each[1]


def test_limits_of_a_difference():
    """From the limit of the one to that of the other; with a single such score, the bootstrap's."""
    nothing, everything, half = one_each(20, False), one_each(20, True), one_each(20, True)
    half[0, :10, 0] = 0, 0, 1
    groups, share = np.arange(23), share_at_most(20)
    most = 2 * share / (1 + share)
    for metric in METRICS:
        assert interval(nothing, groups, metric, 50, 0, nothing) == pytest.approx((0, -most, most))
        found = interval(everything, groups, metric, 50, 0, nothing)
        assert found == pytest.approx((1, 1 - share - most, 1))
        found = interval(half, groups, metric, 50, 0, nothing)
        alone = interval(half, groups, metric, 50, 0)
        assert found.estimate == pytest.approx(2 / 3) and found.low == pytest.approx(alone.low, abs=0.1)


@pytest.mark.parametrize(("recall", "wrong"), [(0.001, 0.1), (0.999, 0.0005)])
def test_intervals_near_the_ends_cover(recall, wrong):
    """Test sets of a system that is nearly always wrong, or right: many have a score of exactly 0 or 1,
    which every resample would repeat."""
    chance, trials = np.random.default_rng(0), 300
    covered = extreme = 0
    for trial in range(trials):
        counts, _ = simulate(chance, (recall, 1), (wrong, 0), mentions=1, shared=0)
        found = interval(counts, np.arange(300), "micro_f1", 100, trial)
        covered += found.low <= true_f1(recall, wrong) <= found.high
        extreme += found.estimate in (0, 1)
    assert extreme > 90 and covered >= 0.95 * trials
