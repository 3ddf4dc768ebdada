"""One process at a time: file locks that say what they could not do.

A lock (``flock``) ends with its process, however that dies. Some network file systems have none, and some
keep it to one machine: then two processes may do the same work, and the user is told.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ner_utils import paths


@contextmanager
def alone(path: Path, work: str, wait: bool = False) -> Iterator[bool]:
    """Hold the lock file ``path`` while the block runs; ``work`` completes "another process …".

    Yields whether the lock is known to keep out other processes of this machine. Where another process holds
    it, waits for that process, or raises `RuntimeError`. Prints a warning where the file system has no locks,
    or where a process of another machine left its name in the file and may still be at work.
    """
    with path.open("a+", encoding="utf-8", errors="replace") as file:
        works = _take(file, path, work, wait)
        last = _holder(file)
        host = socket.gethostname()
        if last and (not works or last.rpartition(" on ")[2] != host):
            _warn(path, f"{last} did not end in order. If it still {work}, stop one of the two")
        _write(file, f"process {os.getpid()} on {host}")
        try:
            yield works
        finally:
            _write(file, "")


def _take(file: TextIO, path: Path, work: str, wait: bool) -> bool:
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(file)
            said = f"another process {work}" + (f" ({holder})" if holder else "")
            if not wait:
                raise RuntimeError(f"{paths.relative(path.parent)}: {said}") from None
            print(f"waiting: {said}", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:  # ENOSYS, ENOLCK, EOPNOTSUPP …
        reason = f"this file system has no locks ({error.strerror})"
        _warn(path, f"{reason}: nothing keeps out a process that also {work}")
        return False
    # Some file systems accept the call and do nothing: a second handle must not get the lock, too.
    with path.open("a", encoding="utf-8") as second:
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    _warn(path, f"locks of this file system do nothing: nothing keeps out a process that also {work}")
    return False


def _holder(file: TextIO) -> str:
    """The process that is named in a lock file; empty where none is, or where locked files cannot be read."""
    try:
        file.seek(0)
        return "".join(letter for letter in file.read(200) if letter.isprintable())
    except OSError:
        return ""


def _write(file: TextIO, text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()


def _warn(path: Path, text: str) -> None:
    print(f"warning: {paths.relative(path)}: {text}", flush=True)
