"""Processes: locks that keep them apart, fresh ones for work that takes much memory, and the memory they may
have.

A lock (``flock``) ends with its process, however that process ends. Some file systems of networks have no
locks, and some have locks within one machine only: then two processes may do the same work, and a warning
says so.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import psutil

from ner_utils import paths

CONTROL_GROUPS = Path("/sys/fs/cgroup")  # where Linux shows the limits of containers and of Slurm's jobs
PERIOD = 1.0  # seconds after which other processes are checked again
GROUPS_OF_PROCESS = Path("/proc/self/cgroup")


# ------------------------------------------------------------------------------ locks
@contextmanager
def lock(path: Path, work: str, wait: bool = False) -> Iterator[bool]:
    """Hold the lock file ``path`` while the block runs; ``work`` completes "another process …".

    Yields whether the lock keeps out other processes of this machine. If another process holds it, waits for
    that process, or raises `RuntimeError`. Prints a warning if the file system has no locks, or if a
    process of another machine left its name in the file and may still be at work.
    """
    host, flaw = socket.gethostname(), ""
    with path.open("a+", encoding="utf-8", errors="replace") as file, path.open("a") as second:
        try:
            if not _take(file):
                holder = _holder(file)
                message = f"another process {work}" + (f" ({holder})" if holder else "")
                if not wait:
                    raise RuntimeError(f"{paths.relative(path.parent)}: {message}")
                print(f"waiting: {message}", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            if _take(second):  # some file systems accept the call and do nothing
                flaw = "locks of this file system do nothing"
        except OSError as error:  # ENOSYS, ENOLCK, EOPNOTSUPP …
            flaw = f"this file system has no locks ({error.strerror})"
        if flaw:
            _warn(path, f"{flaw}: nothing keeps out a process that also {work}")
        last = _holder(file)
        if last and (flaw or last.rpartition(" on ")[2] != host):
            _warn(path, f"{last} did not end in order. If it still {work}, stop one of the two")
        _write_holder(file, f"process {os.getpid()} on {host}")
        try:
            yield not flaw
        finally:
            _write_holder(file, "")


def is_locked(path: Path) -> bool:
    """Whether another handle holds the lock of a file; False where there is no such file, or no locks."""
    try:
        with path.open("r+") as file:  # not "a": a missing file stays missing
            return not _take(file)
    except OSError:
        return False


def _take(file: TextIO) -> bool:
    """Take the lock of a file; False if another handle has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file: TextIO) -> str:
    """The process that a lock file names; empty if there is none, or if locked files cannot be read."""
    try:
        file.seek(0)
        return "".join(letter for letter in file.read(200) if letter.isprintable())
    except OSError:
        return ""


def _write_holder(file: TextIO, text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()


def _warn(path: Path, text: str) -> None:
    print(f"warning: {paths.relative(path)}: {text}", flush=True)


# ---------------------------------------------------------------------- fresh processes
class Died(RuntimeError):
    """A fresh process ended before it had a result."""


class Killed(Died):
    """The system killed it, as it does when memory runs out."""


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of the package in a new process, so that memory and caches are its own.

    Raises what the function raises, and `Killed` or `Died` if the process ends without a result. The new
    process ends with this one.
    """
    release_memory()
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    with ProcessPoolExecutor(1, context, initializer=end_with, initargs=([os.getpid()],)) as pool:
        future = pool.submit(function, *arguments)
        started = set(multiprocessing.active_children()) - before
        try:
            return future.result()
        except BrokenProcessPool:
            pool.shutdown()
    code = min((process.exitcode or 0 for process in started), default=0)
    if code == -signal.SIGKILL:
        raise Killed("the system killed the process: it was probably out of memory")
    if code < 0:
        raise Died(f"the process crashed (signal {-code}, {signal.Signals(-code).name})")
    raise Died("the process ended without a result")


# ------------------------------------------------------------------------------ memory
def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may help."""
    from accelerate.utils.memory import should_reduce_batch_size  # loads torch, which takes seconds

    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    # Libraries that load weights pass on the system's words.
    return should_reduce_batch_size(error) or os.strerror(errno.ENOMEM) in str(error)


def memory_limit() -> int:
    """Bytes of memory that this process may have: the machine's, or less if the shell (``ulimit``) or a
    container sets a limit."""
    limits = [psutil.virtual_memory().total]
    limits += [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    for file in _group_limits():
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):
            continue
    return min(limit for limit in limits if limit > 0)


def _group_limits() -> Iterator[Path]:
    """Files with the memory limits of this process' control groups (version 1 or 2), and of their parents."""
    for line in GROUPS_OF_PROCESS.read_text().splitlines() if GROUPS_OF_PROCESS.is_file() else ():
        _, kind, name = line.split(":", 2)
        if kind in ("", "memory"):
            limit = "memory.limit_in_bytes" if kind else "memory.max"
            file = CONTROL_GROUPS / kind / name.lstrip("/") / limit
            # Inside a container, its own group is shown as the root, whatever its name outside.
            yield from (folder / limit for folder in file.parents if folder.is_relative_to(CONTROL_GROUPS))


def release_memory() -> None:
    """Give freed memory back to the system and to the GPU, for a fresh process that starts meanwhile."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc keeps freed blocks otherwise
    if trim:
        trim(0)


def end_with(others: Sequence[int]) -> None:
    """End this process soon after one of the ``others`` ended: it would compute on, and keep memory."""

    def watch() -> None:
        while all(map(_runs, others)):
            time.sleep(PERIOD)
        os._exit(1)

    if others:
        threading.Thread(target=watch, daemon=True).start()


def _runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
