"""Time and memory, measured so that both arms can be compared."""

from __future__ import annotations

import ctypes
import errno
import gc
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

WARMUP = 3  # sentences predicted and thrown away before latency is taken


# ---------------------------------------------------------------------------- time
Usage = dict[str, float]  # what `usage` returns


class Mark(NamedTuple):
    """A moment: seconds of the clock, CPU seconds of this process so far, and those of all processes on the
    cores that this one may use (`None` where the system does not tell)."""

    clock: float
    own: float
    all: float | None


def mark() -> Mark:
    """The present moment, all work on the GPU done."""
    _synchronise()
    return Mark(time.perf_counter(), time.process_time(), _busy_seconds())


def _synchronise() -> None:
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.synchronize()


STAT = Path("/proc/stat")  # where Linux counts what each core does, in ticks since it started
IDLE = (3, 4, 8, 9)  # columns: idle, waiting for the disk, and guests, which user time holds already


def _busy_seconds() -> float | None:
    """Seconds in which the cores of this process worked, or were lent to another virtual machine."""
    if not STAT.is_file():
        return None
    cores = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    rows = (line.split() for line in STAT.read_text().splitlines() if line.startswith("cpu"))
    ticks = (
        int(value)
        for name, *row in rows
        if name in cores
        for column, value in enumerate(row)
        if column not in IDLE
    )
    return sum(ticks) / os.sysconf("SC_CLK_TCK")


def usage(start: Mark, end: Mark) -> Usage:
    """What happened between two moments: ``seconds``, ``cpu_seconds`` of this process, ``other_seconds`` of
    CPU that other processes took on its cores (where the system tells), and ``cores``, ``threads`` of this
    process that compute at a time, and ``load``, the machine's load average of a minute."""
    found = {"seconds": end.clock - start.clock, "cpu_seconds": end.own - start.own}
    if start.all is not None and end.all is not None:
        found["other_seconds"] = max(0.0, end.all - start.all - found["cpu_seconds"])
    return found | {"cores": _cores(), "threads": _threads(), "load": os.getloadavg()[0]}


def add(first: Usage, second: Usage) -> Usage:
    """Two sections as one: seconds add up; of the others, the highest."""
    if not first:
        return second
    return {
        key: first[key] + second[key] if key.endswith("seconds") else max(first[key], second[key])
        for key in first.keys() & second.keys()
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads() -> int:
    torch = sys.modules.get("torch")
    if not torch:
        return 1
    return 1 if torch.cuda.is_available() else torch.get_num_threads()  # one feeds a GPU


class Stopwatch:
    """Wall-clock seconds by phase, the GPU synchronised at both ends of each, and the usage of all phases."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what was timed."""
        self.seconds: dict[str, float] = {}
        self.usage: Usage = {}

    @contextmanager
    def __call__(self, phase: str):
        start = mark()
        yield
        found = usage(start, mark())
        self.seconds[phase] = self.seconds.get(phase, 0.0) + found["seconds"]
        self.usage = add(self.usage, found)


TAKEN = 0.3  # cores: with more of those that we use taken by others, our threads wait for each other
LEAST = 0.05  # CPU seconds of others that are no rounding of the system's ticks
GIVEN = 0.8  # share of the time in which a process that computes has a core at least


def disturbance(found: Usage) -> str:
    """Why the time of a section is not to be trusted; empty where nothing speaks against it.

    Other processes took a part of the cores that this process needed for its threads, or it had no core for
    a good part of the time: it waited for others, for the disk, or for its share of a container's CPU time.
    """
    seconds, cores = found["seconds"], found["cores"]
    other = found.get("other_seconds", 0.0)
    spare = max(0, cores - found["threads"])
    if other > LEAST and other / seconds > spare + TAKEN:
        return f"other processes took {other / seconds:.1f} of {cores:.0f} cores"
    if seconds > LEAST and found["cpu_seconds"] / seconds < GIVEN:
        return f"the process had a core in {found['cpu_seconds'] / seconds:.0%} of the time"
    return ""


def doubts(cost: dict[str, Any]) -> list[str]:
    """The timed sections of an ``efficiency.json`` whose times are not to be trusted, and why. Results that
    were stored before this was recorded have none."""
    sections = {
        "training": cost.get("training_usage"),
        "evaluation on dev": cost.get("looks_usage"),
        "prediction": cost.get("prediction_usage"),
        "latency": cost.get("latency", {}).get("usage"),
    }
    reasons = {name: disturbance(found) for name, found in sections.items() if found}
    return [f"{name} ({reason})" for name, reason in reasons.items() if reason]


# -------------------------------------------------------------------------- memory
def peak_memory() -> dict[str, float]:
    """Peak memory in MiB: of this process, and of the GPU where there is one."""
    peak = {"process_mib": _peak_resident_mib()}
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        peak["gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return peak


def _peak_resident_mib() -> float:
    # Linux carries ru_maxrss over from the parent that started a process; its own peak is VmHWM.
    status = Path("/proc/self/status")
    if status.is_file():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


# ------------------------------------------------------------------- processes, and their end
def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may help."""
    from accelerate.utils.memory import should_reduce_batch_size

    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    # What loads weights says it in the system's words.
    return should_reduce_batch_size(error) or os.strerror(errno.ENOMEM) in str(error)


def memory_limit() -> int:
    """Bytes of memory that this process may have: the machine's, or less where the shell (``ulimit``) or a
    container sets a limit."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    limits += [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    for file in _group_limits():
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):
            continue
    return min(limit for limit in limits if limit > 0)


CGROUP = Path("/sys/fs/cgroup")  # where Linux shows control groups, the limits of containers and Slurm's jobs
OWN = Path("/proc/self/cgroup")  # which of them this process is in


def _group_limits() -> Iterator[Path]:
    """Files with the memory limits of this process' control groups, version 1 or 2, and of those around."""
    for line in OWN.read_text().splitlines() if OWN.is_file() else ():
        _, kind, name = line.split(":", 2)
        if kind in ("", "memory"):
            file = CGROUP / kind / name.lstrip("/") / ("memory.limit_in_bytes" if kind else "memory.max")
            # In a container, its own group is shown as the root, whatever its name outside.
            yield from (folder / file.name for folder in file.parents if folder.is_relative_to(CGROUP))


def release_memory() -> None:
    """Give freed memory back to the system and to the GPU, for a fresh process that starts meanwhile."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; it keeps freed blocks otherwise
    if trim:
        trim(0)


class Died(RuntimeError):
    """A fresh process ended before it had a result."""


class Killed(Died):
    """The system killed it, as it does when memory runs out."""


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of the package in a new process, so that memory and caches are its own.

    Raises what the function raises, and `Killed` or `Died` where it has no result. The process ends with
    this one.
    """
    release_memory()
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    with ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=_end_with_parent) as pool:
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


def _end_with_parent() -> None:
    """A process whose parent was killed would compute on, for nobody, and keep memory and cores."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


CHEAP = 30.0  # seconds in which latencies that a busy machine spoilt are taken again


def latency(predict_one: Callable[[Any], Any], sentences: Sequence[Any]) -> dict[str, Any]:
    """Milliseconds a sentence, one at a time, from text to spans, after `WARMUP` sentences: mean, percentiles
    and those of each sentence, in their order; and the CPU's ``usage`` meanwhile."""
    for sentence in sentences[:WARMUP]:
        predict_one(sentence)
    milliseconds = []
    begin = mark()
    for sentence in sentences:
        _synchronise()
        start = time.perf_counter()
        predict_one(sentence)
        _synchronise()
        milliseconds.append(1000 * (time.perf_counter() - start))
    end = mark()
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return {
        "sentences": len(milliseconds),
        "mean_ms": float(np.mean(milliseconds)),
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "milliseconds": [round(each, 3) for each in milliseconds],
        "usage": usage(begin, end),
    }


def latency_again(
    first: dict[str, Any], predict_one: Callable[[Any], Any], sentences: Sequence[Any]
) -> dict[str, Any]:
    """The latencies that `latency` found first; or new ones, if the machine was busy then, is not so now, and
    it takes little time."""
    if not disturbance(first["usage"]) or first["usage"]["seconds"] > CHEAP:
        return first
    print("the machine was busy while latencies were taken: they are taken again", flush=True)
    again = latency(predict_one, sentences)
    return first if disturbance(again["usage"]) else again


def parameters(model: Any) -> dict[str, int]:
    """Total and trainable parameters; 4-bit weights count as the numbers that they hold."""
    total = trainable = 0
    for parameter in model.parameters():
        shape = getattr(getattr(parameter, "quant_state", None), "shape", None)
        number = int(np.prod(shape)) if shape is not None else parameter.numel()
        total += number
        trainable += number if parameter.requires_grad else 0
    return {"total": total, "trainable": trainable}
