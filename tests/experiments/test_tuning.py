"""Tuning: the same trials for every system, on dev alone, and nothing lost by an interruption."""

import json
import runpy
import sys

import pytest
from conftest import show

from ner_utils import config, paths, sealed
from ner_utils.config import tuned
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.experiments import experiment, preflight, tuning
from ner_utils.thesis import result_tables
from ner_utils.thesis.numbers import result_numbers

STUDY = """
title: Tuned
kind: demonstration
question: Does tuning pay?
datasets: [demo]
seeds: [1]
systems:
  declared: {model: minilm, label: As declared, train_sentences: 8, overrides: {training.epochs: 1}}
  tuned:
    model: minilm
    label: Tuned
    train_sentences: 8
    overrides: {training.epochs: 1}
    settings: tuned
    space:
      training.learning_rate: {low: 1.0e-5, high: 1.0e-2, log: true}
      training.batch_size: [4, 16]
protocol:
  primary_metric: micro_f1
  comparisons: [[tuned, declared]]
  dev_evaluations: 1
  dev_sample: 4
  test_sentences: 8
  latency_sentences: 1
  resamples: 50
  tuning: {trials: 2, seed: 7}
  dollars_per_hour: [0.05, 0.1]
"""


@pytest.fixture
def study(add_study, tmp_path, monkeypatch):
    """The study above, with results and runs of the test's own; returns its name."""
    for name in ("RESULTS", "RUNS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    add_study("tried", STUDY)
    return "tried"


def declared() -> Run:
    return config.load_run("tried", "demo", "tuned", 1, declared=True)


def read() -> dict:
    return json.loads(tuned.path(declared()).read_text())


def forget_times(found: dict) -> list:
    return [{key: trial[key] for key in ("values", "dev_f1")} for trial in found["trials"]]


@pytest.mark.slow
def test_a_search_from_start_to_end(study, demo, monkeypatch, capsys):
    """Interrupted in its second trial and continued, a search has the same trials as an undisturbed one."""
    small = {split: sentences[:8] for split, sentences in demo.items()}
    monkeypatch.setattr(tuning.data, "load", lambda name, dataset: small)
    with pytest.raises(ConfigError, match="tuning.json: not tuned yet; run make tune STUDY=tried"):
        preflight.check_study(study)
    train, seen = experiment.train_run, []

    def stop(run, corpus, checkpoints):
        seen.append(run)
        assert set(corpus) == {"train", "dev"}  # test is out of reach
        if len(seen) == 2:
            raise KeyboardInterrupt
        return train(run, corpus, checkpoints)

    monkeypatch.setattr(experiment, "train_run", stop)
    with pytest.raises(KeyboardInterrupt):
        tuning.main(study)
    assert len(read()["trials"]) == 1
    with pytest.raises(ConfigError, match=r"not tuned yet \(1 of 2 trials\); run make tune STUDY=tried"):
        preflight.check_study(study)
    # Elsewhere: what a trial left in `runs` is gone, its result is stored.
    monkeypatch.setattr(paths, "RUNS", paths.RUNS / "elsewhere")
    again = []
    monkeypatch.setattr(
        experiment, "train_run", lambda run, *rest, **how: again.append(run) or train(run, *rest, **how)
    )
    tuning.main(study)
    resumed = read()
    assert len(again) == 1
    assert [len(resumed["trials"]), resumed["declared"]] == [2, 0]
    monkeypatch.setattr(experiment, "train_run", train)
    assert resumed["trials"][0]["values"] == {"training.learning_rate": 2e-4, "training.batch_size": 16}
    assert len({json.dumps(trial["values"]) for trial in resumed["trials"]}) == 2
    assert resumed["seconds"] == sum(trial["seconds"] for trial in resumed["trials"]) > 0
    best = max(trial["dev_f1"] for trial in resumed["trials"])
    assert resumed["trials"][resumed["best"]]["dev_f1"] == best
    assert not list(paths.RUNS.rglob("checkpoint-*"))
    assert "tuned, trial 2 of 2: learning_rate" in capsys.readouterr().out

    # The undisturbed search, somewhere else.
    monkeypatch.setattr(paths, "RUNS", paths.RUNS / "other")
    tuned.path(declared()).unlink()
    tuning.main(study)
    assert forget_times(read()) == forget_times(resumed)

    # A stored search is kept, and runs use it.
    written = tuned.path(declared()).stat().st_mtime_ns
    tuning.main(study)
    assert tuned.path(declared()).stat().st_mtime_ns == written
    run = config.load_run(study, "demo", "tuned", 1)
    assert run.model.training.learning_rate == resumed["chosen"]["training.learning_rate"]
    assert config.load_run(study, "demo", "declared", 1).model.training.learning_rate == 2e-4


def test_a_finished_search_of_another_space_is_kept(study, monkeypatch, capsys):
    path = tuned.path(declared())
    for finished in (False, True):
        sealed.write_json(path, {"identity": "a" * 64, "trials": [], "finished": finished})
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(tuning, "_try", lambda run, corpus: (0.5, 1.0, 1))
            tuning.main(study)
        assert len(read()["trials"]) == 2
    kept = path.with_name(f"tuning-{'a' * 12}.json")
    assert sorted(path.parent.iterdir()) == [kept, path] and kept.read_bytes() == before
    assert f"{kept.name}: the search of another space" in capsys.readouterr().out


def test_a_damaged_search_is_named_in_a_line(study, monkeypatch):
    tuned.path(declared()).parent.mkdir(parents=True)
    tuned.path(declared()).write_text("{}")
    monkeypatch.setattr(sys, "argv", ["tuning", study])
    monkeypatch.delitem(sys.modules, tuning.__name__)
    with pytest.raises(
        SystemExit, match="^error: .*tuning.json: damaged or edited, .* run make tune STUDY=tried$"
    ):
        runpy.run_module(tuning.__name__, run_name="__main__")


def test_a_search_of_another_space_is_refused(study, add_study):
    found = {"identity": tuned.identity(declared(), *_settings()), "chosen": {"training.batch_size": 4}}
    sealed.write_json(tuned.path(declared()), found)
    assert config.load_run(study, "demo", "tuned", 1).model.training.batch_size == 4
    for old, new in (
        ("[4, 16]", "[4, 8, 16]"),
        ("seed: 7", "seed: 8"),
        ("dev_evaluations: 1", "dev_evaluations: 2"),
    ):
        add_study(study, STUDY.replace(old, new))
        with pytest.raises(ConfigError, match="of another space or protocol; run make tune STUDY=tried"):
            config.runs_of(study)
    add_study(study, STUDY.replace("test_sentences: 8", "test_sentences: 9"))  # no trial depends on it
    config.runs_of(study)


def _settings():
    settings = config.load_study("tried")
    return settings.systems["tuned"], settings.protocol.tuning


def test_tables_and_numbers(study, made_up):
    system, rules = _settings()
    trials = [
        {"values": {"training.batch_size": size}, "dev_f1": f1, "seconds": 1800, "starts": 1}
        for size, f1 in ((16, 0.2), (4, 0.3), (4, 0.1))
    ]
    found = {"identity": tuned.identity(declared(), system, rules), "chosen": trials[1]["values"]}
    found |= {"best": 1, "trials": trials, "seconds": 5400}
    sealed.write_json(tuned.path(declared()), found)
    results = made_up(name=study)
    text = result_tables.all_tables(results) | show("costs", results)
    assert "0.075 to 0.150" in text["tab_tuning"]  # one hour and a half at 0.05 and 0.1 dollars
    assert "batch\\_size 4" in text["tab_tuning"]
    assert "tuned" in text["tab_hyperparameters"]
    numbers = result_numbers(results)
    assert numbers["demo.tuned.tuning.chosen"].value == 30
    assert numbers["study.tuned"].value == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[4, 16]", "[4, 8]", "space.training.batch_size: the declared value, 16, must be one of these"),
        (
            "training.batch_size: [4, 16]",
            "head_learning_rate: {low: 1.0e-3, high: 1.0e-1}",
            "space.head_learning_rate: the declared value, None, must be one of these",
        ),
        ("[4, 16]", "[16]", "at least 2 items"),
        ("[4, 16]", "[16, many]", "training.batch_size"),
        ("low: 1.0e-5", "low: 1.0e-1", "expected low < high"),
        ("low: 1.0e-5", "low: -1.0", "low > 0 with log"),
        ("training.batch_size:", "training.size:", "training.size: unknown key"),
        ("    settings: tuned\n", "", "space: expected with settings: tuned"),
        ("  tuning: {trials: 2, seed: 7}\n", "", "needs protocol.tuning"),
        ("trials: 2", "trials: 0", "greater than 0"),
    ],
)
def test_refused(study, add_study, old, new, message):
    assert old in STUDY
    add_study(study, STUDY.replace(old, new))
    with pytest.raises(ConfigError) as error:
        config.load_study(study)
    assert message in str(error.value)


def test_a_key_of_a_mapping_in_a_space(study, add_study):
    space = "space:\n      type_names.PER: [person, human being]"
    tuned = STUDY.replace("{training.epochs: 1}\n    settings", "{type_names: {PER: person}}\n    settings")
    add_study(study, tuned.replace("minilm\n", "smollm2-135m\n").replace("space:", space))
    system = config.load_study(study, "model.training.batch_size=16").systems["tuned"]
    assert system.space["type_names.PER"] == ["person", "human being"]
    assert system.overrides["type_names"] == {"PER": "person"}


def test_models_are_checked_before_the_first_trial(study):
    with pytest.raises(ConfigError, match=r"systems.tuned: training.max_length is 513"):
        tuning.main(study, "tuned:model.training.max_length=513")
    assert not list(paths.RUNS.glob("**/checkpoint-*"))


def test_a_study_without_anything_to_tune():
    with pytest.raises(ConfigError, match=r"demo.yaml: no system has settings: tuned"):
        tuning.main("demo")


CHOSEN = """
title: Chosen
kind: demonstration
question: Which form?
datasets: [demo]
seeds: [1]
systems:
  asked:
    model: smollm2-135m
    zero_shot: true
    overrides: {output_format: chosen, max_new_tokens: 8, quantisation: null}
protocol:
  {primary_metric: micro_f1, comparisons: [], dev_evaluations: 1, dev_sample: 3, test_sentences: 4,
   latency_sentences: 1, resamples: 50, tuning: {trials: 12, seed: 7}}
"""


@pytest.mark.slow
def test_form_and_wording_are_chosen_on_dev(add_study, tmp_path, monkeypatch, demo):
    for name in ("RESULTS", "RUNS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    few = """    settings: tuned
    space: {output_format: [json, inline], wording: [1, 3]}
    overrides: {"""
    add_study("chosen", CHOSEN.replace("    overrides: {", few).replace("trials: 12", "trials: 4"))
    with pytest.raises(ConfigError, match="not tuned yet; run make tune STUDY=chosen"):
        config.load_run("chosen", "demo", "asked", 0)
    asked, predict = [], experiment.predict_sentences

    def count(run, checkpoint, sentences):
        asked.append((run.model.output_format, run.model.wording, [each.id for each in sentences]))
        return predict(run, checkpoint, sentences)

    monkeypatch.setattr(experiment, "predict_sentences", count)
    monkeypatch.setattr(experiment.processes, "in_fresh_process", lambda work, *rest: work(*rest))
    tuning.main("chosen")
    assert len({each[:2] for each in asked}) == 4 and len(asked) == 4
    dev = {sentence.id for sentence in demo["dev"]}
    assert all(len(ids) == 3 and set(ids) <= dev for _, _, ids in asked)
    run = config.load_run("chosen", "demo", "asked", 0)
    stored = tuned.stored(run)
    best = max(trial["dev_f1"] for trial in stored["trials"])
    chosen = {"output_format": run.model.output_format, "wording": run.model.wording}
    assert {"values": chosen, "dev_f1": best} in [
        {"values": trial["values"], "dev_f1": trial["dev_f1"]} for trial in stored["trials"]
    ]
    tuning.main("chosen")
    assert len(asked) == 4  # nothing is tried again


def test_the_space_of_forms_can_be_narrowed(add_study):
    narrow = """    settings: tuned
    space: {output_format: [inline, bio], wording: [2, 3]}
    overrides: {wording: 2, """
    add_study("chosen", CHOSEN.replace("    overrides: {", narrow))
    system = config.load_study("chosen").systems["asked"]
    assert system.space == {"output_format": ["inline", "bio"], "wording": [2, 3]}
    assert system.overrides["output_format"] == "inline" and system.overrides["wording"] == 2
