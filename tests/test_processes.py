"""Processes: locks that keep them apart, fresh ones, and the memory that they may have."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch

from ner_utils import paths, processes

HOLD = """
import sys, time
from pathlib import Path
from ner_utils import processes
with processes.lock(Path(sys.argv[1]), "counts"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(path, seconds):
    """A process that holds the lock for so many seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(seconds)],
        stdout=subprocess.PIPE, text=True, cwd=paths.ROOT,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_and_the_first_named(tmp_path, capsys):
    process = holder(tmp_path / "lock", 60)
    try:
        with pytest.raises(RuntimeError, match=rf"another process counts \(process {process.pid} on "):
            processes.lock(tmp_path / "lock", "counts").__enter__()
    finally:
        process.kill()
        process.wait()
    with processes.lock(tmp_path / "lock", "counts") as works:
        assert works
    assert capsys.readouterr().out == "", "a process of this machine that was killed is known to be over"
    assert (tmp_path / "lock").read_text() == ""


def test_a_waiting_process_gets_the_lock_when_the_first_one_ends(tmp_path, capsys):
    process = holder(tmp_path / "lock", 0.5)
    with processes.lock(tmp_path / "lock", "counts", wait=True) as works:
        assert works
        assert process.wait(timeout=30) == 0
    assert capsys.readouterr().out.startswith("waiting: another process counts")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_gives_a_warning(tmp_path, monkeypatch, capsys, number):
    def refuse(*arguments):
        raise OSError(number, "no such thing here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / "lock").write_text("process 7 on node1")
    with processes.lock(tmp_path / "lock", "trains this run") as works:
        assert not works
    output = capsys.readouterr().out
    assert "this file system has no locks (no such thing here)" in output
    assert (
        "process 7 on node1 did not end in order. If it still trains this run, stop one of the two" in output
    )


def test_locks_that_do_nothing_gives_a_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fcntl, "flock", lambda *arguments: None)
    with processes.lock(tmp_path / "lock", "trains this run") as works:
        assert not works
    assert "locks of this file system do nothing" in capsys.readouterr().out


def test_a_process_of_another_machine_is_named(tmp_path, capsys):
    """The lock may not reach that machine: either the process died, or both are at work."""
    (tmp_path / "lock").write_text("process 7 on node1\x1b[2J")
    with processes.lock(tmp_path / "lock", "trains this run") as works:
        assert works
    output = capsys.readouterr().out
    assert "process 7 on node1[2J did not end in order" in output
    assert "\x1b" not in output


# ---------------------------------------------------------------------- fresh processes
def test_a_fresh_process_returns_and_raises():
    assert processes.in_fresh_process(os.getpid) != os.getpid()
    with pytest.raises(ZeroDivisionError):
        processes.in_fresh_process(divmod, 7, 0)


@pytest.mark.parametrize(
    ("function", "argument", "error", "message"),
    [
        (signal.raise_signal, signal.SIGKILL, processes.Killed, "^the system killed the process: .*memory$"),
        (signal.raise_signal, signal.SIGSEGV, processes.Died, "signal 11, SIGSEGV"),
        (os._exit, 0, processes.Died, "ended without a result"),
    ],
)
def test_a_process_that_ends_without_a_result(function, argument, error, message):
    with pytest.raises(error, match=message):
        processes.in_fresh_process(function, argument)


PARENT = """
import sys, time
from pathlib import Path
from ner_utils import processes
if __name__ == "__main__":
    processes.in_fresh_process(Path(sys.argv[1]).write_text, "started")
    processes.in_fresh_process(time.sleep, 600)
"""


def test_a_fresh_process_ends_with_its_parent(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path / "started")]
    parent = subprocess.Popen(command, cwd=paths.ROOT, env=os.environ | {"PYTHONPATH": str(paths.ROOT)})
    until = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(1)  # for the second process
    children = psutil.Process(parent.pid).children(recursive=True)
    assert children
    parent.kill()
    parent.wait()
    assert not psutil.wait_procs(children, timeout=20)[1]


# ------------------------------------------------------------------------------ memory
@pytest.mark.parametrize("gpu", [False, True])
def test_the_memory_of_a_gpu_is_released_where_there_is_one(gpu, monkeypatch):
    """A fresh process would miss the blocks that torch keeps otherwise."""
    emptied = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    processes.release_memory()
    assert emptied == [True] * gpu


@pytest.mark.parametrize(
    ("error", "out_of_memory"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("unable to mmap 90865208 bytes from file <x>: Cannot allocate memory (12)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
    ],
)
def test_errors_of_too_little_memory(error, out_of_memory):
    assert processes.is_out_of_memory(error) == out_of_memory


@pytest.mark.parametrize(
    ("own", "folder", "file"),
    [
        ("0::/", "", "memory.max"),
        ("1:name=systemd:/x\n0::/slurm/job_7/step_0", "slurm/job_7", "memory.max"),
        ("4:memory:/docker/abc\n1:cpu:/x", "memory", "memory.limit_in_bytes"),  # as seen in the container
        ("4:memory:/slurm/job_7", "memory/slurm/job_7", "memory.limit_in_bytes"),
    ],
)
def test_the_memory_limit_is_the_smallest_that_is_set(tmp_path, monkeypatch, own, folder, file):
    machine = psutil.virtual_memory().total
    monkeypatch.setattr(processes, "CONTROL_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(processes, "GROUPS_OF_PROCESS", tmp_path / "own")
    assert processes.memory_limit() == pytest.approx(machine, rel=0.01)
    (tmp_path / "own").write_text(f"{own}\n")
    limit = tmp_path / "cgroup" / folder / file
    limit.parent.mkdir(parents=True)
    for text, expected in [("max", machine), ("9223372036854771712", machine), ("50000000", 50_000_000)]:
        limit.write_text(f"{text}\n")
        assert processes.memory_limit() == pytest.approx(expected, rel=0.01)
