"""Advice follows its conditions, in order, and only where results support it."""

import pytest

from ner_utils.config.strict_yaml import ConfigError
from ner_utils.thesis import advice, paper_claims
from ner_utils.thesis.advice import Situation
from ner_utils.thesis.paper_claims import Pair


def pair(encoder=50.0, generator=50.0, **values):
    named = {name.replace("__", "."): value for name, value in values.items()}
    rows = (
        {"label": label, "corpus": "C", "micro_f1": f1} for label, f1 in (("E", encoder), ("G", generator))
    )
    return Pair("demo", *rows, named)


def committed(name):
    return next(each for each in advice.load() if each.situation == name)


SITUATION = Situation(
    situation="Many sentences",
    advice={"E": "gain.high < 0", "G": "gain.low > 0", "Either": "gain.high >= 0"},
    evidence="tab:x",
    limits="Here.",
)
STUDY = """
title: Pairs
kind: demonstration
question: Which?
datasets: [demo]
seeds: [1]
systems:
  a: {model: minilm, label: a, train_sentences: 6}
  b: {model: minilm, label: b, train_sentences: 6}
  c: {model: smollm2-135m, label: c, train_sentences: 6}
  d: {model: smollm2-135m, label: d, train_sentences: 6}
protocol: {primary_metric: micro_f1, comparisons: [[a, c], [b, d], [a, d]], dev_evaluations: 2, dev_sample: 4,
           latency_sentences: 1, resamples: 50}
"""


@pytest.mark.parametrize(("low", "high", "expected"), [(-2, -1, "E"), (1, 2, "G"), (-1, 1, "Either")])
def test_the_first_that_holds(low, high, expected):
    assert advice.advice_of(pair(gain__low=low, gain__high=high), SITUATION) == expected


def test_no_advice_without_results():
    assert advice.advice_of(pair(), SITUATION) is None


@pytest.mark.parametrize(("sizes", "expected"), [(3.0, "E"), (1.0, None), (None, None)])
def test_a_situation_may_be_for_some_pairs_only(sizes, expected):
    series = SITUATION.model_copy(update={"pairs": "encoder.training_sizes >= 3"})
    known = {} if sizes is None else {"encoder__training_sizes": sizes}
    assert advice.advice_of(pair(gain__high=-1, **known), series) == expected


@pytest.mark.parametrize(
    ("encoder", "generator", "expected"), [(0.0, 16.3, None), (16.3, 9.9, None), (10.0, 10.0, "G")]
)
def test_no_advice_from_a_system_that_has_not_learnt_the_task(encoder, generator, expected):
    assert advice.advice_of(pair(encoder, generator, gain__low=12.0, gain__high=20.0), SITUATION) == expected


def test_one_row_a_situation(made_up, add_study, monkeypatch):
    """Of pairs with different advice, the first declared one that supports any."""
    add_study("pairs", STUDY)
    results = made_up(name="pairs")
    supported = {
        ("a", "c"): {},
        ("b", "d"): {"One": "The encoder."},
        ("a", "d"): {"One": "The generator.", "Two": "Wait."},
    }
    monkeypatch.setattr(
        advice, "advice_of",
        lambda pair, each: supported[pair.encoder["system"], pair.generator["system"]].get(each.situation),
    )  # fmt: skip
    situations = [SITUATION.model_copy(update={"situation": name}) for name in ("One", "Two")]
    monkeypatch.setattr(advice, "load", lambda: situations)
    advised = advice.advise(results)
    assert advised[["situation", "advice"]].values.tolist() == [["One", "The encoder."], ["Two", "Wait."]]
    assert [name.partition(",")[0] for name in advised["pair"]] == ["b and d", "a and d"]


def test_few_labels_need_a_series_of_equal_steps():
    """With equal epochs, few sentences are few steps, and a system may fail only because of these."""
    sides = {f"{role}__training_sizes": 3.0 for role in ("encoder", "generator")}
    known = sides | {"encoder__train_sentences": 102.0, "gain__low": 1.0, "gain__high": 9.0, "gain__p": 0.01}
    for ratio, expected in ((1.05, "The generator."), (50.0, None)):
        steps = {f"{role}__training_steps_ratio": ratio for role in ("encoder", "generator")}
        assert advice.advice_of(pair(**known, **steps), committed("Few labelled sentences")) == expected


@pytest.mark.parametrize(
    ("encoder", "generator", "expected"),
    [
        ((-4, -2), (-9, -5), "The encoder."),
        ((-9, -5), (-4, -2), "The generator."),
        ((-9, -3), (-4, -2), "Either."),  # means 3 points apart, and intervals that overlap
    ],
)
def test_advice_on_noise_compares_intervals(encoder, generator, expected):
    values = {
        f"{role}.robustness.mean_change.{end}": value
        for role, ends in (("encoder", encoder), ("generator", generator))
        for end, value in zip(("low", "high"), ends, strict=True)
    }
    assert advice.advice_of(pair(**values), committed("Noisy text")).startswith(expected)


@pytest.mark.parametrize(
    ("low", "high", "p", "expected"),
    [
        (-9.0, -1.0, 0.01, "The encoder."),
        (1.0, 9.0, 0.01, "The generator."),
        (-9.0, -1.0, 0.2, "Either."),  # an interval beside zero is no significant difference
        (-9.0, 1.0, 0.01, "Either."),  # nor is a test that leaves out what other seeds would give
    ],
)
def test_the_higher_score_needs_a_test_and_an_interval(low, high, p, expected):
    values = {"gain.low": low, "gain.high": high, "gain.p": p}
    assert advice.advice_of(pair(**values), committed("The higher score, whatever it costs")).startswith(
        expected
    )


def test_every_condition_of_the_committed_guide_can_hold(plain_results):
    """With results of every kind, each situation has an advice: no key is misspelt."""
    (real,) = paper_claims.pairs_by_study(plain_results)[0].values()
    more = {
        f"{role}.{name}": -2.0 if name.startswith("robustness") else 20.0
        for role in ("encoder", "generator")
        for name in ("robustness.mean_change.low", "robustness.mean_change.high",
                     "flexibility.held_out.low", "flexibility.held_out.high",
                     "flexibility.held_out.f1", "training_sizes")
    }  # fmt: skip
    more |= {f"{role}.training_steps_ratio": 1.0 for role in ("encoder", "generator")}
    full = real._replace(values=more | real.values)
    for situation in advice.load():
        assert advice.advice_of(full, situation), situation.situation
    assert advice.advice_of(real, committed("Changing entity types")) is None
    text, plain = advice.tab_guide(plain_results), advice.overview(plain_results)
    assert r"\cref{tab:efficiency}" in text
    assert "Changing entity types" not in text
    assert "Few labelled sentences" not in text  # one size is no series
    assert plain.count("\n- **") == text.count(r"\cref{")
    assert "\n- **Little memory**: " in plain


def test_a_study_without_a_pair(made_up):
    assert "compares no encoder" in advice.tab_guide(made_up(name="vote"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- situation: Any\n  advice: {}\n", "guide.yaml: 0.advice: "),
        (
            "- situation: Any\n  advice: {A: gain.low > 0}\n  evidence: x\n  ends: y\n",
            "0.limits: Field required.*\n.*0.ends: unknown key",
        ),
    ],
)
def test_a_guide_in_another_form(params, text, reason):
    (params.folder / "guide.yaml").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        advice.load()
