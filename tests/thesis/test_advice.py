"""The guide: advice follows its conditions, in order, and only where there is evidence."""

import pytest

from ner_utils.config.load import ConfigError
from ner_utils.thesis import advice, paper_claims, result_numbers
from ner_utils.thesis.advice import Situation
from ner_utils.thesis.paper_claims import Pair


def pair(encoder=50.0, generator=50.0, **values):
    named = {name.replace("__", "."): value for name, value in values.items()}
    rows = (
        {"label": label, "corpus": "C", "micro_f1": f1} for label, f1 in (("E", encoder), ("G", generator))
    )
    return Pair("demo", *rows, named)


SYSTEMS = {"a": "minilm", "b": "minilm", "c": "smollm2-135m", "d": "smollm2-135m"}
SITUATION = Situation(
    situation="Many sentences",
    advice={"E": "gain.high < 0", "G": "gain.low > 0", "Either": "gain.high >= 0"},
    evidence="tab:x",
    ends="Here.",
)


@pytest.mark.parametrize(("low", "high", "wanted"), [(-2, -1, "E"), (1, 2, "G"), (-1, 1, "Either")])
def test_the_first_that_holds(low, high, wanted):
    assert advice.advise(SITUATION, pair(gain__low=low, gain__high=high)) == wanted


def test_no_advice_without_evidence():
    assert advice.advise(SITUATION, pair()) is None


@pytest.mark.parametrize(("sizes", "wanted"), [(3.0, "E"), (1.0, None), (None, None)])
def test_only_the_pairs_that_speak_of_a_situation(sizes, wanted):
    asked = SITUATION.model_copy(update={"pairs": "encoder.training_sizes >= 3"})
    known = {} if sizes is None else {"encoder__training_sizes": sizes}
    assert advice.advise(asked, pair(gain__high=-1, **known)) == wanted


@pytest.mark.parametrize(
    ("encoder", "generator", "wanted"),
    [(0.0, 16.3, None), (16.3, 9.9, None), (10.0, 10.0, "G"), (0.0, 0.0, None)],
)
def test_nothing_is_advised_where_a_system_has_not_learnt_the_task(encoder, generator, wanted):
    assert advice.advise(SITUATION, pair(encoder, generator, gain__low=12.0, gain__high=20.0)) == wanted


def test_one_row_a_situation(made_up, add_study, monkeypatch):
    """Of pairs that would advise different things, the first declared one that says anything."""
    more = [f"{k}: {{model: {m}, label: {k}, train_sentences: 6}}" for k, m in SYSTEMS.items()]
    text = "title: Pairs\nkind: demonstration\nquestion: Which?\ndatasets: [demo]\nseeds: [1]\nsystems:\n  "
    text += (
        "\n  ".join(more) + "\nprotocol: {primary_metric: micro_f1, comparisons: [[a, c], [b, d], [a, d]], "
    )
    add_study("pairs", text + "dev_evaluations: 2, dev_sample: 4, latency_sentences: 1, resamples: 50}")
    results = made_up(name="pairs")
    found = result_numbers.values(results)
    said = {
        ("a", "c"): {},
        ("b", "d"): {"One": "The encoder."},
        ("a", "d"): {"One": "The generator.", "Two": "Wait."},
    }
    monkeypatch.setattr(
        advice, "advise",
        lambda each, pair: said[pair.encoder["system"], pair.generator["system"]].get(each.situation),
    )  # fmt: skip
    situations = [SITUATION.model_copy(update={"situation": name}) for name in ("One", "Two")]
    monkeypatch.setattr(advice, "load", lambda: situations)
    advised = advice.advice(results, found)
    assert advised[["situation", "advice"]].values.tolist() == [["One", "The encoder."], ["Two", "Wait."]]
    assert [name.partition(",")[0] for name in advised["pair"]] == ["b and d", "a and d"]


def test_few_labels_asks_for_a_series_of_equal_steps():
    """With equal epochs, few sentences are few steps, and a system may fail for want of these."""
    (few,) = [each for each in advice.load() if "Few" in each.situation]
    sides = {f"{role}__training_sizes": 3.0 for role in ("encoder", "generator")}
    known = sides | {"encoder__train_sentences": 102.0, "gain__low": 1.0, "gain__high": 9.0, "gain__p": 0.01}
    for ratio, wanted in ((1.05, "The generator."), (50.0, None)):
        steps = {f"{role}__training_steps_ratio": ratio for role in ("encoder", "generator")}
        assert advice.advise(few, pair(**known, **steps)) == wanted


def test_every_condition_of_the_committed_guide_can_be_met(made_up):
    """No key is misspelt: with results of every kind, each condition can be evaluated."""
    results = made_up("minilm:train_sentences=160 protocol.dev_predictions=80")
    numbers = result_numbers.values(results)
    (held,) = paper_claims.pairs(results, numbers)
    more = {
        f"{role}.{name}": -2.0 if name.startswith("robustness") else 20.0
        for role in ("encoder", "generator")
        for name in ("robustness.mean_change.low", "robustness.mean_change.high",
                     "flexibility.held_out.low", "flexibility.held_out.high",
                     "flexibility.held_out.f1", "training_sizes")
    }  # fmt: skip
    more |= {f"{role}.training_steps_ratio": 1.0 for role in ("encoder", "generator")}
    full = held._replace(values=more | held.values)
    for situation in advice.load():
        assert advice.advise(situation, full), situation.situation
    assert advice.advise(next(s for s in advice.load() if "types" in s.situation.lower()), held) is None
    advised = advice.advice(results, numbers)
    text, plain = advice.tab_guide(advised, ""), advice.overview(advised)
    assert r"\cref{tab:efficiency}" in text
    assert "Types that change" not in text
    assert "Few labelled sentences" not in text  # one size is no series
    assert plain.count("\n- **") == text.count(r"\cref{")
    assert "\n- **Little memory**: " in plain


def test_a_study_without_a_pair(made_up):
    results = made_up(name="vote")
    assert "compares no encoder" in advice.tab_guide(advice.advice(results, {}), advice.nothing(results))


def test_a_damaged_guide(params):
    (params.folder / "guide.yaml").write_text("- situation: Any\n  advice: {}\n")
    with pytest.raises(ConfigError, match="guide.yaml"):
        advice.load()


@pytest.mark.parametrize(
    ("encoder", "generator", "wanted"),
    [
        ((-4, -2), (-9, -5), "The encoder;"),
        ((-9, -5), (-4, -2), "The generator;"),
        ((-9, -3), (-4, -2), "Either;"),  # means 3 points apart, and intervals that overlap
        ((1, 2), (0.5, 1.5), "Either;"),
    ],
)
def test_advice_on_noise_asks_for_intervals(encoder, generator, wanted):
    noisy = next(each for each in advice.load() if each.situation == "Noisy text")
    values = {
        f"{role}.robustness.mean_change.{end}": value
        for role, ends in (("encoder", encoder), ("generator", generator))
        for end, value in zip(("low", "high"), ends, strict=True)
    }
    assert advice.advise(noisy, pair(**values)).startswith(wanted)
