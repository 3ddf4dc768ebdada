"""Locks: one process at a time, and a word where a file system cannot promise it."""

import errno
import fcntl
import subprocess
import sys

import pytest

from ner_utils import locks, paths

HOLD = """
import sys, time
from pathlib import Path
from ner_utils import locks
with locks.alone(Path(sys.argv[1]), "counts"):
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
            locks.alone(tmp_path / "lock", "counts").__enter__()
    finally:
        process.kill()
        process.wait()
    with locks.alone(tmp_path / "lock", "counts") as works:
        assert works
    assert capsys.readouterr().out == "", "a process of this machine that was killed is known to be over"
    assert (tmp_path / "lock").read_text() == ""


def test_who_waits_gets_the_lock_when_the_first_process_ends(tmp_path, capsys):
    process = holder(tmp_path / "lock", 1.5)
    with locks.alone(tmp_path / "lock", "counts", wait=True) as works:
        assert works
        assert process.wait(timeout=30) == 0
    assert capsys.readouterr().out.startswith("waiting: another process counts")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, capsys, number):
    def refuse(*arguments):
        raise OSError(number, "no such thing here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / "lock").write_text("process 7 on node1")
    with locks.alone(tmp_path / "lock", "trains this run") as works:
        assert not works
    said = capsys.readouterr().out
    assert "this file system has no locks (no such thing here)" in said
    assert "process 7 on node1 did not end in order. If it still trains this run, stop one of the two" in said


def test_a_file_system_that_only_pretends_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fcntl, "flock", lambda *arguments: None)
    with locks.alone(tmp_path / "lock", "trains this run") as works:
        assert not works
    assert "locks of this file system do nothing" in capsys.readouterr().out


def test_a_process_of_another_machine_is_named(tmp_path, capsys):
    """A lock may not reach it: either it died, or both are at work."""
    (tmp_path / "lock").write_text("process 7 on node1\x1b[2J")
    with locks.alone(tmp_path / "lock", "trains this run") as works:
        assert works
    said = capsys.readouterr().out
    assert "process 7 on node1[2J did not end in order" in said
    assert "\x1b" not in said
