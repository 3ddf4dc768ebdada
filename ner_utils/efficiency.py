"""Time, memory and parameters of a run, measured alike for every kind of model."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

WARMUP = 3  # sentences predicted and thrown away before latencies are taken
RETRY_SECONDS = 30.0  # latencies that took longer are not taken again
# When times are not to be trusted.
TAKEN_CORES = 0.3  # where others take more of the cores that we use, our threads wait for each other
CPU_SHARE = 0.8  # where a process has a core in a smaller share of the time, it waited for something
ROUNDING = 0.05  # CPU seconds that may be rounding of the system's clock ticks
NOT_BUSY = {"idle", "iowait", "guest", "guest_nice"}  # user and nice contain the times of guests


# ---------------------------------------------------------------------------- time
Usage = dict[str, float]  # what `usage` returns


class Mark(NamedTuple):
    """A moment: seconds of the clock, CPU seconds of this process so far, and CPU seconds of all processes on
    the cores that this process may use."""

    clock: float
    process: float
    machine: float


def mark() -> Mark:
    """The present moment, after all work on the GPU."""
    _synchronise()
    return Mark(time.perf_counter(), time.process_time(), _busy_seconds())


def _torch_with_gpu() -> Any:
    """torch, if it is loaded and there is a GPU."""
    torch = sys.modules.get("torch")
    return torch if torch and torch.cuda.is_available() else None


def _synchronise() -> None:
    if torch := _torch_with_gpu():
        torch.cuda.synchronize()


def cores() -> list[int]:
    """The cores that this process may use."""
    return (
        sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [*range(os.cpu_count() or 1)]
    )


def _busy_seconds() -> float:
    """Seconds in which the cores of this process worked, or were lent to another virtual machine."""
    times, own = psutil.cpu_times(percpu=True), set(cores())
    return sum(
        seconds
        for core, each in enumerate(times)
        if core in own
        for kind, seconds in each._asdict().items()
        if kind not in NOT_BUSY
    )


def _threads() -> int:
    """Threads of this process that compute at a time."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch and not torch.cuda.is_available() else 1  # one feeds a GPU


def usage(start: Mark, end: Mark) -> Usage:
    """What happened between two moments.

    ``seconds``; ``cpu_seconds`` of this process; ``other_seconds`` of CPU that other processes took on its
    cores; the number of its ``cores`` and of its computing ``threads``; and ``load``, the machine's load
    average of a minute.
    """
    own = end.process - start.process
    return {
        "seconds": end.clock - start.clock,
        "cpu_seconds": own,
        "other_seconds": max(0.0, end.machine - start.machine - own),
        "cores": len(cores()),
        "threads": _threads(),
        "load": os.getloadavg()[0],
    }


def add(first: Usage, second: Usage) -> Usage:
    """Two sections as one: seconds add up, of the other values the highest counts."""
    if not first:
        return second
    return {
        key: first[key] + second[key] if key.endswith("seconds") else max(first[key], second[key])
        for key in first.keys() & second.keys()
    }


class Stopwatch:
    """Seconds by phase, with the GPU synchronised at both ends of each phase, and the usage of all phases."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.usage: Usage = {}

    @contextmanager
    def __call__(self, phase: str):
        start = mark()
        try:
            yield
        finally:  # what fails takes time, too
            section = usage(start, mark())
            self.seconds[phase] = self.seconds.get(phase, 0.0) + section["seconds"]
            self.usage = add(self.usage, section)


def disturbance(section: Usage) -> str:
    """Why the time of a section is not to be trusted; empty if nothing speaks against it.

    Either other processes took a part of the cores that this process needed for its threads; or it had no
    core for a good part of the time, because it waited for other processes, for the disk, or for its share of
    a container's CPU time.
    """
    seconds, cores = section["seconds"], section["cores"]
    others = section.get("other_seconds", 0.0)  # results of systems without this counter lack it
    spare = max(0, cores - section["threads"])
    if others > ROUNDING and others / seconds > spare + TAKEN_CORES:
        return f"other processes took {others / seconds:.1f} of {cores:.0f} cores"
    if seconds > ROUNDING and section["cpu_seconds"] / seconds < CPU_SHARE:
        return f"the process had a core in {section['cpu_seconds'] / seconds:.0%} of the time"
    return ""


def doubts(cost: dict[str, Any]) -> list[str]:
    """The timed sections of an ``efficiency.json`` whose times are not to be trusted, each with the reason.
    Results that were stored before usage was recorded have none."""
    sections = {
        "training": cost.get("training_usage"),
        "evaluation on dev": cost.get("looks_usage"),
        "prediction": cost.get("prediction_usage"),
        "latency": cost.get("latency", {}).get("usage"),
    }
    reasons = {name: disturbance(section) for name, section in sections.items() if section}
    return [f"{name} ({reason})" for name, reason in reasons.items() if reason]


def latency(predict_one: Callable[[Any], Any], sentences: Sequence[Any]) -> dict[str, Any]:
    """Milliseconds from text to spans, one sentence at a time, after `WARMUP` sentences.

    Returns the `summary` of their times, and the ``usage`` meanwhile.
    """
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
    return summary(milliseconds) | {"usage": usage(begin, mark())}


def summary(milliseconds: Sequence[float]) -> dict[str, Any]:
    """The number of sentences, the mean and percentiles of their times, and the times in their order."""
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return {
        "sentences": len(milliseconds),
        "mean_ms": float(np.mean(milliseconds)),
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "milliseconds": [round(each, 3) for each in milliseconds],
    }


def latency_again(
    first: dict[str, Any], predict_one: Callable[[Any], Any], sentences: Sequence[Any]
) -> dict[str, Any]:
    """The ``first`` latencies; or new ones, if the machine was busy then, is not busy now, and measuring is
    quick."""
    if not disturbance(first["usage"]) or first["usage"]["seconds"] > RETRY_SECONDS:
        return first
    print("the machine was busy while latencies were taken: they are taken again", flush=True)
    again = latency(predict_one, sentences)
    return first if disturbance(again["usage"]) else again


# ------------------------------------------------------------------- memory and parameters
def peak_memory() -> dict[str, float]:
    """Peak memory in MiB: of this process, and of the GPU if there is one."""
    peak = {"process_mib": _peak_resident_mib()}
    if torch := _torch_with_gpu():
        peak["gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return peak


def forget_peak_memory() -> None:
    """Let `peak_memory` begin again, where the system allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, man proc_pid_clear_refs
    if torch := _torch_with_gpu():
        torch.cuda.reset_peak_memory_stats()


def _peak_resident_mib() -> float:
    # On Linux, ru_maxrss includes the peak of the parent that started this process; VmHWM does not.
    status = Path("/proc/self/status")
    if status.is_file():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def parameters(model: Any) -> dict[str, int]:
    """Total and trainable parameters; 4-bit weights count as the numbers that they hold."""
    total = trainable = 0
    for parameter in model.parameters():
        shape = getattr(getattr(parameter, "quant_state", None), "shape", None)
        number = int(np.prod(shape)) if shape is not None else parameter.numel()
        total += number
        trainable += number if parameter.requires_grad else 0
    return {"total": total, "trainable": trainable}
