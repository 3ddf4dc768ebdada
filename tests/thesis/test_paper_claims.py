"""Claims of papers are decided only within their scope."""

import pytest

from ner_utils.config.strict_yaml import ConfigError
from ner_utils.thesis import advice, claims, paper_claims
from ner_utils.thesis.numbers import result_values
from ner_utils.thesis.paper_claims import Pair, PaperClaim, Scope

ENCODER = {"label": "E", "corpus": "C", "parameters_millions": 180.0, "micro_f1": 50.0}
GENERATOR = {"label": "G", "corpus": "C", "parameters_millions": 4000.0, "micro_f1": 10.0}
DEMO = {"a": "minilm", "b": "minilm", "c": "smollm2-135m", "d": "smollm2-135m"}


def systems(*more):
    return [f"{k}: {{model: {m}, label: {k}, train_sentences: 6}}" for k, m in DEMO.items()] + list(more)


def pair(**values):
    known = {name.replace("__", "."): value for name, value in values.items()}
    return Pair("multinerd.de", ENCODER, GENERATOR, known)


def claim(scope=None, supported="gain.low > 0", contradicted="gain.high < 0", **more):
    scope, conditions = Scope(**scope or {}), {"supported": supported, "contradicted": contradicted}
    return PaperClaim(paper="A", statement="More.", scope=scope, **conditions, **more)


@pytest.mark.parametrize(
    ("low", "high", "expected", "observed"),
    [(1, 2, "supported", "agrees"), (-2, -1, "contradicted", "disagrees"), (-1, 1, "undecided", "undecided")],
)
def test_verdicts(low, high, expected, observed):
    results = pair(gain__low=low, gain__high=high)
    assert paper_claims.verdict(claim(), results) == expected
    assert paper_claims.verdict(claim(estimated=True), results) == f"{expected} (estimated)"
    inside = {"encoder_millions": [100.0, 500.0], "corpora": ["multinerd"]}
    assert paper_claims.verdict(claim(inside), results) == expected
    for outside in ({"generator_millions": [7000.0, 8000.0]}, {"corpora": ["wnut17"]}):
        assert paper_claims.verdict(claim(outside), results) == f"out of scope; observed: {observed}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("gian.low > 0", "no pair has a result gian.low"),
        ("gain.lower > 0", "no pair has a result gain.lower"),
        ("time.one.low > 1", "no pair has a result time.one.low"),
        ("gain.low >", "not a condition"),
        ("gain.low", "compares nothing"),
        ("gain.low > nothing", "neither a result key"),
    ],
)
def test_a_misspelt_condition_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        claim(supported=text)


def test_a_claim_is_not_tested_where_results_or_conditions_are_missing():
    assert paper_claims.verdict(claim(), pair()) is None
    assert paper_claims.verdict(claim(contradicted="time.single.low > 1"), pair(gain__low=-1.0)) is None
    assert paper_claims.verdict(claim(supported=None, contradicted=None), pair(gain__low=1)) is None


def test_a_claim_is_quoted_with_its_page_or_marked_as_a_paraphrase(plain_results):
    text = paper_claims.tab_ledger(plain_results)
    assert r"\enquote{This gain is more prominent" in text and "(p.~1 of the arXiv" in text
    for each in paper_claims.load():
        assert bool(each.quote) == (each.paper == "B"), each.statement
        assert (f"{each.statement} (paraphrase)" in text) == (each.paper == "A"), each.statement
    with pytest.raises(ValueError, match="quote and page: give both or neither"):
        claim(quote="More")
    with pytest.raises(ValueError, match="supported and contradicted: give both or neither"):
        claim(contradicted=None)


def test_every_committed_condition_can_be_evaluated(plain_results):
    """On a pair of a study, with a result that this study lacks: no key is misspelt."""
    (real,) = paper_claims.pairs_by_study(plain_results)[0].values()
    assert (real.encoder["system"], real.generator["system"]) == ("minilm", "smollm2-qlora")
    more = {
        f"{role}.flexibility.held_out.{end}": 7.0
        for role in ("encoder", "generator")
        for end in ("low", "high")
    } | {"generator.regret.low": 1.0, "generator.regret.high": 2.0}
    full = real._replace(values=real.values | more)
    for each in paper_claims.load():
        if each.supported:
            assert (
                "out of scope" in (paper_claims.verdict(each, full) or "") or not each.scope.model_fields_set
            )
    assert r"\cref{tab:efficiency}" in paper_claims.tab_ledger(plain_results)


def test_a_gain_is_the_generators_whatever_is_declared_first(plain_results):
    (real,) = paper_claims.pairs_by_study(plain_results)[0].values()
    difference = result_values(plain_results)["demo.minilm-vs-smollm2-qlora.difference"]
    assert real.values["gain.low"] <= -difference <= real.values["gain.high"]
    assert real.values["gain.p"] in set(plain_results.comparisons["p_holm"])


@pytest.mark.parametrize(
    ("comparisons", "compared", "sign"),
    [("[[a, c], [c, e]]", "c-vs-e", 1), ("[[a, c], [e, c]]", "e-vs-c", -1), ("[[a, c]]", None, 0)],
)
def test_regret_is_the_loss_on_test_from_choosing_by_loss(made_up, sketch, comparisons, compared, sign):
    """Whichever is declared first; unknown where both choose the same, or where they were not compared."""
    sketch(
        "regret", systems("e: {model: smollm2-135m, label: e, weights_of: c, selected_by: loss}"), comparisons
    )
    results = made_up(name="regret")
    values = result_values(results)
    (real,) = paper_claims.pairs(results, values | {"demo.c.loss_agrees": 0.0})
    if compared:
        difference = sign * values[f"demo.{compared}.difference"]
        assert real.values["generator.regret.low"] <= difference <= real.values["generator.regret.high"]
    else:
        assert "generator.regret.low" not in real.values
    (real,) = paper_claims.pairs(results, values | {"demo.c.loss_agrees": 100.0})
    assert "generator.regret.low" not in real.values


def test_a_pair_that_has_not_learnt_decides_nothing():
    results = pair(gain__low=1)
    assert paper_claims.verdict(claim(), results) == "supported"
    for role in ("encoder", "generator"):
        row = {**getattr(results, role), "micro_f1": 9.9}
        assert paper_claims.verdict(claim(), results._replace(**{role: row})) is None


def test_of_a_further_pair_only_other_verdicts_are_shown(made_up, sketch, monkeypatch):
    sketch("pairs", systems(), "[[a, c], [b, c], [a, d]]")
    results = made_up(name="pairs")
    texts = {("a", "c"): "x", ("b", "c"): "x", ("a", "d"): "y"}
    one, two = (claim().model_copy(update={"statement": name}) for name in ("one", "two"))
    monkeypatch.setattr(paper_claims, "load", lambda: [one, two])
    monkeypatch.setattr(
        paper_claims, "verdict",
        lambda each, pair: texts[pair.encoder["system"], pair.generator["system"]] if each is one else "z",
    )  # fmt: skip
    shown = [rows for _, rows in paper_claims.verdicts(results)]
    assert shown == [[(one, "x"), (two, "z")], [(one, "y")]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- paper: C\n  statement: More\n  scope: {}\n", "claims.yaml: 0.paper: "),
        (
            "- paper: B\n  statement: More\n  scope: {}\n  supported: gain.lo > 0\n",
            "0.supported: no pair has a result",
        ),
        ("- paper: B\n  says: More\n  scope: {}\n", "0.says: unknown key"),
    ],
)
def test_claims_in_another_form(params, text, reason):
    (params.folder / "claims.yaml").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        paper_claims.load()


@pytest.mark.parametrize(
    ("comparisons", "expected"),
    [
        ("[[a, e], [c, e]]", ["a (encoder) with e (LLM tagger)", "e (LLM tagger) with c (generator)"]),
        ("[[a, b]]", []),
    ],
)
def test_an_llm_that_tags_is_no_encoder(made_up, sketch, comparisons, expected):
    """It is in no pair, and the tables name the systems that it was compared with."""
    sketch("kinds", systems("e: {model: smollm2-135m-tagger, label: e, train_sentences: 6}"), comparisons)
    results = made_up(name="kinds")
    values = result_values(results)
    assert claims.evaluate('demo.e.kind == "LLM tagger" and demo.a.kind == "encoder"', values)
    assert paper_claims.pairs_by_study(results) == [{}]
    for text in (paper_claims.tab_ledger(results), advice.tab_guide(results)):
        assert "compares no encoder" in text
        assert all(each in text for each in expected)
        assert text.count("LLM tagger") == len(expected)
