"""A study's results read back: what is refused, and that numbers are those of the predictions."""

import json

import numpy as np
import pytest
import synthetic

from ner_utils import config, data, paths, sealed
from ner_utils.results import evaluation, provenance, study
from ner_utils.results.measures import evaluation_rows
from ner_utils.sealed import ResultError

OVERRIDES = "protocol.resamples=50 "


def reload(overrides=""):
    return study.load_results("plain", OVERRIDES + overrides)


def file(name, system="minilm", seed=1):
    return paths.RESULTS / "plain" / "demo" / system / f"seed{seed}" / name


def test_summary(made_up):
    results = made_up()
    assert list(results.summary["system"]) == ["minilm", "smollm2-qlora", "smollm2-zero-shot"]
    row = results.summary.iloc[0]
    metrics = json.loads(file("metrics.json").read_text())
    assert row["micro_f1"] == pytest.approx(100 * metrics["micro"]["f1"])
    assert row["macro_f1"] == pytest.approx(100 * metrics["macro"]["f1"])
    assert row["micro_f1_low"] < row["micro_f1"] < row["micro_f1_high"]
    assert row["seeds"] == 1
    assert np.isnan(row["failed"])  # a tagger writes no answers
    writer = results.summary.iloc[1]
    assert writer["ok"] + writer["recovered"] + writer["failed"] == pytest.approx(100)
    assert writer["train_sentences"] == config.load_study("plain").systems["smollm2-qlora"].train_sentences
    untrained = results.summary.iloc[2]
    assert untrained["train_sentences"] == 0
    assert np.isnan(untrained["training_seconds"])
    assert results.warnings == []


def test_means_over_three_seeds(made_up):
    results = made_up("seeds=[1,2,3]")
    assert len(results.runs) == 7  # zero-shot runs once
    of = results.runs[results.runs["system"] == "minilm"]
    row = results.summary.iloc[0]
    assert row["seeds"] == 3
    assert row["micro_f1"] == pytest.approx(of["micro_f1"].mean())
    assert of["micro_f1"].nunique() > 1
    by_type = results.types[(results.types["system"] == "minilm") & (results.types["type"] == "LOC")]
    scores = [json.loads(file("metrics.json", seed=seed).read_text())["types"]["LOC"] for seed in (1, 2, 3)]
    assert by_type["f1"].item() == pytest.approx(np.mean([100 * score["f1"] for score in scores]))
    assert by_type["mentions"].item() == scores[0]["support"]


def test_comparisons_are_the_declared_ones(made_up):
    results = made_up("seeds=[1,2,3]")
    pairs = config.load_study("plain").protocol.comparisons
    assert results.comparisons[["a", "b"]].to_numpy().tolist() == pairs
    scores = results.summary.set_index("system")["micro_f1"]
    for row in results.comparisons.to_dict("records"):
        assert row["difference"] == pytest.approx(scores[row["a"]] - scores[row["b"]])
        assert row["low"] < row["difference"] < row["high"]
        assert row["p"] <= row["p_holm"] <= 1


def test_runs_of_the_seeds_that_both_systems_have_are_compared(made_up, sketch, studies):
    """Three seeds against two of them: the first has no partner, and is left out."""
    few = "smollm2: {model: smollm2-135m, label: LLM, seeds: [2, 3]}"
    sketch("uneven", ["minilm: {model: minilm, label: Encoder}", few], "[[minilm, smollm2]]")
    file_of_study = studies / "uneven.yaml"
    file_of_study.write_text(file_of_study.read_text().replace("seeds: [1]", "seeds: [1, 2, 3]", 1))
    results = made_up("", "uneven")
    runs = results.runs.set_index(["system", "seed"])["micro_f1"]
    expected = np.mean([runs["minilm", seed] - runs["smollm2", seed] for seed in (2, 3)])
    row = results.comparisons.iloc[0]
    assert row["difference"] == pytest.approx(expected)
    assert row["low"] < expected < row["high"]
    means = results.summary.set_index("system")["micro_f1"]
    assert means["minilm"] - means["smollm2"] != pytest.approx(expected)


def test_evaluations_on_dev(plain_results):
    evaluations = plain_results.evaluations
    assert set(evaluations["system"]) == {"minilm", "smollm2-qlora"}
    for _, block in evaluations.groupby("system"):
        assert block["chosen"].sum() == block["lowest_loss"].sum() == 1
        assert block.loc[block["chosen"], "dev_f1"].item() == block["dev_f1"].max()
        assert block.loc[block["lowest_loss"], "dev_loss"].item() == block["dev_loss"].min()


def test_loss_and_f1_may_choose_differently():
    looks = [
        {"step": 5, "epoch": 1, "dev_f1": 0.2, "dev_loss": 0.1},
        {"step": 10, "epoch": 2, "dev_f1": 0.3, "dev_loss": 0.4},
    ]
    rows = evaluation_rows({"looks": looks, "steps_declared": 20, "best_checkpoint": "checkpoint-10"})
    assert [row["progress"] for row in rows] == [25, 50]
    assert [row["chosen"] for row in rows] == [False, True]
    assert [row["lowest_loss"] for row in rows] == [True, False]


def test_a_study_of_one_system(made_up, add_study):
    text = (paths.PARAMS / "studies" / "plain.yaml").read_text()
    head, _, tail = text.partition("  smollm2-qlora:")
    protocol = tail[tail.index("protocol:") :].split("comparisons:")
    rest = protocol[1][protocol[1].index("  dev_evaluations:") :]
    add_study("one", f"{head}{protocol[0]}comparisons: []\n{rest}")
    results = made_up(name="one")
    assert len(results.summary) == 1
    assert results.comparisons.empty


# ---------------------------------------------------------------------------- refused
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stages": {"scoring": 0}}, "other rules"),
        ({"fingerprint": "0"}, "another configuration"),
        ({"files": {"counts.jsonl": "0"}}, "counts.jsonl: not the file of these scores"),
    ],
)
def test_scores_that_do_not_fit_are_refused_although_their_seal_is_whole(made_up, change, reason):
    made_up()
    path = file("metrics.json", "smollm2-qlora")
    sealed.write_json(path, sealed.read_json(path, "") | change)
    with pytest.raises(ResultError, match=reason):
        reload()


def test_runs_that_read_other_files_are_refused(made_up):
    """A corpus without a declared checksum can change between two runs of a study."""
    made_up()
    path = next(file("", "smollm2-qlora").glob("manifest-*.json"))
    values = sealed.read_json(path, "")
    values["inputs"]["data"]["test.jsonl"] = "0"
    sealed.write_json(path, values)
    with pytest.raises(ResultError, match=r"smollm2-qlora/seed1: the run read another test.jsonl than"):
        reload()


def test_runs_scored_on_different_gold_are_refused(made_up):
    made_up()
    run = config.load_run("plain", "demo", "minilm", 1, OVERRIDES)
    gold = data.load_split("demo", run.dataset, "test")
    index = next(index for index, sentence in enumerate(gold) if sentence.spans)
    predicted = evaluation.load_predictions(run, gold)
    gold[index] = data.Sentence(gold[index].id, gold[index].document, gold[index].tokens, ())
    evaluation.write_metrics(run, gold, predicted)
    with pytest.raises(ResultError, match="different gold"):
        _ = reload().summary


@pytest.mark.parametrize("name", ["metrics.json", "counts.jsonl", "manifest"])
def test_a_missing_file_is_named(made_up, name):
    made_up()
    path = next(file("").glob("manifest-*.json")) if name == "manifest" else file(name)
    path.unlink()
    with pytest.raises(ResultError, match=r"plain/demo/minilm/seed1"):
        reload()


def test_a_missing_audit_is_named(made_up):
    made_up()
    (paths.RESULTS / "plain" / "demo" / "audit.json").unlink()
    with pytest.raises(ResultError, match=r"audit.json: not made yet"):
        reload()


def test_another_configuration_is_refused(made_up):
    made_up()
    with pytest.raises(ResultError, match=r"another configuration .*epochs"):
        reload("minilm:model.training.epochs=17")


def test_two_systems_of_one_label_are_refused(made_up, add_study):
    text = (paths.PARAMS / "studies" / "plain.yaml").read_text()
    add_study("twins", text.replace("SmolLM2 zero-shot (135M)", "SmolLM2 QLoRA (135M)"))
    with pytest.raises(ResultError, match="twins.yaml: two systems have one label"):
        made_up(name="twins")


def test_other_versions_and_machines_are_warned_about(made_up, monkeypatch):
    made_up()
    environment = provenance.environment()
    other = environment | {
        "versions": environment["versions"] | {"torch": "1.0"},
        "machine": {"system": "Linux", "processor": "A Z80"},
    }
    monkeypatch.setattr(provenance, "environment", lambda: other)
    run = config.load_run("plain", "demo", "minilm", 1, OVERRIDES)
    synthetic.write_run(run, data.load("demo", run.dataset))
    warnings = reload().warnings
    assert any("torch 1.0" in line for line in warnings)
    assert any("different machines" in line and "A Z80" in line for line in warnings)


def test_what_is_needed_twice_is_computed_once(plain_results):
    results, calls = plain_results, []

    @study.computed_once
    def name_and(of, *arguments):
        calls.append(arguments)
        return of.name, *arguments

    values = [name_and(results, "a"), name_and(results, "b"), name_and(results, "a")]
    assert values == [("plain", "a"), ("plain", "b"), ("plain", "a")]
    assert calls == [("a",), ("b",)]
