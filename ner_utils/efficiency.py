"""Time and memory, measured so that both arms can be compared."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import resource
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

WARMUP = 3  # sentences predicted and thrown away before latency is taken


class Stopwatch:
    """Wall-clock seconds by phase, the GPU synchronised at both ends of each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str):
        _synchronise()
        start = time.perf_counter()
        yield
        _synchronise()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start


def _synchronise() -> None:
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.synchronize()


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


# ---------------------------------------------------------------------------- energy
POWERCAP = Path("/sys/class/powercap")  # where Linux shows the counters of processors (RAPL)
PERIOD = 20.0  # seconds between two readings: counters start again from zero after some minutes at least


class Energy:
    """Joules that processors and GPUs use while the block runs, whatever else the machine does; `None` where
    nothing counts them, or nobody may read the counters."""

    def __init__(self) -> None:
        self.joules: float | None = None

    def __enter__(self) -> Energy:
        self._sum, self._last = 0.0, _counters()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._follow, daemon=True)
        if self._last:
            self._watch.start()
        return self

    def _follow(self) -> None:
        while not self._over.wait(PERIOD):
            self._read()

    def _read(self) -> None:
        now = _counters()
        for name, (joules, size) in now.items():
            if name in self._last:
                step = joules - self._last[name][0]
                self._sum += step + size if step < 0 else step
        self._last |= now  # a counter that could not be read this time goes on from its last reading

    def __exit__(self, *_: object) -> None:
        if self._last:
            self._over.set()
            self._watch.join()
            self._read()
            self.joules = self._sum


def _counters() -> dict[str, tuple[float, float]]:
    """Joules counted so far, and the size of the counter, by processor package and GPU."""
    found = {}
    for zone in sorted(POWERCAP.glob("intel-rapl:?")):  # a package's zones within are parts of it
        try:
            read = [int((zone / name).read_text()) / 1e6 for name in ("energy_uj", "max_energy_range_uj")]
        except (OSError, ValueError):
            continue
        found[zone.name] = tuple(read)
    return found | _gpu_counters()


def _gpu_counters() -> dict[str, tuple[float, float]]:
    torch = sys.modules.get("torch")
    if not torch or not torch.cuda.is_available():
        return {}
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(at) for at in range(pynvml.nvmlDeviceGetCount())]
        # Millijoules since the driver was loaded: such a counter never starts again.
        return {
            f"gpu{at}": (pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000, 0.0)
            for at, handle in enumerate(handles)
        }
    except pynvml.NVMLError:
        return {}


def is_out_of_memory(error: Exception) -> bool:
    """Whether a smaller batch may help."""
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, MemoryError) or should_reduce_batch_size(error)


def release_memory() -> None:
    """Give freed memory back to the system and to the GPU, so that a fresh process finds it free."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.empty_cache()  # the library keeps freed blocks otherwise
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; it keeps freed blocks otherwise
    if trim:
        trim(0)


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of the package in a new process, so that memory and caches are its own."""
    release_memory()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def latency(predict_one: Callable[[Any], Any], sentences: Sequence[Any]) -> dict[str, float]:
    """Milliseconds a sentence, one at a time, from text to spans, after `WARMUP` sentences."""
    milliseconds = []
    warmup = sentences[:WARMUP]
    for index, sentence in enumerate([*warmup, *sentences]):
        _synchronise()
        start = time.perf_counter()
        predict_one(sentence)
        _synchronise()
        if index >= len(warmup):
            milliseconds.append(1000 * (time.perf_counter() - start))
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return {
        "sentences": len(milliseconds),
        "mean_ms": float(np.mean(milliseconds)),
        "p50_ms": float(p50),
        "p95_ms": float(p95),
    }


def parameters(model: Any) -> dict[str, int]:
    """Total and trainable parameters; 4-bit weights count as the numbers that they hold."""
    total = trainable = 0
    for parameter in model.parameters():
        shape = getattr(getattr(parameter, "quant_state", None), "shape", None)
        number = int(np.prod(shape)) if shape is not None else parameter.numel()
        total += number
        trainable += number if parameter.requires_grad else 0
    return {"total": total, "trainable": trainable}
