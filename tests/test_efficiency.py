"""Time, memory and parameters: that the right things are counted, never how fast they are."""

import os
import queue
from types import SimpleNamespace

import pytest
import torch

from ner_utils import efficiency


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
    monkeypatch.setattr(efficiency, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def move(seconds):
        now[0] += seconds

    return move


def test_latency_is_in_milliseconds_and_leaves_the_warm_up_out(spend):
    taken = iter([9.0] * efficiency.WARMUP + [0.002, 0.004, 0.003, 0.001, 0.010])
    found = efficiency.latency(lambda _: spend(next(taken)), range(5))
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


def test_peak_memory():
    before = efficiency.peak_memory()["process_mib"]
    assert before > 1
    held = bytearray(b"x" * 64 * 2**20)
    assert efficiency.peak_memory()["process_mib"] >= before
    assert len(held) == 64 * 2**20
    child = efficiency.in_fresh_process(efficiency.peak_memory)
    assert 1 < child["process_mib"] < efficiency.peak_memory()["process_mib"]


# -------------------------------------------------------------------------------- energy
def counter(folder, name, joules, size=1000):
    zone = folder / name
    zone.mkdir(exist_ok=True)
    (zone / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
    (zone / "max_energy_range_uj").write_text(f"{round(size * 1e6)}\n")


def test_energy_adds_up_packages_and_survives_a_counters_end(tmp_path, monkeypatch):
    """Files as Linux shows them: two packages, a zone within one that is a part of it, and a counter that
    starts again."""
    monkeypatch.setattr(efficiency, "POWERCAP", tmp_path)
    counter(tmp_path, "intel-rapl:0", 990)
    counter(tmp_path, "intel-rapl:1", 5)
    counter(tmp_path, "intel-rapl:0:0", 1)
    with efficiency.Energy() as energy:
        counter(tmp_path, "intel-rapl:0", 20)
        counter(tmp_path, "intel-rapl:1", 12)
        counter(tmp_path, "intel-rapl:0:0", 900)
    assert energy.joules == pytest.approx(30 + 7)


def test_energy_is_read_while_the_block_runs(tmp_path, monkeypatch):
    """The counter goes around twice, and each value is waited for, however slow the machine is."""
    seen = queue.Queue()
    counters = efficiency._counters

    def watched():
        found = counters()
        seen.put(found)
        return found

    monkeypatch.setattr(efficiency, "POWERCAP", tmp_path)
    monkeypatch.setattr(efficiency, "PERIOD", 0.01)
    monkeypatch.setattr(efficiency, "_counters", watched)
    counter(tmp_path, "intel-rapl:0", 100)
    with efficiency.Energy() as energy:
        for joules in (900, 100, 900, 100):
            counter(tmp_path, "intel-rapl:0", joules)
            while seen.get(timeout=60).get("intel-rapl:0") != (joules, 1000):
                pass
    assert energy.joules == pytest.approx(2000)


def test_energy_survives_a_reading_that_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(efficiency, "POWERCAP", tmp_path)
    counter(tmp_path, "intel-rapl:0", 100)
    with efficiency.Energy() as energy:
        (tmp_path / "intel-rapl:0/energy_uj").write_text("")
        energy._read()
        counter(tmp_path, "intel-rapl:0", 400)
    assert energy.joules == pytest.approx(300)


def test_energy_that_nobody_counts_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(efficiency, "POWERCAP", tmp_path)
    with efficiency.Energy() as energy:
        pass
    assert energy.joules is None
