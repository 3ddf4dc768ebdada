"""The ledger: claims are decided inside of their scope alone."""

import pytest

from ner_utils.config.load import ConfigError
from ner_utils.thesis import advice, claims, paper_claims, result_numbers
from ner_utils.thesis.paper_claims import Entry, Pair, Scope

ENCODER = {"label": "E", "corpus": "C", "parameters_millions": 180.0}
GENERATOR = {"label": "G", "corpus": "C", "parameters_millions": 4000.0}
DEMO = {"a": "minilm", "b": "minilm", "c": "smollm2-135m", "d": "smollm2-135m"}


def systems(*more):
    return [f"{k}: {{model: {m}, label: {k}, train_sentences: 6}}" for k, m in DEMO.items()] + list(more)


def pair(**values):
    return Pair(
        "multinerd.de", ENCODER, GENERATOR, {name.replace("__", "."): v for name, v in values.items()}
    )


def entry(scope=None, supported="gain.low > 0", contradicted="gain.high < 0"):
    return Entry(
        paper="A", says="More.", scope=Scope(**scope or {}), supported=supported, contradicted=contradicted
    )


@pytest.mark.parametrize(
    ("low", "high", "wanted"), [(1, 2, "supported"), (-2, -1, "contradicted"), (-1, 1, "undecided")]
)
def test_verdicts(low, high, wanted):
    held = pair(gain__low=low, gain__high=high)
    assert paper_claims.verdict(entry(), held) == wanted
    inside = {"encoder_millions": [100.0, 500.0], "corpora": ["multinerd"]}
    assert paper_claims.verdict(entry(inside), held) == wanted
    for outside in ({"generator_millions": [7000.0, 8000.0]}, {"corpora": ["wnut17"]}):
        observed = {"supported": "agrees", "contradicted": "disagrees"}.get(wanted, wanted)
        assert paper_claims.verdict(entry(outside), held) == f"out of scope; observed: {observed}"


def test_an_estimate_is_called_one():
    guess = entry(supported="fit.big.training <= 24", contradicted="fit.big.training > 24").model_copy(
        update={"estimated": True}
    )
    assert paper_claims.verdict(guess, pair(fit__big__training=30.0)) == "contradicted (estimated)"
    assert paper_claims.verdict(guess, pair(fit__big__training=20.0)) == "supported (estimated)"


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
    """A result that a study does not have is silence; what no study can have is an error."""
    with pytest.raises(ValueError, match=reason):
        entry(supported=text)
    assert paper_claims.verdict(entry(supported="encoder.recall > generator.recall"), pair()) is None


def test_a_claim_is_quoted_with_its_page_or_marked_as_a_paraphrase():
    quoted = entry().model_copy(update={"quote": "2-8% more", "page": "1"})
    assert paper_claims._quoted(quoted) == r"More. \enquote{2-8\% more} (p.~1)"
    assert paper_claims._quoted(entry()) == "More. (paraphrase)"
    with pytest.raises(ValueError, match="give both or neither"):
        Entry(paper="B", says="More.", quote="More", scope=Scope())
    for one in paper_claims.load():
        assert bool(one.quote) == (one.paper == "B"), one.says


def test_what_is_not_known_is_not_tested():
    assert paper_claims.verdict(entry(), pair()) is None
    assert paper_claims.verdict(entry(supported=None, contradicted=None), pair(gain__low=1)) is None


def test_every_condition_can_be_evaluated(made_up):
    """Of the committed ledger, on a pair of a study: no key is misspelt."""
    results = made_up("minilm:train_sentences=160")
    numbers = result_numbers.values(results)
    (held,) = paper_claims.pairs(results, numbers)
    assert (held.encoder["system"], held.generator["system"]) == ("minilm", "smollm2-qlora")
    asked = {
        f"{role}.flexibility.held_out.{end}": 7.0
        for role in ("encoder", "generator")
        for end in ("low", "high")
    }
    held = held._replace(values=held.values | asked)  # this study holds no types out
    for one in paper_claims.load():
        if one.supported:
            assert "out of scope" in (paper_claims.verdict(one, held) or "") or not one.scope.model_fields_set
    text = paper_claims.tab_ledger(results, numbers)
    assert r"\cref{tab:efficiency}" in text


def test_a_gain_is_the_generators_whatever_is_declared_first(made_up):
    results = made_up("minilm:train_sentences=160")
    numbers = result_numbers.values(results)
    (held,) = paper_claims.pairs(results, numbers)
    difference = numbers["demo.minilm-vs-smollm2-qlora.difference"]
    assert held.values["gain.low"] <= -difference <= held.values["gain.high"]
    assert held.values["gain.p"] in set(results.comparisons["p_holm"])


@pytest.mark.parametrize(
    ("comparisons", "compared", "sign"),
    [("[[a, c], [c, e]]", "c-vs-e", 1), ("[[a, c], [e, c]]", "e-vs-c", -1), ("[[a, c]]", None, 0)],
)
def test_regret_is_what_choosing_by_loss_loses_on_test(made_up, sketch, comparisons, compared, sign):
    """Whichever is declared first; nothing where the loss agrees, unknown where nobody compared."""
    more = "e: {model: smollm2-135m, label: e, weights_of: c, selected_by: loss}"
    sketch("regret", systems(more), comparisons)
    results = made_up(name="regret")
    found = result_numbers.values(results)
    (held,) = paper_claims.pairs(results, found | {"demo.c.loss_agrees": 0.0})
    if compared:
        difference = sign * found[f"demo.{compared}.difference"]
        assert held.values["generator.regret.low"] <= difference <= held.values["generator.regret.high"]
    else:
        assert "generator.regret.low" not in held.values
    (held,) = paper_claims.pairs(results, found | {"demo.c.loss_agrees": 100.0})
    assert held.values["generator.regret.low"] == held.values["generator.regret.high"] == 0


def test_of_further_pairs_what_they_say_otherwise(made_up, sketch):
    sketch("pairs", systems(), "[[a, c], [b, c], [a, d]]")
    results = made_up(name="pairs")
    found = result_numbers.values(results)
    said = {("a", "c"): "x", ("b", "c"): "x", ("a", "d"): "y"}
    told = paper_claims.tell(
        results, found, ["one", "two"],
        lambda entry, pair: said[pair.encoder["system"], pair.generator["system"]] if entry == "one" else "z",
    )  # fmt: skip
    assert [each.rows for each in told] == [[("one", "x"), ("two", "z")], [("one", "y")]]


def test_a_study_without_a_pair(made_up):
    assert "compares no encoder" in paper_claims.tab_ledger(made_up(name="vote"), {})


def test_a_damaged_ledger(params):
    (params.folder / "claims.yaml").write_text("- paper: C\n  says: 1\n  scope: {}\n")
    with pytest.raises(ConfigError, match="claims.yaml"):
        paper_claims.load()
    (params.folder / "claims.yaml").write_text(
        "- paper: B\n  says: More\n  scope: {}\n  supported: gain.lo > 0\n"
    )
    with pytest.raises(ConfigError, match=r"claims.yaml: 0.supported: no pair has a result gain.lo"):
        paper_claims.load()


@pytest.mark.parametrize(
    ("comparisons", "wanted"),
    [
        ("[[a, e], [c, e]]", ["a (encoder) with e (LLM tagger)", "e (LLM tagger) with c (generator)"]),
        ("[[a, b]]", []),
    ],
)
def test_an_llm_that_tags_is_no_encoder(made_up, sketch, comparisons, wanted):
    """It is in no pair, and the tables say what it was compared with."""
    sketch("kinds", systems("e: {model: smollm2-135m-tagger, label: e, train_sentences: 6}"), comparisons)
    results = made_up(name="kinds")
    assert results.summary.set_index("system")["kind"].to_dict() == {
        "a": "encoder", "b": "encoder", "c": "generator", "d": "generator", "e": "LLM tagger",
    }  # fmt: skip
    found = result_numbers.values(results)
    assert claims.evaluate('demo.e.kind == "LLM tagger" and demo.a.kind == "encoder"', found)
    assert not list(paper_claims.pairs(results, found))
    for text in (paper_claims.tab_ledger(results, found), advice.nothing(results)):
        assert "compares no encoder" in text
        assert all(one in text for one in wanted)
        assert text.count("LLM tagger") == len(wanted)
    assert advice.advice(results, found).empty
