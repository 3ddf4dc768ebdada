"""`make` as a user meets it: the steps that it plans, and its message when it cannot go on."""

import json
import os
import shutil
import subprocess

import pytest
from conftest import make

from ner_utils import config, paths, sealed
from ner_utils.results import provenance

pytestmark = pytest.mark.slow

ALONE = """
title: T
kind: demonstration
question: Q?
datasets: [demo]
seeds: [1]
systems: {minilm: {model: minilm}}
protocol:
  {primary_metric: micro_f1, comparisons: [], dev_evaluations: 1,
   dev_sample: 4, latency_sentences: 1, resamples: 50}
"""


def test_a_dry_run_names_the_missing_steps_and_no_others(clone):
    """A run is done if its manifest exists, whatever the times of files. A companion study without a language
    model has nothing to probe."""
    folder = clone / "params" / "studies"
    (folder / "tagging.yaml").write_text(ALONE)
    (folder / "writing.yaml").write_text(ALONE.replace("minilm", "smollm2-135m") + "companions: [tagging]\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "PARAMS", clone / "params")
        run = config.load_run("tagging", "demo", "minilm", 1)
    results = clone / run.results.relative_to(paths.ROOT)
    results.mkdir(parents=True)
    manifest = results / provenance.manifest_path(run).name
    sealed.write_json(manifest, {"fingerprint": run.fingerprint, "files": {}, "inputs": {}})
    os.utime(manifest, (1, 1))  # older than all other files
    code, output = make(clone, "dry-run", "STUDY=writing")
    assert code == 0, output
    for step in (
        "Explore: audit of corpus demo (writing)",
        "Train and predict: demo, smollm2-135m, seed 1 (writing)",
        "Evaluate: demo, minilm, seed 1 (tagging)",
        "do the language models know demo? (writing)",
        "Probe: study tagging has no language model",
        "Analyse: all runs of writing",
        "Thesis: LaTeX of study writing",
        "Missing output files",
    ):
        assert step in output, step
    assert "Train and predict: demo, minilm" not in output
    assert not (clone / "results" / "writing").exists()


def test_a_wrong_configuration_is_one_clear_message(clone):
    code, output = make(clone, "study", "OVERRIDES=minilm:model.training.lr=1")
    assert code != 0
    assert "training.lr: unknown key" in output
    assert "Traceback" not in output


def test_a_thesis_never_trains(clone):
    code, output = make(clone, "thesis", "STUDY=first-look")
    assert code != 0
    assert "Train" not in output
    assert "results/first-look/demo/minilm/seed1: no result; run make study STUDY=first-look" in output


def test_only_one_study_at_a_time(clone):
    (clone / "runs").mkdir(exist_ok=True)
    with (clone / "runs" / ".lock").open("w") as held:
        import fcntl

        fcntl.flock(held, fcntl.LOCK_EX)
        code, output = make(clone, "dry-run")
    assert code != 0
    assert "another study is running" in output


def test_a_truncated_corpus_stops_before_any_work(clone, tmp_path):
    (tmp_path / "wnut17").mkdir()
    (tmp_path / "wnut17" / "wnut17train.conll").write_text("Empire\tB-location\n")
    (clone / "params/studies/truncated.yaml").write_text(ALONE.replace("[demo]", "[wnut17]"))
    offline = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    places = {"NER_DATA_DIR": str(tmp_path), "NER_CACHE_DIR": str(tmp_path / "cache")}
    code, output = make(clone, "study", "STUDY=truncated", **places, **offline)
    assert code != 0
    assert "wnut17train.conll: sha256" in output
    assert "Traceback" not in output
    assert not (clone / "results" / "truncated").exists()


def test_without_latex_the_set_up_stops_before_any_work(clone, tmp_path):
    """No latexmk, no root, no sudo: the exact command is printed."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "env", "make", "dirname", "mkdir", "tr", "cat", "printf", "apt-get"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    (tools / "id").write_text("#!/bin/sh\necho 1000\n")
    (tools / "id").chmod(0o755)
    done = subprocess.run(
        ["bash", "scripts/setup.sh"], cwd=clone, capture_output=True, text=True, env={"PATH": str(tools)}
    )
    assert done.returncode != 0
    assert "apt-get install" in done.stderr
    assert "latexmk" in done.stderr
    assert "[setup] making" not in done.stdout


def test_names_and_overrides_reach_the_shell_as_they_are(clone):
    """A study 2024_06 is no number, ontonotes-5.0 no language, and an override no command."""
    params = clone / "params"
    demo = (params / "datasets" / "demo.yaml").read_text()
    for name in ("ontonotes-5", "ontonotes-5.0"):
        (params / "datasets" / f"{name}.yaml").write_text(demo)
    shutil.copytree(clone / "corpora" / "demo", clone / "corpora" / "ontonotes-5.0")
    (params / "studies" / "2024_06.yaml").write_text(ALONE.replace("[demo]", "[ontonotes-5.0]"))
    override = "title=a'$(touch${IFS}pwned)`touch${IFS}pwned`\"b\\c'{x}"
    target = "results/2024_06/ontonotes-5.0/audit.json"

    def run(overrides, *arguments):
        command = ["snakemake", "--profile", "profiles/local", *arguments, target]
        asked = {"PYTHONPATH": str(clone), "STUDY": "2024_06", "OVERRIDES": overrides}
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True, env=os.environ | asked)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout + done.stderr

    run(override)
    assert "Nothing to be done" in run("title=other", "--dry-run"), "of a result that overrides do not change"
    assert (clone / target).is_file()
    assert not list(clone.rglob("pwned"))
    notebook = (clone / "runs/2024_06/ontonotes-5.0/01_data_exploration.ipynb").read_text()
    assert json.loads(notebook)["metadata"]["papermill"]["parameters"] == {
        "study": "2024_06", "dataset": "ontonotes-5.0", "overrides": override
    }  # fmt: skip
