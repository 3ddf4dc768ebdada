"""`python bench/busy.py`: how much do other processes on the machine slow down a training?

Measures optimisation steps of a model like MiniLM (random weights, batches of 16 × 64 tokens, AdamW) with as
many threads as cores: on a quiet machine, and with another busy process on each core. By default, OpenMP's
threads spin while they wait for each other; with ``OMP_WAIT_POLICY=passive``, which this project sets, they
sleep. Run it on a machine that is otherwise quiet. Prints a table and writes ``results/bench/busy.json``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import contextmanager

POLICIES = ("default", "passive")
SECONDS = 20.0  # of a measurement, after two uncounted steps


def steps_a_second() -> float:
    """Optimisation steps/s of this process."""
    import torch  # late: the process that starts the others needs neither
    from transformers import BertConfig, BertForTokenClassification

    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    torch.manual_seed(0)
    model = BertForTokenClassification(BertConfig(**sizes, num_labels=13)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    ids, labels = torch.randint(1000, 30000, (16, 64)), torch.randint(0, 13, (16, 64))

    def step() -> None:
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step(), step()
    start, number = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        step()
        number += 1
    return number / (time.perf_counter() - start)


@contextmanager
def busy(number: int):
    """Run ``number`` other processes that compute without end."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


def measure(policy: str) -> float:
    """Steps/s of a fresh process under a policy, without ner_utils, which would set one."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": policy} if policy != "default" else {}
    done = subprocess.run(
        [sys.executable, __file__, "--steps"], env=environment, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    """Measure, print and store both policies, quiet and busy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", action="store_true", help="measure this process alone")
    if parser.parse_args().steps:
        print(steps_a_second())
        return
    from ner_utils import files, paths
    from ner_utils.results import provenance

    rows = []
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    for others in (0, cores):
        with busy(others):
            rows.append({"others": others} | {policy: measure(policy) for policy in POLICIES})
        rates = ", ".join(f"{policy} {rows[-1][policy]:.2f}" for policy in POLICIES)
        print(f"{others} other processes on {cores} cores: steps/s: {rates}", flush=True)
    stored = {"cores": cores, "load_before": load, "rows": rows}
    files.write_whole_json(paths.RESULTS / "bench" / "busy.json", stored | provenance.environment())


if __name__ == "__main__":
    main()
