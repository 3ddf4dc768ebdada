"""Numbers, tables, claims and the plain discussion, as the thesis takes them."""

import re
from dataclasses import replace

import pytest

from ner_utils import config, paths, sealed, thesis
from ner_utils.config.load import ConfigError
from ner_utils.files import sha256
from ner_utils.results import cautions, study
from ner_utils.sealed import ResultError
from ner_utils.thesis import claims, paper_claims, result_numbers, result_tables, setup_tables

TABLES = "audit break_even comparisons conventions corpus costs efficiency ensembles "
TABLES += (
    "guide hyperparameters ledger own_settings parse prompts protocol provenance results runs tuning types"
)
HOSTILE = r"A_b & {c} 100% #1 $x$ \input{y} ~^"


def generated(name="plain"):
    return paths.THESIS / "generated" / name


def discuss(text, name="plain"):
    path = paths.THESIS / "discussions" / f"{name}.tex"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_everything_is_written(made_up):
    checked = result_numbers.write(made_up())
    assert {path.name for path in generated().iterdir()} == {
        *(f"tab_{name}.tex" for name in TABLES.split()),
        *("numbers.tex", "claims.tex", "discussion.tex"),
    }
    assert checked
    assert all(checked.values())
    text = (generated() / "discussion.tex").read_text()
    keys = set(re.findall(r"\\result\{(.*?)\}", text))
    defined = re.findall(r"\\defresult\{(.*?)\}", (generated() / "numbers.tex").read_text())
    assert keys <= set(defined)
    assert len(defined) == len(set(defined))
    assert r"\defclaim{demo.smollm2-qlora.failed > 0}{true}" in (generated() / "claims.tex").read_text()


def test_the_audit_names_lost_mentions_where_a_corpus_has_offsets(made_up):
    results = made_up()
    assert "overlap" not in setup_tables.audit(results)
    results.audits["demo"]["audit"]["splits"]["test"]["overlapping_mentions"] = 1234
    (row,) = [line for line in setup_tables.audit(results).splitlines() if "overlap" in line]
    assert row.endswith("& -- & -- & 1,234 \\\\"), row


def test_writing_again_changes_nothing(made_up):
    results = made_up()
    result_numbers.write(results)
    before = {path.name: path.read_bytes() for path in generated().iterdir()}
    result_numbers.write(results)
    assert before == {path.name: path.read_bytes() for path in generated().iterdir()}


def test_numbers(made_up):
    results = made_up()
    numbers = result_numbers.numbers(results)
    always = ("title", "question", "kind", "commit", "warnings")
    assert all(f"study.{name}" in numbers for name in always)
    assert numbers["study.warnings"].text == ""
    assert numbers["study.kind"].text == "demonstration"
    assert numbers["protocol.resamples"] == (50, "50")
    assert numbers["demo.sentences"] == (960, "960")
    assert numbers["demo.mentions"].text == "1,494"
    assert re.fullmatch(r"9\d\.\d\\,\\%", numbers["demo.agreement.f1"].text)
    row = results.summary.iloc[1]
    assert numbers["demo.smollm2-qlora.micro_f1"] == (row["micro_f1"], f"{row['micro_f1']:.1f}")
    assert numbers["demo.smollm2-qlora.failed"].text == rf"{row['failed']:.1f}\,\%"
    assert numbers["demo.smollm2-qlora.micro_f1.low"].value == row["micro_f1_low"]
    assert "demo.minilm.failed" not in numbers
    assert "demo.smollm2-zero-shot.training_seconds" not in numbers
    assert "demo.minilm.type.LOC.f1" in numbers
    assert "demo.minilm-vs-smollm2-qlora.p_holm" in numbers
    assert not {key for key in numbers if re.search(r"[{}#%\\ ]", key)}


def test_a_margin_can_be_asked_for_where_it_was_declared(made_up, sketch):
    """Without one, a text that rules a difference out does not build."""
    within = "abs(demo.minilm-vs-smollm2-qlora.difference) < protocol.margin"
    discuss(f"\\claim{{{within}}}{{No matter.}}")
    with pytest.raises(claims.ClaimError, match="unknown result key protocol.margin"):
        result_numbers.write(made_up())
    results = made_up("protocol.margin=99.5")
    assert result_numbers.write(results)[within] is True
    assert "99.5 points" in setup_tables.protocol(results)
    assert "none declared" in setup_tables.protocol(made_up())


def test_an_authors_claims_are_checked(made_up):
    better = "demo.minilm.micro_f1\n > demo.smollm2-qlora.micro_f1"
    discuss(f"\\claim{{{better}}}{{Yes.}} \\claim{{demo.minilm.micro_f1 < 0}}{{No.}}")
    checked = result_numbers.write(made_up())
    assert checked["demo.minilm.micro_f1 > demo.smollm2-qlora.micro_f1"] is True
    assert checked["demo.minilm.micro_f1 < 0"] is False
    assert r"\defclaim{demo.minilm.micro_f1 < 0}{false}" in (generated() / "claims.tex").read_text()


def test_an_unknown_key_names_its_place_and_leaves_the_numbers(made_up):
    discuss("\n\n\\claim{demo.minilm.micro > 0}{x}")
    with pytest.raises(claims.ClaimError, match=r"plain.tex:3: .*unknown result key demo.minilm.micro;"):
        result_numbers.write(made_up())
    assert (generated() / "numbers.tex").is_file()
    assert not (generated() / "claims.tex").exists()


def test_another_studys_discussion_does_not_matter(made_up):
    discuss("\\claim{no.such > 0}{x}", "wnut17-cpu")
    assert result_numbers.write(made_up())


def test_hostile_names_stay_text(made_up, add_study):
    text = (paths.PARAMS / "studies" / "plain.yaml").read_text()
    text = text.replace("label: SmolLM2 QLoRA (135M)", f"label: '{HOSTILE}'")
    text = re.sub("title: .*", lambda _: f"title: '{HOSTILE}'", text)
    add_study("hostile", text)
    result_numbers.write(made_up(name="hostile"))
    escaped = r"A\_b \& \{c\} 100\% \#1 \$x\$ \textbackslash{}input\{y\} \textasciitilde{}\textasciicircum{}"
    assert rf"\defresult{{study.title}}{{{escaped}}}" in (generated("hostile") / "numbers.tex").read_text()
    for path in generated("hostile").iterdir():
        assert r"\input{y}" not in path.read_text(), path.name


def test_three_seeds(made_up):
    results = made_up("seeds=[1,2,3]")
    assert all(result_numbers.write(results).values())
    assert r"MiniLM (22M) & 3 &" in result_tables.scores(results)


def test_no_generation_no_training_no_comparison(made_up, sketch):
    """Tables and figures exist even where a study has nothing to put into them."""
    sketch("tagger", ["minilm: {model: minilm}"])
    sketch("untrained", ["smollm2-zero-shot: {model: smollm2-135m, zero_shot: true}"])
    results = made_up(name="tagger")
    assert "No system of this study writes answers" in result_tables.parse(results)
    assert "No system of this study is prompted" in setup_tables.prompts(results)
    assert "This study declares no comparison" in result_tables.comparisons(results)
    assert all(result_numbers.write(results).values())
    results = made_up(name="untrained")
    assert "No system of this study is trained" in setup_tables.hyperparameters(results)
    assert all(result_numbers.write(results).values())


def test_many_trained_systems_share_the_columns_of_their_models(made_up, sketch):
    sizes = [f"m{size}: {{model: minilm, label: M{size}, train_sentences: {size}}}" for size in range(1, 7)]
    sketch("many", [*sizes, "s: {model: smollm2-135m, train_sentences: 6}"])
    results = made_up(name="many")
    shared, own = setup_tables.hyperparameters(results), setup_tables.own_settings(results)
    assert r"Training sentences & own & 6 \\" in shared
    assert r"Batch size & 16 & 8 \\" in shared
    assert r"M3 & Training sentences: 3 \\" in own
    assert result_numbers.numbers(results)["study.own_settings"].value == 7
    assert "study.own_settings" not in result_numbers.numbers(made_up())


def test_prompts_hold_no_sentence_of_a_corpus(made_up, demo):
    text = setup_tables.prompts(made_up())
    assert '{"text": "Marta Kowal", "type": "person"}' in text
    assert '"type": "chemical"' not in text  # the demo corpus has no such type
    assert not [s for split in demo.values() for s in split if s.text in text and len(s.tokens) > 3]


def test_overview_stands_beside_the_results(made_up):
    results = made_up()
    result_numbers.write(results)
    text = (paths.RESULTS / "plain" / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {results.study.title}\n")
    for row in results.summary.to_dict("records"):
        assert f"| {row['label']} | {row['train_sentences']:,.0f} | {row['micro_f1']:.1f} (" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {8}


# ----------------------------------------------------------------------------- studies beside it
OTHER = """
title: Disturbed and renamed
kind: demonstration
question: What does it cost?
datasets: [demo]
seeds: [1]
systems:
  minilm: {model: minilm, train_sentences: 99}
  lower: {model: minilm, label: Lower, weights_of: minilm, perturbed: lower case}
  writer: {model: smollm2-135m, train_sentences: 99}
  renamed: {model: smollm2-135m, label: Renamed, weights_of: writer, overrides: {type_names: {PER: human}}}
protocol: {primary_metric: micro_f1, comparisons: [[minilm, writer]], dev_evaluations: 1, dev_sample: 4,
           test_sentences: 40, latency_sentences: 1, resamples: 50}
"""


@pytest.fixture
def with_another(made_up, add_study):
    """``plain``, and beside it a study that asks what it does not."""
    add_study("other", OTHER)
    made_up(name="other")
    add_study("main", f"companions: [other]\n{(paths.PARAMS / 'studies' / 'plain.yaml').read_text()}")
    return made_up("minilm:train_sentences=160", "main")


def test_a_study_beside_answers_what_this_one_does_not_ask(with_another):
    found = result_numbers.numbers(with_another)
    (other,) = with_another.companions
    theirs = result_numbers.numbers(other)
    assert found["other.demo.lower.robustness.change"] == theirs["demo.lower.robustness.change"]
    assert found["study.disturbed"].value == found["study.flexible"].value == 1
    assert found["study.disturbed.title"].text == "Disturbed and renamed"
    assert found["study.flexible.sentences"].text == "40"
    assert "study.disturbed.title" not in theirs
    assert "study.label_efficiency" not in found
    names, _ = thesis.write(with_another)
    assert "lower case" in (generated("main") / "tab_robustness.tex").read_text()
    assert "types renamed" in (generated("main") / "tab_flexibility.tex").read_text()
    assert {"tab_label_efficiency", "fig_robustness"} <= set(names)


def test_a_study_beside_is_heard_where_this_one_is_silent(with_another):
    values = result_numbers.values(with_another)
    told = list(paper_claims.tell(with_another, values, ["gain.low", "encoder.robustness.mean_change"],
                            lambda name, pair: str(pair.values.get(name, "")) or None))  # fmt: skip
    assert [[bool(said) for _, said in each.rows] for each in told] == [[True, False], [True]]
    assert told[1].heading.endswith("(study other)")


def test_a_study_beside_is_run_and_checked_like_the_study(with_another, add_study):
    runs = config.with_companions("main", "seeds=[2]")
    assert {(run.study, run.seed) for run in runs if not run.untrained} == {("main", 2), ("other", 1)}
    (with_another.stored[0].run.results.parents[3] / "other/demo/lower/seed1/metrics.json").unlink()
    with pytest.raises(ResultError, match="other/demo/lower/seed1"):
        result_numbers.numbers(study.load_results("main", "minilm:train_sentences=160"))
    for name in ("main", "nobody"):
        add_study("main", f"companions: [{name}]\n{(paths.PARAMS / 'studies' / 'plain.yaml').read_text()}")
        with pytest.raises(ConfigError, match=rf"main.yaml: companions: '{name}' is no other study"):
            config.load_study("main")


def test_doubtful_times_and_empty_predictions_are_said(made_up):
    """In the overview and on the thesis' page of warnings; stored results without a usage have no doubts."""
    results = made_up()
    assert cautions.doubts(results.stored) == []
    assert "Warning" not in result_numbers.overview(results)
    busy = {"seconds": 10.0, "cpu_seconds": 9.0, "other_seconds": 12.0, "cores": 2, "threads": 2, "load": 4.0}
    first, second, *others = results.stored
    spoilt = first.efficiency | {"training_usage": busy}
    spoilt["latency"] = spoilt["latency"] | {"usage": busy}
    spoilt["failed_sentences"] = 3
    wild = [look | {"dev_loss": float("nan")} for look in second.efficiency["looks"]]
    stored = [
        replace(first, efficiency=spoilt),
        replace(
            second,
            metrics=second.metrics | {"predicted": 0},
            efficiency=second.efficiency | {"looks": wild},
        ),
        *others,
    ]
    lines = cautions.doubts(stored)
    a, b = (f"{item.run.system} on demo" for item in (first, second))
    assert lines == [
        "times are not to be trusted, because the machine was busy while they were taken: "
        f"{a} (training, latency)",
        f"no mention is predicted in any sentence: {b} (seed {second.run.seed})",
        f"sentences could not be predicted, and count as empty: {a} (3 with seed {first.run.seed})",
        f"the loss on dev is not a number, so the training diverged: {b} (seed {second.run.seed})",
    ]
    said = result_numbers.overview(replace(results, stored=stored))
    assert all(f"**Warning:** {line}." in said for line in lines)
    many = [
        replace(first, run=first.run.model_copy(update={"system": f"s{number}"}), efficiency=spoilt)
        for number in range(200)
    ]
    for line in cautions.doubts(many):
        assert len(line) < 700
        assert line.endswith("and 188 more")


def test_too_few_documents_are_said(made_up):
    """In warnings, which the thesis prints, and in the overview; intervals are those of sentences."""
    results = made_up()
    assert "documents" not in result_numbers.overview(results)
    assert not any("fewer than 20 documents" in line for line in results.warnings)
    alone = results.summary.set_index("system").loc["minilm"]
    for file in paths.RESULTS.glob("plain/demo/*/*/counts.jsonl"):
        text = re.sub(r'"document": "[^"]*"', '"document": "one"', file.read_text(encoding="utf-8"))
        file.write_text(text, encoding="utf-8")
        metrics = sealed.read_json(file.with_name("metrics.json"), "")
        metrics["files"]["counts.jsonl"] = sha256(file)
        sealed.write_json(file.with_name("metrics.json"), metrics)
    few = study.load_results("plain", "protocol.resamples=50")
    said = [line for line in few.warnings if "fewer than 20 documents" in line]
    assert len(said) == 1 and said[0] in result_numbers.overview(few)
    assert said[0].split(":")[0] in few.corpora
    row = few.summary.set_index("system").loc["minilm"]
    assert row["micro_f1_low"] < row["micro_f1"] == alone["micro_f1"] < row["micro_f1_high"]


def test_a_score_of_nothing_has_an_interval(made_up):
    """A system that finds nothing: its upper limit is printed, and told from 0 where it is small."""
    results = made_up()
    item = next(item for item in results.stored if item.run.untrained)
    for row in item.counts:
        row["counts"] = {kind: [0, 0, tp + fn] for kind, (tp, _, fn) in row["counts"].items()}
    name = f"demo.{item.run.system}.micro_f1"
    numbers = result_numbers.numbers(results)
    assert numbers[f"{name}.low"].text == "0.0"
    assert float(numbers[f"{name}.high"].text) == pytest.approx(numbers[f"{name}.high"].value, abs=0.05)
    assert numbers[f"{name}.high"].value > 1
    assert f"(0.0 to {numbers[f'{name}.high'].text})" in result_numbers.overview(results)
    assert "0.0 to 0.0" not in result_tables.scores(results)
