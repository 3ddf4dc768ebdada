"""What a batch passes on to the processes that it starts, and what it says where it cannot lock."""

import os
import shutil
import subprocess
import sys

import pytest

from ner_utils import paths


@pytest.fixture
def batch(tmp_path):
    """``batch(**tools)`` runs batch.sh with scripts in the place of these programs: code and output."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(paths.ROOT / "scripts" / "batch.sh", tmp_path / "scripts")

    def run(environment=None, **tools):
        for name, script in {"python": "env", **tools}.items():
            (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{script}\n")
            (tmp_path / "bin" / name).chmod(0o755)
        variables = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", **(environment or {})}
        done = subprocess.run(
            [tmp_path / "scripts" / "batch.sh", "demo", ""],
            env=variables, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize(
    ("given", "wanted"),
    [({}, "passive"), ({"OMP_WAIT_POLICY": "active", "GLIBC_TUNABLES": "glibc.malloc.perturb=0"}, "active")],
)
def test_waiting_threads_sleep_unless_the_user_says_otherwise(batch, given, wanted):
    code, said = batch(given)
    assert code == 0, said
    assert f"OMP_WAIT_POLICY={wanted}\n" in said
    pages = given.get("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    assert f"GLIBC_TUNABLES={pages}\n" in said
    code = "import sys, ner_utils, os; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    variables = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    found = subprocess.check_output(
        [sys.executable, "-c", code], cwd=paths.ROOT, env=variables | given, text=True
    )
    assert found.split() == [wanted, "False"], "it is set before torch is loaded"


def test_jobs_know_the_processes_that_they_end_with(batch):
    _, said = batch({"NER_BATCH": "17"}, python='echo "$PPID is in ($NER_BATCH)"')
    parent, _, processes = said.strip().rpartition(" is in ")
    assert processes == f"(17 {parent})"


def test_a_file_system_without_locks_is_said_and_the_study_runs(batch):
    code, said = batch(flock='echo "flock: 9: Function not implemented" >&2; exit 65')
    assert code == 0
    assert "warning: runs/.lock: this file system has no locks" in said
    assert "OMP_WAIT_POLICY" in said
    code, said = batch(flock="exit 1")
    assert code == 1
    assert said == "error: another study is running in this folder\n"
