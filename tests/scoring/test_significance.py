"""Tests of differences, against every exchange one by one, against scipy, and by simulation."""

import itertools

import numpy as np
import pytest
import scipy.stats
from made_up_counts import draw, scorer_f1, simulate, true_f1

from ner_utils.scoring.significance import holm, paired_test, smallest_difference


@pytest.mark.parametrize(
    ("metric", "runs_a", "runs_b"),
    [("micro_f1", 1, 1), ("macro_f1", 2, 2), ("micro_f1", 3, 1), ("macro_f1", 1, 2)],
)
def test_paired_test_against_loops(metric, runs_a, runs_b):
    """All 2**6 ways to exchange six documents."""
    a, b = draw(runs_a, 9, seed=10), draw(runs_b, 9, seed=11, error=0.9)
    groups = np.array([0, 0, 1, 2, 2, 3, 4, 5, 5])
    wide_a, wide_b = np.broadcast_arrays(a, b)
    observed = scorer_f1(a, metric) - scorer_f1(b, metric)
    hits = 0
    for swap in itertools.product([False, True], repeat=6):
        swapped = np.array(swap)[groups][:, None, None]
        left, right = np.where(swapped, wide_b, wide_a), np.where(swapped, wide_a, wide_b)
        hits += abs(scorer_f1(left, metric) - scorer_f1(right, metric)) >= abs(observed) - 1e-12
    found = paired_test(a, b, groups, metric, 20_000, 0)
    assert found == pytest.approx(hits / 2**6, abs=0.015)
    assert paired_test(b, a, groups, metric, 20_000, 0) == found


def test_paired_test_against_scipy():
    a, b = draw(1, 9, seed=12)[0].sum(axis=1), draw(1, 9, seed=13, error=0.7)[0].sum(axis=1)
    both = np.concatenate([a, b])

    def statistic(left, right):
        scores = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in (both[left].sum(0), both[right].sum(0))]
        return scores[0] - scores[1]

    exact = scipy.stats.permutation_test(
        (np.arange(9), np.arange(9, 18)),
        statistic,
        permutation_type="samples",
        vectorized=False,
        n_resamples=np.inf,
    ).pvalue
    found = paired_test(a[None, :, None], b[None, :, None], np.arange(9), "micro_f1", 20_000, 0)
    assert found == pytest.approx(exact, abs=0.015)


def test_paired_test_extremes():
    a, groups = draw(2, 80, seed=14), np.arange(80)
    assert paired_test(a, a, groups, "macro_f1", 500, 0) == 1
    assert paired_test(draw(1, 80, error=0.1), draw(2, 80, error=0.9), groups, "micro_f1", 999, 0) == 1 / 1000
    # A single document can only be exchanged or not: both give the observed size.
    assert paired_test(a, draw(2, 80, error=0.9), np.zeros(80), "micro_f1", 500, 0) == 1
    assert paired_test(a, draw(2, 80), groups, "micro_f1", 300, 1) == paired_test(
        a, draw(2, 80), groups, "micro_f1", 300, 1
    )
    with pytest.raises(ValueError, match="2 against 3"):
        paired_test(a, draw(3, 80), groups, "micro_f1", 10, 0)


def share_found(chance, *skills, trials=400):
    """The share of pairs of simulated systems between which the test at 5 % finds a difference."""
    pairs = ((simulate(chance, *skills), trial) for trial in range(trials))
    return (
        sum(paired_test(*each, np.arange(300), "micro_f1", 199, seed) <= 0.05 for each, seed in pairs)
        / trials
    )


def test_equal_quality_is_significant_in_one_of_twenty():
    """Two systems that differ, one finding more and one inventing less, of the same true F1."""
    recall, false_alarms = (0.6, 0.5), (0.5, 0.25)
    assert true_f1(0.6, 0.5) == pytest.approx(true_f1(0.5, 0.25))
    assert 0.025 <= share_found(np.random.default_rng(1), recall, false_alarms) <= 0.075


def test_the_smallest_difference_is_found_four_times_in_five():
    """Planted between two systems: what `smallest_difference` says of others of their kind."""
    chance = np.random.default_rng(2)
    lower = 0.55
    for _ in range(3):  # until the difference that is planted is the one that is stated
        pairs = (simulate(chance, (0.6, lower), (0.3, 0.3)) for _ in range(50))
        planted = np.mean([smallest_difference(*p, np.arange(300), "micro_f1", 0.05) for p in pairs])
        lower = next(r for r in np.linspace(0.6, 0.3, 3001) if true_f1(0.6, 0.3) - true_f1(r, 0.3) >= planted)
    assert 0.79 <= share_found(chance, (0.6, lower), (0.3, 0.3)) <= 0.9


def test_what_does_not_vary_has_no_smallest_difference():
    nothing = np.zeros((2, 4, 3, 3))
    nothing[:, 1, 0, 1] = 5  # predicted, where gold has nothing
    assert np.isnan(smallest_difference(nothing, nothing, np.arange(4), "micro_f1", 0.05))


def test_holm():
    # By hand: .005 x 4, .01 x 3, .03 x 2, and .04 x 1 raised to its predecessor's .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
