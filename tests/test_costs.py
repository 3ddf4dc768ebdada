"""Money and volumes, worked out by hand."""

import pytest

from ner_utils import costs, latex, report


def row(label, training, per_second, mean_ms=100.0):
    return {
        "label": label, "training_seconds": training, "looks_seconds": 0.0,
        "sentences_per_second": per_second, "latency_mean_ms": mean_ms,
    }  # fmt: skip


def test_break_even():
    """One second a sentence and no training, against a tenth of that after 900 seconds: 1,000 sentences."""
    untrained, trained = row("slow", float("nan"), 1.0), row("fast", 900.0, 10.0)
    assert costs.break_even(untrained, trained) == pytest.approx(1000)
    assert costs.break_even(trained, untrained) == pytest.approx(1000)
    assert costs.verdict(untrained, trained) == "fast, from 1,000 sentences on"


@pytest.mark.parametrize("training", [0.0, 50.0])
def test_never(training):
    """Faster, and trained no longer."""
    a, b = row("a", training, 10.0), row("b", 50.0, 5.0)
    assert costs.break_even(a, b) is None
    assert costs.verdict(a, b) == costs.verdict(b, a) == "a, always"


def test_two_that_cost_the_same_a_sentence():
    a, b = row("a", 10.0, 5.0), row("b", 20.0, 5.0)
    assert costs.break_even(a, b) is None
    assert costs.verdict(a, b) == costs.verdict(b, a) == "a, always"
    assert (
        costs.verdict(row("a", 1.0, 5.0, 10.0), row("b", 10.0, 9.0, 9.0), "single")
        == "b, from 9,000 sentences on"
    )


def test_of_a_study(made_up):
    results = made_up()
    text = costs.tables(results)
    hour = results.summary.set_index("system").loc["minilm", "training_seconds"]
    assert hour > 0
    assert latex.significant(100 * costs.dollars(681.7, 0.1)) in text["tab_costs"]
    assert "always" in text["tab_break_even"] or "sentences on" in text["tab_break_even"]
    assert "demo.minilm-vs-smollm2-qlora.break_even" in report.numbers(results)
