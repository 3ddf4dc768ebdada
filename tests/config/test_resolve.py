"""Runs of a study: which there are, and what gives a run another fingerprint."""

import json
import re
import shutil

import pytest
from conftest import SMALL, TAGGER, refused

from ner_utils import config, paths


def run(system="encoder", seed=1, overrides=""):
    return config.load_run("small", "small", system, seed, overrides)


@pytest.mark.parametrize("name", config.names("studies"))
def test_every_study_resolves_to_runs(name):
    tuned = [name for name, system in config.load_study(name).systems.items() if system.settings == "tuned"]
    searches = (paths.RESULTS / name).glob("*/*/tuning.json")
    finished = [path.parent.name for path in searches if json.loads(path.read_text()).get("finished", True)]
    if set(tuned) - set(finished):
        message = refused(config.runs_of, name)
        assert "not tuned yet" in message and f"run make tune STUDY={name}" in message
        return
    runs = config.runs_of(name)
    assert runs
    assert len({item.results for item in runs}) == len({item.scratch for item in runs}) == len(runs)
    # A search may end with the declared settings.
    declared = [item for item in runs if item.system not in tuned]
    assert len({item.fingerprint for item in declared}) == len(declared)
    assert all(item.seed == 0 for item in runs if item.untrained and not item.few_shot)


def test_runs_of_a_study(params):
    runs = config.runs_of("small")
    assert [(item.system, item.seed, item.label) for item in runs] == [
        ("encoder", 1, "A model"),
        ("encoder", 2, "A model"),
        ("writer", 1, "A writer"),
        ("writer", 2, "A writer"),
        ("untrained", 0, "A model"),
    ]
    assert runs[0].results == paths.RESULTS / "small" / "small" / "encoder" / "seed1"
    assert runs[0].scratch.parent == paths.RUNS / "small" / "small" / "encoder" / "seed1"
    assert runs[0] == run()
    assert len({item.fingerprint for item in runs}) == len(runs)
    for item in runs:
        assert re.fullmatch("[0-9a-f]{64}", item.fingerprint)
        assert json.loads(json.dumps(item.identity)) == item.identity


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("small", "large", "encoder", 1), "datasets/large.yaml: no such file; there are: small"),
        ((2024, "small", "encoder", 1), "papermill names with -r"),
        (("small", 2024, "encoder", 1), "papermill names with -r"),
        (("small", "small", "reader", 1), "no system 'reader'; there are: encoder, writer, untrained"),
        (("small", "small", "encoder", 3), "no seed 3; there are: [1, 2]; for another: OVERRIDES=seeds=[3]"),
        (("small", "small", "untrained", 1), "system untrained has no seed 1; there are: [0]"),
    ],
)
def test_runs_that_do_not_exist(params, arguments, message):
    assert message in refused(config.load_run, *arguments)


def test_a_system_has_its_own_seeds_alone(params):
    params.edit(SMALL, "train_sentences: 2", "seeds: [1]")
    assert refused(config.load_run, "small", "small", "encoder", 2).endswith("no seed 2; there are: [1]")


def test_companions_that_are_overridden(params):
    studies = params.folder / "studies"
    shutil.copy(studies / "small.yaml", studies / "other.yaml")
    assert {run.study for run in config.with_companions("small", "companions=[other]")} == {"small", "other"}


def test_a_corpus_that_the_study_does_not_list(params, capsys):
    """Run, fingerprint and folder are those of the study with the corpus in place of its own."""
    params.write("datasets/mine", params.read("datasets/small").replace("label: Small", "label: Mine"))
    mine = config.load_run("small", "mine", "encoder", 2)
    assert "datasets=[mine]" in capsys.readouterr().out
    assert mine == config.load_run("small", "mine", "encoder", 2, "datasets=[mine]")
    assert mine.results == paths.RESULTS / "small" / "mine" / "encoder" / "seed2"
    assert config.runs_of("small", dataset="mine") == config.runs_of("small", "datasets=[mine]")
    assert config.runs_of("small", dataset="small") == config.runs_of("small")
    assert capsys.readouterr().out.count("\n") == 1
    params.edit("datasets/mine", "PER: person, LOC: location", "PER: person, DIS: disease")
    params.edit(SMALL, "{model: tagger, train_sentences: 2}", "{model: tagger, held_out: [LOC]}")
    assert "held_out: mine has no type LOC" in refused(config.load_run, "small", "mine", "encoder", 1)


# ----------------------------------------------------------------------------- fingerprints
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        pytest.param(TAGGER, "label: A model", "label: Another", id="model's label"),
        pytest.param(SMALL, "model: tagger,", "model: tagger, label: Mine,", id="system's label"),
        pytest.param(SMALL, "title: A study", "title: Another study", id="title"),
        pytest.param(SMALL, "resamples: 100", "resamples: 200", id="resamples"),
        pytest.param(SMALL, "[1, 2]", "[1, 2, 3]", id="more seeds"),
        pytest.param("datasets/small", "CC0 1.0", "MIT", id="licence"),
        pytest.param("datasets/small", "train.tsv,", "train.tsv, url: 'https://x.org',", id="address"),
        pytest.param("datasets/small", "conll", "conll\nscheme: iob2\nseparator: tab", id="defaults"),
        pytest.param("datasets/small", "conll", "conll\nprivate: true", id="private"),
        pytest.param(TAGGER, "label: A", "attention: causal\nlabelled: first\nlabel: A", id="attention"),
        pytest.param(TAGGER, "epochs: 2\n  weight_decay: 0.01", "weight_decay: 0.01\n  epochs: 2", id="keys"),
    ],
)
def test_fingerprint_is_stable(params, name, old, new):
    before = run().fingerprint
    params.edit(name, old, new)
    assert run().fingerprint == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        pytest.param(TAGGER, "learning_rate: 2.0e-4", "learning_rate: 2.1e-4", id="learning rate"),
        pytest.param(TAGGER, "a" * 40, "c" * 40, id="weights"),
        pytest.param(TAGGER, "label: A", "attention: bidirectional\nlabel: A", id="attention"),
        pytest.param(SMALL, "train_sentences: 2", "train_sentences: 3", id="training sentences"),
        pytest.param(SMALL, "dev_evaluations: 2", "dev_evaluations: 3", id="evaluations on dev"),
        pytest.param(SMALL, "resamples: 100", "resamples: 100\n  test_sentences: 2", id="test sentences"),
        pytest.param("datasets/small", "PER: person", "PER: human", id="word of a type"),
        pytest.param("datasets/small", "sentences: 3", "sentences: 4", id="number of sentences"),
        pytest.param("datasets/small", "conll", "conll\nscheme: bioes", id="scheme"),
        pytest.param("datasets/small", "conll", "conll\ncolumns: [tag, token]", id="columns"),
        pytest.param("datasets/small", "conll", "conll\nseparator: space", id="separator"),
        pytest.param("datasets/small", "train.tsv,", f"train.tsv, sha256: {'a' * 64},", id="checksum"),
        pytest.param("datasets/small", "PER: person, LOC: location", "LOC: location, PER: person", id="swap"),
    ],
)  # fmt: skip
def test_fingerprint_changes(params, name, old, new):
    before = run().fingerprint
    params.edit(name, old, new)
    assert run().fingerprint != before


def test_fingerprint_includes_the_treatment_of_overlaps(params):
    params.edit("datasets/small", "conll", "pubtator\noverlaps: refuse")
    before = run().fingerprint
    params.edit("datasets/small", "refuse", "longest")
    assert run().fingerprint != before


def test_fingerprint_of_zero_shot_ignores_training(params):
    text = "model.training.learning_rate=1.0e-3 model.lora.r=64 protocol.dev_evaluations=9"
    assert run("untrained", 0, text).fingerprint == run("untrained", 0).fingerprint
    changed = run("untrained", 0, "model.max_new_tokens=33")
    assert changed.fingerprint != run("untrained", 0).fingerprint


def test_a_system_predicts_with_the_weights_of_another(params):
    params.edit(SMALL, "  untrained:", "  strict: {model: writer, label: S, weights_of: writer, "
                "overrides: {constrained: grounded}}\n  untrained:")  # fmt: skip
    params.edit(SMALL, "{model: writer, label: A writer}", "{model: writer, train_sentences: 2}")
    strict = run("strict", 2)
    assert strict.base == run("writer", 2)
    assert strict.train_sentences == 2
    assert strict.fingerprint != strict.base.fingerprint


def test_a_notebook_takes_the_approaches_that_it_is_for():
    assert config.load_run("demo", "demo", "minilm", 1, approaches=["tagging"]).system == "minilm"
    expected = "demo.yaml: the model of minilm has approach: tagging; expected generation here"
    with pytest.raises(config.ConfigError, match=expected):
        config.load_run("demo", "demo", "minilm", 1, approaches=["generation"])
