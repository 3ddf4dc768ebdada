"""A study on a real Slurm of this machine alone: jobs that end early are submitted again and lose nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from ner_utils import paths

STUDY = """
title: On a cluster
kind: demonstration
question: Does a training that was interrupted end like one that was not?
datasets: [demo]
seeds: [1]
systems:
  minilm:
    {model: minilm, train_sentences: 64, overrides:
      {training.epochs: 5, training.batch_size: 8, training.learning_rate: 1.0e-3, training.patience: 5}}
protocol:
  primary_metric: micro_f1
  comparisons: []
  dev_evaluations: 5
  dev_sample: 4
  test_sentences: 40
  latency_sentences: 2
  resamples: 100
"""
RUN = "cluster/demo/minilm/seed1"
UNDISTURBED = """
from ner_utils import config, data
from ner_utils.experiments import experiment
run = config.load_run("cluster", "demo", "minilm", 1)
corpus = data.load(run.dataset_name, run.dataset)
record = experiment.train_run(run, corpus)
checkpoint = experiment.best_checkpoint(run, record)
predicted, cost = experiment.predict_sentences(run, checkpoint, data.test_sentences(run, corpus))
experiment.write_results(run, predicted, record, cost)
"""
# A site's profile: a copy of the project's with other settings. Jobs have one core and are polled often.
SITE = """
slurm-init-seconds-before-status-checks: 1
seconds-between-status-checks: 1
set-resources:
  train: {gpu: 0}
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Starts the daemons, or skips and says what is missing."""
    if os.geteuid() != 0:
        pytest.skip("Slurm: its daemons are started as root; run as root")
    if missing := [name for name in ("munged", "slurmctld", "slurmd") if not shutil.which(name)]:
        packages = " ".join((paths.ROOT / "apt-test.txt").read_text().split())
        pytest.skip(f"Slurm: no {', '.join(missing)}; run apt-get install --no-install-recommends {packages}")
    script, folder = paths.ROOT / "scripts" / "one_node_slurm.sh", tmp_path_factory.mktemp("slurm")
    subprocess.run([script, "up", folder], check=True)
    yield
    subprocess.run([script, "down", folder], check=True)
    assert not os.path.lexists("/etc/slurm/slurm.conf")


def jobs():
    """State of every job that Slurm knows, by its id."""
    listed = subprocess.check_output(["squeue", "--noheader", "--states=all", "--format=%i %T"], text=True)
    return dict(line.split() for line in listed.splitlines())


def running_job(folder, study, after=0):
    """Id of the running job, once it has saved a checkpoint of a later step; and that step."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert study.poll() is None, "the study ended early"
        saved = folder.glob(f"runs/{RUN}/*/checkpoint-*/checksums.json")
        step = max((int(path.parent.name.split("-")[1]) for path in saved), default=0)
        running = [number for number, state in jobs().items() if state == "RUNNING"]
        if running and step > after:
            return running[0], step
        time.sleep(0.1)
    raise AssertionError(f"no checkpoint after step {after} within four minutes; {jobs()}")


@pytest.mark.slow
def test_a_job_that_ends_early_is_submitted_again_and_ends_like_an_undisturbed_one(slurm, clone, tmp_path):
    """It runs out of time, its node fails (it is requeued), and it is cancelled."""
    (clone / "params" / "studies" / "cluster.yaml").write_text(STUDY)
    calm = shutil.copytree(clone, tmp_path / "calm", symlinks=True)
    settings = (clone / "profiles" / "slurm" / "config.yaml").read_text()
    assert "train: 4" in settings
    (clone / "profiles" / "one-node").mkdir()
    (clone / "profiles" / "one-node" / "config.yaml").write_text(settings.replace(": 4", ": 1") + SITE)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(clone), "PROFILE": "one-node"}
    unreachable = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    (clone / "runs").mkdir(exist_ok=True)
    with (tmp_path / "log").open("w") as log:
        study = subprocess.Popen(
            ["scripts/batch.sh", "cluster", "", f"results/{RUN}/metrics.json"],
            cwd=clone, env=environment | unreachable, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        # Slurm looks at time limits every half minute. The training stands still, or it might end first.
        late, _ = running_job(clone, study)
        subprocess.run(["scancel", "--signal=STOP", late], check=True)
        subprocess.run(["scontrol", "update", f"JobId={late}", "EndTime=now"], check=True)
        undisturbed = subprocess.Popen(
            [sys.executable, "-c", UNDISTURBED], cwd=calm, env=environment | {"PYTHONPATH": str(calm)}
        )
        while jobs()[late] in ("RUNNING", "STOPPED"):
            time.sleep(0.2)
        requeued, step = running_job(clone, study)
        subprocess.run(["scontrol", "requeue", requeued], check=True)
        cancelled, _ = running_job(clone, study, after=step)
        subprocess.run(["scancel", cancelled], check=True)
        code = study.wait(timeout=480)  # Snakemake asks for a job less and less often
    finally:
        if study.poll() is None:
            os.killpg(study.pid, signal.SIGKILL)
    output = (tmp_path / "log").read_text()
    assert code == 0, output
    assert cancelled == requeued, "a requeued job keeps its id"
    assert sorted(jobs().values()) == ["CANCELLED", "COMPLETED", "TIMEOUT"], output
    assert jobs()[late] == "TIMEOUT"
    assert undisturbed.wait(timeout=240) == 0

    results = clone / "results" / RUN
    assert json.loads((results / "efficiency.json").read_text())["starts"] >= 3
    predicted = (results / "predictions.jsonl").read_bytes()
    assert b"[[" in predicted, "no mention is predicted"
    assert predicted == (calm / "results" / RUN / "predictions.jsonl").read_bytes()
