"""A study on a real Slurm of this machine alone: jobs that are killed and requeued end as others do."""

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
question: Does a job that was killed end as if it had not been?
datasets: [demo]
seeds: [1]
systems:
  killed: {model: minilm, label: Killed, train_sentences: 64, overrides: &settings
    {training.epochs: 6, training.batch_size: 8, training.learning_rate: 6.0e-4, training.patience: 4}}
  requeued: {model: minilm, label: Requeued, train_sentences: 72, overrides: *settings}
protocol:
  primary_metric: micro_f1
  comparisons: [[killed, requeued]]
  dev_evaluations: 4
  dev_sample: 4
  latency_sentences: 2
  resamples: 100
"""
SYSTEMS = ("killed", "requeued")
UNDISTURBED = """
import sys
from ner_utils import config, experiment
experiment.make_missing_result(config.load_run("cluster", "demo", sys.argv[1], 1))
"""
# A site's profile: a copy of the project's with settings of its own. One core a job, polled often.
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
    """System, id and state of all jobs that Slurm knows."""
    listed = subprocess.check_output(["squeue", "--noheader", "--states=all", "--format=%k %i %T"], text=True)
    found = [line.split() for line in listed.splitlines()]
    return [(comment.split("demo_")[1].split("_")[0], number, state) for comment, number, state in found]


def running(folder, system):
    """Id of the running job that trains a system and has saved a checkpoint, once there is one."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        saved = list(folder.glob(f"runs/cluster/demo/{system}/seed1/*/checkpoint-*/checksums.json"))
        found = [number for name, number, state in jobs() if (name, state) == (system, "RUNNING")]
        if saved and found:
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"{system}: no checkpoint within five minutes; {jobs()}")


def result(folder, system, name):
    return (folder / "results" / "cluster" / "demo" / system / "seed1" / name).read_bytes()


def test_killed_and_requeued_jobs_end_as_undisturbed_ones(slurm, clone, tmp_path):
    (clone / "params" / "studies" / "cluster.yaml").write_text(STUDY)
    calm = shutil.copytree(clone, tmp_path / "calm", symlinks=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    undisturbed = [
        subprocess.Popen(
            [sys.executable, "-c", UNDISTURBED, system], cwd=calm, env=environment | {"PYTHONPATH": str(calm)}
        )
        for system in SYSTEMS
    ]
    assert [process.wait(timeout=300) for process in undisturbed] == [0, 0]

    settings = (clone / "profiles" / "slurm" / "config.yaml").read_text()
    assert "train: 4" in settings
    (clone / "profiles" / "one-node").mkdir()
    (clone / "profiles" / "one-node" / "config.yaml").write_text(
        settings.replace("train: 4", "train: 1").replace("probe: 4", "probe: 1") + SITE
    )
    unreachable = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    study = subprocess.Popen(
        ["make", "study", "STUDY=cluster", "PROFILE=one-node"],
        cwd=clone,
        env=environment | {"PYTHONPATH": str(clone)} | unreachable,
        stdout=(tmp_path / "log").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        subprocess.run(["scancel", running(clone, "killed")], check=True)
        subprocess.run(["scontrol", "requeue", running(clone, "requeued")], check=True)
        code = study.wait(timeout=600)
    finally:
        if study.poll() is None:
            os.killpg(study.pid, signal.SIGKILL)
    said = (tmp_path / "log").read_text()
    assert code == 0, said
    assert (clone / "thesis" / "thesis-cluster.pdf").is_file()

    states = sorted((name, state) for name, _, state in jobs())
    assert states == [("killed", "CANCELLED"), ("killed", "COMPLETED"), ("requeued", "COMPLETED")], said
    for system in SYSTEMS:
        assert json.loads(result(clone, system, "efficiency.json"))["starts"] == 2, system
        found = result(clone, system, "predictions.jsonl")
        assert b"[[" in found, f"{system} predicts nothing"
        assert found == result(calm, system, "predictions.jsonl"), system
