"""Notebooks as the workflow runs them: an error is a short message, and none outlives its workflow."""

import json
import os
import subprocess
import sys
import time

import nbformat
import psutil
import pytest

from ner_utils import paths
from ner_utils.experiments.memory import fit
from ner_utils.experiments.workflow import notebook


@pytest.fixture
def write(tmp_path):
    """``write(*cells)`` makes a notebook of code cells, the first tagged as the parameters."""

    def make(*cells):
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        made.cells[0].metadata.tags = ["parameters"]
        made.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "Python"}
        nbformat.write(made, tmp_path / "in.ipynb")
        return tmp_path / "in.ipynb", tmp_path / "out.ipynb"

    return make


def command(files, *arguments):
    return [sys.executable, "-m", "ner_utils.experiments.workflow.notebook", *map(str, files), *arguments]


@pytest.mark.slow
def test_parameters_and_what_it_prints(write, tmp_path):
    files = write('text, seed = "", 0', "print(text, seed + 1)")
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT)}
    done = subprocess.run(
        command(files, "-r", "text", "2024_06", "-p", "seed", "7"),
        capture_output=True, text=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2024_06 8" in files[1].with_suffix(".txt").read_text().splitlines()
    assert done.stdout == ""
    cells = json.loads(files[1].read_text())["cells"]
    assert cells[-1]["outputs"][0]["text"] == ["2024_06 8\n"]


def test_an_error_is_short_and_its_traceback_is_kept(write):
    files = write("x = 1", "raise ValueError('\\n'.join(['a line', 'a \\x1b[2Jscreen'] * 20))")
    message = notebook.run(*files, {})
    assert message.startswith("ValueError: a line\na ⟨U+001B⟩[2Jscreen\n")
    assert len(message.splitlines()) <= 10
    assert "Traceback" in files[1].read_text()


@pytest.mark.slow
def test_a_killed_kernel_was_probably_out_of_memory(write, monkeypatch):
    files = write("import os, signal", "os.kill(os.getpid(), signal.SIGKILL)")
    assert notebook.run(*files, {}) == (
        f"{files[0]}: its process died: the system probably killed it, out of memory"
    )
    trained = {"study": "first-look", "dataset": "demo", "system": "minilm", "seed": 1, "overrides": ""}
    monkeypatch.setattr(fit, "advice", lambda run, step: f"{run.system}: lower {step}")
    assert notebook.run(*files, trained).endswith("out of memory; minilm: lower training")
    assert notebook.run(*files, trained | {"system": "nope"}).endswith("out of memory")


def test_a_full_disk_names_the_file(write, tmp_path):
    files = write("x = 1")
    (tmp_path / "full.ipynb").symlink_to("/dev/full")
    message = notebook.run(files[0], tmp_path / "full.ipynb", {})
    assert "No space left on device" in message
    assert "full.ipynb" in message


@pytest.mark.slow
def test_a_notebook_ends_with_its_workflow(write, tmp_path):
    """And with it its kernel, and the process that computes for the kernel."""
    code = "import time; from ner_utils import processes; open('started', 'w').close()"
    files = write(code, "processes.in_fresh_process(time.sleep, 600)")
    batch = subprocess.Popen(["sleep", "600"])
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT), "NER_BATCH": f"{os.getpid()} {batch.pid}"}
    environment.pop("SLURM_JOB_ID", None)
    running = subprocess.Popen(command(files), cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while time.monotonic() < until and not (
        (tmp_path / "started").exists() and len(psutil.Process(running.pid).children(recursive=True)) >= 3
    ):
        time.sleep(0.2)
    family = [running, *psutil.Process(running.pid).children(recursive=True)]
    assert len(family) >= 3, "the notebook, its kernel, and what this started"
    batch.kill()  # and not waited for: a zombie does not run
    assert running.wait(timeout=30) == 1
    _, alive = psutil.wait_procs(family[1:], timeout=30)
    assert not alive
    batch.wait()
