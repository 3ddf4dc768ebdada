"""What a person sees of a study: the lines of a run, the time that is left, and the end."""

import json
import logging
import shutil
import sys

import pytest

from ner_utils import config, files, paths
from ner_utils.experiments.workflow import batch, progress
from ner_utils.results import provenance
from ner_utils.sealed import ResultError


@pytest.fixture
def told(tmp_path, monkeypatch):
    """``told()`` gives the lines that were told."""
    file = tmp_path / "progress.log"
    file.touch()
    monkeypatch.setenv("NER_PROGRESS", str(file))
    monkeypatch.setenv("STUDY", "first-look")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    return lambda: file.read_bytes().decode().split("\n")[:-1]


@pytest.fixture
def run():
    return config.load_run("first-look", "demo", "minilm", 1)


def say(handler, *lines):
    for line in lines:
        handler.emit(logging.LogRecord("papermill", logging.INFO, "", 0, line, None, None))


def test_a_run_says_what_matters(told, run, tmp_path):
    own = paths.relative(provenance.manifest_path(run)).replace("seed1", "seed9")
    expected = {"results/none/a.json": 3600.0, own: 60.0, "README.md": 5.0}
    expected[paths.relative(provenance.manifest_path(run))] = 600.0
    file = progress.schedule_file("first-look")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(expected))
    handler = progress.RunProgress(tmp_path / "log.txt", run)
    doubt = "warning: minilm on demo, seed 1: times are not to be trusted: "
    say(
        handler, "Executing Cell 3\n", "step 5/100, 570 s of training left", f"{doubt}training",
        "evaluation 1/2 on dev: F1 41.20, loss 0.3101", "generated 64/160 sentences", f"{doubt}latency",
        "answered 128/160 sentences, $0.0123", "answered 160/160 sentences",
        "out of memory: going on with 4 sentences at a time, 8 a step", "\x1b[2Jhello",
    )  # fmt: skip
    handler.close()
    assert told() == [
        "[2/4] minilm on demo, seed 1: about 10 min left, 71 min for all runs",
        "\r      step 5 of 100; about 10 min left, 70 min for all runs",
        f"      {doubt}training",
        "      evaluation 1/2: F1 41.20 on dev; about 10 min left, 70 min for all runs",
        "\r      generated 64/160 sentences",
        "\r      answered 128/160 sentences, $0.0123",
        "\r      answered 160/160 sentences",
        "      out of memory: going on with 4 sentences at a time, 8 a step",
    ]
    assert "Executing Cell 3" in (tmp_path / "log.txt").read_text()


def test_without_a_study_lines_are_printed(monkeypatch, capsys):
    monkeypatch.delenv("NER_PROGRESS", raising=False)
    progress.tell("\r      step 1 of 2")
    assert capsys.readouterr().out == "      step 1 of 2\n"


def test_another_seed_says_how_long_a_run_takes(run):
    done = config.load_run("wnut17-cpu", "wnut17", "minilm", 2)
    next_one = config.load_run("wnut17-cpu", "wnut17", "minilm", 3)
    cost = json.loads((done.results / "efficiency.json").read_text())
    seconds = cost["training_seconds"] + cost["looks_seconds"] + sum(cost["prediction_seconds"].values())
    assert batch.expected(next_one, [done]) == pytest.approx(seconds + batch.OVERHEAD)
    assert batch.expected(run, [done]) > batch.OVERHEAD
    votes = [config.load_run("vote", "demo", "seeds", seed) for seed in (1, 2)]
    assert batch.expected(votes[1], votes[:1]) == batch.OVERHEAD, "its stored cost is that of its members"


@pytest.mark.parametrize("stored", [True, False], ids=["another seed", "operations"])
def test_a_training_that_two_systems_share_counts_once(stored, tmp_path, monkeypatch):
    """And again for the second one only where its checkpoints are not at hand."""
    base, *seeds = (
        config.load_run("wnut17-cpu", "wnut17", *each)
        for each in (("smollm2-qlora", 3), ("smollm2-grounded", 2), ("smollm2-grounded", 3))
    )
    done, run = [seeds[0]] if stored else [], seeds[1]
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    monkeypatch.setattr(provenance, "is_done", lambda each: each in done)
    both = batch._schedule([*seeds, base], [base, run])
    alone = batch._schedule([*seeds, base], [run])
    (key,) = alone
    assert both[key] < alone[key] / 3
    run.base.scratch.mkdir(parents=True)
    (run.base.scratch / "training.json").touch()
    assert batch._schedule([*seeds, base], [run])[key] == both[key]


def test_a_damaged_result_of_another_seed_is_named(tmp_path, monkeypatch):
    done, missing = (config.load_run("wnut17-cpu", "wnut17", "minilm", seed) for seed in (2, 3))
    there = done.results
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    shutil.copytree(there, done.results)
    (done.results / "efficiency.json").unlink()
    with pytest.raises(ResultError, match=r"efficiency.json: missing or changed since the run wrote it"):
        batch.expected(missing, [done])


def test_times_are_those_of_runs_with_the_same_overrides(monkeypatch):
    """A search with overrides is none without them."""
    done, missing = (config.load_run("wnut17-cpu", "wnut17", "minilm", seed) for seed in (2, 3))
    monkeypatch.setattr(config, "runs_of", None)
    monkeypatch.setattr(provenance, "is_done", lambda run: run.seed == 2)
    (seconds,) = batch._schedule([done, missing], [missing]).values()
    assert seconds == batch.expected(missing, [done])


def test_output_goes_to_a_log_and_lines_to_the_terminal(told, tmp_path, capsys):
    code = (
        "import os; print('much'); open(os.environ['NER_PROGRESS'], 'a').write('[1/1] a run\\n\\rstep 1\\n')"
    )
    shown, log = tmp_path / "progress.log", tmp_path / "whole.log"
    assert batch._follow([sys.executable, "-c", f"{code}; raise SystemExit(3)"], log, shown) == 3
    assert capsys.readouterr().out == "[1/1] a run\n", "no states where there is no terminal"
    assert log.read_text() == "much\n"


def test_a_failure_ends_with_the_file_to_open(told, run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(provenance, "is_done", lambda each: False)
    text = tmp_path / "train.txt"
    text.write_text("\n".join(f"line {number}" for number in range(20)))
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    shown = tmp_path / "progress.log"
    shown.write_text("FAILED: minilm on demo, seed 1, 02_encoder: ValueError: bad; log: train.txt\n")
    assert batch._end("first-look", [run], 1, tmp_path / "whole.log", shown, 0.0) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "missing: 1 of 1 runs: minilm on demo, seed 1"
    assert lines[1:-1] == [f"  line {number}" for number in range(12, 20)]
    assert lines[-1] == "error: see train.txt; make study STUDY=first-look goes on from here"


def test_results_of_other_settings_are_not_replaced_silently(told, run, capsys):
    files.write_whole_json(provenance.manifest_path(run), {})
    changed = config.load_run("first-look", "demo", "minilm", 1, "minilm:model.training.epochs=9")
    assert provenance.replaces_result(changed) and not provenance.replaces_result(run)
    batch._warn_of_replacement([changed, run])
    said = capsys.readouterr().out
    assert "stored results of other settings will be replaced: minilm on demo, seed 1. To keep them" in said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ([0.0], "time not known"),
        ([0.0, 0.0], "time not known"),
        ([40.0], "about 40 s"),
        ([40.0, 0.0, 10.0], "about 50 s, and 1 run of unknown time"),
        ([40.0, 0.0, 0.0], "about 40 s, and 2 runs of unknown time"),
    ],
)
def test_a_time_that_is_not_known_is_not_0(seconds, said):
    assert batch._time(seconds) == said
