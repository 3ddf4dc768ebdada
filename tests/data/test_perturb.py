"""Disturbed sentences: spans stay where their mentions are, and nothing else is lost."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_utils import config, data, paths
from ner_utils.analyses import robustness
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data import perturb
from ner_utils.data.corpus import Sentence
from ner_utils.data.perturb import KINDS
from ner_utils.data.spans import Span
from ner_utils.thesis.numbers import result_numbers

LETTERS = [kind for kind in KINDS if kind.startswith(("lower", "upper", "typos", "homo", "instruction"))]
word = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=8)


@st.composite
def sentences(draw):
    tokens = tuple(draw(st.lists(word, min_size=1, max_size=9)))
    spans, at = [], 0
    while at < len(tokens):
        length = draw(st.integers(1, 3))
        if draw(st.booleans()) and at + length <= len(tokens):
            spans.append(Span(at, at + length, draw(st.sampled_from("AB"))))
            at += length
        at += 1
    return Sentence(f"s{draw(st.integers(0, 99))}", None, tokens, tuple(spans))


def words(sentence, span):
    return sentence.tokens[span.start : span.end]


@given(st.sampled_from(list(KINDS)), sentences())
def test_mentions_are_carried_along(kind, sentence):
    """As many, of the same types, in order, inside of the sentence; no token is empty."""
    (done,) = perturb.perturb([sentence], kind, [])
    assert [span.type for span in done.spans] == [span.type for span in sentence.spans]
    assert done.id == sentence.id
    assert done.tokens and all(done.tokens)
    ends = [0]
    for span in done.spans:
        assert ends[-1] <= span.start < span.end <= len(done.tokens)
        ends.append(span.end)
    assert perturb.perturb([sentence], kind, []) == [done]  # by id alone


@given(sentences())
def test_what_stays_as_it_is(sentence):
    for kind in ("no punctuation", "emoji"):
        (done,) = perturb.perturb([sentence], kind, [])
        pairs = zip(sentence.spans, done.spans, strict=True)
        assert all(words(sentence, a) == words(done, b) for a, b in pairs)
    for kind in LETTERS:
        (done,) = perturb.perturb([sentence], kind, [])
        assert done.spans == sentence.spans
    (done,) = perturb.perturb([sentence], "hashtags", [])
    for a, b in zip(sentence.spans, done.spans, strict=True):
        assert words(done, b) == ("#" + "".join(words(sentence, a)).lstrip("#"),)


def test_typing_mistakes_are_as_many_as_they_should_be():
    rows = [Sentence(f"s{at}", None, ("keyboard",) * 10, ()) for at in range(200)]
    for kind, rate in (("typos 1 %", 0.01), ("typos 3 %", 0.03), ("typos 5 %", 0.05)):
        done = perturb.perturb(rows, kind, [])
        wrong = sum(token != "keyboard" for row in done for token in row.tokens) / 2000
        # Not quite one mistake a letter: two may meet in a word.
        assert wrong == pytest.approx(1 - (1 - rate) ** 8, rel=0.2)


def test_names_are_swapped_for_unseen_ones_of_their_type():
    train = [Sentence("t", None, ("Rome",), (Span(0, 1, "LOC"),))]
    names = (("Oslo", "LOC"), ("rome", "LOC"), ("Ada", "PER"), ("Bern", "LOC"))
    rows = [
        Sentence(f"s{at}", None, ("in", name), (Span(1, 2, kind),)) for at, (name, kind) in enumerate(names)
    ]
    done = [row.tokens[1] for row in perturb.perturb(rows, "swap", train)]
    assert done[0] == "Bern"
    assert done[1] in ("Oslo", "Bern")
    assert done[2] == "Ada"  # there is no other
    assert done[3] == "Oslo"


def test_persons_get_names_of_another_origin_and_nothing_else_does():
    row = Sentence("s", None, ("Ada", "met", "Rome"), (Span(0, 1, "PER"), Span(2, 3, "LOC")))
    (done,) = perturb.perturb([row], "other origin", [])
    first, second = done.spans
    assert " ".join(words(done, first)) in perturb.PERSONS
    assert words(done, second) == ("Rome",)
    assert len(set(perturb.PERSONS)) == len(perturb.PERSONS) > 40


def test_by_hand():
    row = Sentence("s", None, ("Dear", "Ada", "Lovelace", ",", "hi", "!"), (Span(1, 3, "PER"),))
    (bare,) = perturb.perturb([row], "no punctuation", [])
    assert bare.tokens == ("Dear", "Ada", "Lovelace", "hi")
    (tagged,) = perturb.perturb([row], "hashtags", [])
    assert tagged.tokens[1] == "#AdaLovelace"
    assert tagged.spans == (Span(1, 2, "PER"),)
    twins = {perturb._twins("a", random.Random(seed)) for seed in range(50)}
    assert twins == {"a", "\u0430"}


# ------------------------------------------------------------------------------ in a study
STUDY = """
title: Disturbed
kind: demonstration
question: What does it cost?
datasets: [demo]
seeds: [1]
systems:
  minilm: {model: minilm}
  lower: {model: minilm, label: Lower, weights_of: minilm, perturbed: lower case}
  swap: {model: minilm, label: Swap, weights_of: minilm, perturbed: swap}
protocol:
  primary_metric: micro_f1
  comparisons: [[lower, minilm]]
  dev_evaluations: 1
  dev_sample: 4
  test_sentences: 40
  latency_sentences: 1
  resamples: 50
"""


def test_of_a_study(add_study, made_up, demo):
    add_study("disturbed", STUDY)
    results = made_up(name="disturbed")
    frame = robustness.changes(results).set_index("system")
    summary = results.summary.set_index("system")
    for name in ("lower", "swap"):
        change = summary.loc[name, "micro_f1"] - summary.loc["minilm", "micro_f1"]
        assert frame.loc[name, "change"] == pytest.approx(change)
        assert frame.loc[name, "low"] <= change <= frame.loc[name, "high"]
    assert robustness.write(results, "disturbed") == ["tab_robustness", "fig_robustness"]
    assert "lower case" in (paths.THESIS / "generated" / "disturbed" / "tab_robustness.tex").read_text()
    assert (paths.FIGURES / "disturbed" / "fig_robustness.pdf").stat().st_size > 200
    numbers = result_numbers(results)
    mean = numbers["demo.minilm.robustness.mean_change"].value
    assert type(mean) is float, "a claim could not compare it"
    assert mean == pytest.approx(frame["change"].mean())
    low, high = (numbers[f"demo.minilm.robustness.mean_change.{end}"].value for end in ("low", "high"))
    assert low < mean < high
    # Systems that err independently: the mean of two changes scatters less than either, and not more.
    assert high - low < (frame["high"] - frame["low"]).max()
    assert result_numbers(results)["study.disturbed"].value == 2
    run = config.load_run("disturbed", "demo", "lower", 1)
    assert all(s.text == s.text.lower() for s in data.test_sentences(run, demo))
    assert run.fingerprint != run.base.fingerprint


UNTRAINED = """
  asked: {model: smollm2-135m, label: Asked, zero_shot: true, overrides: {max_new_tokens: 32}}
  longer: {model: smollm2-135m, label: Longer, zero_shot: true, overrides: {max_new_tokens: 64}}
  shown: {model: smollm2-135m, label: Shown, few_shot: 2}
  upper:
    {model: smollm2-135m, label: Up, zero_shot: true, perturbed: upper case, overrides: {max_new_tokens: 32}}
  emoji: {model: smollm2-135m, label: Emoji, few_shot: 2, perturbed: emoji}
protocol:"""


def test_what_is_not_trained_is_compared_with_the_same_model_and_settings(add_study, made_up):
    add_study("disturbed", STUDY.replace("\nprotocol:", UNTRAINED))
    results = made_up(name="disturbed")
    frame = robustness.changes(results).set_index("system")
    assert frame["base_system"].to_dict() == {
        "lower": "minilm", "swap": "minilm", "upper": "asked", "emoji": "shown"
    }  # fmt: skip
    run = config.load_run("disturbed", "demo", "upper", 0)
    assert robustness.counterpart(run) == config.load_run("disturbed", "demo", "asked", 0)
    scores = results.summary.set_index("system")["micro_f1"]
    for name, base in (("upper", "asked"), ("emoji", "shown")):
        assert frame.loc[name, "change"] == pytest.approx(scores[name] - scores[base])
        numbers = result_numbers(results)
        assert numbers[f"demo.{name}.robustness.change"].value == frame.loc[name, "change"]
        assert numbers[f"demo.{base}.robustness.mean_change"].value == frame.loc[name, "change"]
    robustness.write(results, "disturbed")
    table = (paths.THESIS / "generated" / "disturbed" / "tab_robustness.tex").read_text()
    assert "upper case" in table and "Asked" in table and "Longer" not in table


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("asked: {model: smollm2-135m, label: Asked, zero_shot: true, overrides: {max_new_tokens: 32}}",
         "asked: {model: smollm2-135m, label: Asked, zero_shot: true, overrides: {wording: 2}}"),
        ("label: Shown, few_shot: 2", "label: Shown, few_shot: 3"),
        ("label: Emoji, few_shot: 2", "label: Emoji, zero_shot: true"),
        ("label: Shown,", "label: Shown, perturbed: swap,"),
    ],
)  # fmt: skip
def test_what_nothing_can_be_compared_with_is_refused(add_study, old, new):
    text = STUDY.replace("\nprotocol:", UNTRAINED)
    assert text.count(old) == 1
    add_study("disturbed", text.replace(old, new))
    with pytest.raises(ConfigError, match="declare one with the same model and settings"):
        config.load_study("disturbed")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("perturbed: swap", "perturbed: upside down", "expected one of lower case, upper case"),
        (
            "weights_of: minilm, perturbed: swap",
            "perturbed: swap",
            "name the system that read test undisturbed",
        ),
    ],
)
def test_refused(add_study, old, new, message):
    add_study("disturbed", STUDY.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        config.load_study("disturbed")
