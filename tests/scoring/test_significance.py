"""Intervals and tests, against loops over plain scoring, against scipy, and by simulation."""

import itertools
import tracemalloc

import numpy as np
import pytest
import scipy.stats

from ner_utils import scoring
from ner_utils.data.corpus import Sentence
from ner_utils.scoring import significance
from ner_utils.scoring.significance import holm, interval, paired_test, tabulate
from ner_utils.sealed import ResultError

TYPES = ("A", "B", "C")
METRICS = {"micro_f1": scoring.micro, "macro_f1": scoring.macro}


def draw(runs: int, sentences: int, types: int = 3, seed: int = 0, error: float = 0.4) -> np.ndarray:
    """Counts of a system that errs now and then, over one gold standard."""
    gold = np.random.default_rng(99).poisson(0.5, (1, sentences, types)).repeat(runs, axis=0)
    random = np.random.default_rng(seed)
    tp = random.binomial(gold, 1 - error)
    return np.stack([tp, random.poisson(error / 3, tp.shape), gold - tp], axis=-1).astype(float)


def plain(counts: np.ndarray, metric: str) -> float:
    """The score by the project's scorer; ``counts`` is [runs, sentences, types, 3]."""
    scores = []
    for run in counts:
        rows = [dict(zip(TYPES, map(tuple, row), strict=True)) for row in run.astype(int)]
        held = {kind: values for kind, values in scoring.total(rows).items() if any(values)}
        scores.append(METRICS[metric](held).f1)
    return float(np.mean(scores))


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
    assert len(set(tabulate({"x": [first[:3]]}, TYPES)[1])) == 3  # two documents are too few
    with pytest.raises(ResultError, match="y: .*other sentences"):
        tabulate({"x": [first], "y": [second[::-1]]}, TYPES)
    with pytest.raises(ResultError, match="unknown type 'B'"):
        tabulate({"x": [first]}, ["A"])


@pytest.mark.parametrize("metric", METRICS)
def test_estimates_are_the_scorers(metric):
    counts, other = draw(3, 40, seed=1), draw(1, 40, seed=2)
    counts[:, :, 2] = 0  # a type that neither gold nor prediction holds
    groups = np.arange(40)
    assert interval(counts, groups, metric, 10, 0).estimate == pytest.approx(plain(counts, metric))
    difference = interval(counts, groups, metric, 10, 0, against=other).estimate
    assert difference == pytest.approx(plain(counts, metric) - plain(other, metric))


@pytest.mark.parametrize("metric", METRICS)
def test_interval_against_loops(metric):
    """All equally likely resamples of 2 runs and 3 documents, one by one."""
    counts, groups = draw(2, 6, seed=3), np.array([0, 1, 1, 2, 2, 2])
    values = []
    for runs in itertools.product(range(2), repeat=2):
        for documents in itertools.product(range(3), repeat=3):
            sentences = [s for document in documents for s in np.flatnonzero(groups == document)]
            values.append(plain(counts[list(runs)][:, sentences], metric))
    exact = np.percentile(values, [2.5, 97.5], method="inverted_cdf")
    found = interval(counts, groups, metric, 50_000, 0)
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


@pytest.mark.parametrize("metric", METRICS)
def test_interval_against_scipy(metric):
    counts = draw(1, 150, seed=4)

    theirs = scipy.stats.bootstrap(
        (np.arange(150),),
        lambda drawn: plain(counts[:, drawn], metric),
        n_resamples=1000,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    ours = interval(counts, np.arange(150), metric, 10_000, 0)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.008)


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


def test_interval_covers():
    """Of 95 % intervals over fresh samples of 60 sentences, about 95 % hold the true F1."""
    truth = interval(draw(1, 200_000, seed=7), np.arange(200_000), "micro_f1", 1, 0).estimate
    random = np.random.default_rng(8)
    hits = 0
    for trial in range(300):
        gold = random.poisson(0.5, (1, 60, 3))
        tp = random.binomial(gold, 0.6)
        counts = np.stack([tp, random.poisson(0.4 / 3, tp.shape), gold - tp], axis=-1)
        found = interval(counts, np.arange(60), "micro_f1", 400, trial)
        hits += found.low <= truth <= found.high
    assert 0.89 < hits / 300 < 0.98


def test_difference_uses_the_pairing():
    """Systems that err alike: the interval of the difference is narrow, those of the scores are not."""
    a, b = draw(1, 300, seed=9), draw(1, 300, seed=9)
    b[0, 0] += [0, 3, 0]
    groups = np.arange(300)
    score, difference = (interval(a, groups, "micro_f1", 2000, 0, other) for other in (None, b))
    assert difference.high - difference.low < (score.high - score.low) / 2
    assert interval(a, groups, "micro_f1", 2000, 0, against=a) == (0, 0, 0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("runs_a", "runs_b"), [(1, 1), (2, 2), (3, 1), (1, 2)])
def test_paired_test_against_loops(metric, runs_a, runs_b):
    """All 2**6 ways to swap six documents."""
    a, b = draw(runs_a, 9, seed=10), draw(runs_b, 9, seed=11, error=0.9)
    groups = np.array([0, 0, 1, 2, 2, 3, 4, 5, 5])
    wide_a, wide_b = np.broadcast_arrays(a, b)
    observed = plain(a, metric) - plain(b, metric)
    hits = 0
    for swap in itertools.product([False, True], repeat=6):
        swapped = np.array(swap)[groups][:, None, None]
        left, right = np.where(swapped, wide_b, wide_a), np.where(swapped, wide_a, wide_b)
        hits += abs(plain(left, metric) - plain(right, metric)) >= abs(observed) - 1e-12
    found = paired_test(a, b, groups, metric, 20_000, 0)
    assert found == pytest.approx(hits / 2**6, abs=0.015)
    assert paired_test(b, a, groups, metric, 20_000, 0) == found


def test_paired_test_against_scipy():
    a, b = draw(1, 12, seed=12)[0].sum(axis=1), draw(1, 12, seed=13, error=0.7)[0].sum(axis=1)
    both = np.concatenate([a, b])

    def statistic(left, right):
        scores = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in (both[left].sum(0), both[right].sum(0))]
        return scores[0] - scores[1]

    exact = scipy.stats.permutation_test(
        (np.arange(12), np.arange(12, 24)),
        statistic,
        permutation_type="samples",
        vectorized=False,
        n_resamples=np.inf,
    ).pvalue
    found = paired_test(a[None, :, None], b[None, :, None], np.arange(12), "micro_f1", 20_000, 0)
    assert found == pytest.approx(exact, abs=0.015)


def test_paired_test_extremes():
    a, groups = draw(2, 80, seed=14), np.arange(80)
    assert paired_test(a, a, groups, "macro_f1", 500, 0) == 1
    assert paired_test(draw(1, 80, error=0.1), draw(2, 80, error=0.9), groups, "micro_f1", 999, 0) == 1 / 1000
    # A single document can only be swapped or not: both give the observed size.
    assert paired_test(a, draw(2, 80, error=0.9), np.zeros(80), "micro_f1", 500, 0) == 1


def test_paired_test_holds_its_level():
    """Systems of equal quality: p below 0.05 in about 5 % of trials, and spread evenly."""
    values = [
        paired_test(draw(1, 60, seed=2 * t), draw(1, 60, seed=2 * t + 1), np.arange(60), "micro_f1", 199, t)
        for t in range(300)
    ]
    assert np.mean(np.array(values) <= 0.05) < 0.09
    assert scipy.stats.kstest(values, "uniform").pvalue > 0.01


def test_seeded():
    a, b, groups = draw(2, 50, seed=15), draw(2, 50, seed=16), np.arange(50)
    assert interval(a, groups, "micro_f1", 300, 1) == interval(a, groups, "micro_f1", 300, 1)
    assert interval(a, groups, "micro_f1", 300, 1) != interval(a, groups, "micro_f1", 300, 2)
    assert paired_test(a, b, groups, "micro_f1", 300, 1) == paired_test(a, b, groups, "micro_f1", 300, 1)


def test_refusals():
    a, groups = draw(2, 5), np.arange(5)
    with pytest.raises(ValueError, match="unknown metric 'f1'"):
        interval(a, groups, "f1", 10, 0)
    with pytest.raises(ValueError, match="do not fit 4 sentences"):
        interval(a, groups[:4], "micro_f1", 10, 0)
    with pytest.raises(ValueError, match="2 against 3"):
        paired_test(a, draw(3, 5), groups, "micro_f1", 10, 0)


def test_nothing_to_score():
    """A score of 0 by convention, about which nothing can be said."""
    counts = np.zeros((2, 4, 3, 3))
    counts[:, 1, 0, 1] = 5  # predicted, where gold has nothing
    for metric, each in itertools.product(METRICS, (counts, np.zeros((1, 4, 3, 3)))):
        assert interval(each, np.arange(4), metric, 10, 0) == pytest.approx((0, np.nan, np.nan), nan_ok=True)
    assert np.isnan([each[1:] for each in significance.intervals(counts, np.arange(4), 10, 0)]).all()
    assert np.isnan(significance.smallest_difference(counts, counts, np.arange(4), "micro_f1", 0.05))


# --------------------------------------------------------------------------- what is resampled
@pytest.mark.parametrize(
    ("documents", "number", "kind"),
    [
        (["top"] * 500, 500, "sentences"),  # a border at the top of a file
        ([f"d{at % 19}" for at in range(500)], 500, "sentences"),
        ([f"d{at % 20}" for at in range(500)], 20, "documents"),
        ([None] * 3 + [f"d{at % 20}" for at in range(500)], 23, "documents"),
        ([None] * 500, 500, "sentences"),
        ([None] * 5, 5, "sentences"),
        ([], 0, "sentences"),
    ],
)
def test_sentences_are_resampled_where_documents_are_few(documents, number, kind):
    found = significance.grouping(documents)
    assert (len(found.names), len(set(found.names)), found.kind) == (len(documents), number, kind)


def test_groups_of_a_corpus_are_those_of_its_stored_counts():
    for many in (10, 50):
        gold = [Sentence(f"s{at:02d}", f"d{at % many}", ("x",), ()) for at in range(100)]
        rows = [{"id": each.id, "document": each.document, "counts": {}} for each in gold]
        assert significance.groups(gold).tolist() == tabulate({"x": [rows]}, TYPES)[1].tolist()
        assert len(set(significance.groups(gold, least=5))) == many


def test_a_single_group_has_no_interval():
    counts = draw(1, 8, seed=4)
    found = interval(counts, np.zeros(8), "micro_f1", 50, 0)
    assert found.estimate == pytest.approx(plain(counts, "micro_f1")) and np.isnan(found[1:]).all()


# ------------------------------------------------------------------- scores of exactly 0 and 1
def share_at_most(trials: int) -> float:
    """The share of which none of so many trials shows 2.5 times in 100, by scipy's exact interval."""
    return scipy.stats.binomtest(0, trials).proportion_ci(0.95, "exact").high


def one_each(n: int, right: bool, wrong: int = 0) -> np.ndarray:
    """A mention in each of n sentences, all right or all missed, and ``wrong`` predictions beside them."""
    counts = np.zeros((1, n + 3, 1, 3))
    counts[0, :n, 0, 0 if right else 2] = 1
    counts[0, 0, 0, 1] = wrong
    return counts


@pytest.mark.parametrize("n", [1, 7, 338])
@pytest.mark.parametrize("metric", METRICS)
def test_nothing_is_found(n, metric):
    """At most so many of the n mentions are found, and each is one of those that are predicted."""
    groups = np.arange(n + 3)
    found = share_at_most(n) * n
    none, many = (interval(one_each(n, False, wrong), groups, metric, 50, 0) for wrong in (0, 5 * n))
    assert none == pytest.approx((0, 0, 2 * found / (n + found)))
    assert many == pytest.approx((0, 0, 2 * found / (n + 5 * n)))


@pytest.mark.parametrize("n", [1, 7, 338])
@pytest.mark.parametrize("metric", METRICS)
def test_everything_is_right(n, metric):
    found = interval(one_each(n, True), np.arange(n + 3), metric, 50, 0)
    assert found == pytest.approx((1, 1 - share_at_most(n), 1))


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
    each = significance.intervals(counts, np.arange(40), 50, 0)
    assert [bounds.high for bounds in each] == pytest.approx([*expected, np.nan], nan_ok=True)
    assert interval(counts, np.arange(40), "macro_f1", 50, 0).high == pytest.approx(np.mean(expected))
    counts[0, 5, 0] = 1, 0, 0  # the first type has a hit: its interval is the bootstrap's, others stay
    after = significance.intervals(counts, np.arange(40), 50, 0)
    assert after[0].low == 0 < after[0].estimate < after[0].high < expected[0] + 0.2
    assert after[1] == each[1]


def test_difference_of_two_such_scores():
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
    assert np.isnan(significance.smallest_difference(nothing, nothing, groups, "micro_f1", 0.05))


@pytest.mark.parametrize(("recall", "wrong"), [(0.001, 0.1), (0.003, 0), (0.999, 0.0005)])
def test_intervals_near_the_ends_cover(recall, wrong):
    """1,000 test sets of a system that is nearly always wrong, or right: many have a score of exactly 0 or 1,
    which every resample would repeat."""
    chance = np.random.default_rng(0)
    truth = 2 * recall / (2 * recall + wrong + 1 - recall)
    covered, ends = 0, 0
    for trial in range(1000):
        gold = chance.poisson(1.0, 300)
        tp = chance.binomial(gold, recall)
        counts = np.stack([tp, chance.poisson(wrong, 300), gold - tp], axis=-1)[None, :, None].astype(float)
        found = interval(counts, np.arange(300), "micro_f1", 100, trial)
        covered += found.low <= truth <= found.high
        ends += found.estimate in (0, 1)
    assert ends > 300 and covered >= 950


def test_a_weighted_sum_of_scores():
    """A mean of two differences to one system, on the same resamples: by hand from the scores of each."""
    base, one, two = draw(1, 100, seed=20), draw(1, 100, seed=21), draw(1, 100, seed=22, error=0.6)
    found = significance.weighted_interval(
        [one, two, base], [0.5, 0.5, -1], np.arange(100), "micro_f1", 4000, 0
    )
    scores = [plain(each, "micro_f1") for each in (one, two, base)]
    assert found.estimate == pytest.approx((scores[0] + scores[1]) / 2 - scores[2])
    chance = np.random.default_rng(1)
    values = []
    for _ in range(1500):
        drawn = chance.integers(100, size=100)
        sums = [each[0, drawn].sum(axis=(0, 1)) for each in (one, two, base)]
        f1 = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in sums]
        values.append((f1[0] + f1[1]) / 2 - f1[2])
    assert found[1:] == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), abs=0.01)


def test_memory():
    a, b = draw(1, 1287, types=6, seed=17), draw(1, 1287, types=6, seed=18)
    tracemalloc.start()
    interval(a, np.arange(1287), "macro_f1", 10_000, 0)
    paired_test(a, b, np.arange(1287), "macro_f1", 10_000, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_holm():
    # By hand: .005 x 4, .01 x 3, .03 x 2, and .04 x 1 raised to its predecessor's .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


# ------------------------------------------------------------------------ on simulated systems
SENTENCES, MENTIONS, TRIALS = 300, 1.5, 1000


def simulate(chance, recall, false_alarms, likeness=0.5):
    """Counts of two systems, [1, sentences, 1, 3] each: both find a mention with their chances, in part the
    same ones, and raise false alarms."""
    gold = chance.poisson(MENTIONS, SENTENCES)
    both = chance.binomial(gold, likeness)
    shared = chance.random(SENTENCES)
    sides = []
    for found, wrong in zip(recall, false_alarms, strict=True):
        tp = (both * (shared < found)).astype(int) + chance.binomial(gold - both, found)
        fp = chance.poisson(wrong * MENTIONS, SENTENCES)
        sides.append(np.stack([tp, fp, gold - tp], axis=-1)[None, :, None, :])
    return sides


def told_apart(chance, groups, *skills):
    """The share of trials in which the test at 5 % tells two simulated systems apart."""
    pairs = ((simulate(chance, *skills), trial) for trial in range(TRIALS))
    return sum(paired_test(*pair, groups, "micro_f1", 400, trial) <= 0.05 for pair, trial in pairs) / TRIALS


def true_f1(recall, false_alarms):
    return 2 * recall / (2 * recall + false_alarms + 1 - recall)


def test_equal_quality_is_told_apart_as_rarely_as_it_should():
    """Two systems that differ, one finding more and one inventing less, of the same true F1."""
    recall, false_alarms = (0.6, 0.5), (0.5, 0.25)
    assert true_f1(0.6, 0.5) == pytest.approx(true_f1(0.5, 0.25))
    chance = np.random.default_rng(1)
    groups = [str(at) for at in range(SENTENCES)]
    assert 0.035 <= told_apart(chance, groups, recall, false_alarms) <= 0.065


def test_the_smallest_difference_is_found_four_times_in_five():
    """Planted between two systems: what `smallest_difference` says of others of their kind."""
    chance = np.random.default_rng(2)
    groups = [str(at) for at in range(SENTENCES)]
    lower = 0.55
    for _ in range(3):  # until the difference that is planted is the one that is stated
        pairs = (simulate(chance, (0.6, lower), (0.3, 0.3)) for _ in range(50))
        planted = np.mean([significance.smallest_difference(*p, groups, "micro_f1", 0.05) for p in pairs])
        lower = next(r for r in np.linspace(0.6, 0.3, 3001) if true_f1(0.6, 0.3) - true_f1(r, 0.3) >= planted)
    assert 0.8 <= told_apart(chance, groups, (0.6, lower), (0.3, 0.3)) <= 0.88


def test_intervals_cover_the_truth():
    """Of a score and of a difference, 95 % each."""
    chance = np.random.default_rng(3)
    groups = [str(at) for at in range(SENTENCES)]
    recall, false_alarms = (0.6, 0.5), (0.5, 0.3)
    scores = [true_f1(*pair) for pair in zip(recall, false_alarms, strict=True)]
    covered = np.zeros(2)
    for trial in range(TRIALS):
        a, b = simulate(chance, recall, false_alarms)
        one = significance.interval(a, groups, "micro_f1", 400, trial)
        two = significance.interval(a, groups, "micro_f1", 400, trial, b)
        covered += [one.low <= scores[0] <= one.high, two.low <= scores[0] - scores[1] <= two.high]
    assert (covered / TRIALS >= 0.93).all() and (covered / TRIALS <= 0.97).all()
