"""Money and volumes, worked out by hand."""

import pytest
from conftest import show

from ner_utils import paths, thesis
from ner_utils.analyses import costs
from ner_utils.analyses.costs import Timed
from ner_utils.rendering import latex
from ner_utils.thesis.leads import leads
from ner_utils.thesis.numbers import result_values


def system(label, training, per_second, mean_ms=100.0, runs=1, spread=1.0):
    """A system whose runs' times are alike, or lie a factor around their middle one."""
    middle = {"training": training, "batches": 1000 / per_second, "single": mean_ms, "median": mean_ms}
    factors = {1: [1.0], 2: [1 / spread, spread], 3: [1 / spread, 1.0, spread]}[runs]
    return Timed(label, middle, [{how: time * f for how, time in middle.items()} for f in factors])


def test_break_even():
    """One second a sentence and no training, against a tenth of that after 900 seconds: 1,000 sentences. At
    the ends, training takes 1.3 times as long or as short, and so does a sentence: 1,170 / (1 / 1.3 - 0.1),
    and 692.3 / (1.3 - 0.1)."""
    untrained, trained = system("slow", 0.0, 1.0), system("fast", 900.0, 10.0)
    for pair in ((untrained, trained), (trained, untrained)):
        found = costs.break_even(*pair)
        assert found.estimate == pytest.approx(1000)
        assert found.low == pytest.approx(900 / 1.3 / 1.2)
        assert found.high == pytest.approx(1170 / (1 / 1.3 - 0.1))
        assert costs.verdict(*pair) == "fast, from 1,000 sentences on (580 to 1,700)"


def test_never():
    """Faster, and trained much shorter."""
    a, b = system("a", 10.0, 10.0), system("b", 50.0, 5.0)
    assert costs.break_even(a, b) == (0.0, 0.0, 0.0)
    assert costs.verdict(a, b) == costs.verdict(b, a) == "a, always"


def test_trained_together_is_trained_alike():
    """Systems that share weights have one training, whose time has no spread."""
    a, b = system("a", 50.0, 10.0), system("b", 50.0, 5.0)
    assert costs.verdict(a, b) == costs.verdict(b, a) == "a, always"


@pytest.mark.parametrize("runs", [1, 2, 3])
@pytest.mark.parametrize("ratio", [1.0, 1.04, 1.25])
def test_one_architecture_is_no_cheaper_than_itself(runs, ratio):
    """Two MiniLMs that learnt from different samples, as the machine happened to time them."""
    a = system("a", 218.0, 287.0, 8.0, runs, 1.03)
    b = system("b", 88.0, 287.0 * ratio, 8.0 / ratio, runs, 1.02)
    for how in ("batches", "single"):
        assert costs.faster(a, b, how) is None
        assert costs.break_even(a, b, how) is None
        assert costs.verdict(a, b, how) is None


def test_runs_that_scatter_widen_the_interval():
    """Welch's interval of log seconds by hand: means log 2 apart, both standard deviations log 2, three runs
    each, so that the standard error is log 2 * sqrt(2/3) and t(0.975; 4 degrees) is 2.776."""
    a, b = system("a", 1.0, 1.0, 200.0, 3, 2.0), system("b", 1.0, 1.0, 100.0, 3, 2.0)
    found = costs.ratio(a, b, "single")
    wide = 2 ** (2.776445 * (2 / 3) ** 0.5)
    assert found == pytest.approx((2.0, 2 / wide, 2 * wide), rel=1e-5)
    assert costs.faster(a, b, "single") is None
    alone = costs.ratio(a._replace(runs=a.runs[:1]), b, "single")
    assert alone == pytest.approx((2.0, 2 / 1.3, 2 * 1.3))


def test_a_clear_pair():
    a, b = system("a", 90.0, 290.0, 8.0, 3, 1.03), system("b", 927.0, 14.0, 480.0, 3, 1.4)
    assert costs.faster(a, b, "single") is costs.faster(b, a, "single") is a
    assert costs.verdict(a, b) == "a, always"


@pytest.mark.parametrize(("low", "least"), [(1.9, 1), (9.99, 9), (56.3, 56), (129.9, 120), (4567.0, 4500)])
def test_two_digits_say_enough(low, least):
    assert costs.at_least(costs.Interval(2 * low, low, 4 * low)) == least


def test_no_time_has_no_ratio():
    unknown = system("vote", 5.0, 1.0, float("nan"))
    assert costs.ratio(unknown, system("b", 5.0, 1.0), "median") is None
    assert costs.ratio(system("b", 5.0, 1.0), unknown, "median") is None
    assert costs.ratio(unknown, system("b", 5.0, 1.0), "batches") is not None
    examples = system("shown examples", 0.0, 1.0, runs=3, spread=1.1)
    assert costs.verdict(examples, system("untrained", 0.0, 5.0)) == "untrained, always"
    assert costs.ratio(system("untrained", 0.0, 1.0), system("b", 5.0, 1.0), "training") is None


def test_times_of_different_machines_are_not_compared(made_up):
    a, b = system("a", 90.0, 290.0, 8.0), system("b", 927.0, 14.0, 480.0)
    assert costs.faster(a._replace(machines=["x"]), b._replace(machines=["x"]), "single")
    assert costs.faster(a._replace(machines=["x"]), b._replace(machines=["y"]), "single") is None
    assert costs.verdict(a._replace(machines=["x", "y"]), b._replace(machines=["x"])) is None
    results = made_up()
    moved = next(item for item in results.stored if item.run.system == "minilm")
    moved.manifest["machine"] = {"system": "Linux", "processor": "another"}
    text = costs.tab_break_even(results)
    assert "MiniLM (22M) & SmolLM2 QLoRA (135M) & -- & --" in text
    assert "SmolLM2 QLoRA (135M) & MiniLM (22M) & -- & -- & -- & --" in costs.tab_times(results)
    assert "cost" not in leads(results)


def test_of_a_study(plain_results):
    results = plain_results
    text = show("costs", results)
    hour = results.summary.set_index("system").loc["minilm", "training_seconds"]
    assert hour > 0
    assert latex.significant(100 * costs.dollars(681.7, 0.1)) in text["tab_costs"]
    assert "always" in text["tab_break_even"] or "sentences on" in text["tab_break_even"]
    found = result_values(results)
    name = "demo.minilm-vs-smollm2-qlora"
    for how in ("training", "median", "single", "batches"):
        ends = (latex.significant(1 / found[f"{name}.time.{how}{end}"]) for end in ("", ".high", ".low"))
        assert "{} ({} to {})".format(*ends) in text["tab_times"]
    assert found[f"{name}.break_even"] == 0  # faster, and trained for a shorter time
    assert (
        found[f"{name}.time.single.low"]
        < found[f"{name}.time.single"]
        < found[f"{name}.time.single.high"]
        < 1
    )
    assert found[f"{name}.time.training"] == pytest.approx(681.7 / 1953.2)


def test_a_server_costs_what_it_charged(sketch, made_up):
    """Its money is no time, its parameters and memory are not known, and no time is compared with it."""
    hosted = "hosted: {model: smollm2-served, zero_shot: true, label: Hosted}"
    sketch("served", ["minilm: {model: minilm}", hosted], "[[minilm, hosted]]")
    results = made_up('hosted:model.server.dollars={"read":1.0,"written":10.0}', "served")
    thesis.write_for_thesis(results)
    generated = paths.THESIS / "generated" / "served"
    charged = (
        100 * 1000 * 40 * (120 * 1.0 + 14 * 10.0) / 1e6 / len(results.stored[0].counts)
    )  # cents for 1,000 sentences
    row = f"Hosted & 0 & 0{f' & {charged:.1f}' * 4}"
    assert row in (generated / "tab_costs.tex").read_text()
    assert "MiniLM (22M) & Hosted & -- & --" in (generated / "tab_break_even.tex").read_text()
    assert "Hosted & {--} & {--} & 0 & {--} & 800" in (generated / "tab_efficiency.tex").read_text()
    assert "server & smollm2-135m at this machine" in (generated / "tab_provenance.tex").read_text()
