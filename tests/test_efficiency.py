"""Time, memory and parameters: the right things are counted, however fast they are."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from ner_utils import efficiency, processes


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


@pytest.mark.parametrize("number", [1, 7])
def test_latency_uses_every_sentence_once(number):
    sentences, seen = list(range(number)), []
    assert efficiency.latency(seen.append, sentences)["sentences"] == number
    assert seen == sentences[: efficiency.WARMUP] + sentences


@pytest.fixture
def spend(monkeypatch):
    """``spend(seconds)`` moves the clocks of `efficiency`, which stand still otherwise."""
    now = [100.0]
    clocks = {"perf_counter": lambda: now[0], "process_time": lambda: now[0] - 90}
    monkeypatch.setattr(efficiency, "time", SimpleNamespace(**clocks))

    def move(seconds):
        now[0] += seconds

    return move


def test_latency_is_in_milliseconds_and_leaves_the_warm_up_out(spend):
    durations = iter([9.0] * efficiency.WARMUP + [0.002, 0.004, 0.003, 0.001, 0.010])
    measured = efficiency.latency(lambda _: spend(next(durations)), range(5))
    assert measured.pop("milliseconds") == [2.0, 4.0, 3.0, 1.0, 10.0]
    assert measured.pop("usage")["seconds"] == pytest.approx(0.020)
    assert measured == pytest.approx({"sentences": 5, "mean_ms": 4.0, "p50_ms": 3.0, "p95_ms": 8.8})


def test_stopwatch_adds_up_by_phase(spend):
    watch = efficiency.Stopwatch()
    for seconds in (0.5, 0.25):
        with watch("work"):
            spend(seconds)
        spend(7)  # between phases
    with watch("nothing"):
        pass
    with pytest.raises(MemoryError), watch("failed"):
        spend(0.25)
        raise MemoryError
    assert watch.seconds == {"work": 0.75, "nothing": 0.0, "failed": 0.25}
    assert watch.usage["seconds"] == watch.usage["cpu_seconds"] == 1.0


def test_peak_memory_is_that_of_the_process_itself():
    held = bytearray(b"x" * 64 * 2**20)
    peak = efficiency.peak_memory()["process_mib"]
    assert peak > len(held) / 2**20
    assert 1 < processes.in_fresh_process(efficiency.peak_memory)["process_mib"] < peak


def test_a_peak_that_is_forgotten():
    held = bytearray(b"x" * 256 * 2**20)
    before = efficiency.peak_memory()["process_mib"]
    del held
    processes.release_memory()
    efficiency.forget_peak_memory()
    assert efficiency.peak_memory()["process_mib"] < before - 200


# -------------------------------------------------------------------------- a busy machine
@pytest.fixture
def busy():
    """On each core of this process, another process computes without end."""
    spin = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spin) for _ in os.sched_getaffinity(0)]
    yield
    for process in others:
        process.kill()
        process.wait()


def compute(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_cpu_seconds_are_those_of_this_process():
    start = efficiency.mark()
    compute(0.3)
    time.sleep(0.3)
    section = efficiency.usage(start, efficiency.mark())
    assert section["cpu_seconds"] == pytest.approx(0.3, abs=0.1)
    assert section["seconds"] >= 0.6
    assert section["cores"] == len(os.sched_getaffinity(0))


def test_the_cpu_seconds_of_other_processes_are_measured(busy):
    """All cores work all the time, and this process uses one of them at most."""
    start, cores = efficiency.mark(), len(os.sched_getaffinity(0))
    compute(0.5)
    section = efficiency.usage(start, efficiency.mark())
    total = section["cpu_seconds"] + section["other_seconds"]
    assert total == pytest.approx(cores * section["seconds"], rel=0.15)
    assert "other processes took" in efficiency.disturbance(section | {"threads": cores})


def section(**changes):
    """Ten seconds of an undisturbed process of two threads on two cores, with changes."""
    quiet = {"seconds": 10.0, "cpu_seconds": 19.0, "other_seconds": 0.2}
    return quiet | {"cores": 2, "threads": 2, "load": 2.0} | changes


@pytest.mark.parametrize(
    ("timed", "reason"),
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
def test_when_times_are_not_to_be_trusted(timed, reason):
    assert efficiency.disturbance(timed) == reason


def test_a_stored_section_may_lack_the_seconds_of_others():
    older = section()
    del older["other_seconds"]
    assert efficiency.disturbance(older) == ""
    both = efficiency.add(older, section(seconds=5.0, load=7.0))
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
    ("first", "second", "measured", "p50"),
    [
        ({}, {}, 0, 500.0),
        ({"other_seconds": 9.0}, {}, 1, 1.0),
        ({"other_seconds": 9.0}, {"other_seconds": 8.0}, 1, 500.0),  # still busy: the first ones stay
        ({"other_seconds": 90.0, "seconds": 60.0, "cpu_seconds": 60.0}, {}, 0, 500.0),  # would take a minute
    ],
)
def test_latencies_are_taken_again_after_a_busy_moment(monkeypatch, first, second, measured, p50):
    calls = []

    def measure(predict_one, sentences):
        calls.append(sentences)
        return {"p50_ms": 1.0, "usage": section(**second)}

    monkeypatch.setattr(efficiency, "latency", measure)
    before = {"p50_ms": 500.0, "usage": section(**first)}
    assert efficiency.latency_again(before, None, ["a sentence"])["p50_ms"] == p50
    assert len(calls) == measured
