"""Numbers, tables, claims and the generated texts of the thesis."""

import re
from copy import deepcopy
from dataclasses import replace

import pytest

from ner_utils import paths
from ner_utils.rendering import latex
from ner_utils.results.study import load_results
from ner_utils.thesis import build, claims, result_tables, setup_tables
from ner_utils.thesis.numbers import result_numbers, result_values

TABLES = "audit checklist companions comparisons conventions corpus efficiency ensembles guide "
TABLES += "hyperparameters ledger own_settings parse prompts protocol provenance results runs types"
HOSTILE = r"A_b & {c} 100% #1 $x$ \input{y} ~^"


def generated(name="plain"):
    return paths.THESIS / "generated" / name


def contents():
    return {path.name: path.read_text(encoding="utf-8") for path in generated().iterdir()}


@pytest.fixture
def discuss(plain_results):
    """``discuss(text, study)`` writes the discussion of a study of the shared project, for one test."""
    folder = paths.THESIS / "discussions"
    folder.mkdir(parents=True, exist_ok=True)
    yield lambda text, name="plain": (folder / f"{name}.tex").write_text(text)
    for path in folder.iterdir():
        path.unlink()


def test_everything_is_written(plain_results):
    checked = build.write_texts(plain_results)
    written = contents()
    names = [*(f"tab_{name}.tex" for name in TABLES.split()), "numbers.tex", "claims.tex"]
    names += ["leads.tex", "discussion.tex"]
    assert set(written) == set(names)
    assert checked and all(checked.values())
    keys = set(re.findall(r"\\result\{(.*?)\}", written["leads.tex"]))
    leads = set(re.findall(r"\\deflead\{(.*?)\}", written["leads.tex"]))
    assert keys and set(re.findall(r"\\lead\{(.*?)\}", written["discussion.tex"])) <= leads
    assert {"abstract", "conclusion", "quality", "cost"} <= leads
    defined = re.findall(r"\\defresult\{(.*?)\}", written["numbers.tex"])
    assert keys <= set(defined)
    assert len(defined) == len(set(defined))
    assert r"\defclaim{demo.smollm2-qlora.failed >= " in written["claims.tex"]
    build.write_texts(plain_results)
    assert written == contents()


def test_the_audit_names_lost_mentions_where_a_corpus_has_offsets(plain_results):
    assert "overlap" not in setup_tables.audit(plain_results)
    audits = deepcopy(plain_results.audits)
    audits["demo"]["audit"]["splits"]["test"]["overlapping_mentions"] = 1234
    text = setup_tables.audit(replace(plain_results, audits=audits))
    (row,) = [line for line in text.splitlines() if "overlap" in line]
    assert row.endswith("& -- & -- & 1,234 \\\\"), row


def test_numbers(plain_results):
    numbers = result_numbers(plain_results)
    always = ("title", "question", "kind", "commit", "warnings")
    assert all(f"study.{name}" in numbers for name in always)
    assert numbers["study.warnings"].text == ""
    assert numbers["study.kind"].text == "demonstration"
    assert numbers["protocol.resamples"] == (50, "50")
    assert numbers["demo.sentences"] == (960, "960")
    assert numbers["demo.mentions"].text == "1,494"
    assert re.fullmatch(r"9\d\.\d\\,\\%", numbers["demo.agreement.f1"].text)
    row = plain_results.summary.iloc[1]
    assert numbers["demo.smollm2-qlora.micro_f1"] == (row["micro_f1"], f"{row['micro_f1']:.1f}")
    assert numbers["demo.smollm2-qlora.failed"].text == rf"{row['failed']:.1f}\,\%"
    assert numbers["demo.smollm2-qlora.micro_f1.low"].value == row["micro_f1_low"]
    assert "demo.minilm.failed" not in numbers
    assert "demo.smollm2-zero-shot.training_seconds" not in numbers
    assert "demo.minilm.type.LOC.f1" in numbers
    assert "demo.minilm-vs-smollm2-qlora.p_holm" in numbers
    assert "study.own_settings" not in numbers
    assert not {key for key in numbers if re.search(r"[{}#%\\ ]", key)}


def test_intervals_and_p_values_of_a_table_are_latex(plain_results):
    row = plain_results.comparisons.iloc[0]
    p_values = f"{latex.p_value(row['p'])} & {latex.p_value(row['p_holm'])}"
    ends = latex.interval(row["low"], row["high"])
    assert f"& {ends} & {row['smallest']:.1f} & {p_values} " in result_tables.comparisons(plain_results)


def test_without_a_margin_no_text_rules_a_difference_out(plain_results):
    assert "protocol.margin" not in result_numbers(plain_results)
    assert "none declared" in setup_tables.protocol(plain_results)


def test_a_declared_margin_is_a_number(made_up):
    results = made_up("protocol.margin=99.5")
    within = "abs(demo.minilm-vs-smollm2-qlora.difference) < protocol.margin"
    assert claims.evaluate(within, result_values(results)) is True
    assert "99.5 points" in setup_tables.protocol(results)


def test_an_authors_claims_are_checked(plain_results, discuss):
    better = "demo.minilm.micro_f1\n > demo.smollm2-qlora.micro_f1"
    discuss(f"\\claim{{{better}}}{{Yes.}} \\claim{{demo.minilm.micro_f1 < 0}}{{No.}}")
    discuss("\\claim{no.such > 0}{x}", "wnut17-cpu")  # another study's discussion does not matter
    checked = build.write_texts(plain_results)
    assert checked["demo.minilm.micro_f1 > demo.smollm2-qlora.micro_f1"] is True
    assert checked["demo.minilm.micro_f1 < 0"] is False
    assert r"\defclaim{demo.minilm.micro_f1 < 0}{false}" in contents()["claims.tex"]


def test_an_unknown_key_names_its_place_and_leaves_the_numbers(plain_results, discuss):
    for name in ("numbers", "claims"):
        (generated() / f"{name}.tex").unlink(missing_ok=True)
    discuss("\n\n\\claim{demo.minilm.micro > 0}{x}")
    with pytest.raises(claims.ClaimError, match=r"plain.tex:3: .*unknown result key demo.minilm.micro;"):
        build.write_texts(plain_results)
    assert (generated() / "numbers.tex").is_file()
    assert not (generated() / "claims.tex").exists()


def test_hostile_names_stay_text(made_up, add_study):
    text = (paths.PARAMS / "studies" / "plain.yaml").read_text()
    text = text.replace("label: SmolLM2 QLoRA (135M)", f"label: '{HOSTILE}'")
    text = re.sub("title: .*", lambda _: f"title: '{HOSTILE}'", text)
    add_study("hostile", text)
    build.write_texts(made_up(name="hostile"))
    escaped = r"A\_b \& \{c\} 100\% \#1 \$x\$ \textbackslash{}input\{y\} \textasciitilde{}\textasciicircum{}"
    assert rf"\defresult{{study.title}}{{{escaped}}}" in (generated("hostile") / "numbers.tex").read_text()
    for path in generated("hostile").iterdir():
        assert r"\input{y}" not in path.read_text(), path.name


def test_three_seeds(made_up):
    results = made_up("seeds=[1,2,3]")
    assert all(build.write_texts(results).values())
    assert r"MiniLM (22M) & 3 &" in result_tables.scores(results)


def test_no_generation_no_training_no_comparison(made_up, sketch):
    """Tables and figures exist even where a study has nothing to put into them."""
    sketch("tagger", ["minilm: {model: minilm}"])
    sketch("untrained", ["smollm2-zero-shot: {model: smollm2-135m, zero_shot: true}"])
    results = made_up(name="tagger")
    assert "No system of this study writes answers" in result_tables.parse(results)
    assert "No system of this study is prompted" in setup_tables.prompts(results)
    assert "This study declares no comparison" in result_tables.comparisons(results)
    assert all(build.write_texts(results).values())
    results = made_up(name="untrained")
    assert "No system of this study is trained" in setup_tables.hyperparameters(results)
    assert all(build.write_texts(results).values())


def test_many_trained_systems_share_the_columns_of_their_models(made_up, sketch):
    sizes = [f"m{size}: {{model: minilm, label: M{size}, train_sentences: {size}}}" for size in range(1, 7)]
    sketch("many", [*sizes, "s: {model: smollm2-135m, train_sentences: 6}"])
    results = made_up(name="many")
    shared, own = setup_tables.hyperparameters(results), setup_tables.own_settings(results)
    assert r"Training sentences & own & 6 \\" in shared
    assert r"Batch size & 16 & 8 \\" in shared
    assert r"LoRA r & -- & 16 \\" in shared
    assert r"M3 & Training sentences: 3 \\" in own
    assert result_numbers(results)["study.own_settings"].value == 7


def test_the_attention_of_llm_taggers_is_listed(made_up, sketch):
    systems = ["m: {model: minilm, train_sentences: 6, overrides: {head_learning_rate: 2.0e-2}}"]
    systems.append("c: {model: smollm2-135m-tagger, label: C}")
    systems.append("b: {model: smollm2-135m-tagger, label: B, overrides: {attention: bidirectional}}")
    sketch("masks", systems)
    table = setup_tables.hyperparameters(made_up(name="masks"))
    assert r"Attention & -- & causal & bidirectional \\" in table
    assert r"Labelled sub-token & -- & last & last \\" in table
    assert r"Head learning rate & 0.02 & -- & -- \\" in table and "Threshold" not in table


def test_prompts_hold_no_sentence_of_a_corpus(plain_results, demo):
    text = setup_tables.prompts(plain_results)
    assert '{"text": "Marta Kowal", "type": "person"}' in text
    assert '"type": "chemical"' not in text  # the demo corpus has no such type
    assert not [s for split in demo.values() for s in split if s.text in text and len(s.tokens) > 3]


def test_every_way_of_prompting_is_shown_once():
    results = load_results("formats")
    text = setup_tables.prompts(results)
    ways = {(run.model.output_format, run.model.wording) for run in results.systems if run.writes}
    assert len(ways) > 5 and text.count(r"\paragraph{") == len(ways)
    for name, wording in ways:
        assert f"{name}, wording {wording}}}" in text
    assert text.count(r"\emph{Answer}") == len(ways)


def test_the_overview_is_with_the_results(plain_results):
    build.write_texts(plain_results)
    text = (paths.RESULTS / "plain" / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {plain_results.study.title}\n")
    for row in plain_results.summary.to_dict("records"):
        assert f"| {row['label']} | {row['train_sentences']:,.0f} | {row['micro_f1']:.1f} (" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {8}


def test_the_checklist_counts_a_shared_training_once(plain_results):
    text = result_tables.checklist(plain_results)
    assert "1; 3 runs, all of them reported" in text and "no search in this study" in text
    item = next(each for each in plain_results.stored if each.run.system == "minilm")
    alone = result_tables._seconds(item)
    assert alone > item.efficiency["training_seconds"] + item.efficiency["looks_seconds"]
    shared = item.run.model_copy(update={"base": item.run})
    same = type(item)(shared, item.manifest, item.metrics, item.efficiency, item.counts)
    predicted = item.metrics["sentences"] / item.efficiency["sentences_per_second"]
    assert result_tables._seconds(same) == pytest.approx(predicted)
