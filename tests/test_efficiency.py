"""Time, memory and parameters: that the right things are counted, never how fast they are."""

import errno
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
import torch

from ner_utils import efficiency, paths


def test_parameters_of_a_tiny_model():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2, bias=False))
    assert efficiency.parameters(model) == {"total": 24, "trainable": 24}
    model[0].requires_grad_(False)
    assert efficiency.parameters(model) == {"total": 24, "trainable": 8}


def test_tied_weights_count_once():
    model = torch.nn.ModuleDict({"in": torch.nn.Embedding(5, 3), "out": torch.nn.Linear(3, 5, bias=False)})
    model["out"].weight = model["in"].weight
    assert efficiency.parameters(model) == {"total": 15, "trainable": 15}


def test_packed_weights_count_as_what_they_hold():
    """4-bit weights lie two to a byte; their quantisation state knows the true shape."""
    model = torch.nn.Linear(8, 4)
    packed = torch.nn.Parameter(torch.zeros(16, 1, dtype=torch.uint8), requires_grad=False)
    packed.quant_state = SimpleNamespace(shape=torch.Size([4, 8]))
    model.weight = packed
    assert efficiency.parameters(model) == {"total": 36, "trainable": 4}


def test_in_fresh_process():
    pid = efficiency.in_fresh_process(os.getpid)
    assert pid != os.getpid()
    assert efficiency.in_fresh_process(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        efficiency.in_fresh_process(divmod, 7, 0)


@pytest.mark.parametrize("gpu", [False, True])
def test_a_fresh_process_finds_the_gpus_memory_free(gpu, monkeypatch):
    """What the library keeps of freed blocks would be missing there."""
    emptied = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    pid = efficiency.in_fresh_process(os.getpid)
    assert pid != os.getpid()
    assert emptied == [True] * gpu


@pytest.mark.parametrize("number", [1, 2, efficiency.WARMUP, 7])
def test_latency_counts_every_sentence_once(number):
    sentences, seen = list(range(number)), []
    found = efficiency.latency(seen.append, sentences)
    assert seen == sentences[: efficiency.WARMUP] + sentences
    assert found["sentences"] == number
    assert 0 <= found["p50_ms"] <= found["p95_ms"]
    assert found["mean_ms"] > 0


@pytest.fixture
def spend(monkeypatch):
    """``spend(seconds)`` moves the room's clock, which stands still otherwise."""
    now = [100.0]
    clocks = {"perf_counter": lambda: now[0], "process_time": lambda: now[0] - 90}
    monkeypatch.setattr(efficiency, "time", SimpleNamespace(**clocks))

    def move(seconds):
        now[0] += seconds

    return move


def test_latency_is_in_milliseconds_and_leaves_the_warm_up_out(spend):
    taken = iter([9.0] * efficiency.WARMUP + [0.002, 0.004, 0.003, 0.001, 0.010])
    found = efficiency.latency(lambda _: spend(next(taken)), range(5))
    assert found.pop("milliseconds") == [2.0, 4.0, 3.0, 1.0, 10.0]
    assert found.pop("usage")["seconds"] == pytest.approx(0.020)
    assert found == pytest.approx({"sentences": 5, "mean_ms": 4.0, "p50_ms": 3.0, "p95_ms": 8.8})


def test_stopwatch_adds_up_by_phase(spend):
    watch = efficiency.Stopwatch()
    for seconds in (0.5, 0.25):
        with watch("work"):
            spend(seconds)
        spend(7)  # between phases
    with watch("nothing"):
        pass
    assert watch.seconds == {"work": 0.75, "nothing": 0.0}
    assert watch.usage["seconds"] == watch.usage["cpu_seconds"] == 0.75
    watch.clear()
    assert (watch.seconds, watch.usage) == ({}, {})


def test_peak_memory():
    before = efficiency.peak_memory()["process_mib"]
    assert before > 1
    held = bytearray(b"x" * 64 * 2**20)
    assert efficiency.peak_memory()["process_mib"] >= before
    assert len(held) == 64 * 2**20
    child = efficiency.in_fresh_process(efficiency.peak_memory)
    assert 1 < child["process_mib"] < efficiency.peak_memory()["process_mib"]


# -------------------------------------------------------------------------- a busy machine
SPIN = "while True: pass"


@pytest.fixture
def busy():
    """``busy()`` starts a process that computes without end, on each core of this one."""
    processes = []

    def start():
        processes.extend(subprocess.Popen([sys.executable, "-c", SPIN]) for _ in os.sched_getaffinity(0))

    yield start
    for process in processes:
        process.kill()
        process.wait()


def compute(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_cpu_seconds_are_those_of_this_process():
    start = efficiency.mark()
    compute(0.5)
    time.sleep(0.5)
    found = efficiency.usage(start, efficiency.mark())
    assert found["cpu_seconds"] == pytest.approx(0.5, abs=0.1)
    assert found["seconds"] >= 1.0
    assert found["cores"] == len(os.sched_getaffinity(0))


def test_other_processes_are_measured(busy):
    """With one process on every core and ours, all cores work all the time, and ours is but one of them."""
    busy()
    start, cores = efficiency.mark(), len(os.sched_getaffinity(0))
    compute(0.5)
    found = efficiency.usage(start, efficiency.mark())
    whole = found["cpu_seconds"] + found["other_seconds"]
    assert whole == pytest.approx(cores * found["seconds"], rel=0.15)
    assert "other processes took" in efficiency.disturbance(found | {"threads": cores})


def section(**changes):
    quiet = {
        "seconds": 10.0,
        "cpu_seconds": 19.0,
        "other_seconds": 0.2,
        "cores": 2,
        "threads": 2,
        "load": 2.0,
    }
    return quiet | changes


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (section(), ""),
        (section(other_seconds=9.5), "other processes took 0.9 of 2 cores"),
        (section(other_seconds=9.5, threads=1, cpu_seconds=9.9), ""),  # there is a core for each
        (section(other_seconds=9.5, cores=64, threads=4), ""),
        (section(other_seconds=620.0, cores=64, threads=4), "other processes took 62.0 of 64 cores"),
        (section(cpu_seconds=2.0), "the process had a core in 20% of the time"),
        # Too short for the system's ticks of a hundredth of a second.
        (section(seconds=0.03, cpu_seconds=0.03, other_seconds=0.02), ""),
    ],
)
def test_when_times_are_not_to_be_trusted(found, said):
    assert efficiency.disturbance(found) == said


def test_a_system_that_tells_of_no_other_processes():
    found = section()
    del found["other_seconds"]
    assert efficiency.disturbance(found) == ""
    both = efficiency.add(found, section(seconds=5.0, load=7.0))
    assert both == {"seconds": 15.0, "cpu_seconds": 38.0, "cores": 2, "threads": 2, "load": 7.0}


def test_doubts_name_the_sections_and_old_results_have_none():
    cost = {"training_usage": section(other_seconds=8.0), "latency": {"p50_ms": 1.0, "usage": section()}}
    cost |= {"looks_usage": {}, "prediction_usage": section(cpu_seconds=1.0)}
    assert efficiency.doubts(cost) == [
        "training (other processes took 0.8 of 2 cores)",
        "prediction (the process had a core in 10% of the time)",
    ]
    assert efficiency.doubts({"training_seconds": 3.0, "latency": {"p50_ms": 1.0}}) == []


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        ({}, {}, 0),
        ({"other_seconds": 9.0}, {}, 1),
        ({"other_seconds": 9.0}, {"other_seconds": 8.0}, 0),  # still busy: the first ones stay
        ({"other_seconds": 90.0, "seconds": 60.0, "cpu_seconds": 60.0}, {}, 0),  # would take a minute
    ],
)
def test_latencies_are_taken_again_after_a_busy_moment(monkeypatch, first, second, taken):
    asked = []

    def measure(predict_one, sentences):
        asked.append(sentences)
        return {"p50_ms": 1.0, "usage": section(**second)}

    monkeypatch.setattr(efficiency, "latency", measure)
    before = {"p50_ms": 500.0, "usage": section(**first)}
    found = efficiency.latency_again(before, None, ["a sentence"])
    assert found["p50_ms"] == (1.0 if taken else 500.0)
    assert len(asked) == (1 if taken or second else 0)


# ------------------------------------------------------------------------- processes that end
def test_a_process_that_the_system_killed_is_said_in_one_line():
    with pytest.raises(efficiency.Killed, match="^the system killed the process: .*out of memory$"):
        efficiency.in_fresh_process(signal.raise_signal, signal.SIGKILL)
    with pytest.raises(efficiency.Died, match="signal 11, SIGSEGV"):
        efficiency.in_fresh_process(signal.raise_signal, signal.SIGSEGV)
    with pytest.raises(efficiency.Died, match="ended without a result"):
        efficiency.in_fresh_process(os._exit, 0)


PARENT = """
import sys, time
from pathlib import Path
from ner_utils import efficiency
if __name__ == "__main__":
    efficiency.in_fresh_process(Path(sys.argv[1]).write_text, "started")
    efficiency.in_fresh_process(time.sleep, 600)
"""


def test_a_fresh_process_ends_with_the_one_that_started_it(tmp_path):
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
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


@pytest.mark.parametrize(
    ("error", "known"),
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
def test_what_is_out_of_memory(error, known):
    assert efficiency.is_out_of_memory(error) == known


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
    monkeypatch.setattr(efficiency, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(efficiency, "OWN", tmp_path / "own")
    assert efficiency.memory_limit() == pytest.approx(machine, rel=0.01)
    (tmp_path / "own").write_text(f"{own}\n")
    limit = tmp_path / "cgroup" / folder / file
    limit.parent.mkdir(parents=True)
    for text, wanted in [("max", machine), ("9223372036854771712", machine), ("50000000", 50_000_000)]:
        limit.write_text(f"{text}\n")
        assert efficiency.memory_limit() == pytest.approx(wanted, rel=0.01)
